"""Effects with their intervals, one row per cell."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from raysweep.trials.verdict_words import VERDICT_WORDS
from raysweep_analysis.figures import style
from raysweep_analysis.figures.words import CRITERION_WORDS
from raysweep_analysis.load import higher_is_better
from raysweep_analysis.verdicts import FOUND


def effect_forest(effects: pd.DataFrame, margin: float = 0.005, most: int = 40) -> Figure:
    """Draw the effect of forcing in every cell, against no forcing and against the placebo.

    Args:
        effects: as from `raysweep_analysis.forcing_effects`.
        margin: the largest effect that counts as no difference, drawn as a band.
        most: rows to draw at most, of evenly spaced cells; the note counts the others.
    """
    tested = effects[effects["verdict"] != "untested"]
    if tested.empty:
        return style.empty_figure("no confirmed cell yet: no effects to draw")
    criteria = list(dict.fromkeys(tested["chosen_by"]))
    cells = style.spaced(list(dict.fromkeys(tested["cell"])), max(1, most // len(criteria)))
    rows = tested[tested["cell"].isin(cells)]
    factor, unit = style.scale_of(rows["performance"].iloc[0])
    with style.styled():
        lines = len(rows) + (len(criteria) if len(criteria) > 1 else 0)
        figure = style.new_figure(0.9 + 0.29 * lines)
        axis = figure.subplots()
        axis.axvspan(-margin * factor, margin * factor, color=style.colour("band"), zorder=0)
        axis.axvline(0, color=style.colour("muted"), linewidth=0.8, zorder=1)
        y, ticks, names = 0.0, [], []
        right = axis.get_yaxis_transform()
        for criterion in criteria:
            if len(criteria) > 1:
                axis.text(
                    -0.01,
                    y,
                    CRITERION_WORDS.get(criterion, criterion or "forced"),
                    transform=right,
                    ha="right",
                    va="center",
                    fontweight="bold",
                    fontsize=8,
                )
                y -= 1
            for row in rows[rows["chosen_by"] == criterion].to_dict("records"):
                known = row["verdict"] in FOUND
                shade = style.colour(row["verdict"])
                if np.isfinite(row["effect_vs_placebo"]):
                    axis.plot(
                        [row["placebo_ci_low"] * factor, row["placebo_ci_high"] * factor],
                        [y - 0.27] * 2,
                        color=style.colour("placebo"),
                        linewidth=1.0,
                    )
                    axis.plot(
                        row["effect_vs_placebo"] * factor,
                        y - 0.27,
                        "D",
                        markersize=2.8,
                        color=style.colour("placebo"),
                    )
                axis.plot(
                    [row["ci_low"] * factor, row["ci_high"] * factor],
                    [y, y],
                    color=shade,
                    linewidth=2.2,
                    solid_capstyle="butt",
                )
                axis.plot(
                    row["effect"] * factor,
                    y,
                    style.VERDICT_MARKER[row["verdict"]],
                    color=shade,
                    markerfacecolor=shade if known else style.colour("paper"),
                    markersize=6.5,
                )
                axis.text(
                    1.02, y, _numbers(row, factor), transform=right, va="center", fontsize=7.5
                )
                ticks.append(y)
                names.append(style.folded(row["label"], 36, lines=2))
                y -= 1
        axis.set_yticks(ticks, names, parse_math=False)
        axis.set_ylim(y + 0.3, 0.7)
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
        axis.grid(axis="x")
        better = "right" if higher_is_better(rows["performance"].iloc[0]) else "left"
        axis.set_xlabel(
            f"effect of forcing ({unit}; {better} is better)\n"
            f"{style.outcome_words(rows['performance'].iloc[0])}"
        )
        axis.text(
            1.02,
            1.0,
            "effect [95 % interval], n, strength",
            transform=axis.transAxes,
            fontsize=7.5,
            va="bottom",
            color=style.colour("muted"),
        )
        _legend(figure, rows, margin * factor, unit, len(tested) - len(rows))
    return figure


def _numbers(row: dict[object, object], factor: float) -> str:
    values = [float(str(row[c])) * factor for c in ("effect", "ci_low", "ci_high")]
    digits = style.digits_of(str(row["performance"]), *values)
    effect, low, high = (style.signed(v, digits) if np.isfinite(v) else "?" for v in values)
    unit = str(row["unit"]) + ("s" if row["n"] != 1 else "")
    strength = float(str(row["strength"]))
    at = f", {strength:.3g}" if np.isfinite(strength) else ""
    return f"{effect} [{low}, {high}], {row['n']} {unit}{at}"


def _legend(figure: Figure, rows: pd.DataFrame, margin: float, unit: str, left_out: int) -> None:
    present = [v for v in style.VERDICT_MARKER if v in set(rows["verdict"])]
    handles = [
        Line2D(
            [],
            [],
            marker=style.VERDICT_MARKER[v],
            color=style.colour(v),
            linewidth=2.2,
            markerfacecolor=style.colour("paper" if v not in FOUND else v),
        )
        for v in present
    ]
    labels = [VERDICT_WORDS[v] for v in present]
    if rows["effect_vs_placebo"].notna().any():
        handles.append(
            Line2D([], [], marker="D", markersize=2.8, linewidth=1.0, color=style.colour("placebo"))
        )
        labels.append("net of placebo")
    handles.append(Line2D([], [], color=style.colour("band"), linewidth=8))
    labels.append(f"margin ±{margin:g} {unit}")
    title = f"{left_out} more rows in between are not drawn" if left_out else None
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=len(handles) if len(handles) <= 5 else 3,
        columnspacing=1.2,
        title=title,
        title_fontsize=7.5,
    )
