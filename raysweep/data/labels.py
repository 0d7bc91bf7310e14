"""Labels of the user's own, in any of their usual forms, numbered from 0."""

import numpy as np

from raysweep.data.dtypes import Array, as_text, check_dtype
from raysweep.data.views import Integers
from raysweep.errors import InputError
from raysweep.text import counted

MOST_WHOLE = 2.0**53
"""Floats beyond it are all whole: which integer was meant cannot be told."""


def check_labels(
    labels: Array, rows: int, name: str = "y", beside: str = "x1"
) -> tuple[Integers, Array]:
    """Labels as int64 0..c-1, and the c names in sorted order.

    They are [n] or [n, 1] integers, whole floats, truth values, strings or bytes, or one-hot
    [n, c] with a single 1 in every row. Numbers need not begin at 0 or be without gaps.

    Args:
        labels: as read.
        rows: how many there must be.
        name: what they are called, for messages.
        beside: what they are labels of, for messages.

    Raises:
        InputError: what is wrong with them.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim not in (1, 2) or len(labels) != rows or 0 in labels.shape[1:]:
        raise InputError(
            f"{name} has shape {labels.shape}, expected ({rows},), one label for each row of "
            f"{beside}"
        )
    check_dtype(name, labels, "iubUSf")
    if not rows:
        raise InputError(f"{name} is empty, expected one label per row")
    if labels.ndim == 2:
        labels = _from_one_hot(name, labels)
    elif labels.dtype.kind == "f":
        labels = _whole(name, labels)
    names, y = np.unique(as_text(name, labels), return_inverse=True)
    if len(names) < 2:
        raise InputError(f"{name} has one class ({names[0]!s}), expected at least two")
    return y.reshape(-1).astype(np.int64), names


def _whole(name: str, labels: Array) -> Integers:
    """Floats that are classes, as integers."""
    undefined = np.flatnonzero(~np.isfinite(labels))
    if undefined.size:
        raise InputError(
            f"{name} has NaN or infinity in {undefined.size} of {counted(len(labels), 'row')}, "
            f"first in row {undefined[0]}; expected a label in every row; leave these rows out "
            f"(keep = numpy.isfinite({name}))"
        )
    if not np.equal(labels, np.rint(labels)).all():
        different = len(np.unique(labels))
        raise InputError(
            f"{name} has {different:,} different values that are not whole, such as "
            f"{labels[labels != np.rint(labels)][0]:g}: regression is not supported yet, expected "
            f"classes; save numpy.digitize({name}, numpy.quantile({name}, [0.33, 0.67])) to "
            "predict thirds"
        )
    if np.abs(labels).astype(np.float64).max() > MOST_WHOLE:
        raise InputError(
            f"{name} has floats above 2**53, of which not all integers can be told apart; save "
            f"{name}.astype(str)"
        )
    return labels.astype(np.int64)


def _from_one_hot(name: str, labels: Array) -> Integers:
    """The places of the ones of a [n, c] one-hot label."""
    if labels.dtype.kind in "US":
        raise InputError(
            f"{name} has shape {labels.shape}, {labels.shape[1]} texts a row, expected one label; "
            f"save {name}[:, 0]"
        )
    if not np.isin(labels, (0, 1)).all():
        raise InputError(
            f"{name} has shape {labels.shape} and other values than 0 and 1, expected one label "
            f"per row, or a single 1 in every row; of scores, save {name}.argmax(axis=1)"
        )
    ones = labels.astype(bool).sum(axis=1)
    if (ones == 1).all():
        return labels.argmax(axis=1).astype(np.int64)
    if ones.max() == 0 or (ones.max() == 1 and ones.min() == 0):
        raise InputError(
            f"{name} has no 1 in {int((ones == 0).sum())} of {counted(len(labels), 'row')}, first "
            f"in row {int((ones == 0).argmax())}; expected a single 1 in every row"
        )
    raise InputError(
        f"{name} has {ones.min()} to {ones.max()} ones in a row: multi-label is not supported yet, "
        f"expected a single 1 in every row; save one of the labels, {name}[:, 0]"
    )
