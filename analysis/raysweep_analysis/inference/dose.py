"""Shapes of a curve over doses: isotonic and single-peaked fits, and a test for an inverted U."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.optimize import isotonic_regression

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TwoLines:
    """Slopes on both sides of a peak that other units chose.

    Attributes:
        peak: the dose at which the line breaks.
        slope_low, slope_high: mean slopes below and above it, per unit of the axis.
        p_low: one-sided p of a rising line below.
        p_high: one-sided p of a falling line above.
        n: units that the slopes were tested on.
    """

    peak: float
    slope_low: float
    slope_high: float
    p_low: float
    p_high: float
    n: int

    @property
    def p_inverted_u(self) -> float:
        """P of an inverted U: both lines must pass, so the larger of the two; NaN if one cannot."""
        return float(np.maximum(self.p_low, self.p_high))


def isotonic(values: ArrayLike, weights: ArrayLike, increasing: bool = True) -> Floats:
    """Closest monotone curve to values [k] in weighted least squares."""
    fit = isotonic_regression(np.asarray(values, float), weights=weights, increasing=increasing)
    return np.asarray(fit.x)


def single_peaked(values: ArrayLike, weights: ArrayLike) -> Floats:
    """Closest curve to values [k] that rises to one peak and falls from there.

    Monotone curves are among them, so this shows saturation, harm and an inverted U alike.
    """
    y, w = np.asarray(values, float), np.asarray(weights, float)
    best, loss = y, np.inf
    for split in range(1, len(y) + 1):
        rising = isotonic(y[:split], w[:split])
        falling = isotonic(y[split:], w[split:], False) if split < len(y) else y[split:]
        fit = np.concatenate([rising, falling])
        error = float((w * (y - fit) ** 2).sum())
        if error < loss - 1e-15:
            best, loss = fit, error
    return best


def two_lines(axis: ArrayLike, curves: ArrayLike) -> TwoLines:
    """Test for an inverted U with two lines and split units (after Simonsohn 2018).

    Units 0, 2, 4, ... choose the peak of their mean single-peaked fit; units 1, 3, 5, ... give one
    slope each below and above it, tested by one-sided t over units: doses of one unit share its
    baseline, so doses are no replicates. A quadratic term instead finds a peak in nearly every
    curve that only saturates.

    Args:
        axis: [k] increasing positions of the doses, such as log strength.
        curves: [n units, k], NaN where missing; units with a gap are left out.

    Returns:
        NaN p-values where a side has fewer than two doses or fewer than two units test.
    """
    x = np.asarray(axis, dtype=float)
    d = np.asarray(curves, dtype=float)
    d = d[~np.isnan(d).any(axis=1)]
    choosing, testing = d[0::2], d[1::2]
    nan = float("nan")
    if len(testing) < 2 or len(x) < 3:
        return TwoLines(nan, nan, nan, nan, nan, len(testing))
    fit = single_peaked(choosing.mean(axis=0), np.ones(len(x)))
    peaks = np.flatnonzero(fit >= fit.max() - 1e-12)
    peak = int(peaks[len(peaks) // 2])
    low, p_low = _slope(x[: peak + 1], testing[:, : peak + 1], rising=True)
    high, p_high = _slope(x[peak:], testing[:, peak:], rising=False)
    return TwoLines(float(x[peak]), low, high, p_low, p_high, len(testing))


def _slope(x: Floats, curves: Floats, rising: bool) -> tuple[float, float]:
    """Mean slope over units and its one-sided p."""
    if len(x) < 2:
        return float("nan"), float("nan")
    centred = x - x.mean()
    slopes = curves @ centred / (centred**2).sum()
    se = slopes.std(ddof=1) / np.sqrt(len(slopes))
    if se == 0:
        return float(slopes.mean()), 1.0
    t = slopes.mean() / se
    df = len(slopes) - 1
    p = stats.t.sf(t, df) if rising else stats.t.cdf(t, df)
    return float(slopes.mean()), float(p)
