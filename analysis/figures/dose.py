"""Performance and alignment side by side as the strength grows."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures import style

_MOST = 12


def dose_response_figure(
    curves: pd.DataFrame, effects: pd.DataFrame | None = None, most: int = _MOST
) -> Figure:
    """Draw per cell the effect on performance (top) and the gain in alignment (bottom).

    Args:
        curves: as from `analysis.dose_response`.
        effects: as from `analysis.forcing_effects`: the strengths that were confirmed are marked
            with the confirmed effect.
        most: cells to draw at most, evenly spaced.
    """
    cells = list(dict.fromkeys(curves["cell"])) if len(curves) else []
    if not cells:
        return style.empty_figure("no search over strengths in this table: no dose-response")
    shown = style.spaced(cells, most)
    columns = min(len(shown), 3)
    rows = -(-len(shown) // columns)
    factor, unit = style.scale_of(curves["performance"].iloc[0])
    with style.styled():
        figure = style.new_figure(min(rows * 2.75 + 0.6, 11.5))
        grid = figure.subplots(
            2 * rows,
            columns,
            squeeze=False,
            sharex=True,
            sharey=False,
            height_ratios=[1.25, 1.0] * rows,
        )
        for i, cell in enumerate(shown):
            top, bottom = (
                grid[2 * (i // columns)][i % columns],
                grid[2 * (i // columns) + 1][i % columns],
            )
            curve = curves[curves["cell"] == cell].sort_values("strength")
            _performance(top, curve, factor)
            _alignment(bottom, curve)
            if effects is not None:
                _confirmed(top, effects[effects["cell"] == cell], factor)
            n, kind = int(curve["n"].max()), curve["unit"].iloc[0]
            top.set_title(style.folded(curve["label"].iloc[0]), fontsize=8.5)
            muted = style.colour("muted")
            top.set_title(
                f"n = {n} {kind}s", loc="right", fontsize=7, fontweight="normal", color=muted
            )
            bottom.set_xlabel("strength" if i >= len(shown) - columns else "")
            if i % columns == 0:
                top.set_ylabel(
                    f"effect on\naccuracy ({unit})" if unit == "points" else "effect (nats)"
                )
                bottom.set_ylabel("gain in\nalignment")
            top.tick_params(labelbottom=False)
            bottom.tick_params(labelbottom=True)
        for i in range(len(shown), rows * columns):
            for half in (0, 1):
                grid[2 * (i // columns) + half][i % columns].set_axis_off()
        _share_y(grid, len(shown), columns)
        _legend(figure, curves, effects is not None, len(cells) - len(shown))
    return figure


def _performance(axis: Axes, curve: pd.DataFrame, factor: float) -> None:
    ink = style.colour("helps")
    axis.axhline(0, color=style.colour("muted"), linewidth=0.8)
    _errors(axis, curve, "effect", "ci_low", "ci_high", factor, ink)
    axis.plot(curve["strength"], curve["fit"] * factor, color=ink, linewidth=1.2, alpha=0.55)
    best = curve[curve["best_for"].str.contains("performance")]
    axis.plot(
        best["strength"],
        best["effect"] * factor,
        "o",
        markersize=9,
        markerfacecolor="none",
        markeredgecolor=ink,
        markeredgewidth=1.0,
    )
    axis.set_xscale("log")
    axis.grid(axis="y")


def _alignment(axis: Axes, curve: pd.DataFrame) -> None:
    ink = style.colour("alignment")
    axis.axhline(0, color=style.colour("muted"), linewidth=0.8)
    _errors(axis, curve, "alignment_gain", "alignment_ci_low", "alignment_ci_high", 1.0, ink)
    axis.plot(curve["strength"], curve["alignment_fit"], color=ink, linewidth=1.2, alpha=0.55)
    best = curve[curve["best_for"].str.contains("alignment")]
    axis.plot(
        best["strength"],
        best["alignment_gain"],
        "o",
        markersize=9,
        markerfacecolor="none",
        markeredgecolor=ink,
        markeredgewidth=1.0,
    )
    axis.set_xscale("log")
    axis.grid(axis="y")


def _errors(
    axis: Axes, curve: pd.DataFrame, mean: str, low: str, high: str, factor: float, ink: str
) -> None:
    """Points with intervals; an interval far beyond all points would flatten them, so it is cut."""
    y = curve[mean].to_numpy(float) * factor
    ends = np.vstack([curve[low], curve[high]]) * factor
    span = np.nanmax(np.abs(y)) * 2.5 if np.isfinite(y).any() else 1.0
    cut = np.clip(ends, -span, span)
    errors = np.nan_to_num(np.vstack([y - cut[0], cut[1] - y]))
    axis.errorbar(
        curve["strength"],
        y,
        yerr=np.maximum(errors, 0),
        fmt="o",
        markersize=3.2,
        color=ink,
        elinewidth=0.9,
    )


def _confirmed(axis: Axes, effects: pd.DataFrame, factor: float) -> None:
    for row in effects[effects["n"] >= 2].to_dict("records"):
        shade = style.colour(row["verdict"])
        axis.plot(
            [row["strength"]] * 2,
            [row["ci_low"] * factor, row["ci_high"] * factor],
            color=style.colour("ink"),
            linewidth=3.0,
            zorder=4,
            solid_capstyle="butt",
        )
        axis.plot(
            row["strength"],
            row["effect"] * factor,
            style.VERDICT_MARKER[row["verdict"]],
            markersize=6.5,
            color=style.colour("ink"),
            zorder=5,
            markerfacecolor=shade if row["verdict"] != "inconclusive" else style.colour("paper"),
        )


def _share_y(grid: object, n: int, columns: int) -> None:
    """One scale for all tops and one for all bottoms: cells are there to be compared."""
    table = np.asarray(grid)
    for half in (0, 1):
        axes = [table[2 * (i // columns) + half][i % columns] for i in range(n)]
        low = min(axis.get_ylim()[0] for axis in axes)
        high = max(axis.get_ylim()[1] for axis in axes)
        for i, axis in enumerate(axes):
            axis.set_ylim(low, high)
            axis.tick_params(labelleft=i % columns == 0)


def _legend(figure: Figure, curves: pd.DataFrame, confirmed: bool, left_out: int) -> None:
    stage = curves["stage"].iloc[0]
    handles = [
        Line2D([], [], marker="o", markersize=3.2, linewidth=0.9, color=style.colour("helps")),
        Line2D([], [], marker="o", markersize=3.2, linewidth=0.9, color=style.colour("alignment")),
        Line2D(
            [],
            [],
            marker="o",
            markersize=9,
            markerfacecolor="none",
            linewidth=0,
            color=style.colour("muted"),
        ),
    ]
    metric = style.metric_words(curves["alignment"].iloc[0])
    labels = [f"{stage} runs, 95 % interval", f"alignment ({metric})", "best strength"]
    if confirmed:
        handles.append(
            Line2D([], [], marker="s", markersize=6, linewidth=3.0, color=style.colour("ink"))
        )
        labels.append("confirmed on fresh seeds")
    title = f"{left_out} more cells in between are not drawn" if left_out else None
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=4,
        columnspacing=1.2,
        title=title,
        title_fontsize=7.5,
    )
