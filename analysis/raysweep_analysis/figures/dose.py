"""Performance and alignment side by side as the strength grows."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from raysweep.trials.outcomes import kind_of
from raysweep_analysis.figures import style
from raysweep_analysis.figures.words import value_words
from raysweep_analysis.verdicts import FOUND

_MOST = 12
_MARKERS = "osv^P"
_LEAST_ROOM = 1.05
"""Times the largest strength, and of the smallest, at the ends of a logarithmic axis."""


def dose_response_figure(
    curves: pd.DataFrame, effects: pd.DataFrame | None = None, most: int = _MOST
) -> Figure:
    """Draw per cell the effect on performance (top) and the gain in alignment (bottom).

    Args:
        curves: as from `raysweep_analysis.dose_response`.
        effects: as from `raysweep_analysis.forcing_effects`: the strengths that were confirmed are
            marked with the confirmed effect.
        most: cells to draw at most, evenly spaced.
    """
    cells = list(dict.fromkeys(curves["cell"])) if len(curves) else []
    if not cells:
        return style.empty_figure("no search over strengths in this table: no dose-response")
    shown = style.spaced(cells, most)
    columns = min(len(shown), 3)
    rows = -(-len(shown) // columns)
    factor, unit = style.scale_of(curves["performance"].iloc[0])
    outcome = kind_of(curves["performance"].iloc[0])
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
        _share_x(grid[0][0], curves[curves["cell"].isin(shown)], effects)
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
            top.set_title(style.folded(curve["label"].iloc[0]), fontsize=8.5)
            bottom.set_xlabel("strength" if i >= len(shown) - columns else "")
            if i % columns == 0:
                words = f"effect on\n{outcome} ({unit})" if unit == "points" else f"effect ({unit})"
                top.set_ylabel("\n".join(style.folded(line, 18) for line in words.split("\n")))
                bottom.set_ylabel("gain in\nalignment")
            top.tick_params(labelbottom=False)
            bottom.tick_params(labelbottom=True)
        for i in range(len(shown), rows * columns):
            for half in (0, 1):
                grid[2 * (i // columns) + half][i % columns].set_axis_off()
        _share_y(grid, len(shown), columns)
        _legend(figure, curves, effects is not None, len(cells) - len(shown))
    return figure


def dose_overlay_figure(
    curves: pd.DataFrame,
    effects: pd.DataFrame,
    overlay: str = "R",
    by: tuple[str, ...] = ("width_1", "n_train"),
) -> Figure:
    """Draw all values of a characteristic in one panel: effect (top) and alignment (bottom).

    Args:
        curves: as from `raysweep_analysis.dose_response`, search rows of a grid of strengths.
        effects: as from `raysweep_analysis.forcing_effects`: says what the cells are; where a
            strength was confirmed, a diamond shows the confirmed effect and its interval.
        overlay: the characteristic whose values are lines.
        by: a column of panels for each combination of these.
    """
    if curves.empty or overlay not in effects:
        return style.empty_figure(f"no search over strengths with {overlay} in this table")
    names = [name for name in by if name in effects]
    cells = effects.drop_duplicates("cell")[["cell", overlay, *names]]
    rows = curves.merge(cells, on="cell")
    panels = list(rows.groupby(names, sort=True)) if names else [((), rows)]
    levels = sorted(rows[overlay].unique())
    factor, unit = style.scale_of(curves["performance"].iloc[0])
    outcome = kind_of(curves["performance"].iloc[0])
    with style.styled():
        figure = style.new_figure(4.3, 7.2)
        axes = figure.subplots(
            2, len(panels), sharex=True, sharey="row", squeeze=False, height_ratios=[1.4, 1.0]
        )
        for (keys, panel), top, bottom in zip(panels, axes[0], axes[1], strict=True):
            for i, level in enumerate(levels):
                line = panel[panel[overlay] == level].sort_values("strength")
                if line.empty:
                    continue
                ink = style.ramp(0.25 + 0.74 * i / max(len(levels) - 1, 1))
                marker = _MARKERS[i % len(_MARKERS)]
                _overlay(top, bottom, line, factor, ink, marker, f"{overlay} = {level:g}")
                here = effects[effects["cell"].isin(line["cell"]) & (effects["n"] >= 2)]
                for row in here.to_dict("records"):
                    ends = np.array([row["ci_low"], row["ci_high"]]) * factor
                    top.plot([row["strength"]] * 2, ends, color=ink, linewidth=2.6, zorder=4)
                    top.plot(
                        row["strength"],
                        row["effect"] * factor,
                        "D",
                        markersize=6,
                        color=style.colour("ink"),
                        markerfacecolor=ink,
                        zorder=5,
                    )
            parts = [value_words(effects, n, k) for n, k in zip(names, keys, strict=True)]
            top.set_title(style.folded(", ".join(parts), 36), fontsize=8.5)
            top.axhline(0, color=style.colour("ink"), linewidth=0.9)
            for axis in (top, bottom):
                axis.grid(axis="y")
            bottom.set_xlabel("strength")
        words = f"effect on {outcome}\n({unit})" if factor > 1 else f"effect ({unit})"
        axes[0][0].set_ylabel(words)
        axes[1][0].set_ylabel("alignment")
        handles, labels = axes[0][0].get_legend_handles_labels()
        handles.append(
            Line2D([], [], marker="D", markersize=6, linewidth=2.6, color=style.colour("muted"))
        )
        words = style.outcome_words(curves["performance"].iloc[0])
        n, kind = int(curves["n"].max()), curves["unit"].iloc[0]
        figure.legend(
            handles,
            [*labels, "best strength, as confirmed"],
            loc="outside lower center",
            ncols=len(handles) if len(handles) <= 6 else 4,
            title=f"{words}; bands: 95 % over {n} {kind}s of the search",
            title_fontsize=7.5,
            columnspacing=1.0,
        )
    return figure


def _overlay(
    top: Axes, bottom: Axes, line: pd.DataFrame, factor: float, ink: str, marker: str, label: str
) -> None:
    """One line of each panel, from strength 0 on."""
    x = np.append(0.0, line["strength"])
    mean, low, high = (
        np.append(0.0, line[name]) * factor for name in ("effect", "ci_low", "ci_high")
    )
    top.fill_between(x, low, high, color=ink, alpha=0.14, linewidth=0)
    top.plot(x, mean, color=ink, marker=marker, markersize=3, label=label)
    base = float((line["alignment_mean"] - line["alignment_gain"]).mean())
    aligned = np.append(base, line["alignment_mean"])
    bottom.plot(x, aligned, color=ink, marker=marker, markersize=3)


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
    style.logarithmic(axis)
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
    style.logarithmic(axis)
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
            markerfacecolor=shade if row["verdict"] in FOUND else style.colour("paper"),
        )


def _share_x(axis: Axes, curves: pd.DataFrame, effects: pd.DataFrame | None) -> None:
    """All strengths of all panels: equal up to rounding, they would leave the axis no width."""
    strengths = [curves["strength"]]
    if effects is not None:
        confirmed = effects["cell"].isin(curves["cell"]) & (effects["n"] >= 2)
        strengths.append(effects.loc[confirmed, "strength"])
    style.logarithmic(axis)
    every = pd.concat(strengths)
    drawn = every[every > 0]
    if len(drawn):
        room = max((drawn.max() / drawn.min()) ** 0.05, _LEAST_ROOM)
        axis.set_xlim(drawn.min() / room, drawn.max() * room)


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
        labels.append("as confirmed")
    title = style.counted(curves.groupby("cell")["n"].max(), f"{curves['unit'].iloc[0]}s per cell")
    if left_out:
        title += f"; {left_out} more cells in between are not drawn"
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=2,
        columnspacing=1.2,
        title=title,
        title_fontsize=7.5,
    )
