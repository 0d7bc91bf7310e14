"""Families of correlated tests on the same units: Westfall and Young's max-t by sign-flips."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raysweep_analysis.inference.paired import sign_patterns

Floats = NDArray[np.float64]
_EXACT_N = 14
_FLIPS = 9_999
_MOST_SUMS = 4_000_000
"""Signed sums that are held at a time."""


@dataclass(frozen=True)
class MaxT:
    """Adjusted p-values of families, one after another along the leading axes.

    Attributes:
        t: [..., k] paired t statistics; NaN with fewer than two units.
        p_adjusted: [..., k] share of sign patterns whose largest |t| reaches this one's.
        p_any: [...] the smallest of them: whether anything at all differs from zero.
    """

    t: Floats
    p_adjusted: Floats
    p_any: Floats


def max_t(differences: ArrayLike, rng: np.random.Generator | None = None) -> MaxT:
    """Test k paired differences of the same units together, in every family.

    The signs of a unit flip together over all k, which keeps their correlation. Exact up to 14
    units; 9,999 random patterns beyond, with one added above and below the line.

    Args:
        differences: [..., n units, k], NaN where missing; the same places in all families.
        rng: for the random patterns; a fixed seed by default.

    Raises:
        ValueError: families whose missing places differ.
    """
    d = np.asarray(differences, dtype=float)
    shape, k = d.shape[:-2], d.shape[-1]
    families = d.reshape(-1, *d.shape[-2:])
    missing = np.isnan(families)
    if len(families) and (missing != missing[0]).any():
        raise ValueError("families in which other places are missing cannot be tested in one go")
    t, p = np.full((len(families), k), np.nan), np.full((len(families), k), np.nan)
    there = ~missing[0] if len(families) else np.zeros(d.shape[-2:], dtype=bool)
    units, count = there.any(axis=1), there.sum(axis=0)
    tested = count >= 2
    if units.sum() >= 2 and tested.any():
        filled = np.where(missing, 0.0, families)[:, units][:, :, tested]
        signs, added = _patterns(int(units.sum()), rng)
        step = max(1, _MOST_SUMS // (len(signs) * int(tested.sum())))
        for i in range(0, len(filled), step):
            part = filled[i : i + step]
            statistic = _t(np.ones((1, part.shape[1])), part, count[tested])[:, 0]
            largest = np.abs(_t(signs, part, count[tested])).max(axis=2)
            # a tolerance: the same statistic in another order of adding differs by rounding
            limit = np.abs(statistic) * (1 - 1e-9)
            reached = np.stack([(largest >= bound[:, None]).sum(axis=1) for bound in limit.T], 1)
            t[i : i + step, tested] = statistic
            p[i : i + step, tested] = (reached + added) / (len(signs) + added)
    with np.errstate(invalid="ignore"):
        smallest = np.fmin.reduce(p, axis=1) if k else np.full(len(p), np.nan)
    return MaxT(t.reshape(*shape, k), p.reshape(*shape, k), smallest.reshape(shape))


def _patterns(n: int, rng: np.random.Generator | None) -> tuple[Floats, int]:
    """Sign patterns [patterns, n], and how many are added above and below the line."""
    if n <= _EXACT_N:
        return sign_patterns(n), 0
    if rng is None:
        return _fixed_patterns(n), 1
    return rng.choice([-1.0, 1.0], size=(_FLIPS, n)), 1


@lru_cache(maxsize=4)
def _fixed_patterns(n: int) -> Floats:
    return np.random.default_rng(0).choice([-1.0, 1.0], size=(_FLIPS, n))


def _t(signs: Floats, filled: Floats, count: NDArray[np.int64]) -> Floats:
    """Student's t under sign patterns, [families, patterns, k]; the squares' sum never changes."""
    total = signs @ filled
    squares = (filled**2).sum(axis=1, keepdims=True)
    between = total**2 / count
    within = np.maximum(squares - between, 1e-12 * squares) / (count - 1)
    with np.errstate(invalid="ignore"):
        return np.where(squares > 0, total / np.sqrt(count * within), 0.0)
