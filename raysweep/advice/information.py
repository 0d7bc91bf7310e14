"""How the label's information splits between two modalities, with what a fifth less data changes.

The interval is the grouped jackknife's: the estimate is made again without each fifth of the rows
(or groups), and spreads as these do (Shao and Wu 1989, delete-d jackknife with disjoint blocks).
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats
from threadpoolctl import threadpool_limits

from raysweep.data.estimable import Estimable, estimable
from raysweep.data.estimate import estimate_from
from raysweep.data.streams import stream
from raysweep.data.views import Views

PARTS = ("pid_R", "pid_U1", "pid_U2", "pid_S")
FIFTHS = 5


@dataclass(frozen=True)
class Part:
    """A part of the information in nats, with its 95 % interval, never below 0."""

    estimate: float
    low: float
    high: float


def decomposition(views: Views, most_seconds: float = np.inf) -> dict[str, Part]:
    """Redundant, unique and synergistic information of the label, estimated.

    Args:
        views: of two modalities.
        most_seconds: what the intervals may cost, judged by the estimate of the whole; where they
            would cost more they are NaN.

    Returns:
        ``pid_R``, ``pid_U1``, ``pid_U2`` and ``pid_S`` in nats.

    Raises:
        InputError: more than two modalities, or too few rows.
    """
    began = time.perf_counter()
    rows = estimable(views)
    # The same numbers on any machine: see `raysweep.data.kept_estimates`.
    with threadpool_limits(1):
        whole = estimate_from(rows)
        one = time.perf_counter() - began
        found = (
            [estimate_from(r) for r in _without_fifths(rows)] if FIFTHS * one < most_seconds else []
        )
    parts = {}
    for name in PARTS:
        value = float(getattr(whole, name))
        without = np.array([getattr(part, name) for part in found])
        half = np.nan
        if len(without):
            spread = np.sqrt((FIFTHS - 1) / FIFTHS * np.sum((without - without.mean()) ** 2))
            half = float(stats.t.ppf(0.975, FIFTHS - 1) * spread)
        parts[name] = Part(value, float(np.maximum(0.0, value - half)), value + half)
    return parts


def _without_fifths(rows: Estimable) -> Iterator[Estimable]:
    order = stream("advice", 0, "fifths").permutation(len(rows.y))
    for left_out in np.array_split(order, FIFTHS):
        kept = np.setdiff1d(np.arange(len(rows.y)), left_out)
        _, y = np.unique(rows.y[kept], return_inverse=True)
        yield replace(rows, x1=rows.x1[kept], x2=rows.x2[kept], y=y.astype(np.int64))
