"""What performance and alignment do as the strength grows."""

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raysweep_analysis.inference import isotonic, max_t, moments, paired_t, single_peaked, two_lines
from raysweep_analysis.load import (
    alignment_column,
    describe_cells,
    higher_is_better,
    plain,
    values_of,
)
from raysweep_analysis.pairs import PLACE

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
    performance: str = "performance_fused_test",
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
        cell that all units have), `fit` (closest single-peaked curve), `alignment_mean`,
        `alignment_gain alignment_ci_low alignment_ci_high`, `alignment_fit` (isotonic),
        `best_for` (`performance`, `alignment`, both joined by `+`, or empty). `effect`, its ends
        and `fit` are in the outcome's unit: of accuracy and regret a share (0.01 is a point), of
        losses nats; those of alignment in the unit of its column.
    """
    return doses(trials, performance, alignment, alpha, stage)[0]


def dose_shapes(
    trials: pd.DataFrame,
    performance: str = "performance_fused_test",
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
    """
    return doses(trials, performance, alignment, alpha, stage)[1]


def doses(
    trials: pd.DataFrame,
    performance: str = "performance_fused_test",
    alignment: str | None = None,
    alpha: float = 0.05,
    stage: str = "search",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`dose_response` and `dose_shapes` in one go."""
    trials = plain(trials)
    measure = alignment_column(trials, performance, alignment)
    ok = trials["status"].astype(str) == "ok"
    arm = trials["arm"].astype(str)
    use = ok & (trials["stage"].astype(str) == stage) & arm.isin(["none", "forced"])
    rows = trials.loc[use, [*PLACE, "draw", "seed", "strength"]].assign(
        y=values_of(trials, performance)[use],
        a=values_of(trials, measure)[use] if measure else np.nan,
    )
    rows = rows.groupby([*PLACE, "draw", "seed", "strength"], sort=False, as_index=False).mean()
    cells = describe_cells(trials)
    labels = dict(zip(zip(cells["study"], cells["cell"], strict=True), cells["label"], strict=True))
    sign = 1 if higher_is_better(performance) else -1
    curves, shapes = [], []
    for place, group in rows.groupby(PLACE, sort=False):
        names = {
            "study": place[0],
            "cell": place[1],
            "label": labels[place[0], place[1]],
            "performance": performance,
        }
        curve, shape = _of_cell(group, sign, alpha)
        if len(curve):
            curves.append(curve.assign(**names, alignment=measure or "", stage=stage))
        shapes.append(names | shape)
    empty = pd.DataFrame(columns=CURVE_COLUMNS)
    table = pd.concat(curves, ignore_index=True)[CURVE_COLUMNS] if curves else empty
    return table, pd.DataFrame(shapes, columns=SHAPE_COLUMNS)


def _of_cell(
    rows: pd.DataFrame, sign: int, alpha: float
) -> tuple[pd.DataFrame, dict[Hashable, object]]:
    """The curve of a cell (a row per strength) and its shape."""
    performance, aligned_runs, draws, levels = _wide(rows)
    strengths = [float(s) for s in levels if s > 0]
    if 0.0 not in levels or not strengths or np.isnan(performance[:, 0]).all():
        missing = "strength 0" if strengths else "strengths above 0"
        note = f"no finished runs of {missing} to compare"
        return pd.DataFrame(), {"shape": "unknown", "note": note, "n": 0}
    by_draw = len(np.unique(draws)) >= 2
    curves = _units(performance, draws, by_draw)
    effect = _units(performance[:, 1:] - performance[:, :1], draws, by_draw)
    test = paired_t(effect.T, alpha)
    complete = [i for i in range(len(strengths)) if test.n[i] == test.n.max()]
    family = max_t(effect[:, complete])
    p_maxt = np.full(len(strengths), np.nan)
    p_maxt[complete] = family.p_adjusted
    weights = np.maximum(test.n, 1).astype(float)
    gains = _units(aligned_runs[:, 1:] - aligned_runs[:, :1], draws, by_draw)
    aligned = _alignment(aligned_runs[:, 1:], gains, alpha, weights)
    best = {
        "performance": _best(sign * test.mean),
        "alignment": _best(aligned["alignment_gain"]),
    }
    best_for = ["+".join(p for p, at in best.items() if at == i) for i in range(len(strengths))]
    curve = pd.DataFrame(
        {
            "strength": strengths,
            "n": test.n,
            "unit": "draw" if by_draw else "seed",
            "effect": test.mean,
            "ci_low": test.ci_low,
            "ci_high": test.ci_high,
            "p_value": test.p_value,
            "p_maxt": p_maxt,
            "fit": sign * single_peaked(sign * np.nan_to_num(test.mean), weights),
            **aligned,
            "best_for": best_for,
        }
    )
    shape: dict[Hashable, object] = {
        "n": int(test.n.max()),
        "n_strengths": len(strengths),
        "p_any": family.p_any,
    }
    for purpose, value in (
        ("performance", "effect_there"),
        ("alignment", "effect_at_best_alignment"),
    ):
        at = best[purpose]
        shape[f"best_for_{purpose}"] = strengths[at] if at is not None else np.nan
        shape[value] = test.mean[at] if at is not None else np.nan
    used = [strengths[i] for i in complete]
    curves = curves[:, [0, *(i + 1 for i in complete)]]
    return curve, shape | _shape(curves, used, sign, alpha, family.p_any)


def _wide(rows: pd.DataFrame) -> tuple[Floats, Floats, NDArray[Any], Floats]:
    """Performance and alignment [runs, strengths], the draw of each run, and the strengths."""
    run = rows.groupby(["draw", "seed"], sort=True).ngroup().to_numpy()
    levels, dose = np.unique(rows["strength"].to_numpy(float), return_inverse=True)
    draws = np.empty(int(run.max()) + 1, dtype=rows["draw"].to_numpy().dtype)
    draws[run] = rows["draw"].to_numpy()
    found = []
    for column in ("y", "a"):
        values = rows[column].to_numpy(float)
        table = np.full((len(draws), len(levels)), np.nan)
        known = ~np.isnan(values)
        table[run[known], dose[known]] = values[known]
        found.append(table)
    return found[0], found[1], draws, levels


def _alignment(
    runs: Floats, gains: Floats, alpha: float, weights: Floats
) -> dict[str, NDArray[np.float64]]:
    gain = paired_t(gains.T, alpha)
    known = np.isfinite(gain.mean).all()
    return {
        "alignment_mean": moments(runs.T)[1],
        "alignment_gain": gain.mean,
        "alignment_ci_low": gain.ci_low,
        "alignment_ci_high": gain.ci_high,
        "alignment_fit": isotonic(gain.mean, weights) if known else gain.mean * np.nan,
    }


def _units(runs: Floats, draws: NDArray[Any], by_draw: bool) -> Floats:
    """Runs [runs, k], or their means over the seeds of each draw [draws, k]."""
    if not by_draw:
        return runs
    return np.stack([moments(runs[draws == draw].T)[1] for draw in np.unique(draws)])


def _best(values: NDArray[np.float64]) -> int | None:
    return int(np.nanargmax(values)) if np.isfinite(values).any() else None


def _shape(
    curves: Floats, used: list[float], sign: int, alpha: float, p_any: float
) -> dict[Hashable, object]:
    # Strength 0 belongs to the curve; on the log axis it stands one step below the smallest one.
    axis = np.log10(used)
    step = float(np.median(np.diff(axis))) if len(axis) > 1 else 1.0
    lines = two_lines(np.append(axis[0] - step, axis), sign * curves)
    least = 2.0 ** (1 - len(curves))
    if least > alpha:
        # an exact test of so few units has no pattern of signs that is rare enough
        shape, note = "unknown", f"{len(curves)} units: no p below {least:.2g} is possible"
    elif lines.p_inverted_u < alpha:
        shape, note = "inverted U", ""
    else:
        shape = "some effect" if p_any < alpha else "no effect shown"
        note = "" if lines.n >= 3 else "too few units to test for an inverted U"
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
