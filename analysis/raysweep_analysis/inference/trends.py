"""Trends and correlations, tested by permutation."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]
PERMUTATIONS = 9_999


@dataclass(frozen=True)
class Trend:
    """A statistic, its permutation p (two-sided), and how many permutations stand behind it."""

    statistic: float
    p_value: float
    permutations: int


def jonckheere_terpstra(
    x: ArrayLike,
    y: ArrayLike,
    blocks: ArrayLike | None = None,
    rng: np.random.Generator | None = None,
    permutations: int = PERMUTATIONS,
) -> Trend:
    """Test for an ordered trend of y over the levels x, permuting y within blocks.

    Args:
        x: [n] levels.
        y: [n] responses.
        blocks: [n] labels; only units of one block are exchanged. The statistic is the sum of J
            over the blocks.
        rng: source of the permutations; a fixed seed by default.
        permutations: how many.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    codes = _codes(blocks, len(x))
    signs = np.sign(x[:, None] - x[None, :]) * (codes[:, None] == codes[None, :])
    n_pairs = np.abs(signs).sum() / 2

    def statistic(orders: NDArray[np.int64]) -> Floats:
        shuffled = y[orders]
        score = np.empty(len(orders))
        for i in range(0, len(orders), 500):
            part = shuffled[i : i + 500]
            score[i : i + 500] = np.einsum(
                "ij,bij->b", signs, np.sign(part[:, :, None] - part[:, None, :])
            )
        return (score / 2 + n_pairs) / 2

    return _permuted(statistic, codes, n_pairs / 2, rng, permutations)


def spearman_trend(
    x: ArrayLike,
    y: ArrayLike,
    blocks: ArrayLike | None = None,
    rng: np.random.Generator | None = None,
    permutations: int = PERMUTATIONS,
) -> Trend:
    """Spearman's rho between the levels x and the mean of y at each level.

    This is the correlation that a figure of means shows; its p permutes y within blocks and takes
    the means again, so that the units behind the means carry the test.

    Args:
        x: [n] levels.
        y: [n] responses.
        blocks: [n] labels; only units of one block are exchanged.
        rng: source of the permutations; a fixed seed by default.
        permutations: how many.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    levels, place = np.unique(x, return_inverse=True)
    if len(levels) < 3:
        return Trend(float("nan"), float("nan"), 0)
    mean = np.zeros((len(levels), len(x)))
    mean[place, np.arange(len(x))] = 1 / np.bincount(place)[place]
    rank_x = _standard(np.arange(len(levels), dtype=float)[None])[0]

    def statistic(orders: NDArray[np.int64]) -> Floats:
        # rounded: equal means in another order of adding must stay ties
        means = np.round(y[orders] @ mean.T, 12)
        return _standard(stats.rankdata(means, axis=1)) @ rank_x

    return _permuted(statistic, _codes(blocks, len(x)), 0.0, rng, permutations)


def partial_residuals(values: ArrayLike, given: ArrayLike) -> Floats:
    """What is left of values [..., n] after a line in given [..., n], row by row."""
    y, z = np.asarray(values, dtype=float), np.asarray(given, dtype=float)
    z = z - z.mean(axis=-1, keepdims=True)
    y = y - y.mean(axis=-1, keepdims=True)
    square = (z**2).sum(axis=-1, keepdims=True)
    slope = np.where(
        square > 0, (y * z).sum(axis=-1, keepdims=True) / np.maximum(square, 1e-300), 0
    )
    return y - slope * z


def correlation(x: ArrayLike, y: ArrayLike) -> Floats:
    """Pearson's r over the last axis; NaN where a side is constant."""
    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    return (_standard(a) * _standard(b)).sum(axis=-1)


def correlation_p(
    x: ArrayLike, y: ArrayLike, permutations: int = 1_999, rng: np.random.Generator | None = None
) -> Floats:
    """Two-sided permutation p of Pearson's r, for many rows [..., n] at once.

    All rows share the permutations; one is added above and below the line. Give ranks for
    Spearman's rho, residuals for a partial correlation (Freedman & Lane 1983).
    """
    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    rng = rng or np.random.default_rng(0)
    a2, b2 = _standard(a).reshape(-1, a.shape[-1]), _standard(b).reshape(-1, a.shape[-1])
    observed = np.abs((a2 * b2).sum(axis=1)) - 1e-9
    hits = np.zeros(len(a2))
    for _ in range(permutations):
        order = rng.permutation(a.shape[-1])
        hits += np.abs((a2 * b2[:, order]).sum(axis=1)) >= observed
    p = np.where(np.isnan(observed), np.nan, (hits + 1) / (permutations + 1))
    return p.reshape(a.shape[:-1])


def correlation_interval(
    r: ArrayLike, n: ArrayLike, alpha: float = 0.05, ranks: bool = False, given: int = 0
) -> tuple[Floats, Floats]:
    """Interval of a correlation by Fisher's z.

    Args:
        r: the correlations.
        n: pairs behind each; NaN intervals below 4 + `given`.
        alpha: one minus the coverage.
        ranks: the wider variance of Bonett & Wright (2000) for Spearman's rho.
        given: variables partialled out.
    """
    r, n = np.asarray(r, dtype=float), np.asarray(n, dtype=float)
    inflation = 1 + r**2 / 2 if ranks else 1.0
    df = np.where(n - 3 - given > 0, n - 3 - given, np.nan)
    with np.errstate(divide="ignore"):
        centre = np.arctanh(np.clip(r, -1, 1))
    half = stats.norm.ppf(1 - alpha / 2) * np.sqrt(inflation / df)
    return np.tanh(centre - half), np.tanh(centre + half)


def _codes(blocks: ArrayLike | None, n: int) -> NDArray[np.int64]:
    if blocks is None:
        return np.zeros(n, dtype=np.int64)
    return np.unique(np.asarray(blocks), return_inverse=True)[1]


def _permuted(
    statistic: Callable[[NDArray[np.int64]], Floats],
    codes: NDArray[np.int64],
    centre: float,
    rng: np.random.Generator | None,
    permutations: int,
) -> Trend:
    """P of a statistic that is symmetric about centre when units of a block are exchangeable."""
    rng = rng or np.random.default_rng(0)
    n = len(codes)
    observed = float(statistic(np.arange(n)[None])[0])
    # Sorting by (block, random number) shuffles within blocks, all permutations at once.
    within = np.argsort(codes[None] + rng.random((permutations, n)), axis=1)
    home = np.argsort(codes, kind="stable")
    orders = np.empty_like(within)
    orders[:, home] = within
    drawn = statistic(orders)
    hits = int((np.abs(drawn - centre) >= abs(observed - centre) - 1e-9).sum())
    if np.isnan(observed):
        return Trend(observed, float("nan"), 0)
    return Trend(observed, (hits + 1) / (permutations + 1), permutations)


def _standard(rows: Floats) -> Floats:
    """Centred rows of length one; NaN where a row is constant."""
    centred = rows - rows.mean(axis=-1, keepdims=True)
    length = np.sqrt((centred**2).sum(axis=-1, keepdims=True))
    constant = length <= 1e-12 * np.abs(rows).max(axis=-1, keepdims=True, initial=0.0)
    return np.where(constant, np.nan, centred / np.where(constant, 1.0, length))
