"""Labels in any of their usual forms."""

import numpy as np
import pytest

from raysweep.data.labels import check_labels, read_label
from raysweep.errors import InputError

N = 60
CLASSES = np.arange(N) % 3


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (CLASSES, [0, 1, 2]),
        (CLASSES + 1, [1, 2, 3]),
        (CLASSES * 10 - 7, [-7, 3, 13]),
        (CLASSES.astype(np.uint8), [0, 1, 2]),
        (CLASSES.astype(float), [0, 1, 2]),
        ((CLASSES + 1).astype(np.float16), [1, 2, 3]),
        (CLASSES[:, None], [0, 1, 2]),
        ((CLASSES + 1.0)[:, None], [1, 2, 3]),
        (np.eye(3)[CLASSES], [0, 1, 2]),
        (np.eye(3, dtype=bool)[CLASSES], [0, 1, 2]),
        (np.eye(3, dtype=np.int8)[CLASSES], [0, 1, 2]),
        (np.eye(5)[CLASSES + (CLASSES > 1)], [0, 1, 3]),  # a class without rows has no number
        (np.array(["a", "b", "c"])[CLASSES], ["a", "b", "c"]),
        (np.array([b"a", b"b", b"c"])[CLASSES], ["a", "b", "c"]),
        (np.array(["1", "10", "2"])[CLASSES], ["1", "10", "2"]),
        (np.array(["a", "b", "c"])[CLASSES][:, None], ["a", "b", "c"]),
        (np.array([0.0, -0.0, 1.0])[CLASSES], None),
    ],
)
def test_labels_are_numbered_from_0(labels: np.ndarray, names: list[object] | None) -> None:
    y, found = check_labels(labels, N)
    assert y.dtype == np.int64
    if names is None:  # minus zero is zero
        assert found.tolist() == [0, 1]
        np.testing.assert_array_equal(y, CLASSES == 2)
    else:
        assert found.tolist() == names
        np.testing.assert_array_equal(y, CLASSES)


def test_truth_values_are_two_classes() -> None:
    y, names = check_labels(CLASSES > 0, N)
    np.testing.assert_array_equal(y, CLASSES > 0)
    assert names.tolist() == [False, True]


def holed(value: float) -> np.ndarray:
    labels = CLASSES.astype(float)
    labels[[4, 9]] = value
    return labels


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.linspace(0, 1, N), r"age has 60 different values that are not whole, such as 0\.0169"),
        (np.linspace(0, 1, N), r"say task: regression, or save age\.astype\(str\)"),
        (CLASSES + 0.5, r"age has 3 different values that are not whole, such as 0\.5"),
        (
            holed(np.nan),
            r"age has NaN or infinity in 2 of 60 rows, first in row 4; expected a label",
        ),
        (holed(-np.inf), r"age has NaN or infinity in 2 of 60 rows, first in row 4"),
        (holed(2.0**60), r"age has floats above 2\*\*53, .*; save age\.astype\(str\)"),
        (
            np.ones((N, 3)),
            r"age has 3 to 3 ones in a row, and the task is of one class for each row",
        ),
        (
            np.eye(3)[CLASSES] + np.eye(3)[0],
            r"age has shape \(60, 3\) and other values than 0 and 1",
        ),
        (np.full((N, 3), 1 / 3), r"of scores, save age\.argmax\(axis=1\)"),
        (np.zeros((N, 3)), r"age has no 1 in 60 of 60 rows, first in row 0; expected a single 1"),
        (
            np.eye(3)[CLASSES] * (np.arange(N) != 8)[:, None],
            r"no 1 in 1 of 60 rows, first in row 8",
        ),
        (
            np.maximum(np.eye(3)[CLASSES], np.eye(3)[0]),
            r"age has 1 to 2 ones in a row, .*; say task: multilabel, or save one",
        ),
        (np.full((N, 2), "a"), r"age has shape \(60, 2\), 2 texts a row, expected one label; save"),
        (
            np.zeros((N, 2, 2)),
            r"age has shape \(60, 2, 2\), expected \(60,\), one label for each row of",
        ),
        (np.zeros((N, 0)), r"age has shape \(60, 0\), expected \(60,\)"),
        (np.zeros(N, complex), r"age has dtype complex128, expected integers or strings"),
        (np.zeros(N), r"age has one class \(0\), expected at least two"),
    ],
)
def test_what_is_no_label(labels: np.ndarray, said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_labels(labels, N, "age", "img_*")


def test_classes_that_look_alike_are_told() -> None:
    label = read_label(np.array(["cat", "cat ", "dog", "bird"]), 4)
    assert len(label.names) == 4
    alike = "the classes 'cat' and 'cat ' differ in spaces or capitals alone; are they one?"
    assert label.told == f"y: {alike}"
    assert "'Dog' and 'dog'" in read_label(np.array(["dog", "Dog", "bird"]), 3).told
    assert read_label(np.array(["cat", "dog", "cats"]), 3).told == ""
