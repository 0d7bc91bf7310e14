"""What predictions of rows, by models that did not see them, tell of the label: nats, intervals.

The predictions are clustered into a few cells, and the cells are counted against the labels. The
information is what these tables say (with the Miller-Madow correction of its bias) or what the
predictions lower the cross-entropy by, whichever is more; `raysweep.data.decomposition.decompose`
of the tables says which share of the lesser of I1 and I2 is redundant.

Intervals are those of the grouped jackknife (Shao and Wu 1989, disjoint blocks): all of it is
counted again without each twentieth of the rows, or groups, and without each fold, whose models are
others. Nothing is fitted again: what other rows to fit on would change beyond that is allowed for
by a factor (`REFITTED`). They hold what the same estimate finds of other rows, and know nothing of
what it misses: see `raysweep.data.missed`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from sklearn.cluster import KMeans

from raysweep.data.decomposition import decompose, mutual_information
from raysweep.data.estimable import Estimable
from raysweep.data.streams import stream
from raysweep.data.views import Floats, Information, Integers, Interval

BLOCKS = 20
REFITTED = 1.5
"""Standard errors of predictions as they are times this are those of the whole estimate; found by
simulation, ``tests/benchmarks/bench_intervals.py``."""
_ROUGHLY: dict[str, Any] = {"tolerance": 3e-4, "iterations": 512}
"""How a redundancy is found whose spread alone is looked at."""
PARTS = ("I1", "I2", "I12", "pid_R", "pid_U1", "pid_U2", "pid_S")
"""The numbers that have intervals."""


def cross_entropy(predicted: Floats, y: Integers) -> float:
    """Mean -log p(y) in nats; no prediction counts as less likely than one in a thousand."""
    return float(-np.mean(np.log(np.clip(predicted[np.arange(len(y)), y], 1e-3, 1.0))))


def _cells(predicted: Floats, units: int) -> Integers:
    """Which of a few cells each of the [n, c] predictions lies in: [n] int64."""
    classes = predicted.shape[1]
    # Ten rows, or groups, or more for each entry, and no more cells than predictions.
    cells = int(np.clip(units // (10 * classes), 2, 4 * classes))
    cells = min(cells, len(np.unique(np.round(predicted, 6), axis=0)))
    logarithms = np.log(predicted + 0.02)
    found = KMeans(cells, n_init=3, random_state=0).fit_predict(logarithms)
    return np.asarray(found, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class _Seen:
    """What is known of rows by what was predicted of them.

    Attributes:
        predicted: [n, c] float64.
        cell: [n] int64.
        y: [n] int64.
        units: how many of the rows tell something of their own.
    """

    predicted: Floats
    cell: Integers
    y: Integers
    units: int

    @property
    def table(self) -> Floats:
        """Shares of the rows by cell and label: [cells, c], sum 1."""
        found = np.zeros((int(self.cell.max()) + 1, self.predicted.shape[1]))
        np.add.at(found, (self.cell, self.y), 1.0 / len(self.y))
        return found

    @property
    def bias(self) -> float:
        """What `mutual_information` of the table exceeds the truth by (Miller, Madow)."""
        table = self.table
        occurring = np.count_nonzero(table.sum(axis=1)), np.count_nonzero(table.sum(axis=0))
        return (occurring[0] - 1) * (occurring[1] - 1) / (2 * self.units)

    @property
    def counted(self) -> float:
        """Information in nats between the cells and the label; below 0 where there is none."""
        return mutual_information(self.table) - self.bias

    @property
    def gained(self) -> float:
        """What the predictions lower the cross-entropy by: a lower bound of the information."""
        shares = np.bincount(self.y) / len(self.y)
        shares = shares[shares > 0]
        return float(-np.sum(shares * np.log(shares))) - cross_entropy(self.predicted, self.y)

    def of(self, rows: Integers, units: int) -> "_Seen":
        """The same of some rows."""
        return _Seen(self.predicted[rows], self.cell[rows], self.y[rows], units)


def _shared(one: _Seen, other: _Seen, **how: Any) -> float:
    """What the tables say to be redundant, in nats; below 0 where nothing is."""
    found = decompose(one.table, other.table, np.inf, **how).redundancy
    return found - max(one.bias, other.bias)


def told(
    rows: Estimable, predictions: tuple[Floats, Floats, Floats], folds: Sequence[Integers]
) -> Information:
    """The information that predictions of rows tell.

    Args:
        rows: what was predicted.
        predictions: [n, c] float64 each, from modality 1, modality 2 and both.
        folds: the rows that models of the same other rows predicted.
    """
    y, n = rows.y, rows.units  # rows of a group repeat each other
    # Both modalities together cannot know less than the better of them.
    both = min(
        (predictions[2], *predictions[:2]), key=lambda predicted: cross_entropy(predicted, y)
    )
    predicted = (*predictions[:2], both)
    seen = tuple(_Seen(p, _cells(p, n), y, n) for p in predicted)
    counted = [max(0.0, one.counted) for one in seen]
    information = [max(c, one.gained) for c, one in zip(counted, seen, strict=True)]
    shared = max(_shared(*seen[:2]), 0.0)
    # The tables are coarse: what they say is which share of the lesser information is redundant.
    lesser = min(counted[:2])
    redundancy = min(shared / lesser, 1.0) * min(information[:2]) if lesser else 0.0
    parts = information[0] + information[1] - redundancy
    information_12 = max(parts, information[2])
    numbers: dict[str, Any] = {
        "I1": information[0],
        "I2": information[1],
        "I12": information_12,
        "pid_R": redundancy,
        "pid_U1": information[0] - redundancy,
        "pid_U2": information[1] - redundancy,
        "pid_S": information_12 - parts,
    }
    scale = min(information[:2]) / lesser if lesser else 1.0
    accuracy = [float(np.mean(p.argmax(axis=1) == y)) for p in predicted]
    return Information(
        **numbers,
        I_shared=float("nan"),
        I_X1X2=float("nan"),
        bayes_1=accuracy[0],
        bayes_2=accuracy[1],
        bayes_fused=accuracy[2],
        intervals=_intervals(numbers, _errors(rows, seen, scale, folds)),
    )


def _errors(
    rows: Estimable, seen: tuple[_Seen, ...], scale: float, folds: Sequence[Integers]
) -> Floats:
    """Standard errors of the numbers, in the order of PARTS: [7] float64, nats.

    Of numbers that no limit holds at 0: one that lies at its limit has a spread as well.
    """
    groups = np.arange(len(rows.y)) if rows.groups is None else rows.groups
    order = stream("estimate", 0, "blocks").permutation(np.unique(groups))
    blocks = [np.flatnonzero(np.isin(groups, b)) for b in np.array_split(order, BLOCKS) if len(b)]
    squares, freedom = np.zeros(len(PARTS)), 0
    for left_out in (blocks, folds):
        found = []
        for block in left_out:
            kept = np.delete(np.arange(len(groups)), block)
            one, other, both = (s.of(kept, len(np.unique(groups[kept]))) for s in seen)
            i1, i2, i12 = (max(s.counted, s.gained) for s in (one, other, both))
            r = scale * _shared(one, other, **_ROUGHLY)
            found.append((i1, i2, i12, r, i1 - r, i2 - r, i12 - i1 - i2 + r))
        # Of k blocks the variance is (k - 1) / k times this sum; it counts as its freedom, k - 1.
        k = len(found)
        squares += (k - 1) ** 2 / k * np.sum((found - np.mean(found, axis=0)) ** 2, axis=0)
        freedom += k - 1
    return np.asarray(np.sqrt(squares / freedom), dtype=np.float64)


def _intervals(numbers: dict[str, float], errors: Floats) -> dict[str, Interval]:
    half = REFITTED * float(stats.t.ppf(0.975, BLOCKS - 1)) * errors
    return {
        name: Interval(max(0.0, float(numbers[name]) - h), float(numbers[name]) + h)
        for name, h in zip(PARTS, half.tolist(), strict=True)
    }
