"""What performance and alignment do as the strength grows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raysweep.trials.columns import PERFORMANCE, column_of
from raysweep_analysis.inference import isotonic, max_t, moments, paired_t, single_peaked, two_lines
from raysweep_analysis.load import (
    alignment_column,
    describe_cells,
    filled,
    higher_is_better,
    usable,
    values_of,
)
from raysweep_analysis.pairs import PLACE
from raysweep_analysis.resplits import SPLIT, shared_among, tested_share

Floats = NDArray[np.float64]

CURVE_COLUMNS = [
    *("study", "cell", "label", "performance", "alignment", "stage", "strength", "n", "unit"),
    *("effect", "ci_low", "ci_high", "p_value", "p_maxt", "fit"),
    *("alignment_mean", "alignment_gain", "alignment_ci_low", "alignment_ci_high"),
    *("alignment_fit", "best_for"),
]
SHAPE_COLUMNS = [
    *("study", "cell", "label", "performance", "n", "n_strengths", "p_any"),
    *("best_for_performance", "effect_there", "best_for_alignment", "effect_at_best_alignment"),
    *("peak", "slope_low", "slope_high", "p_low", "p_high", "p_inverted_u", "shape", "note"),
]


def dose_response(
    trials: pd.DataFrame,
    performance: str = PERFORMANCE,
    alignment: str | None = None,
    alpha: float = 0.05,
    stage: str = "search",
) -> pd.DataFrame:
    """Effect and alignment gain at every strength, against strength 0 of the same draw and seed.

    Exploratory where a search proposed the strengths: the verdict is `forcing_effects`'. Where
    it also proposed options of the loss, runs of one strength are averaged over them.

    Args:
        trials: a trial table.
        performance: the outcome.
        alignment: the alignment column; by default the first of the same split.
        alpha: one minus the coverage of the intervals.
        stage: the rows to use.

    Returns:
        One row per (study, cell, strength > 0): `n` (units: draws if several, else seeds),
        `effect ci_low ci_high p_value` (paired t), `p_maxt` (sign-flip over all strengths of the
        cell that all units have; empty over splits of the same rows), `fit` (closest single-peaked
        curve), `alignment_mean`,
        `alignment_gain alignment_ci_low alignment_ci_high`, `alignment_fit` (isotonic),
        `best_for` (`performance`, `alignment`, both joined by `+`, or empty). `effect`, its ends
        and `fit` are in the outcome's unit: of accuracy and regret a share (0.01 is a point), of
        losses nats; those of alignment in the unit of its column.

    Example:
        >>> from raysweep import analysis
        >>> from raysweep.analysis.examples import FORCING
        >>> trials = analysis.load_trials(FORCING)
        >>> curves = analysis.dose_response(trials)
        >>> curves["strength"].gt(0).all()
        np.True_
        >>> len(curves), curves["cell"].nunique()
        (360, 40)
    """
    return doses(trials, performance, alignment, alpha, stage)[0]


def dose_shapes(
    trials: pd.DataFrame,
    performance: str = PERFORMANCE,
    alignment: str | None = None,
    alpha: float = 0.05,
    stage: str = "search",
) -> pd.DataFrame:
    """One row per (study, cell): is there any effect, which strengths are best, which shape?

    Returns:
        `p_any` (max-t over strengths), `best_for_performance effect_there best_for_alignment
        effect_at_best_alignment`, the split-unit two-lines test over log strength (`peak slope_low
        slope_high p_low p_high p_inverted_u`), `shape` (`inverted U`, `some effect`, `no effect
        shown`, or `unknown`), and `note` (what is missing). Effects are in the outcome's unit, as
        in `dose_response`; slopes in that per factor 10 of the strength.

    Example:
        >>> from raysweep import analysis
        >>> from raysweep.analysis.examples import FORCING
        >>> trials = analysis.load_trials(FORCING)
        >>> len(analysis.dose_shapes(trials))
        40
    """
    return doses(trials, performance, alignment, alpha, stage)[1]


def doses(
    trials: pd.DataFrame,
    performance: str = PERFORMANCE,
    alignment: str | None = None,
    alpha: float = 0.05,
    stage: str = "search",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`dose_response` and `dose_shapes` in one go."""
    trials = filled(trials)
    measure = alignment_column(trials, column_of(performance).split, alignment)
    ok = usable(trials)
    arm = trials["arm"].astype(str)
    use = ok & (trials["stage"].astype(str) == stage) & arm.isin(["none", "forced"])
    rows = trials.loc[use, [*PLACE, "draw", "seed", "strength"]].assign(
        y=values_of(trials, performance)[use],
        a=values_of(trials, measure)[use] if measure else np.nan,
    )
    rows["tested"] = tested_share(trials)[use]
    rows["place"] = rows.groupby(PLACE, sort=False).ngroup()
    names = rows.drop_duplicates("place")[PLACE].reset_index(drop=True)
    names = names.merge(describe_cells(trials)[[*PLACE, "label"]], on=PLACE, how="left")
    names["performance"] = performance
    sign = 1 if higher_is_better(performance) else -1
    curves, shapes = [_NO_CURVES], [_NO_SHAPES]
    for cells in _alike(rows):
        curve, shape = _of_cells(cells, sign, alpha)
        curves.append(curve)
        shapes.append(shape)
    table = _placed(curves, names).assign(alignment=measure or "", stage=stage)
    return table[CURVE_COLUMNS], _placed(shapes, names).reindex(columns=SHAPE_COLUMNS)


_NOT_INDEPENDENT = "units are splits of the same rows: tests by flipping signs do not hold for them"

_NO_CURVES = pd.DataFrame({name: [] for name in ("place", *CURVE_COLUMNS[6:])})
_NO_SHAPES = pd.DataFrame({"place": []})


def _placed(parts: list[pd.DataFrame], names: pd.DataFrame) -> pd.DataFrame:
    """Rows of all parts in the order of their places, each with the names of its place."""
    found = [part for part in parts if len(part)] or parts[:1]
    table = pd.concat(found, ignore_index=True).sort_values("place", kind="stable")
    place = table.pop("place").to_numpy(np.int64)
    return pd.concat(
        [names.iloc[place].reset_index(drop=True), table.reset_index(drop=True)], axis=1
    )


@dataclass(frozen=True)
class _Cells:
    """Search runs of cells with equally many runs and strengths, missing in the same places.

    Attributes:
        place: [c] which cells.
        strengths: [c, k] rising.
        draws: [r] the draw of each run, the same in all cells.
        resplit: whether draws are splits of the same rows, the same in all cells.
        shared: what such draws share, the same in all cells.
        y, a: [c, r, k] performance and alignment, NaN where missing.
    """

    place: NDArray[np.int64]
    strengths: Floats
    draws: NDArray[np.int64]
    resplit: bool
    shared: float
    y: Floats
    a: Floats


def _alike(rows: pd.DataFrame) -> Iterator[_Cells]:
    """The cells of rows `place draw seed strength y a`, in groups that one computation serves."""
    measured = ["y", "a", "tested"]
    rows = rows.groupby(["place", "draw", "seed", "strength"], as_index=False)[measured].mean()
    shares, resplit = (np.zeros(rows["place"].nunique(), kind) for kind in (float, bool))
    for at in rows.loc[rows["tested"].notna(), "place"].unique():
        of_cell = rows[rows["place"] == at]
        resplit[at] = True
        shares[at] = shared_among(of_cell["draw"], float(of_cell["tested"].mean()))
    place = rows["place"].to_numpy()
    run = rows.groupby(["place", "draw", "seed"]).ngroup().to_numpy()
    level = rows.groupby(["place", "strength"]).ngroup().to_numpy()
    draw = rows.groupby(["place", "draw"]).ngroup().to_numpy()
    cells = int(place.max()) + 1 if len(place) else 0
    firsts = [_first_of(place, code, cells) for code in (run, level, draw)]
    run, level, draw = (
        code - first[place] for code, first in zip((run, level, draw), firsts, strict=True)
    )
    runs, levels = (np.zeros(cells, np.int64) for _ in range(2))
    np.maximum.at(runs, place, run + 1)
    np.maximum.at(levels, place, level + 1)
    order = np.argsort(place, kind="stable")
    bounds = np.searchsorted(place[order], np.arange(cells + 1))
    columns = {name: rows[name].to_numpy(float) for name in ("strength", "y", "a")}
    groups: dict[tuple[Any, ...], list[_Cells]] = {}
    for cell in range(cells):
        own = order[bounds[cell] : bounds[cell + 1]]
        of_run = np.zeros(runs[cell], np.int64)
        of_run[run[own]] = draw[own]
        strengths = np.zeros(levels[cell])
        strengths[level[own]] = columns["strength"][own]
        y, a = (np.full((runs[cell], levels[cell]), np.nan) for _ in range(2))
        y[run[own], level[own]] = columns["y"][own]
        a[run[own], level[own]] = columns["a"][own]
        share = float(shares[cell])
        key = (
            y.shape,
            of_run.tobytes(),
            bool(resplit[cell]),
            share,
            strengths[0] == 0,
            *(np.isnan(v).tobytes() for v in (y, a)),
        )
        one = _Cells(
            np.array([cell]), strengths[None], of_run, bool(resplit[cell]), share, y[None], a[None]
        )
        groups.setdefault(key, []).append(one)
    for alike in groups.values():
        stacked = (
            np.concatenate([getattr(one, name) for one in alike])
            for name in ("place", "strengths", "y", "a")
        )
        places, strengths, y, a = stacked
        first = alike[0]
        yield _Cells(places, strengths, first.draws, first.resplit, first.shared, y, a)


def _first_of(place: NDArray[Any], code: NDArray[Any], cells: int) -> NDArray[np.int64]:
    first = np.full(cells, np.iinfo(np.int64).max)
    np.minimum.at(first, place, code)
    return first


def _of_cells(cells: _Cells, sign: int, alpha: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The curves of cells (a row per strength), and their shapes (a row each)."""
    strengths = cells.strengths[:, 1:]
    has_zero = cells.strengths[0, 0] == 0
    if not has_zero or not strengths.shape[1] or np.isnan(cells.y[0, :, 0]).all():
        forced = strengths.shape[1] if has_zero else cells.strengths.shape[1]
        missing = "strength 0" if forced else "strengths above 0"
        note = f"no finished runs of {missing} to compare"
        shape = {"place": cells.place, "shape": "unknown", "note": note, "n": 0}
        return _NO_CURVES, pd.DataFrame(shape)
    count, k = strengths.shape
    by_draw = len(np.unique(cells.draws)) >= 2
    resplit, shared = cells.resplit and by_draw, cells.shared
    effect = _units(cells.y[..., 1:] - cells.y[..., :1], cells.draws, by_draw)
    test = paired_t(effect.swapaxes(1, 2), alpha, shared)
    # Which strengths all units have is the same in all cells.
    complete = test.n[0] == test.n[0].max()
    family = max_t(effect[..., complete])
    p_maxt = np.full((count, k), np.nan)
    if not resplit:  # signs flip independently for independent units alone
        p_maxt[:, complete] = family.p_adjusted
    weights = np.maximum(test.n, 1).astype(float)
    gains = _units(cells.a[..., 1:] - cells.a[..., :1], cells.draws, by_draw)
    gain = paired_t(gains.swapaxes(1, 2), alpha, shared)
    known = np.isfinite(gain.mean).all(axis=1, keepdims=True)
    best = {"performance": _best(sign * test.mean), "alignment": _best(gain.mean)}
    at = {purpose: np.arange(k) == which[:, None] for purpose, which in best.items()}
    curve = {
        "place": np.repeat(cells.place, k),
        "strength": strengths,
        "n": test.n,
        "unit": SPLIT if resplit else "draw" if by_draw else "seed",
        "effect": test.mean,
        "ci_low": test.ci_low,
        "ci_high": test.ci_high,
        "p_value": test.p_value,
        "p_maxt": p_maxt,
        "fit": sign * single_peaked(sign * np.nan_to_num(test.mean), weights),
        "alignment_mean": moments(cells.a[..., 1:].swapaxes(1, 2))[1],
        "alignment_gain": gain.mean,
        "alignment_ci_low": gain.ci_low,
        "alignment_ci_high": gain.ci_high,
        "alignment_fit": np.where(known, isotonic(np.nan_to_num(gain.mean), weights), np.nan),
        "best_for": np.select(
            [at["performance"] & at["alignment"], at["performance"], at["alignment"]],
            ["performance+alignment", "performance", "alignment"],
            "",
        ),
    }
    shape = {
        "place": cells.place,
        "n": int(test.n[0].max()),
        "n_strengths": k,
        "p_any": np.nan if resplit else family.p_any,
    }
    for purpose, value in (
        ("performance", "effect_there"),
        ("alignment", "effect_at_best_alignment"),
    ):
        there = at[purpose].any(axis=1)
        shape[f"best_for_{purpose}"] = np.where(there, _at(strengths, best[purpose]), np.nan)
        shape[value] = np.where(there, _at(test.mean, best[purpose]), np.nan)
    curves = _units(cells.y, cells.draws, by_draw)[..., np.append(True, complete)]
    if resplit:
        shape |= {"shape": "unknown", "note": _NOT_INDEPENDENT}
    else:
        shape |= _shape(curves, strengths[:, complete], sign, alpha, family.p_any)
    flat = {name: np.ravel(v) if isinstance(v, np.ndarray) else v for name, v in curve.items()}
    return pd.DataFrame(flat), pd.DataFrame(shape)


def _units(runs: Floats, draws: NDArray[np.int64], by_draw: bool) -> Floats:
    """Runs [c, r, k], or their means over the seeds of each draw [c, draws, k]."""
    if not by_draw:
        return runs
    last = runs.swapaxes(1, 2)
    return np.stack([moments(last[..., draws == d])[1] for d in np.unique(draws)], axis=1)


def _best(values: Floats) -> NDArray[np.int64]:
    """Where each row [c, k] is largest, -1 where nothing is known."""
    known = np.isfinite(values)
    where = np.where(known, values, -np.inf).argmax(axis=1)
    return np.where(known.any(axis=1), where, -1)


def _at(values: Floats, which: NDArray[np.int64]) -> Floats:
    return np.take_along_axis(values, np.maximum(which, 0)[:, None], axis=1)[:, 0]


def _shape(
    curves: Floats, used: Floats, sign: int, alpha: float, p_any: Floats
) -> dict[str, object]:
    # Strength 0 belongs to the curve; on the log axis it stands one step below the smallest one.
    axis = np.log10(used)
    step = np.median(np.diff(axis), axis=1) if axis.shape[1] > 1 else np.ones(len(axis))
    lines = two_lines(np.column_stack([axis[:, 0] - step, axis]), sign * curves)
    units = curves.shape[1]
    least = 2.0 ** (1 - units)
    shape: Any
    note: Any
    if least > alpha:
        # an exact test of so few units has no pattern of signs that is rare enough
        shape, note = "unknown", f"{units} units: no p below {least:.2g} is possible"
    else:
        inverted = lines.p_inverted_u < alpha
        shape = np.select(
            [inverted, p_any < alpha], ["inverted U", "some effect"], "no effect shown"
        )
        few = "" if lines.n >= 3 else "too few units to test for an inverted U"
        note = np.where(inverted, "", few)
    return {
        "peak": 10**lines.peak,
        "slope_low": sign * lines.slope_low,
        "slope_high": sign * lines.slope_high,
        "p_low": lines.p_low,
        "p_high": lines.p_high,
        "p_inverted_u": lines.p_inverted_u,
        "shape": shape,
        "note": note,
    }
