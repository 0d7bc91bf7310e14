"""Rows that lack a modality: what heads, the fused head and the alignment loss see of them."""

import dataclasses

import numpy as np
import pytest
import torch
from reference_training import cka, infonce, train_one
from sklearn.metrics import accuracy_score, f1_score, log_loss
from tiny_training import TOLERANCE, make_data, make_members, pick, train

from raysweep.data.views import Features, Splits, Views
from raysweep.errors import InputError
from raysweep.losses import OverPairs, build_loss
from raysweep.models.shape import MultimodalShape
from raysweep.models.stacked import StackedEncoders
from raysweep.models.transformer import Transformer
from raysweep.study.spec import Evaluation
from raysweep.training import evaluate
from raysweep.training.complete_pairs import on_complete_pairs
from raysweep.training.engine import AlignedMembers
from raysweep.training.inputs import PackData, TrainSettings
from raysweep.training.outcomes import outcomes
from raysweep.training.task_loss import cross_entropy, row_shares, squared_error

SHAPE = MultimodalShape((5, 4), 3, depths=(2, 3), widths=(6, 6))
DRAW = np.random.default_rng(5)


def lacking(rows: tuple[int, ...]) -> np.ndarray:
    """Which of two modalities rows have: seven in ten have both."""
    return np.array([[1, 1], [0, 1], [1, 0]], bool)[DRAW.choice(3, rows, p=[0.7, 0.2, 0.1])]


def data(m: int) -> PackData:
    whole = make_data(m, SHAPE)
    parts = {
        f"present_{s}": lacking(getattr(whole, f"y_{s}").shape) for s in ("train", "validation")
    }
    blank = {
        f"x_{s}": tuple(
            x * parts[f"present_{s}"][:, :, k, None] for k, x in enumerate(whole.sides(s))
        )
        for s in ("train", "validation")
    }
    return dataclasses.replace(whole, **parts, **blank)


DATA = data(8)


def filled(value: float) -> dict[str, tuple[np.ndarray, ...]]:
    """The inputs of `DATA` with a number in the place of what is lacking."""
    return {
        f"x_{s}": tuple(
            np.where(getattr(DATA, f"present_{s}")[:, :, k, None], x, value)
            for k, x in enumerate(DATA.sides(s))
        )
        for s in ("train", "validation")
    }


def make_views(number: int) -> Views:
    draw, n = np.random.default_rng(number), 200
    y = draw.integers(0, 3, n)
    present = lacking((n,))
    x1, x2 = (draw.normal(size=(n, d)) + y[:, None] for d in SHAPE.inputs)
    splits = Splits(np.arange(90), np.arange(90, 140), np.arange(140, n))
    inputs = (x1 * present[:, :1], x2 * present[:, 1:])
    return Views(inputs, y, 3, splits, present=present)


VIEWS = [make_views(number) for number in range(3)]


@pytest.mark.parametrize(("fusion", "loss"), [("probe", "infonce"), ("joint", "cka")])
def test_members_train_as_the_reference(fusion: str, loss: str) -> None:
    members, how = make_members(8), {"fusion": fusion, "loss": loss, "epochs": 3}
    trained = train(members, SHAPE, DATA, **how)
    for index in (1, 2, 4):  # a placebo, and two forced ones
        initial = SHAPE.initial_parameters(members.init_seed)[index]
        settings = TrainSettings(batch_size=16, dtype="float64", **how)
        reference = {"infonce": infonce, "cka": cka}[loss]
        run = train_one(SHAPE, members, index, initial, DATA, settings, reference)
        assert trained.best_epoch[index] == run.best_epoch
        torch.testing.assert_close(trained.parameters[index], run.best, rtol=1e-9, atol=TOLERANCE)
        seen = np.stack([trained.history.performance[head][index] for head in SHAPE.heads], axis=1)
        np.testing.assert_allclose(seen, run.accuracies, atol=TOLERANCE)
        assert trained.gradient_ratio[index] == pytest.approx(run.gradient_ratio)


@pytest.mark.parametrize("fusion", ["probe", "joint"])
def test_what_stands_in_the_place_of_a_modality_changes_nothing(fusion: str) -> None:
    members = make_members(8)
    found = [
        train(members, SHAPE, given, fusion=fusion, epochs=3)
        for given in (DATA, dataclasses.replace(DATA, **filled(7.0)))
    ]
    torch.testing.assert_close(found[0].parameters, found[1].parameters, rtol=1e-9, atol=TOLERANCE)


def test_members_do_not_depend_on_their_pack() -> None:
    members = make_members(8)
    together = train(members, SHAPE, DATA, epochs=4)
    for some in ([4], [7, 1, 5]):
        of_some = dataclasses.replace(DATA, dataset=DATA.dataset[some])
        apart = train(pick(members, some), SHAPE, of_some, epochs=4)
        torch.testing.assert_close(
            apart.parameters, together.parameters[some], rtol=TOLERANCE, atol=TOLERANCE
        )


def test_rows_that_all_have_everything_train_as_ever() -> None:
    whole, members = make_data(8, SHAPE), make_members(8)
    there = {
        f"present_{s}": np.ones((*getattr(whole, f"y_{s}").shape, 2), bool)
        for s in ("train", "validation")
    }
    plain, masked = (
        train(members, SHAPE, given, fusion="joint", epochs=4)
        for given in (whole, dataclasses.replace(whole, **there))
    )
    torch.testing.assert_close(plain.parameters, masked.parameters, rtol=TOLERANCE, atol=TOLERANCE)
    np.testing.assert_allclose(plain.history.task_loss, masked.history.task_loss, rtol=1e-10)


@pytest.mark.parametrize("fusion", ["probe", "joint"])
def test_encoders_of_autograd_see_nothing_of_what_is_lacking(fusion: str) -> None:
    shape = StackedEncoders(tuple(Transformer(Features(d), 1, 8, patches=1) for d in (5, 4)), 3)
    members = make_members(4, strength=1.0)
    of_four = dataclasses.replace(DATA, dataset=DATA.dataset[:4])
    found = [
        train(members, shape, given, fusion=fusion, epochs=2)
        for given in (of_four, dataclasses.replace(of_four, **filled(7.0)))
    ]
    torch.testing.assert_close(found[0].parameters, found[1].parameters, rtol=1e-9, atol=TOLERANCE)
    for before, after in zip(*(run.history.performance.values() for run in found), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("weighted", [False, True])
def test_shares_are_torchs_ignored_rows(weighted: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 5, 11, generator=draw, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 5, (4, 1, 11), generator=draw)
    present = torch.rand(3, 4, 11, generator=draw, dtype=torch.float64) < 0.6
    present[0, 1] = False  # a head that no row tells anything
    weights = torch.rand(4, 5, generator=draw, dtype=torch.float64) + 0.1 if weighted else None
    shares = row_shares(labels, weights, present.double())
    found, slopes = cross_entropy(logits, labels, shares)
    for h, m in np.ndindex(3, 4):
        y = labels[m, 0].where(present[h, m], -100)
        of = None if weights is None else weights[m]
        expected = torch.nn.functional.cross_entropy(logits[h, m].T, y, of)
        if not present[h, m].any():
            assert found[h, m] == 0
            assert not slopes[h, m].any()
            continue
        (at_logits,) = torch.autograd.grad(expected, logits)
        torch.testing.assert_close(found[h, m], expected.detach(), rtol=0, atol=1e-13)
        torch.testing.assert_close(slopes[h, m], at_logits[h, m], rtol=0, atol=1e-13)
    numbers, labels = logits[:, :, :1].detach(), torch.randn(4, 1, 11, dtype=torch.float64)
    error, _ = squared_error(numbers, labels, row_shares(labels, None, present.double()))
    for h, m in zip(*np.nonzero(present.any(dim=2).numpy()), strict=True):
        off = (numbers[h, m, 0] - labels[m, 0])[present[h, m]]
        assert error[h, m] == pytest.approx(off.square().mean())


def test_of_three_modalities_each_pair_is_compared_where_it_is_whole() -> None:
    draw = torch.Generator().manual_seed(1)
    hs = [torch.randn(2, 4, 12, generator=draw, dtype=torch.float64) for _ in range(3)]
    present = (torch.rand(3, 2, 12, generator=draw) < 0.7).double()
    present[2, 1] = 0.0
    present[2, 1, 0] = 1.0  # of member 1 no pair with modality 3 is left
    aligned = AlignedMembers.of(torch.tensor([2.0, 0.5]), torch.tensor([False, True]))
    found = on_complete_pairs(
        aligned, OverPairs(build_loss("cka", {})), hs, hs[0].new_zeros(2, 0), present
    )
    for m, strength in enumerate((2.0, 0.5)):
        sides = [h[m].T.detach().requires_grad_() for h in hs]
        values = []
        for a, b in ((0, 1), (0, 2), (1, 2)):
            both = (present[a, m] * present[b, m]) > 0
            if both.sum() > 1:
                other = sides[b][both]
                values.append(cka(sides[a][both], other.roll(1, 0) if m else other))
        expected = torch.stack(values).mean()
        assert len(values) == (3, 1)[m]
        expected.backward()
        assert found.value[m] == pytest.approx(expected.item(), abs=1e-12)
        for side, gradient in zip(sides, found.gradients, strict=True):
            wanted = torch.zeros_like(side) if side.grad is None else side.grad
            torch.testing.assert_close(gradient[m].T, strength * wanted, rtol=0, atol=1e-12)


def test_heads_are_judged_on_the_rows_that_they_are_told_of() -> None:
    members = make_members(3, strength=1.0, placebo=False)
    given = PackData.of_views(VIEWS, np.arange(3))
    trained = train(members, SHAPE, given, epochs=2)
    reached = evaluate.performance(trained, VIEWS, "test")
    measured = outcomes(trained, VIEWS, "test", ["macro_f1"])["macro_f1"]
    scores = evaluate.alignment(
        trained, VIEWS, "test", Evaluation(metrics={"cka": {}}, rows=1024), None
    )
    for m, view in enumerate(VIEWS):
        rows, there = view.splits.test, view.present[view.splits.test]
        own = [trained.own.forward(k, x[rows]) for k, x in enumerate(view.inputs, start=1)]
        ran = [trained.forward(k, x[rows])[0][-1] for k, x in enumerate(view.inputs, start=1)]
        zeroed = [h * torch.tensor(there[:, k]) for k, h in enumerate(ran)]
        logits = {"1": own[0][1], "2": own[1][1], "fused": trained.fused(*zeroed)}
        told = {"1": there[:, 0], "2": there[:, 1], "fused": there.any(axis=1)}
        for head, of_head in logits.items():
            y, one = view.y[rows][told[head]], of_head[m].T.numpy()[told[head]]
            assert reached.accuracy[head][m] == pytest.approx(accuracy_score(y, one.argmax(1)))
            p = torch.softmax(torch.tensor(one), dim=1).numpy()
            assert reached.loss[head][m] == pytest.approx(log_loss(y, p, labels=range(3)))
            f1 = f1_score(y, one.argmax(1), average="macro")
            assert measured[head][m] == pytest.approx(f1)
        complete = there.all(axis=1)
        assert 5 < complete.sum() < len(rows)
        layers = [h[m].T[complete] for h in ran]
        prepared = [_clipped(h) for h in layers]
        assert scores["cka"].value[m] == pytest.approx(1 - float(cka(*prepared)), abs=1e-9)


def _clipped(h: torch.Tensor) -> torch.Tensor:
    """Clipped at the mean of the rows' quantiles .95 of magnitudes, rows of length 1."""
    bound = torch.quantile(h.abs(), 0.95, dim=1).mean()
    return torch.nn.functional.normalize(h.clamp(-bound, bound), dim=1)


def test_the_kernel_refuses_them() -> None:
    with pytest.raises(InputError, match="rows lack a modality; the kernel trains complete rows"):
        train(make_members(8), SHAPE, DATA, engine="kernel")
    free = train(make_members(8), SHAPE, DATA, engine="auto", epochs=1)
    assert free.parameters.isfinite().all()
