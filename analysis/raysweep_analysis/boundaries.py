"""Where along a characteristic forcing turns from help to harm."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from raysweep.errors import InputError
from raysweep.trials.columns import PERFORMANCE
from raysweep_analysis.draws import draw_effects, numeric_covariate
from raysweep_analysis.inference import (
    CrossingSet,
    MetaRegression,
    Units,
    crossing,
    meta_regressions,
)
from raysweep_analysis.load import axes_of, describe_cells, higher_is_better
from raysweep_analysis.resplits import is_resplit

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_ALONG = ("U", "overlap", "I_shared", "R", "D_phi", "n_train", "width")
_RESAMPLES = 2_000


def boundary(
    trials: pd.DataFrame,
    performance: str = PERFORMANCE,
    along: str | None = None,
    by: Sequence[str] = (),
    alpha: float = 0.05,
    reference: str = "none",
    rng: np.random.Generator | None = None,
) -> pd.DataFrame:
    """Find where the effect changes sign along a characteristic.

    A line is fitted to the effects of dataset draws (REML, random effects of draws and of units);
    its crossing with zero has Fieller's confidence set, which is unbounded exactly when the slope
    cannot be told apart from zero. The bootstrap resamples draws and is there to compare: with few
    draws it is too narrow.

    Args:
        trials: a trial table.
        performance: the outcome.
        along: a number that describes cells, as `moderators` takes them; by default the first of
            U, overlap, I_shared, R, D_phi, n_train, width with at least three values.
        by: further descriptors; a line for each combination of their values.
        alpha: one minus the coverage.
        reference: `none`, or `placebo` for the effect net of it.
        rng: for the bootstrap; a fixed seed by default.

    Returns:
        One row per (study, data, chosen_by, by...): `performance along boundary` (the crossing),
        `set` (`interval`, `rays`: everything but the interval, `everywhere`, or `none`: not
        fitted), `low high` (ends of the set), `crosses` (`within`: an interval that meets the
        range looked at; `nowhere`: the whole set lies outside it, so the effect has one sign in
        it; `unknown`), `boot_low boot_high` (percentiles), `boot_share`
        (resamples that cross within the range looked at), `helps_side` (`below` or `above` the
        boundary; empty unless it lies `within`), `intercept slope slope_low slope_high p_slope`,
        `p_curved` (of a quadratic term: is a line enough?), `x_min x_max` (range looked at),
        `n_units n_cells n_draws`, `statement` (the finding in a sentence). Boundaries and ends are
        in the unit of `along`; `intercept` is in the outcome's (of accuracy and regret a share,
        0.01 is a point; of losses nats), slopes in that per unit of `along`.

    Raises:
        InputError: `along` or `by` is not in the table.

    Example:
        >>> from raysweep import analysis
        >>> from raysweep.analysis.examples import FORCING
        >>> trials = analysis.load_trials(FORCING)
        >>> lines = analysis.boundary(trials, along="U")
        >>> lines.loc[lines["chosen_by"] == "alignment", "set"].tolist()
        ['interval']
    """
    units = draw_effects(trials, performance, reference)
    told, lines = [], []
    for keys, group in units.groupby(
        ["study", "data", "chosen_by", *_known(units, by)], sort=False, dropna=False
    ):
        names = dict(zip(["study", "data", "chosen_by", *by], keys, strict=True))
        name = along or default_along(group)
        if name is None:
            continue
        told.append({**names, "performance": performance, "along": name})
        lines.append(_line(group, name))
    results = _results(lines, alpha, higher_is_better(performance), rng)
    rows = [names | result for names, result in zip(told, results, strict=True)]
    columns = ["study", "data", "chosen_by", *by, "performance", "along", *_RESULTS]
    return pd.DataFrame(rows, columns=columns)


_RESULTS = (
    *("boundary", "set", "low", "high", "crosses"),
    *("boot_low", "boot_high", "boot_share", "helps_side"),
    *("intercept", "slope", "slope_low", "slope_high", "p_slope", "p_curved"),
    *("x_min", "x_max", "n_units", "n_cells", "n_draws", "statement"),
)


def lines_by(trials: pd.DataFrame, along: str | None = None) -> list[str]:
    """The axes beside `along` that tell confirmed cells apart: what one line must not mix.

    Where effects differ between, say, encoder widths, a line through all of them crosses zero
    where none of them does. An axis that leaves no line with three values of `along` is a part of
    it and is not named.

    Args:
        trials: a trial table.
        along: as `boundary` takes it.
    """
    confirmed = trials[trials["stage"].astype(str) == "confirm"]
    cells = describe_cells(confirmed if len(confirmed) else trials)
    data = cells["data"].astype(str) if "data" in cells else pd.Series("", cells.index)
    found: list[str] = []
    for _, group in cells.groupby(data, sort=False):
        name = along or default_along(group)
        if name is None:
            continue
        kept: list[str] = []
        x = numeric_covariate(group, name)
        for axis in axes_of(group):
            of_line = x.groupby([group[c] for c in (*kept, axis)], dropna=False).nunique()
            if axis not in (name, f"{name}_1", f"{name}_2") and (of_line >= 3).any():
                kept.append(axis)
        found += [axis for axis in kept if axis not in found]
    return found


def default_along(units: pd.DataFrame) -> str | None:
    """The first characteristic with three values or more, or None."""
    for name in _ALONG:
        try:
            if numeric_covariate(units, name).nunique() >= 3:
                return name
        except KeyError:
            continue
    return None


@dataclass(frozen=True)
class _Line:
    """Effects of draws along a characteristic.

    Attributes:
        along: its name.
        x: [n].
        units: of `draw_effects`, n rows.
    """

    along: str
    x: Floats
    units: pd.DataFrame

    @cached_property
    def effects(self) -> Floats:
        return self.units["effect"].to_numpy(float)

    @cached_property
    def variances(self) -> Floats:
        return self.units["variance"].to_numpy(float)

    @cached_property
    def cells(self) -> Integers:
        """Code of the cell of each, [n]."""
        return pd.factorize(self.units["cell"].to_numpy())[0]

    @cached_property
    def draws(self) -> NDArray[Any]:
        return self.units["draw"].to_numpy()

    @property
    def is_fitted(self) -> bool:
        enough = len(self.x) >= 4 and len(np.unique(self.x)) >= 3
        return enough and not self.is_one_dataset

    @property
    def is_one_dataset(self) -> bool:
        """Whether all units are models of the same rows, split anew: their errors are shared."""
        return is_resplit(self.units) and self.units["dataset"].nunique() < 2

    @property
    def may_be_curved(self) -> bool:
        return len(self.x) >= 5 and len(np.unique(self.x)) >= 4

    @cached_property
    def blocks(self) -> NDArray[Any] | None:
        """Draw numbers, if there are several and they cross the values of x; else None."""
        labels, code = np.unique(self.draws, return_inverse=True)
        low, high = np.full(len(labels), np.inf), np.full(len(labels), -np.inf)
        np.minimum.at(low, code, self.x)
        np.maximum.at(high, code, self.x)
        return self.draws if len(labels) >= 2 and bool((low < high).any()) else None

    def polynomial(self, degree: int) -> Units:
        """What is fitted: powers of x, which is standardized from the second on."""
        x = self.x if degree == 1 else (self.x - self.x.mean()) / self.x.std()
        design = np.column_stack([x**power for power in range(degree + 1)])
        return Units(self.effects, self.variances, design, self.blocks, self.blocks)


def _line(units: pd.DataFrame, along: str) -> _Line:
    x = _values(units, along)
    known = np.isfinite(x)
    return _Line(along, x[known], units[known])


def fitted_line(units: pd.DataFrame, along: str) -> MetaRegression:
    """Effects of units = a + b * along.

    Random effects: of units, and of draws where the same draw number occurs at several values, as
    it does in a grid: such datasets share the generator's random choices.

    Raises:
        ValueError: fewer than three units, or all at one value.
    """
    return meta_regressions([_line(units, along).polynomial(1)])[0]


def zero_crossing(fit: MetaRegression, x: NDArray[np.float64], alpha: float) -> CrossingSet:
    """Fieller's set for the crossing of a fitted line, from values of x like those looked at."""
    a, b = fit.coefficients
    # Degrees of freedom of the line's height where it crosses, or at the nearest value looked at.
    at = float(np.clip(-a / b, x.min(), x.max())) if b else float(x.mean())
    cov, df = fit.spread([1.0, at])
    t = float(stats.t.ppf(1 - alpha / 2, df))
    return crossing(float(a), float(b), cov[0, 0], cov[1, 1], cov[0, 1], t)


def _results(
    lines: Sequence[_Line], alpha: float, higher_better: bool, rng: np.random.Generator | None
) -> list[dict[str, object]]:
    """What is found of each line, in the order given."""
    straight = _fits(lines, [line.is_fitted for line in lines], 1)
    curved = _fits(lines, [line.is_fitted and line.may_be_curved for line in lines], 2)
    resamples = _Resamples(rng)
    return [
        _of_line(line, fit, bent, alpha, higher_better, resamples)
        for line, fit, bent in zip(lines, straight, curved, strict=True)
    ]


def _fits(
    lines: Sequence[_Line], wanted: Sequence[bool], degree: int
) -> list[MetaRegression | None]:
    chosen = [
        line.polynomial(degree) for line, is_wanted in zip(lines, wanted, strict=True) if is_wanted
    ]
    fits = iter(meta_regressions(chosen))
    return [next(fits) if is_wanted else None for is_wanted in wanted]


def _of_line(
    line: _Line,
    fit: MetaRegression | None,
    curved: MetaRegression | None,
    alpha: float,
    higher_better: bool,
    resamples: "_Resamples",
) -> dict[str, object]:
    x, along = line.x, line.along
    result: dict[str, object] = {
        "n_units": len(x),
        "n_cells": len(np.unique(line.cells)),
        "n_draws": len(np.unique(line.draws)),
        "x_min": x.min() if len(x) else np.nan,
        "x_max": x.max() if len(x) else np.nan,
    }
    if fit is None:
        why = f"{len(x)} units at {len(np.unique(x))} values of {along}"
        why = "all units are models of one dataset, split anew" if line.is_one_dataset else why
        return result | {"set": "none", "crosses": "unknown", "statement": f"not fitted: {why}"}
    a, b = fit.coefficients
    found = zero_crossing(fit, x, alpha)
    p_slope, slope_low, slope_high = fit.interval([0.0, 1.0], alpha)
    boot = _bootstrap(line, fit, alpha, resamples)
    below = (b < 0) == higher_better
    return result | {
        "boundary": found.point,
        "set": found.kind,
        "low": found.low,
        "high": found.high,
        "crosses": _crosses(found, x),
        **boot,
        "helps_side": ("below" if below else "above") if _crosses(found, x) == "within" else "",
        "intercept": float(a),
        "slope": float(b),
        "slope_low": slope_low,
        "slope_high": slope_high,
        "p_slope": p_slope,
        "p_curved": np.nan if curved is None else curved.interval([0.0, 0.0, 1.0])[0],
        "statement": _statement(
            found, along, below, (a + b * x.mean() > 0) == higher_better, x, alpha
        ),
    }


def _crosses(found: CrossingSet, x: NDArray[np.float64]) -> str:
    low, high = x.min(), x.max()
    if found.kind == "interval":
        return "nowhere" if found.high < low or found.low > high else "within"
    nowhere = found.kind == "rays" and found.low < low and found.high > high
    return "nowhere" if nowhere else "unknown"


def _statement(
    found: CrossingSet,
    along: str,
    below: bool,
    gain: bool,
    x: NDArray[np.float64],
    alpha: float,
) -> str:
    level = f"{1 - alpha:.0%}"
    if _crosses(found, x) == "nowhere":
        return (
            f"forcing {'helps' if gain else 'hurts'} at every {along} from {x.min():g} to "
            f"{x.max():g} (no crossing there)"
        )
    if not found.bounded:
        return f"unbounded: no change of sign along {along} can be located"
    outside = "" if x.min() <= found.point <= x.max() else " (outside the range looked at)"
    return (
        f"forcing helps {'below' if below else 'above'} {along} = {found.point:.3g}{outside}, "
        f"{level} set {found.low:.3g} to {found.high:.3g}"
    )


class _Resamples:
    """How often each of n is drawn in each resample; the same for all lines of one seed."""

    def __init__(self, rng: np.random.Generator | None) -> None:
        self._rng = rng
        self._kept: dict[tuple[int, ...], Integers] = {}

    def counts(self, sizes: Sequence[int]) -> Integers:
        """Counts [resamples, sum of sizes], drawn within each of the sets of these sizes."""
        kept = self._kept.get(tuple(sizes)) if self._rng is None else None
        if kept is None:
            rng = np.random.default_rng(0) if self._rng is None else self._rng
            kept = np.concatenate(
                [rng.multinomial(n, np.full(n, 1 / n), _RESAMPLES) for n in sizes], axis=1
            )
            self._kept = {tuple(sizes): kept}
        return kept


def _bootstrap(
    line: _Line, fit: MetaRegression, alpha: float, resamples: _Resamples
) -> dict[str, float]:
    """Percentile interval of the crossing over resampled draws; NaN with one draw per cell."""
    x, y = line.x, line.effects
    nothing = {"boot_low": np.nan, "boot_high": np.nan, "boot_share": np.nan}
    if line.blocks is not None:
        # whole draws are resampled, with all their cells
        labels, code = np.unique(line.blocks, return_inverse=True)
        counts = resamples.counts([len(labels)])
    else:
        size = np.bincount(line.cells)
        if (size < 2).all():
            return nothing
        # columns in the order of cells
        code = np.argsort(np.argsort(line.cells, kind="stable"), kind="stable")
        counts = resamples.counts(size.tolist())
    w = 1 / np.maximum(line.variances + fit.tau2, 1e-12)
    sums = [np.bincount(code, w * z) for z in (np.ones_like(x), x, x**2, y, x * y)]
    s, sx, sxx, sy, sxy = (counts.astype(float) @ np.column_stack(sums)).T
    determinant = s * sxx - sx**2
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (s * sxy - sx * sy) / determinant
        point = -((sxx * sy - sx * sxy) / determinant) / slope
    point = point[np.isfinite(point)]
    if not len(point):
        return nothing
    low, high = np.quantile(point, [alpha / 2, 1 - alpha / 2])
    share = float(((point >= x.min()) & (point <= x.max())).mean())
    return {"boot_low": float(low), "boot_high": float(high), "boot_share": share}


def _values(units: pd.DataFrame, along: str) -> NDArray[np.float64]:
    try:
        return numeric_covariate(units, along).to_numpy(float)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"boundary: along = {along!r} is not a number that describes cells"
        ) from error


def _known(units: pd.DataFrame, by: Sequence[str]) -> list[str]:
    missing = [name for name in by if name not in units]
    if missing:
        raise InputError(f"boundary: by = {', '.join(missing)} is not in the trial table")
    return list(by)
