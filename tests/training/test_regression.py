"""Regression: what heads minimise, what is seen of them, and outcomes in the label's unit."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_training import train_one
from scipy.stats import pearsonr
from sklearn.metrics import accuracy_score, mean_absolute_error, r2_score, root_mean_squared_error
from tiny_training import TOLERANCE, make_members, pick, train

from raysweep.data.views import Splits, Views, z_scaling
from raysweep.errors import InputError
from raysweep.models.shape import MultimodalShape
from raysweep.training.inputs import PackData, TrainSettings
from raysweep.training.outcomes import outcomes, why_undefined
from raysweep.training.regression import OUTCOMES
from raysweep.training.task_loss import squared_error
from raysweep.trials.outcome_families import REGRESSION_FAMILIES
from raysweep.trials.tasks import Task

SHAPE = MultimodalShape((5, 4), 1, depths=(2, 3), widths=(6, 6))


def make_views(number: int, rows: int = 75, shape: MultimodalShape = SHAPE) -> Views:
    draw = np.random.default_rng(number)
    n = rows + 80
    values = 40 + 7 * draw.normal(size=n)
    x1, x2 = (draw.normal(size=(n, d)) + values[:, None] / 7 - 6 for d in shape.inputs)
    splits = Splits(np.arange(rows), np.arange(rows, rows + 40), np.arange(rows + 40, n))
    y = (values > 40).astype(np.int64)
    return Views((x1, x2), y, 2, splits, task=Task.REGRESSION, values=values)


VIEWS = [make_views(number) for number in range(3)]


def data(m: int) -> PackData:
    return PackData.of_views(VIEWS, np.arange(m) % len(VIEWS))


def test_training_sees_standardized_labels() -> None:
    given = data(4)
    np.testing.assert_allclose(given.y_train.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(given.y_train.std(axis=1), 1)
    assert given.task is Task.REGRESSION


@pytest.mark.parametrize("fusion", ["probe", "joint"])
def test_members_train_as_the_reference(fusion: str) -> None:
    members = make_members(4)
    trained = train(members, SHAPE, data(4), fusion=fusion, epochs=4)
    settings = TrainSettings(epochs=4, batch_size=16, dtype="float64", fusion=fusion)
    for index in range(4):
        initial = SHAPE.initial_parameters(members.init_seed)[index]
        run = train_one(SHAPE, members, index, initial, data(4), settings)
        # A checkpoint is the same epoch's, and all numbers those of the loop.
        assert trained.best_epoch[index] == run.best_epoch
        torch.testing.assert_close(
            trained.parameters[index], run.best, rtol=TOLERANCE, atol=TOLERANCE
        )
        np.testing.assert_allclose(trained.history.task_loss[index], run.task_loss, rtol=1e-10)
        seen = np.stack([trained.history.performance[head][index] for head in SHAPE.heads], axis=1)
        np.testing.assert_allclose(seen, run.accuracies, atol=TOLERANCE)
        assert trained.gradient_ratio[index] == pytest.approx(run.gradient_ratio)


def test_members_do_not_depend_on_their_pack() -> None:
    members = make_members(9)
    together = train(members, SHAPE, data(9), epochs=6)
    for some in ([4], [8, 1, 5]):
        apart = train(
            pick(members, some),
            SHAPE,
            dataclasses.replace(data(9), dataset=np.array(some) % len(VIEWS)),
            epochs=6,
        )
        np.testing.assert_array_equal(apart.best_epoch, together.best_epoch[some])
        torch.testing.assert_close(
            apart.parameters, together.parameters[some], rtol=TOLERANCE, atol=TOLERANCE
        )


def test_the_gradient_is_that_of_autograd() -> None:
    draw = torch.Generator().manual_seed(0)
    outputs = torch.randn(3, 4, 1, 11, generator=draw, dtype=torch.float64, requires_grad=True)
    labels = torch.randn(4, 1, 11, generator=draw, dtype=torch.float64)
    found, slopes = squared_error(outputs, labels)
    expected = torch.stack(
        [
            torch.stack(
                [torch.nn.functional.mse_loss(outputs[h, m, 0], labels[m, 0]) for m in range(4)]
            )
            for h in range(3)
        ]
    )
    torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-14)
    (at_outputs,) = torch.autograd.grad(expected.sum(), outputs)
    torch.testing.assert_close(slopes, at_outputs, rtol=0, atol=1e-14)


def test_a_linear_label_is_learned() -> None:
    trained = train(
        make_members(2, strength=0.0, learning_rate=0.01, clip_norm=8.0, weight_decay=0.0),
        SHAPE,
        data(2),
        epochs=40,
        fusion="joint",
    )
    found = outcomes(trained, VIEWS, "test", ["r2", "rmse"])
    assert (found["r2"]["fused"] > 0.8).all()
    assert (found["rmse"]["fused"] < 4).all()


@pytest.mark.parametrize("told_by", ["unique", "shared"])
def test_forcing_costs_what_is_unique_and_not_what_is_shared(told_by: str) -> None:
    """Two units a layer hold what both modalities have, or what one of them has, not all."""
    draw, n, m = np.random.default_rng(0), 360, 12
    shared, unique, noise = draw.normal(size=(3, n))
    x1, x2 = np.stack([3 * shared, unique], axis=1), np.stack([3 * shared, noise], axis=1)
    values = unique if told_by == "unique" else shared
    splits = Splits(np.arange(200), np.arange(200, 260), np.arange(260, n))
    y = (values > 0).astype(np.int64)
    view = Views((x1, x2), y, 2, splits, task=Task.REGRESSION, values=values)
    seeds = np.arange(m) // 2
    members = make_members(
        m, init_seed=seeds, order_seed=seeds, strength=np.arange(m) % 2 * 10.0, learning_rate=0.01,
        weight_decay=0.0, clip_norm=8.0, placebo=False,
    )  # fmt: skip
    trained = train(
        members, MultimodalShape((2, 2), 1, (1, 1), (2, 2)),
        PackData.of_views([view], np.zeros(m, np.int64)),
        epochs=30, batch_size=50, fusion="joint", loss="cka",
    )  # fmt: skip
    r2 = outcomes(trained, [view], "test", ["r2"])["r2"]["fused"]
    gained = r2[1::2] - r2[0::2]
    if told_by == "unique":
        assert (gained < -0.03).all()
        assert gained.mean() < -0.2
    else:
        assert abs(gained.mean()) < 0.05


def test_the_kernel_refuses_what_it_cannot_train() -> None:
    with pytest.raises(InputError, match="the task is regression; the kernel trains classif"):
        train(make_members(2), SHAPE, data(2), engine="kernel")
    assert (
        train(make_members(2), SHAPE, data(2), engine="auto", epochs=1)
        .parameters.isfinite()[0]
        .all()
    )


def test_heads_of_several_outputs_are_refused() -> None:
    with pytest.raises(InputError, match="heads have one output"):
        train(make_members(2), MultimodalShape((5, 4), 2, (1, 1), (3, 3)), data(2))


def expected(y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    flat = np.ptp(y) == 0 or np.ptp(p) == 0
    cross = np.cov(y, p, ddof=0)[0, 1]
    below = y.var() + p.var() + (y.mean() - p.mean()) ** 2
    told = y != 0
    return {
        "r2": r2_score(y, p) if np.ptp(y) else np.nan,
        "rmse": root_mean_squared_error(y, p),
        "mae": mean_absolute_error(y, p),
        "pearson": np.nan if flat else pearsonr(y, p).statistic,
        "concordance": 2 * cross / below if below else np.nan,
        "sign_accuracy": accuracy_score(y >= 0, p >= 0),
        "sign_accuracy_nonzero": accuracy_score(y[told] > 0, p[told] > 0) if told.any() else np.nan,
    }


def test_every_outcome_has_columns() -> None:
    assert list(OUTCOMES) == list(REGRESSION_FAMILIES)
    assert set(OUTCOMES) == {*Task.REGRESSION.always, *Task.REGRESSION.asked}


@given(
    st.integers(2, 30).flatmap(
        lambda n: st.tuples(
            *[
                st.lists(st.integers(-3, 3) | st.floats(-50, 50, width=16), min_size=n, max_size=n)
                for _ in range(2)
            ]
        )
    )
)
@settings(deadline=None, max_examples=50)
def test_values_are_those_of_other_libraries(given: tuple[list[float], list[float]]) -> None:
    y, p = (np.array(one, dtype=float) for one in given)
    for name, value in expected(y, p).items():
        assert OUTCOMES[name](y, p) == pytest.approx(value, rel=1e-9, abs=1e-9, nan_ok=True), name


def test_outcomes_have_the_unit_of_the_label() -> None:
    trained = train(make_members(4), SHAPE, data(4), epochs=2)
    found = outcomes(trained, VIEWS, "test", OUTCOMES)
    for member, which in enumerate(trained.dataset):
        view = VIEWS[which]
        rows, scaling = view.splits.test, z_scaling(view.values[view.splits.train][:, None])
        hidden = [trained.forward(k, x[rows])[0][-1] for k, x in enumerate(view.inputs, start=1)]
        outputs = trained.fused(*hidden)[member, 0].numpy()
        predicted = outputs * scaling.sd + scaling.mean
        for name, value in expected(view.values[rows], predicted).items():
            assert found[name]["fused"][member] == pytest.approx(value, abs=1e-9), name


def test_a_constant_label_leaves_outcomes_undefined() -> None:
    view = make_views(0)
    still = dataclasses.replace(view, values=np.where(np.arange(155) < 115, view.values, 0.0))
    assert why_undefined(still, "test", ["r2", "rmse"]) == (
        "r2: the label is 0 in all of the test split"
    )
    assert why_undefined(still, "test", ["rmse"]) == ""
    assert why_undefined(still, "validation", list(OUTCOMES)) == ""
    trained = train(make_members(1), SHAPE, PackData.of_views([still], np.zeros(1, int)), epochs=1)
    found = outcomes(trained, [still], "test", OUTCOMES)
    assert np.isnan(found["r2"]["1"][0])
    assert np.isnan(found["sign_accuracy_nonzero"]["1"][0])
    assert np.isfinite(found["mae"]["1"][0])
