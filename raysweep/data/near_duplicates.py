"""Rows that are nearly the same as another: counted and told, never decided about."""

from collections.abc import Sequence

import numpy as np
from sklearn.neighbors import NearestNeighbors

from raysweep.data.streams import stream
from raysweep.data.views import Floats, Integers, Views
from raysweep.text import counted

NEIGHBOURS = 20
CLOSE = 0.03
LEAST_FEATURES = 4
MOST_ROWS = 1_000
"""Rows whose neighbours are looked for where there are many more."""


def near_duplicates(views: Views, names: Sequence[str] = ()) -> list[str]:
    """A sentence for each modality in which rows lie very close to one that they are not tied to.

    A row is close to another where that is nearer than ``CLOSE`` of the distance to its 20th
    neighbour, which a row of its own hardly is in ``LEAST_FEATURES`` dimensions or more: in 1 of
    1,000 rows of a smooth density. With fewer features nothing is looked for. Of more than 5,000
    rows 1,000 random ones are looked at, which bounds the time.

    Args:
        views: of the user's own data.
        names: of the modalities; x1, x2, ... by default.
    """
    told = []
    for place, x in enumerate(views.inputs):
        there = views.having(np.arange(len(views.y)), place + 1)
        n = len(there)
        groups = there if views.groups is None else views.groups[there]
        rows = np.arange(n)
        if n > 5 * MOST_ROWS:
            rows = np.sort(stream("arrays", 0, "near").permutation(n)[:MOST_ROWS])
        flat = x[there].reshape(n, -1)
        flat = flat[:, flat.any(axis=0)]
        if flat.shape[1] < LEAST_FEATURES or n <= NEIGHBOURS + 1:
            continue
        count = int(_close(flat, rows, groups).sum())
        if count:
            name = names[place] if place < len(names) else f"x{place + 1}"
            among = counted(n, "row") if len(rows) == n else f"{len(rows)} rows looked at"
            told.append(
                f"{name}: {count} of {among} lie very close to another row that they are not tied "
                "to; if they are the same thing, say so in an array groups"
            )
    return told


def _close(x: Floats, rows: Integers, groups: Integers) -> np.ndarray:
    """[rows] whether the nearest row of another group, and another place, is very close."""
    looked = NearestNeighbors(n_neighbors=NEIGHBOURS + 1, algorithm="brute").fit(x)
    distances, found = looked.kneighbors(x[rows])
    other = (groups[found] != groups[rows][:, None]) & (distances > 1e-7 * distances[:, -1:])
    nearest = np.where(other, distances, np.inf).min(axis=1)
    return np.asarray(nearest < CLOSE * distances[:, -1])
