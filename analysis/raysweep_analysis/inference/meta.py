"""Random-effects meta-regression by REML: what the effects of many units depend on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from raysweep_analysis.inference.reml import Model, Models

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MetaRegression:
    """Fitted effects = X b + group effect + unit effect + sampling error.

    Attributes:
        coefficients: [p].
        covariance: [p, p], Knapp-Hartung scaled.
        tau2: variance between units beyond sampling error.
        tau2_group: variance between groups of units; 0 without groups.
        n: units.
        groups: groups, equal to `n` without groups.
        jackknife: [p, p], covariance by leaving out one cluster after the other, and how many
            there are; None without clusters.
    """

    coefficients: Floats
    covariance: Floats
    tau2: float
    tau2_group: float
    n: int
    groups: int
    jackknife: tuple[Floats, int] | None
    _around: "_Neighbourhood | None"

    def combination(self, weights: ArrayLike) -> tuple[float, float, float]:
        """Estimate, standard error and degrees of freedom of weights @ coefficients.

        Degrees of freedom are n - p (Knapp-Hartung) where units are independent. Where groups
        differ, Satterthwaite's from the REML information: near n - p for a contrast within
        groups, near what the groups alone give for one between them, never outside the two. Where
        clusters were given, see `spread`.
        """
        w = np.asarray(weights, dtype=float)
        covariance, df = self.spread(w)
        return float(w @ self.coefficients), float(np.sqrt(w @ covariance @ w)), df

    def spread(self, weights: ArrayLike) -> tuple[Floats, float]:
        """The covariance that makes the wider interval, and its degrees of freedom.

        The model's, which knows that units differ beyond the design, or the jackknife's over
        clusters: with one degree of freedom less than there are clusters it holds however
        coefficients differ between these.
        """
        w = np.asarray(weights, dtype=float)
        most = float(self.n - len(self.coefficients))
        df = most if self._around is None else self._around.df(w, most)
        if self.jackknife is None:
            return self.covariance, df
        apart, clusters = self.jackknife
        widths = [
            float(stats.t.ppf(0.975, d) * np.sqrt(w @ c @ w))
            for c, d in ((self.covariance, df), (apart, clusters - 1))
        ]
        return (apart, clusters - 1.0) if widths[1] > widths[0] else (self.covariance, df)

    def interval(self, weights: ArrayLike, alpha: float = 0.05) -> tuple[float, float, float]:
        """P-value of weights @ coefficients = 0 and its 1 - alpha interval, by t."""
        estimate, se, df = self.combination(weights)
        half = float(stats.t.ppf(1 - alpha / 2, df)) * se
        p = 2 * float(stats.t.sf(abs(estimate) / se, df)) if se > 0 else float(estimate == 0)
        return p, estimate - half, estimate + half


@dataclass(frozen=True)
class Units:
    """What a meta-regression is fitted to.

    Attributes:
        effects: [n], one per unit.
        variances: [n], sampling variances, >= 0.
        design: [n, p], of full column rank, p < n.
        groups: [n] labels of units that share something (a dataset, a draw); each group then has a
            random shift of its own beside the units' own. None for none.
        clusters: [n] labels, coarser than groups or equal, of units whose coefficients may differ
            from those of others (a slope that varies by draw). None for none; fewer than three
            tell nothing of that.
    """

    effects: ArrayLike
    variances: ArrayLike
    design: ArrayLike
    groups: ArrayLike | None = None
    clusters: ArrayLike | None = None


def meta_regression(
    effects: ArrayLike,
    variances: ArrayLike,
    design: ArrayLike,
    groups: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
) -> MetaRegression:
    """Fit a random-effects meta-regression.

    Args:
        effects: [n], one per unit.
        variances: [n], sampling variances, >= 0.
        design: [n, p], of full column rank, p < n.
        groups: as in `Units`.
        clusters: as in `Units`.

    Returns:
        The fit: variance components by REML, covariance (X' V^-1 X)^-1 scaled by Knapp and
        Hartung's weighted residual mean square (Knapp & Hartung 2003).

    Raises:
        ValueError: fewer units than coefficients + 1, or a design without full column rank.
    """
    return meta_regressions([Units(effects, variances, design, groups, clusters)])[0]


def meta_regressions(several: Sequence[Units]) -> list[MetaRegression]:
    """Fit many meta-regressions with equally many coefficients, at little more than one's cost.

    Raises:
        ValueError: as `meta_regression`.
    """
    if not several:
        return []
    given = [_model(units) for units in several]
    models = Models(given)
    tau2, tau2_group = models.components()
    found = models.likelihood(tau2, tau2_group)
    around = _neighbourhoods(models, tau2, tau2_group)
    p = models.x.shape[1]
    between = np.where(models.shared, tau2_group, 0.0)
    return [
        MetaRegression(
            found.beta[i],
            found.inverse[i] * found.rss[i] / (models.n[i] - p),
            float(tau2[i]),
            float(tau2_group[i]),
            int(models.n[i]),
            int(models.groups[i] if models.shared[i] else models.n[i]),
            _jackknife(
                given[i], several[i].clusters, found.beta[i], float(tau2[i]), float(between[i])
            ),
            around[i] if models.shared[i] else None,
        )
        for i in range(len(given))
    ]


def _model(units: Units) -> Model:
    y = np.asarray(units.effects, dtype=float)
    x = np.asarray(units.design, dtype=float).reshape(len(y), -1)
    n, p = x.shape
    if n <= p:
        raise ValueError(f"{n} units cannot fit {p} coefficients: more units are needed")
    if np.linalg.matrix_rank(x) < p:
        raise ValueError("the covariates cannot be told apart: the design has not full rank")
    codes = None
    if units.groups is not None:
        labels, codes = np.unique(np.asarray(units.groups), return_inverse=True)
        codes = codes if len(labels) < n else None
    return Model(y, np.asarray(units.variances, dtype=float), x, codes)


def _jackknife(
    model: Model, clusters: ArrayLike | None, beta: Floats, tau2: float, tau2_group: float
) -> tuple[Floats, int] | None:
    """Of coefficients fitted without one cluster after the other, components held."""
    if clusters is None:
        return None
    labels, codes = np.unique(np.asarray(clusters), return_inverse=True)
    if len(labels) < 3:
        return None
    w = 1 / np.maximum(model.v + tau2, 1e-12 * max(float(np.var(model.y)), 1e-300))
    columns = np.column_stack([model.x, model.y])
    solved = w[:, None] * columns
    if model.codes is not None:
        total = np.bincount(model.codes, w)
        sums = np.stack([np.bincount(model.codes, column) for column in solved.T], axis=1)
        share = tau2_group / (1 + tau2_group * total)
        solved = solved - (w * share[model.codes])[:, None] * sums[model.codes]
    products = np.zeros((len(labels), model.x.shape[1], columns.shape[1]))
    np.add.at(products, codes, model.x[:, :, None] * solved[:, None, :])
    left = products.sum(axis=0) - products
    square, right = left[:, :, :-1], left[:, :, -1:]
    if (np.linalg.matrix_rank(square, hermitian=True) < len(beta)).any():
        return None
    away = np.linalg.solve(square, right)[:, :, 0] - beta
    return (len(labels) - 1) / len(labels) * away.T @ away, len(labels)


@dataclass(frozen=True)
class _Neighbourhood:
    """Derivatives by the variance components, at a pair of them."""

    information: Floats  # of the restricted likelihood, [2, 2]
    slopes: Floats  # of (X' V^-1 X)^-1, one [p, p] a component
    inverse: Floats
    least_df: float

    def df(self, weights: Floats, most: float) -> float:
        """Satterthwaite's degrees of freedom (1946): 2 variance^2 / var(variance)."""
        gradient = np.array([weights @ slope @ weights for slope in self.slopes])
        variance = float(weights @ self.inverse @ weights)
        try:
            spread = float(gradient @ np.linalg.solve(self.information, gradient))
        except np.linalg.LinAlgError:
            return most
        if spread <= 0:
            return most
        return float(np.clip(2 * variance**2 / spread, min(self.least_df, most), most))


def _neighbourhoods(models: Models, tau2: Floats, tau2_group: Floats) -> list[_Neighbourhood]:
    if not models.shared.any():
        return []
    step = 1e-4 * models.scale
    at = np.maximum(np.stack([tau2, tau2_group]), 2 * step)
    moves = step * np.eye(2)[:, :, None]
    states = [(models.likelihood(*(at + e)), models.likelihood(*(at - e))) for e in moves]
    wide = step[:, None]
    information = np.stack(
        [(up.gradient - down.gradient) / (4 * wide) for up, down in states], axis=1
    )
    slopes = np.stack(
        [(up.inverse - down.inverse) / (2 * wide[:, :, None]) for up, down in states], axis=1
    )
    inverse = models.likelihood(*at).inverse
    least = models.least_df
    return [
        _Neighbourhood(information[i], slopes[i], inverse[i], float(least[i]))
        for i in range(len(models.n))
    ]
