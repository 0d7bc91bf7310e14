"""Shapes of curves over doses: isotonic and single-peaked fits, and a test for an inverted U.

Many curves of one length at once: leading axes are curves.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]
_MOST_MEANS = 4_000_000
"""Segment means that are held at a time."""


@dataclass(frozen=True)
class TwoLines:
    """Slopes on both sides of a peak that other units chose, one value per set of curves.

    Attributes:
        peak: [...] the dose at which the line breaks.
        slope_low, slope_high: [...] mean slopes below and above it, per unit of the axis.
        p_low: [...] one-sided p of a rising line below.
        p_high: [...] one-sided p of a falling line above.
        n: units that the slopes were tested on.
    """

    peak: Floats
    slope_low: Floats
    slope_high: Floats
    p_low: Floats
    p_high: Floats
    n: int

    @property
    def p_inverted_u(self) -> Floats:
        """P of an inverted U: both lines must pass, so the larger of the two; NaN if one cannot."""
        return np.maximum(self.p_low, self.p_high)


def isotonic(values: ArrayLike, weights: ArrayLike) -> Floats:
    """Closest rising curves to values [..., k] in weighted least squares, weights alike.

    By the max-min formula: at each dose the largest, over the segments' starts, of the smallest
    segment mean (Robertson, Wright and Dykstra 1988, theorem 1.4.4).
    """
    y = np.asarray(values, dtype=float)
    return _rising(_segment_means(y, np.broadcast_to(np.asarray(weights, float), y.shape)))


def single_peaked(values: ArrayLike, weights: ArrayLike) -> Floats:
    """Closest curves to values [..., k] that rise to one peak and fall from there.

    Monotone curves are among them, so this shows saturation, harm and an inverted U alike.
    """
    y = np.asarray(values, dtype=float)
    k = y.shape[-1]
    curves = y.reshape(-1, k)
    w = np.broadcast_to(np.asarray(weights, float), y.shape).reshape(-1, k)
    step = max(1, _MOST_MEANS // k**2)
    parts = [
        _single_peaked(curves[i : i + step], w[i : i + step]) for i in range(0, len(curves), step)
    ]
    return np.concatenate(parts).reshape(y.shape) if parts else y


def _single_peaked(y: Floats, w: Floats) -> Floats:
    means = _segment_means(y, w)
    best, loss = y.copy(), np.full(len(y), np.inf)
    for split in range(1, y.shape[1] + 1):
        rising = _rising(means[:, :split, :split])
        falling = -_rising(-means[:, split:, split:])
        fit = np.concatenate([rising, falling], axis=1)
        error = (w * (y - fit) ** 2).sum(axis=1)
        better = error < loss - 1e-15
        best[better], loss[better] = fit[better], error[better]
    return best


def _segment_means(y: Floats, w: Floats) -> Floats:
    """Weighted means of y[..., a] to y[..., b], [..., k, k]; without meaning where b < a."""
    # Sums from the mean on: differences of sums then lose nothing to what all doses share.
    middle = (w * y).sum(axis=-1, keepdims=True) / w.sum(axis=-1, keepdims=True)
    zero = np.zeros((*y.shape[:-1], 1))
    sums = np.concatenate([zero, np.cumsum(w * (y - middle), axis=-1)], axis=-1)
    total = np.concatenate([zero, np.cumsum(w, axis=-1)], axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = (sums[..., None, 1:] - sums[..., :-1, None]) / (
            total[..., None, 1:] - total[..., :-1, None]
        )
    return means + middle[..., None]


def _rising(means: Floats) -> Floats:
    """The max-min formula on segment means [..., k, k]."""
    k = means.shape[-1]
    if k == 0:
        return means.reshape(means.shape[:-1])
    segment = np.triu(np.ones((k, k), dtype=bool))
    least = np.where(segment, means, np.inf)
    least = np.minimum.accumulate(least[..., ::-1], axis=-1)[..., ::-1]
    return np.where(segment, least, -np.inf).max(axis=-2)


def two_lines(axis: ArrayLike, curves: ArrayLike) -> TwoLines:
    """Test for an inverted U with two lines and split units (after Simonsohn 2018).

    Units 0, 2, 4, ... choose the peak of their mean single-peaked fit; units 1, 3, 5, ... give one
    slope each below and above it, tested by one-sided t over units: doses of one unit share its
    baseline, so doses are no replicates. A quadratic term instead finds a peak in nearly every
    curve that only saturates.

    Args:
        axis: [..., k] increasing positions of the doses, such as log strength.
        curves: [..., n units, k], NaN where missing; a unit with a gap in any of the sets is left
            out of all.

    Returns:
        NaN p-values where a side has fewer than two doses or fewer than two units test.
    """
    d = np.asarray(curves, dtype=float)
    shape, (n, k) = d.shape[:-2], d.shape[-2:]
    x = np.broadcast_to(np.asarray(axis, dtype=float), (*shape, k)).reshape(-1, k)
    d = d.reshape(-1, n, k)
    d = d[:, ~np.isnan(d).any(axis=(0, 2))]
    choosing, testing = d[:, 0::2], d[:, 1::2]
    count = testing.shape[1]
    found = {name: np.full(len(d), np.nan) for name in ("peak", "low", "high", "p_low", "p_high")}
    if count >= 2 and k >= 3:
        fit = single_peaked(choosing.mean(axis=1), np.ones(k))
        top = fit >= fit.max(axis=1, keepdims=True) - 1e-12
        # The middle one of several equally high doses.
        peak = np.argmax(np.cumsum(top, axis=1) == (top.sum(axis=1) // 2 + 1)[:, None], axis=1)
        for at in np.unique(peak):
            of = peak == at
            found["peak"][of] = x[of, at]
            found["low"][of], found["p_low"][of] = _slopes(
                x[of, : at + 1], testing[of, :, : at + 1], rising=True
            )
            found["high"][of], found["p_high"][of] = _slopes(
                x[of, at:], testing[of, :, at:], rising=False
            )
    peaks, low, high, p_low, p_high = (value.reshape(shape) for value in found.values())
    return TwoLines(peaks, low, high, p_low, p_high, count)


def _slopes(x: Floats, curves: Floats, rising: bool) -> tuple[Floats, Floats]:
    """Mean slopes [c] over units [c, n, k] and their one-sided p."""
    if x.shape[1] < 2:
        return np.full(len(x), np.nan), np.full(len(x), np.nan)
    centred = x - x.mean(axis=1, keepdims=True)
    slopes = (curves @ centred[:, :, None])[..., 0] / (centred**2).sum(axis=1)[:, None]
    mean = slopes.mean(axis=1)
    se = slopes.std(axis=1, ddof=1) / np.sqrt(slopes.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        t = mean / se
    df = slopes.shape[1] - 1
    p = stats.t.sf(t, df) if rising else stats.t.cdf(t, df)
    return mean, np.where(se == 0, 1.0, p)
