"""Random-effects meta-regression by REML: what the effects of many units depend on."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

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
    """

    coefficients: Floats
    covariance: Floats
    tau2: float
    tau2_group: float
    n: int
    groups: int
    _model: "_Model"

    def combination(self, weights: ArrayLike) -> tuple[float, float, float]:
        """Estimate, standard error and degrees of freedom of weights @ coefficients.

        Degrees of freedom are n - p (Knapp-Hartung) where units are independent. Where groups
        differ, Satterthwaite's from the REML information: near n - p for a contrast within
        groups, near what the groups alone give for one between them, never outside the two.
        """
        w = np.asarray(weights, dtype=float)
        estimate = float(w @ self.coefficients)
        variance = float(w @ self.covariance @ w)
        return estimate, float(np.sqrt(variance)), self._model.df(w, self.tau2, self.tau2_group)

    def interval(self, weights: ArrayLike, alpha: float = 0.05) -> tuple[float, float, float]:
        """P-value of weights @ coefficients = 0 and its 1 - alpha interval, by t."""
        estimate, se, df = self.combination(weights)
        half = float(stats.t.ppf(1 - alpha / 2, df)) * se
        p = 2 * float(stats.t.sf(abs(estimate) / se, df)) if se > 0 else float(estimate == 0)
        return p, estimate - half, estimate + half


def meta_regression(
    effects: ArrayLike, variances: ArrayLike, design: ArrayLike, groups: ArrayLike | None = None
) -> MetaRegression:
    """Fit a random-effects meta-regression.

    Args:
        effects: [n], one per unit.
        variances: [n], sampling variances, >= 0.
        design: [n, p], of full column rank, p < n.
        groups: [n] labels of units that share something (a dataset, a draw); each group then has a
            random shift of its own beside the units' own.

    Returns:
        The fit: variance components by REML, covariance (X' V^-1 X)^-1 scaled by Knapp and
        Hartung's weighted residual mean square (Knapp & Hartung 2003).

    Raises:
        ValueError: fewer units than coefficients + 1, or a design without full column rank.
    """
    y, v = np.asarray(effects, dtype=float), np.asarray(variances, dtype=float)
    x = np.asarray(design, dtype=float).reshape(len(y), -1)
    n, p = x.shape
    if n <= p:
        raise ValueError(f"{n} units cannot fit {p} coefficients: more units are needed")
    if np.linalg.matrix_rank(x) < p:
        raise ValueError("the covariates cannot be told apart: the design has not full rank")
    codes = (
        np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    )
    shared = groups is not None and codes.max() + 1 < n
    model = _Model(y, v, x, codes if shared else None)
    tau2, tau2_group = model.reml()
    state = model.state(tau2, tau2_group)
    covariance = state.inverse * state.rss / (n - p)
    return MetaRegression(state.beta, covariance, tau2, tau2_group, n, int(codes.max()) + 1, model)


@dataclass(frozen=True)
class _State:
    """What the likelihood needs at one pair of variance components."""

    inverse: Floats  # (X' V^-1 X)^-1
    beta: Floats
    minus_two_loglik: float
    rss: float  # (y - Xb)' V^-1 (y - Xb)
    gradient: Floats  # of minus_two_loglik in (tau2, tau2_group)


class _Model:
    """V = diag(v + tau2) + tau2_group ZZ', inverted group by group (Sherman-Morrison)."""

    def __init__(self, y: Floats, v: Floats, x: Floats, codes: NDArray[np.int64] | None) -> None:
        self.shared = codes is not None
        codes = np.zeros(len(y), dtype=np.int64) if codes is None else codes
        # Units of a group one after another: sums over groups are then one pass for all columns.
        order = np.argsort(codes, kind="stable")
        self.y, self.v, self.x, self.codes = y[order], v[order], x[order], codes[order]
        self.groups = int(self.codes[-1]) + 1
        self.starts = np.searchsorted(self.codes, np.arange(self.groups))
        # components are searched in units of the effects' own spread
        self.scale = float(np.var(y)) or 1.0
        self._around: _Neighbourhood | None = None

    def state(self, tau2: float, tau2_group: float) -> _State:
        w = 1 / np.maximum(self.v + tau2, 1e-12 * self.scale)
        powers = np.empty((len(w), 2))
        powers[:, 0], powers[:, 1] = w, w**2
        total, squares = self.grouped(powers).T
        c = tau2_group / (1 + tau2_group * total)
        vx, gvx = self.inverse_times(self.x, w, total, c)
        inverse = np.asarray(np.linalg.inv(self.x.T @ vx), dtype=np.float64)
        beta = inverse @ (vx.T @ self.y)
        # P y, with P = V^-1 - V^-1 X (X' V^-1 X)^-1 X' V^-1
        py, gpy = self.inverse_times((self.y - self.x @ beta)[:, None], w, total, c)
        rss = float(py[:, 0] @ self.y)
        loglik = float(np.log1p(tau2_group * total).sum() - np.log(w).sum()) + rss
        loglik -= float(np.linalg.slogdet(inverse)[1])
        trace = float(w.sum() - (c * squares).sum())
        trace_group = float((total - c * total**2).sum())
        gradient = [
            trace - float((inverse * (vx.T @ vx)).sum()) - float((py**2).sum()),
            trace_group - float((inverse * (gvx.T @ gvx)).sum()) - float((gpy**2).sum()),
        ]
        return _State(inverse, beta, loglik, rss, np.array(gradient))

    def inverse_times(
        self, columns: Floats, w: Floats, total: Floats, c: Floats
    ) -> tuple[Floats, Floats]:
        """V^-1 times columns [n, q], and its sums over the groups [groups, q]."""
        weighted = columns * w[:, None]
        sums = self.grouped(weighted)
        if not self.shared:
            return weighted, sums
        product = weighted - w[:, None] * (c[:, None] * sums)[self.codes]
        return product, sums * (1 - c * total)[:, None]

    def grouped(self, columns: Floats) -> Floats:
        """Sums of columns [n, q] over the groups; zeros without groups."""
        if not self.shared:
            return np.zeros((1, columns.shape[1]))
        return np.add.reduceat(columns, self.starts, axis=0)

    def reml(self) -> tuple[float, float]:
        """The variance components (tau2, tau2_group) >= 0 of the highest restricted likelihood."""

        # Standard deviations are searched: near zero the likelihood is flat in them, so that a
        # component may settle on the bound.
        def at(sds: Floats) -> tuple[float, Floats]:
            components = sds**2 * self.scale
            state = self.state(components[0], components[1] if self.shared else 0.0)
            return state.minus_two_loglik, state.gradient[: len(sds)] * 2 * sds * self.scale

        starts = [(0.7, 0.5), (0.3, 0.9)] if self.shared else [(0.7,), (0.1,)]
        size = len(starts[0])
        fits = [
            optimize.minimize(
                at,
                start,
                jac=True,
                bounds=[(0.0, 3.0)] * size,
                method="L-BFGS-B",
                options={"ftol": 1e-13, "gtol": 1e-9},
            )
            for start in starts
        ]
        best = min(fits, key=lambda fit: float(fit.fun))
        tau2, tau2_group = (*(float(sd) ** 2 * self.scale for sd in best.x), 0.0)[:2]
        return tau2, tau2_group

    def df(self, weights: Floats, tau2: float, tau2_group: float) -> float:
        n, p = self.x.shape
        if not self.shared:
            return float(n - p)
        around = self._around
        if around is None or around.components != (tau2, tau2_group):
            around = self._around = self._neighbourhood(tau2, tau2_group)
        gradient = np.array([weights @ slope @ weights for slope in around.slopes])
        variance = float(weights @ around.inverse @ weights)
        try:
            spread = float(gradient @ np.linalg.solve(around.information, gradient))
        except np.linalg.LinAlgError:
            return float(n - p)
        if spread <= 0:
            return float(n - p)
        return float(np.clip(2 * variance**2 / spread, min(self._least_df, n - p), n - p))

    def _neighbourhood(self, tau2: float, tau2_group: float) -> "_Neighbourhood":
        """What Satterthwaite's degrees of freedom (1946) need: 2 variance^2 / var(variance)."""
        step = 1e-4 * self.scale
        at = np.maximum([tau2, tau2_group], 2 * step)
        states = [(self.state(*(at + step * e)), self.state(*(at - step * e))) for e in np.eye(2)]
        return _Neighbourhood(
            (tau2, tau2_group),
            np.array([(up.gradient - down.gradient) / (4 * step) for up, down in states]),
            [(up.inverse - down.inverse) / (2 * step) for up, down in states],
            self.state(*at).inverse,
        )

    @cached_property
    def _least_df(self) -> float:
        """Fewer than the groups give cannot be: groups less the columns that are constant in each.

        Satterthwaite's falls below where the group component is estimated near zero.
        """
        spans = np.maximum.reduceat(self.x, self.starts) - np.minimum.reduceat(self.x, self.starts)
        return max(1.0, float(self.groups - (spans.max(axis=0) == 0).sum()))


@dataclass(frozen=True)
class _Neighbourhood:
    """Derivatives by the variance components, at a pair of them."""

    components: tuple[float, float]
    information: Floats  # of the restricted likelihood, [2, 2]
    slopes: list[Floats]  # of (X' V^-1 X)^-1, one [p, p] a component
    inverse: Floats
