"""Sequences of a file of the user's own: their tokens, and how many of each row are real."""

from collections.abc import Callable, Sequence

import numpy as np

from raysweep.data.dtypes import Array, check_dtype, check_finite
from raysweep.data.tokens import Tokens
from raysweep.data.views import Floats, Integers, Scaling
from raysweep.errors import InputError
from raysweep.text import counted

LENGTH, MASK = "_length", "_mask"
"""What is behind the name of a modality in the names of its lengths [n] or its mask [n, T]."""


def told_by(names: Sequence[str], modality: str) -> tuple[str, ...]:
    """The arrays of a file that say which tokens of a modality are real."""
    return tuple(modality + end for end in (LENGTH, MASK) if modality + end in names)


def read_sequence(name: str, x: Array, given: dict[str, Array]) -> tuple[Floats, Tokens]:
    """A modality [n, T, d] as rows, padding set to zero.

    Args:
        name: of the modality.
        x: [n, T, d] of numbers; what stands in its padding counts for nothing.
        given: what says which tokens are real, by the name of the array: at most one.

    Raises:
        InputError: all that is wrong with it and with what was given.
    """
    check_dtype(name, x, "fiub")
    if 0 in x.shape:
        raise InputError(f"{name} has shape {x.shape}, expected [rows, tokens, features], no 0")
    if len(given) > 1:
        raise InputError(f"{name} has both {' and '.join(given)}, expected one of them")
    rows, count, features = x.shape
    lengths = np.full(rows, count)
    for other, array in given.items():
        read = _of_mask if other.endswith(MASK) else _lengths
        lengths = read(other, array, rows, count)
    tokens = Tokens(count, features)
    with np.errstate(over="ignore"):
        found = tokens.rows(x, lengths)
    check_finite(name, found)
    return found, tokens


def notes_on(name: str, rows: Floats, tokens: Tokens) -> list[str]:
    """What people should know of the lengths of a modality, a sentence each."""
    lengths = rows[:, -1]
    if (lengths == tokens.count).all():
        ends = int((rows[:, -1 - tokens.features : -1] == 0).all(axis=1).sum())
        return [
            f"{name}: all {tokens.count} tokens of every row are taken as real, and those of "
            f"{counted(ends, 'row')} end in zeros; if that is padding, give {name}{LENGTH} [n], "
            "how many are real"
        ] * (ends > 0)
    empty = int((lengths == 0).sum())
    return [f"{name}: {counted(empty, 'row')} without any token"] * (empty > 0)


def scaled_tokens(
    rows: Floats, tokens: Tokens, train: Integers, scaling: Callable[[Floats], Scaling]
) -> Floats:
    """Rows whose tokens are scaled feature by feature, by the real tokens of the training rows.

    Padding stays zero.
    """
    x, real = tokens.parted(rows)
    fitted = scaling(x[train][real[train]])
    x = np.where(real[:, :, None], fitted(x.reshape(-1, tokens.features)).reshape(x.shape), 0.0)
    return np.concatenate((x.reshape(len(rows), -1), rows[:, -1:]), axis=1)


def _lengths(name: str, array: Array, rows: int, count: int) -> Integers:
    if array.shape not in ((rows,), (rows, 1)):
        raise InputError(f"{name} has shape {array.shape}, expected ({rows},)")
    lengths = _whole(name, array.reshape(-1), f"whole numbers in 0..{count}")
    _check_range(name, lengths, count)
    return lengths


def _of_mask(name: str, array: Array, rows: int, count: int) -> Integers:
    """How many tokens are real, of a mask whose 1 marks a real one."""
    if array.shape != (rows, count):
        raise InputError(f"{name} has shape {array.shape}, expected ({rows}, {count})")
    mask = _whole(name, array, "1 for a real token and 0 for padding")
    _check_range(name, mask, 1)
    rising = np.flatnonzero((np.diff(mask, axis=1) > 0).any(axis=1))
    if rising.size:
        raise InputError(
            f"{name} has a real token (1) behind padding (0) in {counted(rising.size, 'row')}, "
            f"first in row {rising[0]}; expected 1 for a real token, and the real ones in front: "
            "move them there"
        )
    return mask.sum(axis=1)


def _whole(name: str, array: Array, expected: str) -> Integers:
    if array.dtype.kind not in "fiub" or (
        array.dtype.kind == "f" and not (np.isfinite(array) & (array == np.rint(array))).all()
    ):
        raise InputError(f"{name} has dtype {array.dtype}, expected {expected}")
    return array.astype(np.int64)


def _check_range(name: str, values: Integers, most: int) -> None:
    outside = np.argwhere((values < 0) | (values > most))
    if len(outside):
        at = tuple(outside[0])
        raise InputError(
            f"{name} is {values[at]} in row {at[0]}, and outside 0..{most} in "
            f"{counted(len(np.unique(outside[:, 0])), 'row')}"
        )
