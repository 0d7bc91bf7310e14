"""Rows that may have several of k labels at once: [n, k] of 0 and 1."""

import numpy as np

from raysweep.data.dtypes import Array, check_dtype
from raysweep.data.views import Floats, Integers
from raysweep.errors import InputError
from raysweep.text import counted

LEAST_ROWS = 10
"""Rows with the same labels that make a part of the rows by themselves."""


def has_several(labels: Array) -> bool:
    """Whether labels are 0 and 1 with several ones in a row, and so no one-hot class."""
    if labels.ndim != 2 or labels.shape[1] < 2 or labels.dtype.kind not in "iubf":
        return False
    return bool(np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) > 1).any())


def read_several(
    name: str, labels: Array, rows: int, beside: str
) -> tuple[Floats, Integers, Array]:
    """The labels [n, k] as 0.0 and 1.0, and parts of the rows for splits and estimates.

    Rows with the same labels are a part where there are ``LEAST_ROWS`` of them; other rows go by
    the rarest of their labels, and what is left of fewer is one part.

    Args:
        name: what they are called, for messages.
        labels: as read.
        rows: how many there must be.
        beside: what they are labels of, for messages.

    Returns:
        The labels, the part of each row [n] from 0, and names of the parts.

    Raises:
        InputError: what is wrong with them.
    """
    if labels.ndim != 2 or labels.shape[1] < 2 or len(labels) != rows:
        raise InputError(
            f"{name} has shape {labels.shape}, and task: multilabel expects ({rows}, k), a column "
            f"of 0 and 1 for each label, a row for each of {beside}"
        )
    if labels.dtype.kind in "US":
        raise InputError(
            f"{name} is text, and task: multilabel expects 0 and 1; save {name}.astype(int)"
        )
    check_dtype(name, labels, "iubf")
    if not np.isin(labels, (0, 1)).all():
        faulty = ~np.isin(labels, (0, 1)).all(axis=1)
        raise InputError(
            f"{name} has other values than 0 and 1 in {int(faulty.sum())} of "
            f"{counted(rows, 'row')}, first in row {int(faulty.argmax())}, and task: multilabel "
            f"expects 1 where a row has a label; of scores, save {name} > 0.5"
        )
    values = labels.astype(np.float64)
    still = np.flatnonzero(np.ptp(values, axis=0) == 0)
    if still.size:
        raise InputError(
            f"{name}: label {still[0]} (from 0) is {values[0, still[0]]:g} in every row, expected "
            "rows with and without it; leave it out"
        )
    y, names = _parts(values)
    return values, y, names


def untrained_label(name: str, values: Floats) -> str:
    """What is wrong with labels of the training rows that are the same in all; else empty."""
    still = np.flatnonzero(np.ptp(values, axis=0) == 0)
    if not still.size:
        return ""
    return (
        f"{name}: label {still[0]} (from 0) is {values[0, still[0]]:g} in every row of the train "
        "split, expected rows with and without it there"
    )


def _parts(values: Floats) -> tuple[Integers, Array]:
    found, of_row, counts = np.unique(values, axis=0, return_inverse=True, return_counts=True)
    of_row = of_row.reshape(-1)
    rarest = np.where(values > 0, values.sum(axis=0), np.inf).argmin(axis=1)
    code = np.where(counts[of_row] >= LEAST_ROWS, of_row, len(found) + rarest)
    sizes = np.bincount(code)
    code = np.where(sizes[code] >= LEAST_ROWS, code, len(sizes))
    if 0 < (code == len(sizes)).sum() < LEAST_ROWS:
        code = np.where(code == len(sizes), sizes.argmax(), code)
    there, y = np.unique(code, return_inverse=True)
    names = np.array([_called(part, found) for part in there.tolist()])
    return y.reshape(-1).astype(np.int64), names


def _called(part: int, found: Floats) -> str:
    if part < len(found):
        ones = np.flatnonzero(found[part])
        return f"labels {', '.join(map(str, ones))}" if ones.size else "no label"
    return f"label {part - len(found)} and others"
