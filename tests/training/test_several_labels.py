"""Several labels a row, and ranks: what heads minimise, what is seen of them, and outcomes."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_training import train_one
from sklearn import metrics
from tiny_training import TOLERANCE, make_members, pick, train

from raysweep.data.views import Splits, Views
from raysweep.errors import InputError
from raysweep.models.shape import MultimodalShape
from raysweep.training import multilabel, ordinal
from raysweep.training.inputs import PackData, TrainSettings
from raysweep.training.outcomes import outcomes, why_undefined
from raysweep.training.task_loss import SCORES, binary_cross_entropy, row_shares
from raysweep.trials.outcome_families import MULTILABEL_FAMILIES, ORDINAL_FAMILIES
from raysweep.trials.tasks import Task, task_of

SHAPE = MultimodalShape((5, 4), 3, depths=(1, 2), widths=(6, 6))
TASKS = (Task.MULTILABEL, Task.ORDINAL)


def make_views(number: int, task: Task) -> Views:
    draw, n = np.random.default_rng(number), 155
    score = draw.normal(size=(n, 3))
    y = draw.integers(0, 4, n)
    targets = (score > (0.0, 0.5, 1.0)).astype(float)
    if task is Task.ORDINAL:
        targets, score = (y[:, None] > np.arange(3)).astype(float), np.stack([y] * 3, axis=1)
    x1, x2 = (draw.normal(size=(n, d)) + 2 * score @ draw.normal(size=(3, d)) for d in (5, 4))
    splits = Splits(np.arange(75), np.arange(75, 115), np.arange(115, n))
    return Views((x1, x2), y, 4, splits, task=task, targets=targets)


VIEWS = {task: [make_views(number, task) for number in range(3)] for task in TASKS}


def data(task: Task, which: list[int]) -> PackData:
    return PackData.of_views(VIEWS[task], np.array(which))


@pytest.mark.parametrize("task", TASKS)
def test_members_train_as_the_reference_and_alone_as_packed(task: Task) -> None:
    members = make_members(4)
    given = data(task, [0, 1, 2, 0])
    together = train(members, SHAPE, given, fusion="joint", epochs=3)
    how = TrainSettings(epochs=3, batch_size=16, dtype="float64", fusion="joint")
    for index in (1, 2):
        initial = SHAPE.initial_parameters(members.init_seed)[index]
        run = train_one(SHAPE, members, index, initial, given, how)
        assert together.best_epoch[index] == run.best_epoch
        torch.testing.assert_close(together.parameters[index], run.best, rtol=1e-9, atol=TOLERANCE)
        np.testing.assert_allclose(together.history.task_loss[index], run.task_loss, rtol=1e-10)
        seen = np.stack([together.history.performance[h][index] for h in SHAPE.heads], axis=1)
        np.testing.assert_allclose(seen, run.accuracies, atol=TOLERANCE)
    apart = train(pick(members, [3, 1]), SHAPE, data(task, [0, 1]), fusion="joint", epochs=3)
    torch.testing.assert_close(
        apart.parameters, together.parameters[[3, 1]], rtol=TOLERANCE, atol=TOLERANCE
    )


@pytest.mark.parametrize("some", [False, True])
def test_the_loss_and_its_gradient_are_torchs(some: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    logits = 30 * torch.randn(3, 4, 5, 11, generator=draw, dtype=torch.float64)
    logits.requires_grad_()
    labels = (torch.rand(4, 5, 11, generator=draw) < 0.4).double()
    there = torch.ones(3, 4, 11, dtype=torch.bool)
    if some:
        there = torch.rand(3, 4, 11, generator=draw) < 0.6
    shares = row_shares(labels, None, there.double()) if some else None
    found, slopes = binary_cross_entropy(logits, labels, shares)
    expected = torch.stack([
        torch.stack([
            torch.nn.functional.binary_cross_entropy_with_logits(
                logits[h, m][:, there[h, m]], labels[m][:, there[h, m]]
            )
            for m in range(4)
        ])
        for h in range(3)
    ])  # fmt: skip
    torch.testing.assert_close(found, expected.detach(), rtol=1e-12, atol=1e-12)
    (at_logits,) = torch.autograd.grad(expected.sum(), logits)
    torch.testing.assert_close(slopes, at_logits, rtol=1e-12, atol=1e-13)


def of_labels(y: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """scikit-learn's, undefined where a label has no row, or all."""
    said, flat = logits > 0, np.ptp(y, axis=0) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        precision = metrics.average_precision_score(y, logits, average=None)
        areas = np.nan if flat.any() else metrics.roc_auc_score(y, logits, average="macro")
    return {
        "micro_f1": metrics.f1_score(y, said, average="micro", zero_division=0),
        "hamming_loss": metrics.hamming_loss(y, said),
        "label_macro_f1": metrics.f1_score(y, said, average="macro", zero_division=0),
        "mean_average_precision": precision.mean() if y.any(axis=0).all() else np.nan,
        "label_auroc": areas,
        "subset_accuracy": metrics.accuracy_score(y, said),
    }


def kappa_of(rank: np.ndarray, said: np.ndarray, ranks: int) -> float:
    """With all ranks as labels, else those that do not occur are left out, and others move up."""
    return metrics.cohen_kappa_score(rank, said, labels=range(ranks), weights="quadratic")


def of_ranks(y: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    rank, said = y.sum(axis=1).astype(int), (logits > 0).sum(axis=1)
    one = np.ptp(np.concatenate([rank, said])) == 0
    kappa = np.nan if one else kappa_of(rank, said, y.shape[1] + 1)
    return {"weighted_kappa": kappa, "rank_mae": metrics.mean_absolute_error(rank, said)}


MODULES: dict[Task, tuple[object, Callable[..., dict[str, float]]]] = {
    Task.MULTILABEL: (multilabel.OUTCOMES, of_labels),
    Task.ORDINAL: (ordinal.OUTCOMES, of_ranks),
}


def test_every_outcome_has_columns_of_its_task_alone() -> None:
    for task, families in ((TASKS[0], MULTILABEL_FAMILIES), (TASKS[1], ORDINAL_FAMILIES)):
        assert list(MODULES[task][0]) == list(families)
        assert set(families) == {*task.always, *task.asked}
        assert all(task_of(f"{family}_fused_test") is task for family in families)


@given(
    st.integers(2, 25),
    st.integers(2, 4),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.1, 0.5, 0.9]),
    st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_values_are_those_of_scikit_learn(
    n: int, k: int, seed: int, share: float, ties: bool
) -> None:
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(n, k))
    logits = np.round(logits * 2) / 2 if ties else logits
    several = (draw.random((n, k)) < share).astype(float)
    ranks = (draw.integers(0, k + 1, n)[:, None] > np.arange(k)).astype(float)
    for task, y in ((Task.MULTILABEL, several), (Task.ORDINAL, ranks)):
        known, expected = MODULES[task]
        for name, value in expected(y, logits).items():
            found = known[name](y, logits)
            assert found == pytest.approx(value, rel=1e-9, abs=1e-9, nan_ok=True), name
        score = SCORES[task](1, 1, torch.device("cpu"))
        for rows in (slice(0, n // 2), slice(n // 2, n)):
            score.add(torch.tensor(logits[rows].T)[None, None], torch.tensor(y[rows])[None])
        main = expected(y, logits)[task.main]
        assert float(score.score()) == pytest.approx(0.0 if np.isnan(main) else main, abs=1e-9)


@pytest.mark.parametrize("task", TASKS)
def test_outcomes_are_of_the_heads_and_are_learned(task: Task) -> None:
    members = make_members(2, strength=0.0, learning_rate=0.01, clip_norm=8.0, weight_decay=0.0)
    trained = train(members, SHAPE, data(task, [0, 2]), epochs=30, fusion="joint")
    known, expected = MODULES[task]
    found = outcomes(trained, VIEWS[task], "test", known)
    for member, which in enumerate((0, 2)):
        view = VIEWS[task][which]
        rows = view.splits.test
        hidden = [trained.forward(k, x[rows])[0][-1] for k, x in enumerate(view.inputs, start=1)]
        logits = trained.fused(*hidden)[member].T.numpy()
        for name, value in expected(view.targets[rows], logits).items():
            assert found[name]["fused"][member] == pytest.approx(value, abs=1e-9), name
        assert found[task.main]["fused"][member] > 0.7


def test_what_is_undefined_is_told() -> None:
    several, ranks = VIEWS[Task.MULTILABEL][0], VIEWS[Task.ORDINAL][0]
    several.targets[several.splits.test, 1] = 0
    names = ["label_auroc", "mean_average_precision", "subset_accuracy"]
    assert why_undefined(several, "test", names) == (
        "mean_average_precision, label_auroc: no row of the test split has label 1"
    )
    assert why_undefined(several, "validation", names) == ""
    assert why_undefined(several, "test", ["micro_f1"]) == ""
    ranks.targets[ranks.splits.test] = (1, 1, 0)
    assert why_undefined(ranks, "test", ["weighted_kappa"]) == (
        "weighted_kappa: all rows of the test split have rank 2 (from 0)"
    )


def test_heads_of_another_size_and_the_kernel_are_refused() -> None:
    with pytest.raises(InputError, match=r"must be 0 and 1, \[k, rows, 2\]"):
        train(make_members(2), MultimodalShape((5, 4), 2, (1, 1), (3, 3)), data(TASKS[0], [0, 1]))
    with pytest.raises(InputError, match="the task is ordinal; the kernel trains classif"):
        train(make_members(2), SHAPE, data(Task.ORDINAL, [0, 1]), engine="kernel")
