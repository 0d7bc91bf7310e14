"""How the label's information splits between two modalities, with what a fifth less data changes.

The interval is the grouped jackknife's: the estimate is made again without each fifth of the rows
(or groups), and spreads as these do (Shao and Wu 1989, delete-d jackknife with disjoint blocks).

How much an estimate misses depends on the features and how many rows there are. So a label is
planted whose information is known: the exclusive or of one bit of either modality, which is hardest
to find. What is found of it says what would be found of the own label's.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from raysweep.data.decomposition import decompose, mutual_information
from raysweep.data.estimable import Estimable, estimable
from raysweep.data.estimate import estimate_from
from raysweep.data.streams import stream
from raysweep.data.views import Floats, Integers, Views

PARTS = ("pid_R", "pid_U1", "pid_U2", "pid_S")
FIFTHS = 5


@dataclass(frozen=True)
class Part:
    """A part of the information in nats, with its 95 % interval, never below 0."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Planted:
    """What is in both modalities together alone of a planted label, in nats.

    Attributes:
        exact: as it is.
        found: as it is estimated.
    """

    exact: float
    found: float


@dataclass(frozen=True)
class Estimated:
    """What was estimated of the label's information.

    Attributes:
        parts: ``pid_R``, ``pid_U1``, ``pid_U2`` and ``pid_S``.
        planted: what the same estimate finds of a planted label; None where it takes too long.
    """

    parts: dict[str, Part]
    planted: Planted | None


def decomposition(views: Views, most_seconds: float = np.inf) -> Estimated:
    """Redundant, unique and synergistic information of the label, estimated.

    Args:
        views: of two modalities.
        most_seconds: what the intervals and the planted label may cost, judged by the estimate of
            the whole; where intervals would cost more they are NaN.

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
        check = planted_synergy(rows) if (FIFTHS + 1) * one < most_seconds else None
    parts = {}
    for name in PARTS:
        value = float(getattr(whole, name))
        without = np.array([getattr(part, name) for part in found])
        half = np.nan
        if len(without):
            spread = np.sqrt((FIFTHS - 1) / FIFTHS * np.sum((without - without.mean()) ** 2))
            half = float(stats.t.ppf(0.975, FIFTHS - 1) * spread)
        parts[name] = Part(value, float(np.maximum(0.0, value - half)), value + half)
    return Estimated(parts, check)


def planted_synergy(rows: Estimable) -> Planted | None:
    """What is estimated of the exclusive or of one bit of either modality.

    A bit is whether a row lies above the median of its modality's first principal component.

    Returns:
        None where a modality has no such bit, or both have the same.
    """
    bits = _bit(rows.x1), _bit(rows.x2)
    label = bits[0] ^ bits[1]
    if min(len(np.unique(of)) for of in (*bits, label)) < 2:
        return None
    joint = np.zeros((2, 2, 2))
    np.add.at(joint, (*bits, label), 1 / len(label))
    exact = decompose(joint.sum(axis=1), joint.sum(axis=0), mutual_information(joint.reshape(4, 2)))
    return Planted(exact.synergy, estimate_from(replace(rows, y=label)).pid_S)


def _bit(x: Floats) -> Integers:
    varying = x[:, np.ptp(x, axis=0) > 0]
    if varying.shape[1] == 0:
        return np.zeros(len(x), dtype=np.int64)
    scaled = StandardScaler().fit_transform(varying)
    along = PCA(1, random_state=0).fit_transform(scaled)[:, 0]
    return np.asarray(along > np.median(along), dtype=np.int64)


def _without_fifths(rows: Estimable) -> Iterator[Estimable]:
    groups = np.arange(len(rows.y)) if rows.groups is None else rows.groups
    order = stream("advice", 0, "fifths").permutation(np.unique(groups))
    for left_out in np.array_split(order, FIFTHS):
        kept = ~np.isin(groups, left_out)
        _, y = np.unique(rows.y[kept], return_inverse=True)
        yield replace(
            rows,
            x1=rows.x1[kept],
            x2=rows.x2[kept],
            y=y.astype(np.int64),
            groups=None if rows.groups is None else groups[kept],
        )
