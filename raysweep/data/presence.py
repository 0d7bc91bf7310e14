"""Rows that lack a modality: which they are, and what is asked and told of them.

A row lacks a modality where all of its numbers there are NaN, or missing, or where an array beside
it says so (``x1_present`` [n], 1 where it is there). What stands in its place counts for nothing.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from raysweep.data.dtypes import Array, Role
from raysweep.data.views import Bools, Integers, Splits
from raysweep.errors import InputError
from raysweep.text import counted

Read = Callable[[Role, list[str]], dict[str, Array]]

PRESENT = "_present"
"""What is behind the name of a modality in the name of the array that says where it is there."""
LEAST_PAIRS = 8
"""Rows of a split that have all modalities, and that have each."""
LEAST_ALIKE = 10
"""Rows of one label that lack the same modalities, of which every split gets its share."""


def told_present(names: Sequence[str], modality: str) -> tuple[str, ...]:
    """The array of a file that says which rows have a modality, if there is one."""
    return tuple(name for name in (modality + PRESENT,) if name in names)


def without_lacking(name: str, x: Array, given: Mapping[str, Array]) -> tuple[Array, Bools | None]:
    """A modality with zeros where rows lack it, and which have it; None where all do.

    Args:
        name: of the modality, for messages.
        x: [n, ...] as it was read.
        given: what says which rows have it, by the name of the array: at most one.

    Raises:
        InputError: the array beside it is none of 0 and 1.
    """
    if not x.ndim:  # which is told elsewhere
        return x, None
    there: Bools = np.ones(len(x), dtype=bool)
    if given:
        [(other, array)] = given.items()
        there = _of_array(other, array, len(x))
    elif x.dtype.kind == "f" and x.size:
        there = np.asarray(~np.isnan(x.reshape(len(x), -1)).all(axis=1))
    if there.all():
        return x, None
    if not there.any():
        raise InputError(f"{name} is missing in all of {counted(len(x), 'row')}")
    x = x.copy()
    x[~there] = 0
    return x, there


def read_with_gaps(read: Read, count: int) -> tuple[dict[str, Array], list[str]]:
    """The arrays of a modality that can be read, and what is wrong with the others.

    Values may be missing where all of a row are: it lacks the modality.

    Args:
        read: reads them for a role, and notes faults.
        count: how many there are.
    """
    found: list[str] = []
    arrays = read(Role.FEATURES, found)
    if not found:
        return arrays, found
    faults: list[str] = []
    with_gaps = read(Role.GAPS, faults)
    if faults or len(with_gaps) < count:
        return arrays, found
    if any(x.dtype.kind not in "fiub" for x in with_gaps.values()):
        return arrays, found
    gone = [np.isnan(x.reshape(len(x), -1).astype(np.float64)) for x in with_gaps.values()]
    lacking = np.all([values.all(axis=1) for values in gone], axis=0)
    whole = all((values.any(axis=1) == lacking).all() for values in gone)
    return (with_gaps, []) if whole else (arrays, found)


def _of_array(name: str, array: Array, rows: int) -> Bools:
    if array.shape not in ((rows,), (rows, 1)):
        raise InputError(f"{name} has shape {array.shape}, expected ({rows},)")
    if array.dtype.kind not in "fiub" or not np.isin(array, (0, 1)).all():
        raise InputError(
            f"{name} holds other values than 0 and 1, expected 1 for a row that has the modality "
            "and 0 for one that lacks it"
        )
    return array.reshape(-1).astype(bool)


def together(names: Sequence[str], present: Mapping[str, Bools], rows: int) -> Bools | None:
    """Which rows have which modality, [n, modalities]; None where all have all.

    Args:
        names: of the modalities.
        present: name -> [n], of those that some rows lack.
        rows: how many there are.

    Raises:
        InputError: a row that has none.
    """
    if not present:
        return None
    every = np.ones(rows, dtype=bool)
    found = np.stack([present.get(name, every) for name in names], axis=1)
    nothing = np.flatnonzero(~found.any(axis=1))
    if nothing.size:
        raise InputError(
            f"has no modality at all in {nothing.size} of {counted(rows, 'row')}, first in row "
            f"{nothing[0]}; leave these rows out"
        )
    return found


def strata(y: Integers, present: Bools | None) -> Integers:
    """What splits are to have equal shares of, [n] from 0: the label, and what rows lack.

    What few rows of a label lack (``LEAST_ALIKE``) is counted with what most of them do, so that
    no rounding of small shares takes from the label's own.
    """
    if present is None:
        return y
    lacks = np.unique(present, axis=0, return_inverse=True)[1].reshape(-1)
    counts = np.zeros((int(y.max()) + 1, int(lacks.max()) + 1), dtype=np.int64)
    np.add.at(counts, (y, lacks), 1)
    lacks = np.where(counts[y, lacks] < LEAST_ALIKE, counts[y].argmax(axis=1), lacks)
    both = np.stack([y, lacks], axis=1)
    return np.unique(both, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def too_few(names: Sequence[str], present: Bools, splits: Splits) -> list[str]:
    """What is wrong with splits in which too few rows have a modality, or all of them."""
    faults = []
    for split in ("train", "validation", "test"):
        there = present[getattr(splits, split)]
        both = int(there.all(axis=1).sum())
        if both < LEAST_PAIRS:
            faults.append(
                f"all of {', '.join(names)} are in only {both} of {counted(len(there), 'row')} of "
                f"the {split} split, expected at least {LEAST_PAIRS}: alignment is of complete rows"
            )
        faults += [
            f"{name} is in only {count} of {counted(len(there), 'row')} of the {split} split, "
            f"expected at least {LEAST_PAIRS}"
            for name, count in zip(names, there.sum(axis=0), strict=True)
            if count < LEAST_PAIRS
        ]
    return faults


def notes_on(names: Sequence[str], present: Bools) -> list[str]:
    """What people should know of the rows that lack a modality, a sentence each."""
    n = len(present)
    told = [
        f"{lacking:,} of {n:,} rows lack{'s' * int(lacking == 1)} modality {name}"
        for name, lacking in zip(names, (~present).sum(axis=0), strict=True)
        if lacking
    ]
    return [*told, f"{int(present.all(axis=1).sum()):,} of {n:,} rows have all modalities"]


def shares(present: Bools) -> dict[str, int | float | str]:
    """Share of the rows that lack each modality, by the column of the trial table."""
    return {f"missing_{k}": float(share) for k, share in enumerate((~present).mean(axis=0), 1)}
