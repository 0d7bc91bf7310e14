"""Many effects that are alike: each drawn towards what the others say, as far as they agree.

A normal hierarchical model: a cell's true effect is normal around a mean that may change along
covariates, with a spread tau between cells whose prior is flat (Gelman, 2006), integrated over.
Spreads within cells are drawn together, too (Smyth, 2004), as few units make a poor guess of one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

Floats = NDArray[np.float64]

FEWEST = 5
"""Cells, of which fewer say nothing of how cells differ."""
_TAUS = 200
_MANY = 1e6


@dataclass(frozen=True)
class Pooled:
    """Effects [cells] after the others had their say.

    Attributes:
        mean: of the posterior.
        low, high: its 1 - alpha interval, which holds on average over cells.
        own: the weight of a cell's own units, 0 to 1.
    """

    mean: Floats
    low: Floats
    high: Floats
    own: Floats


def partial_pooling(
    effects: ArrayLike,
    sd: ArrayLike,
    n: ArrayLike,
    covariates: ArrayLike | None = None,
    alpha: float = 0.05,
) -> Pooled:
    """Shrink effects towards each other.

    Args:
        effects: [cells] means over units.
        sd: [cells] of the units.
        n: [cells] units, 2 or more; of those that share data how many independent ones they are
            worth.
        covariates: [cells, p] that the mean effect is linear in; by default it is one for all.
        alpha: one less the probability of an interval.

    Returns:
        NaN for all where there are fewer than five cells, or hardly more than covariates.
    """
    y, spread, count = (np.asarray(a, dtype=float) for a in (effects, sd, n))
    one = np.ones((len(y), 1))
    x = one if covariates is None else np.hstack([one, np.asarray(covariates, dtype=float)])
    if len(y) < max(FEWEST, x.shape[1] + 3):
        nothing = np.full(len(y), np.nan)
        return Pooled(nothing, nothing, nothing, nothing)
    variance, df = _moderated(spread**2, count - 1)
    v = np.maximum(variance / count, 1e-12 * max(float(np.var(y)), 1e-30))
    taus = np.linspace(0, 3 * float(np.std(y)) + 1e-12, _TAUS)
    weight = 1 / (v + taus[:, None] ** 2)
    information = np.einsum("tc,cp,cq->tpq", weight, x, x)
    covariance = np.linalg.inv(information)
    beta = np.einsum("tpq,cq,tc,c->tp", covariance, x, weight, y)
    centre = beta @ x.T
    fit = np.log(weight).sum(1) - np.linalg.slogdet(information)[1]
    fit = (fit - (weight * (y - centre) ** 2).sum(1)) / 2
    chance = np.exp(fit - fit.max())
    chance /= chance.sum()
    shrunken = v * weight
    means = centre + (1 - shrunken) * (y - centre)
    variances = (1 - shrunken) * v
    variances += shrunken**2 * np.einsum("cp,tpq,cq->tc", x, covariance, x)
    mean = chance @ means
    se = np.sqrt(chance @ (variances + (means - mean) ** 2))
    half = stats.t.ppf(1 - alpha / 2, df) * se
    return Pooled(mean, mean - half, mean + half, chance @ (1 - shrunken))


def _moderated(variance: Floats, df: Floats) -> tuple[Floats, Floats]:
    """Variances between units [cells], drawn together, and their degrees of freedom then."""
    known = variance > 0
    if known.sum() < 2:
        return variance, df
    logs = np.log(variance[known]) - special.digamma(df[known] / 2) + np.log(df[known] / 2)
    excess = float(np.var(logs, ddof=1) - special.polygamma(1, df[known] / 2).mean())

    def of_prior(log_df: float) -> float:
        return float(special.polygamma(1, np.exp(log_df) / 2)) - excess

    prior = _MANY
    if excess > float(special.polygamma(1, _MANY / 2)):
        prior = float(np.exp(optimize.brentq(of_prior, np.log(1e-3), np.log(_MANY))))
    centre = np.exp(logs.mean() + special.digamma(prior / 2) - np.log(prior / 2))
    return (prior * centre + df * variance) / (prior + df), df + prior
