"""Tests on paired differences, for many cells at once.

Everywhere: differences [..., n] float64, one row per cell, the last axis its units (seeds or draw
means), NaN where a unit is missing. Results have shape [...].

``shared`` [...] is what units that share data add to the variance of their mean, as a share of the
variance between them: that is sd^2 (1 / n + shared). 0 for independent units; see `resampled`.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

Floats = NDArray[np.float64]

# Enumerate all signs by one matrix product up to here; by meeting in the middle up to the next.
_DENSE_N = 14
_EXACT_N = 40
_MONTE_CARLO_FLIPS = 100_000


@dataclass(frozen=True)
class PairedT:
    """A paired t test and its interval, one value per row of differences.

    Where all differences of a row are equal there is no spread to estimate: `p_value` is then the
    exact sign-flip one, and the interval is the point zero if all are zero, else unknown (NaN).
    """

    n: NDArray[np.int64]
    mean: Floats
    sd: Floats
    p_value: Floats
    ci_low: Floats
    ci_high: Floats


def paired_t(differences: ArrayLike, alpha: ArrayLike = 0.05, shared: ArrayLike = 0.0) -> PairedT:
    """Student's t on paired differences, with the 1 - alpha interval of their mean.

    Rows with fewer than two units have NaN for all but `n` and `mean`.
    """
    d = np.asarray(differences, dtype=float)
    n, mean, sd = moments(d)
    independent = independent_units(n, shared)
    se = sd / np.sqrt(independent)
    df = np.maximum(n - 1, 1)
    flat = (n >= 2) & (sd == 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stats.t.sf(np.abs(mean / se), df)
    p = np.where(flat, np.where(mean == 0, 1.0, 2.0 ** (1 - independent)), p)
    limit = stats.t.ppf(1 - np.asarray(alpha) / 2, df)
    half = np.where(flat & (mean != 0), np.nan, limit * se)
    return PairedT(n, mean, sd, np.where(n >= 2, p, np.nan), mean - half, mean + half)


def independent_units(n: ArrayLike, shared: ArrayLike = 0.0) -> Floats:
    """How many independent units would know their mean as well as n that share data; at least 1."""
    count = np.maximum(np.asarray(n, dtype=float), 1)
    return np.asarray(count / (1 + count * np.asarray(shared, dtype=float)))


def tost(differences: ArrayLike, margin: float, shared: ArrayLike = 0.0) -> Floats:
    """P-value of two one-sided t tests that the mean lies within (-margin, margin).

    Schuirmann (1987). Without spread the t statistic does not exist; the exact sign-flip test at
    each bound takes its place.
    """
    n, mean, sd = moments(np.asarray(differences, dtype=float))
    independent = independent_units(n, shared)
    se = sd / np.sqrt(independent)
    df = np.maximum(n - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        low = stats.t.sf((mean + margin) / se, df)
        high = stats.t.cdf((mean - margin) / se, df)
    p = np.maximum(low, high)
    p = np.where(sd == 0, np.where(np.abs(mean) < margin, 0.5**independent, 1.0), p)
    return np.where(n >= 2, p, np.nan)


def hedges_dz(differences: ArrayLike, shared: ArrayLike = 0.0) -> Floats:
    """Standardised mean difference d_z = mean / sd, times Hedges' exact small-sample factor.

    Hedges (1981): gamma(df / 2) / (sqrt(df / 2) gamma((df - 1) / 2)). NaN below three units (the
    factor has no value at df = 1) and where there is no spread. Units that share data differ by
    less than independent ones would, whose spread is sd sqrt(1 + shared).
    """
    n, mean, sd = moments(np.asarray(differences, dtype=float))
    sd = sd * np.sqrt(1 + np.asarray(shared, dtype=float))
    df = np.where(n >= 3, n - 1, 2).astype(float)
    factor = np.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / np.sqrt(df / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((n >= 3) & (sd > 0), mean / sd * factor, np.nan)


def sign_flip(differences: ArrayLike, rng: np.random.Generator | None = None) -> Floats:
    """Two-sided sign-flip p-value: the share of sign patterns with a sum at least as far from 0.

    Exact, the observed pattern counted, up to 40 units; beyond that 100,000 random patterns, one
    added above and below the line. Missing units count as zeros, which leaves the share as it is.

    Args:
        differences: [..., n].
        rng: for the random patterns; a fixed seed by default.
    """
    d = np.asarray(differences, dtype=float)
    rows = d.reshape(-1, d.shape[-1]) if d.ndim > 1 else d[None]
    counts = np.sum(~np.isnan(rows), axis=1)
    p = np.full(len(rows), np.nan)
    for n in np.unique(counts[counts >= 1]):
        chosen = np.flatnonzero(counts == n)
        # stable: the units of a row keep their order, the missing ones go last
        order = np.argsort(np.isnan(rows[chosen]), axis=1, kind="stable")[:, :n]
        block = np.take_along_axis(rows[chosen], order, axis=1)
        p[chosen] = _sign_flip_block(block, rng)
    return p.reshape(d.shape[:-1])


def holm(p_values: ArrayLike) -> Floats:
    """Holm's step-down adjustment of one family; NaN entries are no tests and stay NaN."""
    p = np.asarray(p_values, dtype=float)
    adjusted = np.full(p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    steps = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * steps), 1.0)
    return adjusted


def power_paired_t(
    d_z: ArrayLike, n: ArrayLike, alpha: ArrayLike = 0.05, shared: ArrayLike = 0.0
) -> Floats:
    """Power of the two-sided paired t test at a true standardised effect d_z.

    As the square of a noncentral t, a noncentral F: scipy's noncentral t is NaN in its far tail.
    """
    n = np.asarray(n, dtype=float)
    limit = stats.t.ppf(1 - np.asarray(alpha) / 2, n - 1) ** 2
    independent = independent_units(n, shared)
    return np.asarray(
        stats.ncf.sf(limit, 1, n - 1, independent * np.asarray(d_z, dtype=float) ** 2)
    )


@lru_cache(maxsize=4096)
def detectable_effect(
    n: int, alpha: float = 0.05, power: float = 0.8, shared: float = 0.0
) -> float:
    """The smallest true d_z that a paired t test on n units finds with the given power.

    NaN below two units.
    """
    if n < 2:
        return float("nan")
    top = 1.0
    while power_paired_t(top, n, alpha, shared) < power:
        top *= 2

    def missing(d_z: float) -> float:
        return float(power_paired_t(d_z, n, alpha, shared)) - power

    return float(optimize.brentq(missing, 0.0, top))


def moments(d: Floats) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Count, mean and standard deviation (ddof 1) over the last axis, NaN as missing.

    A spread that is only rounding is returned as exactly zero.
    """
    present = ~np.isnan(d)
    n = present.sum(axis=-1)
    filled = np.where(present, d, 0.0)
    mean = np.where(n > 0, filled.sum(axis=-1) / np.maximum(n, 1), np.nan)
    centred = np.where(present, d - np.where(n > 0, mean, 0.0)[..., None], 0.0)
    sd = np.sqrt((centred**2).sum(axis=-1) / np.maximum(n - 1, 1))
    sd = np.where(sd <= 1e-9 * np.abs(filled).max(axis=-1, initial=0.0), 0.0, sd)
    return n, mean, np.where(n >= 2, sd, np.nan)


def _sign_flip_block(d: Floats, rng: np.random.Generator | None) -> Floats:
    """[rows, n] without missing units -> p [rows]."""
    n = d.shape[1]
    # Sums are compared with a tolerance: equal sums in another order differ by rounding.
    limit = np.abs(d.sum(axis=1)) - 1e-9 * np.abs(d).sum(axis=1)
    if n <= _DENSE_N:
        signs = sign_patterns(n)
        step = max(1, 20_000_000 // len(signs))
        parts = [
            (np.abs(d[i : i + step] @ signs.T) >= limit[i : i + step, None]).mean(axis=1)
            for i in range(0, len(d), step)
        ]
        return np.concatenate(parts)
    if n <= _EXACT_N:
        pairs = zip(d, limit, strict=True)
        return np.array([_meet_in_the_middle(row, bound) for row, bound in pairs])
    rng = rng or np.random.default_rng(0)
    p = np.empty(len(d))
    for i, row in enumerate(d):
        hits = 0
        for _ in range(10):
            signs = rng.choice([-1.0, 1.0], size=(_MONTE_CARLO_FLIPS // 10, n))
            hits += int((np.abs(signs @ row) >= limit[i]).sum())
        p[i] = (1 + hits) / (1 + _MONTE_CARLO_FLIPS)
    return p


def sign_patterns(n: int) -> Floats:
    """Half of all sign patterns of n units, [2^(n-1), n]: the first sign is +, by symmetry."""
    bits = (np.arange(2 ** (n - 1))[:, None] >> np.arange(n - 1)) & 1
    return np.hstack([np.ones((len(bits), 1)), 1.0 - 2.0 * bits])


def _meet_in_the_middle(row: Floats, bound: float) -> float:
    """Share of all 2^n signed sums with |sum| >= bound, from the sums of two halves."""
    half = len(row) // 2
    left = _all_sums(row[:half])
    right = np.sort(_all_sums(row[half:]))
    above = len(right) - np.searchsorted(right, bound - left, side="left")
    if bound <= 0:
        return 1.0
    below = np.searchsorted(right, -bound - left, side="right")
    return float((above.sum() + below.sum()) / (len(left) * len(right)))


def _all_sums(values: Floats) -> Floats:
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums
