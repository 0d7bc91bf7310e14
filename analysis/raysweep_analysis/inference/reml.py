"""Restricted likelihoods of many random-effects models at once, and where they are highest."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_STARTS = ((0.49, 0.25), (0.09, 0.81))
"""Of both components; a likelihood may have two peaks, mostly one on the bound."""
_HIGHEST = 9.0
_MOST_STEPS = 100
_MOST_DAMPING = 1e8
_ENOUGH = 1e-18
"""Twice what the next step would gain in -2 log likelihood, as a share of that."""
_ROUNDING = 1e-13
_LEAST_CURVATURE = 1e-10


@dataclass(frozen=True)
class Likelihood:
    """What is known of -2 times the restricted log likelihood, in its components (unit, group).

    Attributes:
        value: [m].
        gradient: [m, 2].
        curvature: [m, 2, 2], the average of observed and expected information, times two.
        inverse: (X' V^-1 X)^-1, [m, p, p].
        beta: [m, p].
        rss: (y - Xb)' V^-1 (y - Xb), [m].
    """

    value: Floats
    gradient: Floats
    curvature: Floats
    inverse: Floats
    beta: Floats
    rss: Floats


@dataclass(frozen=True)
class Model:
    """One model: y = X b + group effect + unit effect + error of variance v.

    Attributes:
        y, v: [n].
        x: [n, p].
        codes: group of each unit, from 0; None for none.
    """

    y: Floats
    v: Floats
    x: Floats
    codes: Integers | None


class Models:
    """V = diag(v + tau2) + tau2_group ZZ', of m models with equally many columns.

    V is inverted group by group (Sherman-Morrison). Units stand model by model and group by group,
    so that a sum over groups or models is one pass for all.
    """

    def __init__(self, models: Sequence[Model]) -> None:
        self._given = models
        self.shared = np.array([model.codes is not None for model in models])
        rows = [np.zeros(len(m.y), np.int64) if m.codes is None else m.codes for m in models]
        orders = [np.argsort(codes, kind="stable") for codes in rows]
        self.n = np.array([len(model.y) for model in models])
        self.groups = np.array([int(codes.max()) + 1 for codes in rows])
        self.y = np.concatenate([m.y[order] for m, order in zip(models, orders, strict=True)])
        self.v = np.concatenate([m.v[order] for m, order in zip(models, orders, strict=True)])
        self.x = np.concatenate([m.x[order] for m, order in zip(models, orders, strict=True)])
        first_groups = np.cumsum(self.groups) - self.groups
        self.group = np.concatenate(
            [c[o] + g for c, o, g in zip(rows, orders, first_groups, strict=True)]
        )
        self.model = np.repeat(np.arange(len(models)), self.n)
        self.model_of_group = np.repeat(np.arange(len(models)), self.groups)
        self._group_starts = np.searchsorted(self.group, np.arange(self.groups.sum()))
        self._starts = np.cumsum(self.n) - self.n
        self._first_groups = first_groups
        # Components are searched in units of the effects' own spread.
        spread = np.array([float(np.var(model.y)) for model in models])
        self.scale = np.where(spread > 0, spread, 1.0)

    def likelihood(self, tau2: Floats, tau2_group: Floats) -> Likelihood:
        """At components [m] each."""
        w = 1 / np.maximum(self.v + tau2[self.model], 1e-12 * self.scale[self.model])
        total, squares = self._grouped(w), self._grouped(w**2)
        between = tau2_group[self.model_of_group]
        c = between / (1 + between * total)

        def solved(columns: Floats) -> tuple[Floats, Floats]:
            """V^-1 times columns [n, q], and its sums over the groups."""
            weighted = columns * w[:, None]
            sums = self._grouped(weighted)
            product = weighted - w[:, None] * (c[:, None] * sums)[self.group]
            return product, sums * (1 - c * total)[:, None]

        vx, gvx = solved(self.x)
        inverse = np.asarray(np.linalg.inv(self._products(self.x, vx)), dtype=np.float64)
        beta = _times(inverse, self._of_units(vx * self.y[:, None]))
        # P y, with P = V^-1 - V^-1 X (X' V^-1 X)^-1 X' V^-1
        left = self.y - (self.x * beta[self.model]).sum(axis=1)
        py, gpy = solved(left[:, None])
        rss = np.maximum(self._of_units(py[:, 0] * left), 0.0)
        value = (
            self._of_groups(np.log1p(between * total))
            - self._of_units(np.log(w))
            - np.linalg.slogdet(inverse)[1]
            + rss
        )
        trace = self._of_units(w) - self._of_groups(c * squares)
        trace_group = self._of_groups(total - c * total**2)
        gradient = [
            trace - _inner(inverse, self._products(vx, vx)) - self._of_units(py[:, 0] ** 2),
            trace_group
            - _inner(inverse, self._products_of_groups(gvx))
            - self._of_groups(gpy[:, 0] ** 2),
        ]
        turned = np.column_stack([py[:, 0], gpy[self.group, 0]])
        vt, _ = solved(turned)
        seen = self._products(self.x, vt)
        curvature = self._products(turned, vt) - seen.mT @ inverse @ seen
        return Likelihood(value, np.column_stack(gradient), curvature, inverse, beta, rss)

    def components(self) -> tuple[Floats, Floats]:
        """Those >= 0 of the highest restricted likelihood, (tau2 [m], tau2_group [m]).

        Newton's steps with the average information (Gilmour, Thompson & Cullis 1995, Biometrics
        51, 1440), damped until each gains and cut off at the bounds.
        """
        found = []
        for start in _STARTS:
            at = np.tile(np.array(start), (len(self.n), 1))
            at[~self.shared, 1] = 0.0
            found.append(self._climbed(at, np.zeros(len(at))))
        values = np.stack([value for _, value in found])
        best = np.stack([at for at, _ in found])[values.argmin(axis=0), np.arange(len(self.n))]
        return best[:, 0] * self.scale, best[:, 1] * self.scale

    def _climbed(self, start: Floats, damping: Floats) -> tuple[Floats, Floats]:
        """Where each model ends that starts there, [m, 2], and the value there."""
        at = start.copy()
        here, gradient, curvature = self._scaled(at)
        for _ in range(_MOST_STEPS):
            held = ((at <= 0) & (gradient > 0)) | ((at >= _HIGHEST) & (gradient < 0))
            held[~self.shared, 1] = True
            step, gain = _step(gradient, curvature, damping, held)
            climbing = (gain > _ENOUGH * (1 + np.abs(here))) & (damping < _MOST_DAMPING)
            if not climbing.any():
                break
            if 2 * climbing.sum() < len(at):
                few = Models([self._given[i] for i in np.flatnonzero(climbing).tolist()])
                at[climbing], here[climbing] = few._climbed(at[climbing], damping[climbing])
                break
            moved = np.clip(at + step, 0.0, _HIGHEST)
            there, new_gradient, new_curvature = self._scaled(moved)
            better = climbing & (there <= here + _ROUNDING * np.abs(here))
            damping = np.where(better, damping / 10, np.maximum(10 * damping, 1e-2))
            damping[damping < 1e-4] = 0.0
            here = np.where(better, there, here)
            at[better], gradient[better] = moved[better], new_gradient[better]
            curvature[better] = new_curvature[better]
        return at, here

    def _scaled(self, at: Floats) -> tuple[Floats, Floats, Floats]:
        """Value, gradient and curvature in components that are counted in units of the scale."""
        found = self.likelihood(at[:, 0] * self.scale, at[:, 1] * self.scale)
        scale = self.scale[:, None]
        return found.value, found.gradient * scale, found.curvature * scale[:, :, None] ** 2

    def _grouped(self, values: Floats) -> Floats:
        return np.add.reduceat(values, self._group_starts, axis=0)

    def _of_units(self, values: Floats) -> Floats:
        return np.add.reduceat(values, self._starts, axis=0)

    def _of_groups(self, values: Floats) -> Floats:
        return np.add.reduceat(values, self._first_groups, axis=0)

    def _products(self, left: Floats, right: Floats) -> Floats:
        """Left' right of each model, [m, q, r]."""
        if len(self.n) == 1:
            return np.asarray(left.T @ right, dtype=np.float64)[None]
        return self._of_units(left[:, :, None] * right[:, None, :])

    def _products_of_groups(self, sums: Floats) -> Floats:
        """Sums' sums of each model, [m, q, q]."""
        if len(self.n) == 1:
            return np.asarray(sums.T @ sums, dtype=np.float64)[None]
        return self._of_groups(sums[:, :, None] * sums[:, None, :])

    @cached_property
    def least_df(self) -> Floats:
        """Groups less the columns that are constant in each: fewer degrees of freedom cannot be.

        Satterthwaite's fall below where the group component is estimated near zero. [m].
        """
        starts = self._group_starts
        spans = np.maximum.reduceat(self.x, starts) - np.minimum.reduceat(self.x, starts)
        constant = np.maximum.reduceat(spans, self._first_groups) == 0
        return np.maximum(1.0, self.groups - constant.sum(axis=1))


def _step(
    gradient: Floats, curvature: Floats, damping: Floats, held: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """The step of each model, 0 where it is held, and twice what it would gain undamped."""
    down = np.where(held, 0.0, -gradient)
    free = ~held[:, :, None] & ~held[:, None, :]
    square = np.where(free, curvature, 0.0)
    diagonal = np.diagonal(square, axis1=1, axis2=2) + _LEAST_CURVATURE + held
    plain = square.copy()
    for i in range(2):
        plain[:, i, i] = diagonal[:, i]
    damped = plain.copy()
    for i in range(2):
        damped[:, i, i] *= 1 + damping
    gain = (down * _solved(plain, down)).sum(axis=1)
    return _solved(damped, down), gain


def _solved(square: Floats, right: Floats) -> Floats:
    """Of [m, 2, 2] positive matrices; the diagonal alone where one is not told from singular."""
    root = np.sqrt(np.diagonal(square, axis1=1, axis2=2))
    # With a diagonal of ones, which no product of large numbers can overflow.
    off, scaled = square[:, 0, 1] / root[:, 0] / root[:, 1], right / root
    apart = off**2 < 1 - 1e-12
    determinant = np.where(apart, 1 - off**2, 1.0)[:, None]
    both = (scaled - off[:, None] * scaled[:, ::-1]) / determinant
    return np.where(apart[:, None], both, scaled) / root


def _inner(left: Floats, right: Floats) -> Floats:
    product: Floats = (left * right).sum(axis=(1, 2))
    return product


def _times(square: Floats, columns: Floats) -> Floats:
    product: Floats = (square @ columns[:, :, None])[:, :, 0]
    return product
