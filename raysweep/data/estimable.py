"""The rows of a dataset that its information is estimated from."""

from dataclasses import dataclass

import numpy as np

from raysweep.data.streams import stream
from raysweep.data.views import Floats, Integers, Views
from raysweep.errors import InputError

MOST_ROWS = 4000
FOLDS = 3


@dataclass(frozen=True, eq=False)
class Estimable:
    """Rows of two modalities with their labels: all that an estimate depends on.

    Attributes:
        x1, x2: [n, d1] and [n, d2] float64.
        y: [n] int64 labels, every number from 0 to the largest occurs.
        groups: [n] int64, equal for rows that no fold parts; None where every row stands alone.
    """

    x1: Floats
    x2: Floats
    y: Integers
    groups: Integers | None = None

    @property
    def units(self) -> int:
        """How many rows, or groups of rows, tell something of their own."""
        return len(self.y) if self.groups is None else len(np.unique(self.groups))


def estimable(views: Views) -> Estimable:
    """At most MOST_ROWS random rows of the splits, of classes that every fold can hold.

    Of a sequence its mean token and their number, which is less than it tells. Rows that lack a
    modality are left out.

    Raises:
        InputError: fewer than two classes with at least three rows, or groups of rows, or more than
            two modalities.
    """
    if len(views.inputs) > 2:
        raise InputError(
            f"estimated information: the data have {len(views.inputs)} modalities; the estimate is "
            "of two"
        )
    splits = views.splits
    rows = np.concatenate([splits.train, splits.validation, splits.test])
    rows = views.having(stream("estimate", 0, "rows").permutation(rows))[:MOST_ROWS]
    counts = np.bincount(views.y[rows], minlength=views.classes)
    what = "rows"
    if views.groups is not None:
        # Of each class as many as the groups that it occurs in.
        pairs = np.unique(np.stack([views.y[rows], views.groups[rows]], axis=1), axis=0)
        counts, what = np.bincount(pairs[:, 0], minlength=views.classes), "groups of rows"
    usable = rows[counts[views.y[rows]] >= FOLDS]
    if len(np.unique(views.y[usable])) < 2:
        raise InputError(
            f"estimated information: fewer than two classes have {FOLDS} {what} or more "
            f"({what} per class: {', '.join(map(str, counts[:20]))})"
        )
    _, y = np.unique(views.y[usable], return_inverse=True)
    groups = None if views.groups is None else views.groups[usable]
    x1, x2 = views.summaries
    return Estimable(x1[usable], x2[usable], y.reshape(-1).astype(np.int64), groups)
