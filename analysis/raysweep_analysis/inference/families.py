"""Correlations over models that share families: permuted and drawn again within these.

Where a family has in common what is correlated, its models are no independent points: permuting
over all of them finds a correlation far too often. Within a family nothing is shared by descent.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from raysweep_analysis.inference.trends import correlation

Floats = NDArray[np.float64]
_EXACT = 6
"""Values of an axis of which all orders are gone through."""


def drawn_within(
    families: Sequence[str], draws: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Models drawn with replacement within their families, indices [draws, models]."""
    found = np.empty((draws, len(families)), np.int64)
    for of in _members(families):
        found[:, of] = of[rng.integers(len(of), size=(draws, len(of)))]
    return found


def _members(families: Sequence[str]) -> list[NDArray[np.int64]]:
    """The models of each family; of all together where none has two."""
    names = np.array(families, dtype=object)
    found = [np.flatnonzero(names == name) for name in dict.fromkeys(families)]
    return found if any(len(of) > 1 for of in found) else [np.arange(len(names))]


def counts_of(drawn: NDArray[np.int64], size: int) -> Floats:
    """How often each was drawn, [draws, size]."""
    found = np.zeros((len(drawn), size))
    np.add.at(found, (np.arange(len(drawn))[:, None], drawn), 1.0)
    return found


def correlation_within(
    score: Floats,
    performance: Floats,
    families: Sequence[str],
    permutations: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """The correlation of ranks within families, and its two-sided p-value."""
    names = np.array(families, dtype=object)
    groups = [np.flatnonzero(names == name) for name in dict.fromkeys(families)]
    left, right = stats.rankdata(score), stats.rankdata(performance)
    for of in groups:
        left[of] -= left[of].mean()
        right[of] -= right[of].mean()
    size = math.sqrt(float(left @ left) * float(right @ right))
    if size == 0:
        return math.nan, math.nan
    shuffled = np.empty((permutations, len(right)))
    for of in groups:
        order = rng.permuted(np.tile(of, (permutations, 1)), axis=1)
        shuffled[:, of] = right[order]
    seen = float(left @ right) / size
    as_far = np.abs(shuffled @ left) / size >= abs(seen) - 1e-12
    return seen, (1 + int(as_far.sum())) / (1 + permutations)


def rank_correlation(values: Floats, other: Floats) -> Floats:
    """Spearman's correlation of rows, NaN where one is constant."""
    return correlation(*(stats.rankdata(np.atleast_2d(v), axis=1) for v in (values, other)))


def percentiles(found: Floats, alpha: float) -> tuple[float, float]:
    """Percentiles; NaN where hardly anything is known."""
    known = found[np.isfinite(found)]
    if len(known) < len(found) / 2 or not len(known):
        return math.nan, math.nan
    low, high = np.quantile(known, [alpha / 2, 1 - alpha / 2])
    return float(low), float(high)


def p_of_orders(
    means: Floats, levels: Floats, permutations: int, rng: np.random.Generator
) -> float:
    """Two-sided p of a rank correlation: over all orders of few levels, else over some."""
    seen = abs(float(rank_correlation(means[None], levels)[0]))
    if math.isnan(seen):
        return math.nan
    exact = len(levels) <= _EXACT
    if exact:
        orders = np.array(list(itertools.permutations(range(len(levels)))))
    else:
        orders = rng.permuted(np.tile(np.arange(len(levels)), (permutations, 1)), axis=1)
    found = np.abs(rank_correlation(means[orders], np.tile(levels, (len(orders), 1))))
    as_far = int((found >= seen - 1e-12).sum())
    return as_far / len(orders) if exact else (1 + as_far) / (1 + len(orders))
