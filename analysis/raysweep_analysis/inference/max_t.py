"""One family of correlated tests on the same units: Westfall and Young's max-t by sign-flips."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raysweep_analysis.inference.paired import sign_patterns

Floats = NDArray[np.float64]
_EXACT_N = 14
_FLIPS = 9_999


@dataclass(frozen=True)
class MaxT:
    """Adjusted p-values of a family.

    Attributes:
        t: [k] paired t statistics; NaN with fewer than two units.
        p_adjusted: [k] share of sign patterns whose largest |t| reaches this one's.
        p_any: the smallest of them: whether anything at all differs from zero.
    """

    t: Floats
    p_adjusted: Floats
    p_any: float


def max_t(differences: ArrayLike, rng: np.random.Generator | None = None) -> MaxT:
    """Test k paired differences of the same units together.

    The signs of a unit flip together over all k, which keeps their correlation. Exact up to 14
    units; 9,999 random patterns beyond, with one added above and below the line.

    Args:
        differences: [n units, k], NaN where missing.
        rng: for the random patterns; a fixed seed by default.
    """
    d = np.asarray(differences, dtype=float)
    units = d[~np.isnan(d).all(axis=1)]
    count = (~np.isnan(units)).sum(axis=0)
    tested = count >= 2
    if len(units) < 2 or not tested.any():
        return MaxT(np.full(d.shape[1], np.nan), np.full(d.shape[1], np.nan), float("nan"))
    filled = np.where(np.isnan(units), 0.0, units)[:, tested]
    if len(units) <= _EXACT_N:
        signs, added = sign_patterns(len(units)), 0
    else:
        rng = rng or np.random.default_rng(0)
        signs, added = rng.choice([-1.0, 1.0], size=(_FLIPS, len(units))), 1
    statistic = _t(np.ones((1, len(units))), filled, count[tested])[0]
    largest = np.abs(_t(signs, filled, count[tested])).max(axis=1)
    # a tolerance: the same statistic in another order of adding differs by rounding
    reached = largest[:, None] >= np.abs(statistic) * (1 - 1e-9)
    p = (reached.sum(axis=0) + added) / (len(signs) + added)
    t, p_adjusted = np.full(d.shape[1], np.nan), np.full(d.shape[1], np.nan)
    t[tested], p_adjusted[tested] = statistic, p
    return MaxT(t, p_adjusted, float(p.min()))


def _t(signs: Floats, filled: Floats, count: NDArray[np.int64]) -> Floats:
    """Student's t under sign patterns, [patterns, k]; the sum of squares never changes."""
    total = signs @ filled
    squares = (filled**2).sum(axis=0)
    between = total**2 / count
    within = np.maximum(squares - between, 1e-12 * squares) / (count - 1)
    with np.errstate(invalid="ignore"):
        return np.where(squares > 0, total / np.sqrt(count * within), 0.0)
