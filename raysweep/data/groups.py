"""Rows that belong together: captions of one image, visits of one patient.

Rows belong together where a modality has the same row for them (an image that stands once for each
of its captions), or where the file's ``groups`` says so, and so do rows that are tied by a chain of
such pairs. Not every equality is one of the same thing; it does not count

- of filler: a row whose numbers are all the same (all zero, say), or one that more than a twentieth
  of all rows repeat;
- in a modality of few values, whose rows are equal as often by chance: where values that are
  shuffled within each column would make a tenth of the equal pairs or more;
- where all that is tied in this way would be more than a test split holds: then only rows that are
  equal in every modality are kept together.

Whatever is decided is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raysweep.data.resplits import HELD_OUT
from raysweep.data.streams import stream
from raysweep.data.views import Bools, Floats, Integers, Splits
from raysweep.text import counted

FILLER_SHARE = 0.05
FILLER_ROWS = 10
BY_CHANCE = 0.1
LEAST_GROUPS = 7
LEAST_GROUPS_PER_CLASS = 3
_MOST_COMPARED = 5_000
"""Rows from which it is estimated how often values are equal by chance."""


@dataclass(frozen=True, eq=False)
class Belonging:
    """Which rows belong together.

    Attributes:
        groups: [n] int64, equal for rows that do; None where every row stands alone.
        found: in a sentence what groups there are; empty without any.
        told: how equal rows were taken that are not in one group, a sentence each.
    """

    groups: Integers | None
    found: str = ""
    told: tuple[str, ...] = ()


def belonging(
    names: Sequence[str],
    inputs: Sequence[Floats],
    given: Integers | None,
    present: Bools | None = None,
) -> Belonging:
    """Which rows belong together (module docstring).

    Args:
        names: of the modalities.
        inputs: of each modality [n, ...], before it is scaled.
        given: [n] what the file says; None if nothing.
        present: [n, modalities], which of them a row has; rows that lack one are not equal in it.
    """
    n = len(inputs[0])
    told, ties, equal_in = [], [], []
    everywhere: list[Bools | slice] = [slice(None)] * len(inputs)
    there = everywhere if present is None else list(present.T)
    codes = [_spread(n, _codes(x[rows]), rows) for x, rows in zip(inputs, there, strict=True)]
    for name, x, code, rows in zip(names, inputs, codes, there, strict=True):
        kept, why = _identities(x[rows].reshape(len(code[rows]), -1), code[rows])
        kept = _spread(n, kept, rows)
        told += [f"{name}: {reason}" for reason in why]
        if len(np.unique(kept)) < n:
            equal_in.append(name)
            ties.append(kept)
    by = [f"equal rows of {' or '.join(equal_in)}"] if equal_in else []
    groups = _joined(n, ties)
    if ties and np.bincount(groups).max() > HELD_OUT * n:
        most = int(np.bincount(groups).max())
        told.append(
            f"equal rows of {' or '.join(equal_in)} would tie {most} of {n} rows together, more "
            f"than a test split holds: only rows that are equal in every modality are kept together"
        )
        alike = np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)[1].reshape(-1)
        ties = [alike]
        by = ["rows that are equal in every modality"]
    if given is not None:
        ties.append(given)
        by.append("the array groups")
    groups = _joined(n, ties)
    sizes = np.bincount(groups)
    if sizes.max(initial=1) == 1:
        return Belonging(None, told=tuple(told))
    return Belonging(groups, _words(sizes, " and ".join(by)), tuple(told))


def _spread(n: int, code: Integers, rows: Bools | slice) -> Integers:
    """Codes of some rows as those of all n, the others each with one of its own."""
    found = np.arange(n) + 2 * n + 1
    found[rows] = code
    return found


def _words(sizes: Integers, by: str) -> str:
    several = sizes[sizes > 1]
    low, high = int(several.min()), int(several.max())
    alone = int((sizes == 1).sum())
    rest = f"; the other {counted(alone, 'row')} stand alone" if alone else ""
    return (
        f"{counted(len(several), 'group')} of {low if low == high else f'{low} to {high}'} rows "
        f"that belong together ({by}), which no split or fold parts{rest}"
    )


def _codes(x: Floats) -> Integers:
    """[n] int64, equal for equal rows of [n, ...]."""
    flat = np.ascontiguousarray(x.reshape(len(x), -1)) + 0.0  # -0 is 0
    rows = flat.view(np.dtype((np.void, flat.dtype.itemsize * flat.shape[1]))).reshape(-1)
    return np.unique(rows, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _identities(x: Floats, code: Integers) -> tuple[Integers, list[str]]:
    """[n] int64, equal for rows of [n, d] that are the same thing; and what was not taken so."""
    n = len(x)
    sizes = np.bincount(code)
    if sizes.max(initial=0) <= 1:
        return code, []
    alone = np.arange(n) + len(sizes)
    if _by_chance(x, sizes):
        return alone, [_few_values(sizes)]
    first = np.unique(code, return_index=True)[1]
    flat = (x[first] == x[first][:, :1]).all(axis=1) & (x.shape[1] > 1)
    filler = (sizes > 1) & (flat | (sizes > max(FILLER_ROWS, FILLER_SHARE * n)))
    if not filler.any():
        return code, []
    told = [
        f"{counted(int(sizes[filler].sum()), 'row')} with "
        f"{counted(int(filler.sum()), 'content')} that stand for nothing (one number "
        "throughout) or that many rows have: taken as filler, not as belonging together"
    ]
    left = sizes[~filler]
    if _by_chance(x, left):
        return alone, [*told, _few_values(left)]
    return np.where(filler[code], alone, code), told


def _few_values(sizes: Integers) -> str:
    return (
        f"{counted(int(sizes[sizes > 1].sum()), 'row')} equal another, about as many as so few "
        "values make by chance: not taken as belonging together"
    )


def _by_chance(x: Floats, sizes: Integers) -> bool:
    """Whether columns that are shuffled apart would make a share of the equal pairs of rows.

    Args:
        x: [n, d].
        sizes: how many rows there are of each content.
    """
    rate = float((sizes * (sizes - 1)).sum()) / (len(x) * (len(x) - 1))
    if not rate:
        return False
    if len(x) > _MOST_COMPARED:
        x = x[stream("arrays", 0, "equal rows").permutation(len(x))[:_MOST_COMPARED]]
    expected, n = 1.0, len(x)
    for column in x.T:
        sizes = np.unique(column, return_counts=True)[1]
        expected *= float((sizes * (sizes - 1)).sum()) / (n * (n - 1))
        if expected < BY_CHANCE * rate:
            return False
    return True


def _joined(n: int, ties: Sequence[Integers]) -> Integers:
    """[n] int64 from 0: rows that any of the ties, or a chain of them, has in common."""
    if not ties:
        return np.arange(n)
    # Late, as SciPy takes a while to import.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    firsts = []
    for code in ties:
        _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
        firsts.append(first[inverse.reshape(-1)])
    ends = np.concatenate(firsts)
    starts = np.tile(np.arange(n), len(ties))
    graph = coo_array((np.ones(len(ends), np.int8), (starts, ends)), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def unsplittable(y: Integers, names: Sequence[object], groups: Integers) -> list[str]:
    """Why rows that stay together leave no splits of about 70 / 15 / 15 percent; none if they do.

    Args:
        y: [n] int64 labels.
        names: of the classes.
        groups: [n] int64.
    """
    n, sizes = len(y), np.bincount(groups)
    faults = []
    if sizes.max() > HELD_OUT * n:
        faults.append(
            f"the largest group of rows that belong together has {sizes.max()} of {n} rows, "
            f"expected at most {int(HELD_OUT * n)}, as many as a test split, or an array split"
        )
    if len(sizes) < LEAST_GROUPS:
        faults.append(
            f"{counted(len(sizes), 'group')} of rows that belong together, expected at least "
            f"{LEAST_GROUPS} (validation, five tests that share none, and training), or an array "
            "split"
        )
    within = np.unique(np.stack([y, groups], axis=1), axis=0)[:, 0]
    for label, count in enumerate(np.bincount(within, minlength=len(names))):
        if count < LEAST_GROUPS_PER_CLASS:
            faults.append(
                f"class {names[label]!s} is in {counted(int(count), 'group')} of rows that belong "
                f"together, expected at least {LEAST_GROUPS_PER_CLASS}, or an array split"
            )
    return faults


def parted(groups: Integers, splits: Splits) -> list[str]:
    """A sentence on the groups that given splits part; none where they keep all together."""
    told = []
    trained = np.isin(groups, groups[splits.train])
    for name, rows in (("test", splits.test), ("validation", splits.validation)):
        count = int(trained[rows].sum())
        if count:
            told.append(
                f"the array split parts rows that belong together: {count} of "
                f"{counted(len(rows), 'row')} of the {name} split have a partner in train"
            )
    return told
