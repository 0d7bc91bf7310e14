"""Outcomes of classification, against scikit-learn."""

import dataclasses
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score
from tiny_evaluation import DATASET, MEMBERS, SHAPE, VIEWS, logits_of, pack_of

from raysweep.data.views import Splits
from raysweep.training.outcomes import OUTCOMES, outcomes, why_undefined
from raysweep.trials.outcome_families import OUTCOME_FAMILIES


def sklearns(y: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    predicted, classes = logits.argmax(axis=1), logits.shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes without rows
        found = {
            "balanced_accuracy": balanced_accuracy_score(y, predicted),
            "macro_f1": f1_score(y, predicted, average="macro"),
            "weighted_f1": f1_score(y, predicted, average="weighted"),
        }
    p = softmax(logits, axis=1)
    if len(np.unique(y)) < classes:
        return {**found, "auroc": np.nan}
    if classes == 2:
        return {**found, "auroc": roc_auc_score(y, p[:, 1])}
    return {**found, "auroc": roc_auc_score(y, p, multi_class="ovr", average="macro")}


def test_every_outcome_has_columns() -> None:
    assert list(OUTCOMES) == list(OUTCOME_FAMILIES)


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("rows", [5, 60, 400])
@pytest.mark.parametrize("coarse", [False, True], ids=["fine", "tied"])
def test_values_are_those_of_scikit_learn(classes: int, rows: int, coarse: bool) -> None:
    draw = np.random.default_rng(rows + classes)
    for _ in range(5):
        # Rare classes, some without a row, some never predicted.
        y = draw.choice(classes, rows, p=draw.dirichlet(np.ones(classes)))
        logits = draw.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[y]
        logits = logits.round() if coarse else logits
        for name, expected in sklearns(y, logits).items():
            found = OUTCOMES[name](y, logits)
            assert found == pytest.approx(expected, abs=1e-12, nan_ok=True), name


@given(
    st.integers(2, 4).flatmap(
        lambda c: st.tuples(
            st.lists(st.integers(0, c - 1), min_size=1, max_size=12),
            arrays(np.float64, (12, c), elements=st.floats(-60, 60, width=16)),
        )
    )
)
def test_any_labels_and_logits(given: tuple[list[int], np.ndarray]) -> None:
    y, logits = np.array(given[0]), given[1][: len(given[0])]
    for name, expected in sklearns(y, logits).items():
        assert OUTCOMES[name](y, logits) == pytest.approx(expected, abs=1e-12, nan_ok=True), name


def test_the_calibration_error_is_that_of_its_definition() -> None:
    draw = np.random.default_rng(0)
    y, logits = draw.integers(0, 3, 500), 3 * draw.normal(size=(500, 3))
    p = softmax(logits, axis=1)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    expected = 0.0
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if inside.any():
            gap = right[inside].mean() - confidence[inside].mean()
            expected += inside.mean() * abs(gap)
    assert OUTCOMES["calibration_error"](y, logits) == pytest.approx(expected, abs=1e-12)
    # One that is as sure as it is right, and one that is always sure.
    known = np.log(np.tile([0.8, 0.2], (500, 1)))
    labels = (np.arange(500) % 5 == 0).astype(int)
    assert OUTCOMES["calibration_error"](labels, known) == pytest.approx(0, abs=1e-12)
    assert OUTCOMES["calibration_error"](labels, 1e3 * known) == pytest.approx(0.2, abs=1e-12)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    from raysweep.training import evaluate

    monkeypatch.setattr(evaluate, "_CHUNK_BYTES", 1)
    monkeypatch.setattr(evaluate, "_LEAST_CHUNK_ROWS", 7)


@pytest.mark.usefixtures("small_chunks")
def test_outcomes_of_a_pack_are_those_of_every_member_and_head() -> None:
    pack = pack_of("float32", diverged=3)
    found = outcomes(pack, VIEWS, "test", OUTCOMES)
    for member in range(MEMBERS):
        view = VIEWS[DATASET[member]]
        rows = view.splits.test
        logits = logits_of(pack, member, view.x1[rows], view.x2[rows])
        for head in SHAPE.heads:
            if member == 3:
                assert all(np.isnan(by_head[head][member]) for by_head in found.values())
                continue
            expected = sklearns(view.y[rows], logits[head])
            expected["calibration_error"] = OUTCOMES["calibration_error"](
                view.y[rows], logits[head]
            )
            for name, value in expected.items():
                # Float32 may turn the order of two probabilities, of which there are many.
                assert found[name][head][member] == pytest.approx(value, abs=2e-3), name


def test_where_a_class_is_missing_is_said() -> None:
    view = VIEWS[0]
    rows = view.splits.test[view.y[view.splits.test] != 1]
    lacking = dataclasses.replace(view, splits=Splits(view.splits.train, rows, rows))
    assert why_undefined(lacking, "test", ["macro_f1", "auroc"]) == (
        "auroc: no row of class 1 in the test split"
    )
    assert why_undefined(lacking, "test", ["macro_f1"]) == ""
    assert why_undefined(view, "test", ["auroc"]) == ""
