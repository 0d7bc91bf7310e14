"""Parts of rows that keep groups whole, with about the same class proportions and wanted sizes."""

from collections.abc import Sequence

import numpy as np

from raysweep.data.stratify import class_counts
from raysweep.data.views import Floats, Integers


def grouped_parts(
    y: Integers, groups: Integers, sizes: Sequence[int], source: np.random.Generator
) -> list[Integers]:
    """Disjoint parts of all rows, about so large, none of which shares a group with another.

    Groups are dealt out from the largest to the smallest, each to the part that it leaves nearest
    to its wanted counts of every class; rows that stand alone then fill the parts up.

    Args:
        y: [n] int64 labels 0..c-1.
        groups: [n] int64, equal for rows that belong together.
        sizes: wanted rows of each part; they sum to n.
        source: where the randomness comes from.
    """
    _, group, rows_of = np.unique(groups, return_inverse=True, return_counts=True)
    group = group.reshape(-1)
    classes = int(y.max()) + 1
    content = np.zeros((len(rows_of), classes))
    np.add.at(content, (group, y), 1.0)
    wanted = np.outer(sizes, np.bincount(y, minlength=classes) / len(y))
    order = source.permutation(len(rows_of))
    order = order[np.argsort(-rows_of[order], kind="stable")]
    part_of = np.full(len(rows_of), -1)
    filled = np.zeros_like(wanted)
    scale = np.maximum(wanted, 1.0)
    for one in order[rows_of[order] > 1]:
        added = content[one]
        # By how much the squared distance from what is wanted grows, class by class.
        growth = ((2 * (filled - wanted) * added + added**2) / scale).sum(axis=1)
        part = int(growth.argmin())
        part_of[one] = part
        filled[part] += added
    alone = order[rows_of[order] == 1]
    label = content[alone].argmax(axis=1)
    left = [alone[label == c] for c in range(classes)]
    for part, size in enumerate(sizes):
        available = np.array([len(one) for one in left])
        last = part == len(sizes) - 1
        room = int(available.sum() if last else max(size - filled[part].sum(), 0))
        counts = _fill(room, np.maximum(wanted[part] - filled[part], 0), available)
        for c, count in enumerate(counts):
            part_of[left[c][:count]] = part
            left[c] = left[c][count:]
    return [source.permutation(np.flatnonzero(part_of[group] == p)) for p in range(len(sizes))]


def _fill(room: int, lacking: Floats, available: Integers) -> Integers:
    """How many rows of each class [c] go where there is room, by what is lacking first."""
    room = min(room, int(available.sum()))
    if room <= 0:
        return np.zeros(len(available), dtype=np.int64)
    counts = np.zeros(len(available), dtype=np.int64)
    if lacking.sum() > 0:
        counts = np.minimum(class_counts(lacking, min(room, int(lacking.sum()))), available)
    rest = available - counts
    if room > counts.sum():
        counts = counts + class_counts(rest.astype(np.float64), room - int(counts.sum()))
    return counts
