"""The follow-up (arXiv 2511.12121): performance and alignment against strength, per redundancy."""

import numpy as np
import pandas as pd

from raysweep.trials.columns import named
from raysweep.trials.criteria import BEST
from raysweep.trials.verdict_words import VERDICT_WORDS
from raysweep_analysis.contrasts import forcing_effects
from raysweep_analysis.doses import dose_shapes
from raysweep_analysis.examples.markdown import section, table
from raysweep_analysis.figures.words import value_words
from raysweep_analysis.inference import paired_t
from raysweep_analysis.load import axes_of, values_of

PERFORMANCE = named("performance", 2, "population")
ALIGNMENT = named("alignment", "unbiased_cka", "test")
PAPER = {
    8: "rises, then flat",
    6: "rises, then flat",
    4: "inverted U, best at 0.4 to 0.6",
    2: "falls",
    0: "falls",
}
"""R -> what performance does as the strength grows, in the follow-up."""
_ALPHA = 0.05


def mean_curves(trials: pd.DataFrame, column: str) -> pd.DataFrame:
    """Means of search runs: rows are strengths (0 first), columns the redundancies.

    A draw counts once: means over its seeds, then over draws.

    Args:
        trials: the rows of one width and sample size, or more.
        column: what to average.
    """
    rows = _searched(trials, column)
    per_draw = rows.groupby(["R", "strength", "draw"])["y"].mean()
    curves = per_draw.groupby(["strength", "R"]).mean().unstack("R")
    curves.columns = [f"R = {r:g}" for r in curves.columns]
    return curves


def slopes(trials: pd.DataFrame, performance: str = PERFORMANCE) -> pd.DataFrame:
    """Slope of performance over strength in each cell: one line per unit, a t test over units.

    Returns:
        Rows per cell: `slope` (per unit of strength, mean over units), `p_slope`. Units are draws
        if there are several, else seeds.
    """
    rows = _searched(trials, performance)
    found = []
    for cell, group in rows.groupby("cell", sort=False):
        unit = "draw" if group["draw"].nunique() > 1 else "seed"
        wide = group.groupby([unit, "strength"])["y"].mean().unstack("strength").dropna()
        x = wide.columns.to_numpy(float)
        lines = np.polyfit(x, wide.to_numpy().T, 1)[0] if len(wide) and len(x) > 1 else np.empty(0)
        test = paired_t(lines[None], _ALPHA)
        found.append({"cell": cell, "slope": test.mean[0], "p_slope": test.p_value[0]})
    return pd.DataFrame(found, columns=["cell", "slope", "p_slope"])


def shapes_by_redundancy(
    trials: pd.DataFrame, performance: str = PERFORMANCE, alignment: str | None = ALIGNMENT
) -> pd.DataFrame:
    """What the curve of each cell looks like, its best strength, and the effect confirmed there.

    Args:
        trials: search and confirm rows.
        performance: the outcome.
        alignment: the alignment column; None for the first of the split.

    Returns:
        One row per cell and criterion of a strength on its curve, sorted by `axes_of` it and R
        descending: the other axes, `R`, `paper` (shape), `shape` (`inverted U` by the two-lines
        test; else `rises` or `falls` by the mean slope; else as `dose_shapes`), `best strength`,
        `search effect` (biased upward: it was chosen), `confirmed effect`, `low`, `high` (95 %),
        `verdict` (in words), `net of placebo`, `p any`, `p inverted U`, `slope`, `p slope`. Effects
        and slopes in points.
    """
    shapes = dose_shapes(trials, performance, alignment, _ALPHA).merge(
        slopes(trials, performance), on="cell"
    )
    effects = forcing_effects(trials, performance, _ALPHA, alignment=alignment)
    # The curve is at one way of training, best against best is at two.
    effects = effects[effects["chosen_by"] != BEST]
    axes = [name for name in axes_of(effects.drop_duplicates("cell")) if name not in ("U", "R")]
    kept = ["cell", "chosen_by", "R", *axes, "strength", "effect", "ci_low", "ci_high", "verdict"]
    rows = effects[[*kept, "effect_vs_placebo"]].merge(shapes, on="cell")
    rows = rows.sort_values([*axes, "R"], ascending=[*[True] * len(axes), False])
    found: dict[str, object] = {axis: rows[axis] for axis in axes}
    found |= {
        "R": rows["R"],
        "paper": rows["R"].map(PAPER).fillna(""),
        "shape": [_shape(row) for row in rows.to_dict("records")],
        "best strength": rows["strength"],
        "search effect": rows["effect_there"] * 100,
        "confirmed effect": rows["effect"] * 100,
        "low": rows["ci_low"] * 100,
        "high": rows["ci_high"] * 100,
        "verdict": rows["verdict"].map(VERDICT_WORDS),
        "net of placebo": rows["effect_vs_placebo"] * 100,
        "p any": rows["p_any"],
        "p inverted U": rows["p_inverted_u"],
        "slope": rows["slope"] * 100,
        "p slope": rows["p_slope"],
    }
    return pd.DataFrame(found).reset_index(drop=True)


def followup_tables(
    trials: pd.DataFrame, performance: str = PERFORMANCE, alignment: str = ALIGNMENT
) -> str:
    """Every table of the follow-up as one Markdown text."""
    shapes = shapes_by_redundancy(trials, performance, alignment)
    small = {name: 3 for name in ("p any", "p inverted U", "p slope")}
    searched = trials[trials["stage"].astype(str) == "search"]
    runs = searched.groupby("cell")[["draw", "seed"]].nunique().max()
    parts = [
        section(
            "Best strength and shape",
            f"Accuracy of modality 2, points; {runs['draw']} draws x {runs['seed']} seeds a "
            "strength in the search, confirmed on seeds that it never saw.",
            table(shapes, small),
        )
    ]
    axes = list(shapes.columns[: shapes.columns.get_loc("R")])
    groups = list(searched.groupby(axes, sort=True)) if axes else [((), searched)]
    for keys, rows in groups:
        where = ", ".join(value_words(trials, n, k) for n, k in zip(axes, keys, strict=True))
        parts.append(
            section(
                f"Means against strength{': ' + where if where else ''}",
                "Accuracy of modality 2, search runs:",
                _strengths(mean_curves(rows, performance)),
                f"Alignment ({alignment}), search runs:\n",
                _strengths(mean_curves(rows, alignment)),
            )
        )
    return "# Strength by redundancy\n\n" + "\n".join(parts)


def _searched(trials: pd.DataFrame, column: str) -> pd.DataFrame:
    use = (trials["stage"].astype(str) == "search") & (trials["status"].astype(str) == "ok")
    use &= trials["arm"].astype(str).isin(["none", "forced"])
    # strengths of a grid carry the rounding of its steps
    rows = trials[use].assign(y=values_of(trials, column)[use])
    return rows.assign(strength=rows["strength"].round(6))


def _shape(row: dict[object, object]) -> str:
    if row["shape"] == "inverted U" or not float(str(row["p_slope"])) < _ALPHA:
        return str(row["shape"])
    return "rises" if float(str(row["slope"])) > 0 else "falls"


def _strengths(curves: pd.DataFrame) -> str:
    shown = curves.reset_index()
    shown["strength"] = shown["strength"].map("{:g}".format)
    return table(shown, 3)
