"""Labels that are numbers: when they are read so, and what is said of it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from raysweep.api.own_data import save_data
from raysweep.data.labels import FEW_CLASSES, MOST_CLASSES, Label, read_label
from raysweep.data.registry import load
from raysweep.data.views import Views
from raysweep.errors import InputError
from raysweep.trials.tasks import Task

N = 150
DRAW = np.random.default_rng(0)
VALUES = DRAW.normal(size=N)


def read(labels: np.ndarray, task: str | None = None) -> Label:
    return read_label(labels, len(labels), task, "score", "img_*")


@pytest.mark.parametrize(
    ("labels", "task", "expected"),
    [
        (VALUES, None, VALUES),
        (VALUES[:, None], None, VALUES),
        (VALUES.astype(np.float32), None, VALUES.astype(np.float32)),
        (VALUES.astype(np.float16), None, VALUES.astype(np.float16)),
        (np.arange(N) * 3, "regression", np.arange(N) * 3.0),
        (np.arange(N) % 3, "regression", np.arange(N) % 3.0),
        ((np.arange(N) % 3).astype(np.uint8), "regression", np.arange(N) % 3.0),
        (np.arange(N) % 2 == 0, "regression", (np.arange(N) % 2 == 0).astype(float)),
        (1e9 + np.arange(N), "regression", 1e9 + np.arange(N)),
    ],
)
def test_numbers_are_read_in_their_own_unit(
    labels: np.ndarray, task: str | None, expected: np.ndarray
) -> None:
    label = read(labels, task)
    assert label.task is Task.REGRESSION
    assert label.values is not None
    np.testing.assert_array_equal(label.values, expected)
    assert bool(label.told) == (task is None)


def test_what_floats_were_read_as_is_told() -> None:
    assert read(np.where(np.arange(N) < 3, 0.5, np.arange(N) % 4)).told == (
        "score was read as a number to predict (regression): 5 different values from 0 to 3; if "
        "they are classes, save score.astype(str)"
    )


def test_whole_numbers_of_few_values_are_classes_as_ever() -> None:
    few = np.arange(N) % FEW_CLASSES
    for labels in (few, few.astype(float), few[:, None]):
        label = read(labels)
        assert (label.task, label.values, label.told) == (Task.CLASSIFICATION, None, "")
    more = np.arange(N) % (FEW_CLASSES + 1)
    assert read(more).told == (
        "score was read as 21 classes; if it is an amount, say task: regression"
    )
    assert read(more, "classification").told == ""
    assert read(more.astype(str)).told == ""


@pytest.mark.parametrize("kind", [int, float, np.uint16])
def test_many_whole_numbers_are_asked_about(kind: type) -> None:
    labels = (np.arange(N) % (MOST_CLASSES + 1)).astype(kind)
    said = (
        r"score has 101 different whole numbers, 0 to 100, which may be classes or amounts; say "
        r"task: regression .* or task: classification \(of init and advise: --task\)"
    )
    for shape in ((N,), (N, 1)):
        with pytest.raises(InputError, match=said):
            read(labels.reshape(shape))
    assert len(read(labels, "classification").names) == 101
    assert read(labels, "regression").values is not None
    assert len(read(labels.astype(str)).names) == 101


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.where(np.arange(N) == 4, np.nan, VALUES), r"NaN or infinity in 1 of 150 rows, first"),
        (np.where(np.arange(N) == 4, np.inf, VALUES), r"score has NaN or infinity in 1 of 150"),
        (np.full(N, 2.5), r"score is 2\.5 in every row, expected numbers that differ"),
        (0.1 + 1e-16 * VALUES, r"score is 0\.1 in every row"),
        (1e200 * VALUES, r"score has magnitudes above 1e\+150"),
        (VALUES.astype(str), r"score is text, and task: regression expects .* score\.astype"),
        (np.stack([VALUES, VALUES], axis=1), r"score has shape \(150, 2\), and task: regression"),
        (VALUES.astype(complex), r"score has dtype complex128, expected"),
        (VALUES.reshape(50, 3, 1), r"score has shape \(50, 3, 1\), expected"),
    ],
)
def test_what_is_no_number(labels: np.ndarray, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(labels, "regression")


@given(
    st.lists(
        st.floats(-1e100, 1e100, allow_subnormal=False) | st.integers(-3, 3).map(float),
        min_size=20,
        max_size=60,
    )
)
@settings(max_examples=100, deadline=None)
def test_fifths_go_up_with_the_label(values: list[float]) -> None:
    labels = np.array(values)
    assume(np.ptp(labels) > 1e-9 * np.abs(labels).max())
    label = read(labels, "regression")
    assert 2 <= len(label.names) == len(np.unique(label.y)) <= 5
    assert label.y.min() == 0
    order = np.argsort(labels, kind="stable")
    assert (np.diff(label.y[order]) >= 0).all()
    for value in np.unique(labels):
        assert len(np.unique(label.y[labels == value])) == 1


def own(folder: Path, y: np.ndarray, **arrays: np.ndarray) -> Path:
    draw = np.random.default_rng(1)
    x1, x2 = (draw.normal(size=(len(y), 3)) for _ in range(2))
    np.savez(folder / "own.npz", x1=x1, x2=x2, y=y, **arrays)
    return folder / "own.npz"


def views(path: Path, draw: int = 0, **parameters: str) -> Views:
    return load("arrays", {"path": str(path), **parameters}, draw)


def test_splits_are_alike_in_the_label(tmp_path: Path) -> None:
    skewed = np.exp(2 * np.random.default_rng(2).normal(size=400))
    path = own(tmp_path, skewed)
    for draw in range(6):
        found = views(path, draw)
        assert (found.outputs, found.classes, found.task) == (1, 5, Task.REGRESSION)
        for rows in (found.splits.train, found.splits.validation, found.splits.test):
            np.testing.assert_allclose(np.bincount(found.y[rows]) / len(rows), 0.2, atol=0.01)


def test_labels_are_standardized_on_the_training_split(tmp_path: Path) -> None:
    found = views(own(tmp_path, 50 + 10 * VALUES))
    scaling, train = found.value_scaling, found.splits.train
    assert found.values is not None
    assert scaling.mean[0] == pytest.approx(found.values[train].mean())
    assert scaling.sd[0] == pytest.approx(found.values[train].std())


def test_a_label_that_stands_still_in_training_is_refused(tmp_path: Path) -> None:
    split = np.repeat(["train", "validation", "test"], [90, 30, 30])
    path = own(tmp_path, np.where(split == "train", 1.5, VALUES), split=split)
    with pytest.raises(InputError, match=r"y is 1\.5 in every row of the train split"):
        views(path)


def test_rare_numbers_say_what_helps(tmp_path: Path) -> None:
    counts = np.random.default_rng(3).poisson(6, N)
    with pytest.raises(InputError, match="if the label is an amount, say task: regression"):
        views(own(tmp_path, counts))
    assert views(own(tmp_path, counts), task="regression").task is Task.REGRESSION


def test_groups_stay_together(tmp_path: Path) -> None:
    found = views(own(tmp_path, VALUES, groups=np.arange(N) // 3))
    assert found.groups is not None
    parts = (found.splits.train, found.splits.validation, found.splits.test)
    groups = [set(found.groups[rows].tolist()) for rows in parts]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]


def test_save_data_takes_what_a_study_has_to_name(tmp_path: Path) -> None:
    sides = {"a": DRAW.normal(size=(N, 2)), "b": DRAW.normal(size=(N, 2))}
    path = save_data(tmp_path / "either.npz", sides, y=np.arange(N))
    assert views(Path(path), task="regression").task is Task.REGRESSION
