"""What a study's own units say of a t, where they are lopsided; and which units stand out.

Student's t takes units for draws from a bell curve. Where most gain a little and few lose much, or
the other way round, it errs far too often, and the more so the fewer units a cell has: of five
draws none may be one of the few. One cell cannot tell; all cells of a study together can. Their
residuals from the cells' medians are pooled, in units of each cell's robust spread, and moved to a
mean of 0: t statistics of units taken from that pool at random are what chance makes of such draws.

Differences are [cells, n] as in `raysweep_analysis.inference.paired`, NaN as missing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from raysweep_analysis.inference.paired import independent_units, moments

Floats = NDArray[np.float64]

_FEWEST = 30
"""Units in a pool: fewer tell little of a shape."""
_LOPSIDED = 1.0
_SAMPLES = 20_000
_TAIL = 2e-3
"""Beyond this share of the samples their tail is taken to fall as Student's does."""
_PRIOR_DF = 4
_TO_SD = 1.4826
_STANDS_OUT = 0.01


@dataclass(frozen=True)
class OwnUnits:
    """T statistics of units drawn from a pool.

    Attributes:
        pool: [units] residuals, in ascending order, of mean 0.
    """

    pool: Floats
    _kept: dict[int, Floats] = field(default_factory=dict, repr=False)

    def above(self, t: ArrayLike, n: ArrayLike) -> Floats:
        """The probability of a t as high or higher, [...], of n units [...]."""
        return self._each(t, n, lambda value, drawn, df: _upper(value, drawn, df))

    def below(self, t: ArrayLike, n: ArrayLike) -> Floats:
        """The probability of a t as low or lower."""
        return self._each(t, n, lambda value, drawn, df: _upper(-value, -drawn[::-1], df))

    def two_sided(self, t: ArrayLike, n: ArrayLike) -> Floats:
        """Twice the probability of a t as far on its own side."""
        one = np.where(np.asarray(t) > 0, self.above(t, n), self.below(t, n))
        return np.minimum(2 * one, 1.0)

    def _each(
        self, t: ArrayLike, n: ArrayLike, tail: Callable[[Floats, Floats, int], Floats]
    ) -> Floats:
        values, counts = np.broadcast_arrays(np.asarray(t, float), np.asarray(n))
        found = np.full(values.shape, np.nan)
        for size in np.unique(counts[(counts >= 2) & ~np.isnan(values)]).tolist():
            here = (counts == size) & ~np.isnan(values)
            found[here] = tail(values[here], self._drawn(size), size - 1)
        return found

    def _drawn(self, n: int) -> Floats:
        """T statistics of n units each, in ascending order."""
        if n not in self._kept:
            self._kept[n] = np.sort(_t_of(self.pool[_places(len(self.pool), n)]))
        return self._kept[n]


def own_units(differences: ArrayLike) -> OwnUnits | None:
    """The pool of a family of cells; None where it is too small, or not lopsided.

    Lopsided are residuals from medians whose mean is a standard error or more from 0, which of
    bell curves is the case in about one study of six.
    """
    d = np.asarray(differences, dtype=float)
    d = d[(~np.isnan(d)).sum(axis=1) >= 2]
    if not len(d):
        return None
    residuals = (d - _medians(d)) / np.where(scale := robust_scales(d), scale, np.nan)[:, None]
    pool = np.sort(residuals[np.isfinite(residuals)])
    length = float(np.sqrt((pool**2).sum()))
    if len(pool) < _FEWEST or not abs(pool.sum()) > _LOPSIDED * length:
        return None
    return OwnUnits(pool - pool.mean())


def t_statistic(differences: ArrayLike, at: ArrayLike = 0.0, shared: ArrayLike = 0.0) -> Floats:
    """T of the mean less ``at``; infinite where there is no spread, NaN below two units."""
    n, mean, sd = moments(np.asarray(differences, dtype=float))
    se = sd / np.sqrt(independent_units(n, shared))
    return _ratio(mean - np.asarray(at, dtype=float), se)


def robust_scales(differences: ArrayLike) -> Floats:
    """The spread of each cell [cells], by the median absolute deviation, in units of a sd.

    Shrunk towards the family's, as few units make a poor guess. 0 where no cell has a spread.
    """
    d = np.asarray(differences, dtype=float)
    df = np.maximum((~np.isnan(d)).sum(axis=1) - 1, 0)
    own = np.nan_to_num(_TO_SD * _medians(np.abs(d - _medians(d)))[:, 0])
    spread = own[own > 0]
    if not len(spread):
        spread = np.nan_to_num(moments(d)[2])
        spread = spread[spread > 0]
    overall = float(np.median(spread)) if len(spread) else 0.0
    return np.asarray(np.sqrt((_PRIOR_DF * overall**2 + df * own**2) / (_PRIOR_DF + df)))


def outlying(differences: ArrayLike) -> NDArray[np.bool_]:
    """Units that lie so far from their cell's median as one does in 1 % of normal cells.

    [cells, n]; below four units none is, nor where no cell has a spread.
    """
    d = np.asarray(differences, dtype=float)
    limits = np.array([_limit(count) for count in (~np.isnan(d)).sum(axis=1).tolist()])
    scale = robust_scales(d)
    # A distance that is only rounding is none.
    rounding = 1e-9 * np.abs(np.nan_to_num(d)).max(axis=1, initial=0.0)
    away = np.abs(d - _medians(d))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((away / scale[:, None] > limits[:, None]) & (away > rounding[:, None]))


@lru_cache(maxsize=512)
def _limit(n: int) -> float:
    if n < 4:
        return float("inf")
    normal = np.random.default_rng(n).standard_normal((_SAMPLES, n))
    away = np.abs(normal - np.median(normal, axis=1, keepdims=True))
    farthest = away.max(axis=1) / (_TO_SD * np.median(away, axis=1))
    return float(np.quantile(farthest, 1 - _STANDS_OUT))


@lru_cache(maxsize=16)
def _shares(n: int) -> NDArray[np.float32]:
    return np.random.default_rng(n).random((_SAMPLES, n), dtype=np.float32)


def _places(pool: int, n: int) -> NDArray[np.int64]:
    return np.minimum((_shares(n) * pool).astype(np.int64), pool - 1)


def _t_of(samples: Floats) -> Floats:
    mean, sd = samples.mean(axis=1), samples.std(axis=1, ddof=1)
    flat = sd <= 1e-9 * np.abs(samples).max(axis=1)
    return _ratio(mean, np.where(flat, 0.0, sd) / np.sqrt(samples.shape[1]))


def _upper(t: Floats, drawn: Floats, df: int) -> Floats:
    """The share of drawn [m], ascending, that is t or more."""
    m = len(drawn)
    # Equal t from other units differ by rounding; infinite ones do not.
    least = t - 1e-9 * np.where(np.isinf(t), 0.0, np.abs(t))
    share = (m - np.searchsorted(drawn, least) + 1) / (m + 1)
    start = float(drawn[int((1 - _TAIL) * m)])
    if not 0 < start < np.inf:
        return np.asarray(share)
    beyond = _TAIL * stats.t.sf(t, df) / stats.t.sf(start, df)
    return np.where(t > start, beyond, share)


def _ratio(mean: Floats, se: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((se == 0) & (mean == 0), 0.0, mean / se)


def _medians(d: Floats) -> Floats:
    """[cells, 1]; NaN where a cell has no unit."""
    ordered = np.sort(d, axis=1)  # NaN last
    n = (~np.isnan(d)).sum(axis=1, keepdims=True)
    middle = [np.maximum(at, 0) for at in ((n - 1) // 2, n // 2)]
    low, high = (np.take_along_axis(ordered, np.minimum(at, d.shape[1] - 1), 1) for at in middle)
    return np.asarray(np.where(n > 0, (low + high) / 2, np.nan))
