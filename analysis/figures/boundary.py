"""Where the effect changes sign: draws, fitted line, and the set of crossings."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from scipy import stats

from analysis.boundaries import fitted_line
from analysis.draws import draw_effects, numeric_covariate
from analysis.figures import style
from analysis.figures.verdict_map import AXIS_WORDS, CRITERION_WORDS

_MOST = 8


def boundary_figure(
    trials: pd.DataFrame, boundaries: pd.DataFrame, alpha: float = 0.05, most: int = _MOST
) -> Figure:
    """Draw the effects of dataset draws along a characteristic, and where they cross zero.

    Args:
        trials: the trial table.
        boundaries: as from `analysis.boundary`, one panel per row.
        alpha: one minus the coverage of band and set.
        most: panels to draw at most.
    """
    fitted = boundaries[boundaries["set"] != "none"] if len(boundaries) else boundaries
    if fitted.empty:
        return style.empty_figure(
            "a boundary needs three or more values of a characteristic and four units"
        )
    shown = fitted.head(most)
    units = draw_effects(trials, shown["performance"].iloc[0])
    factor, unit = style.scale_of(shown["performance"].iloc[0])
    by = [c for c in shown.columns[3 : list(shown.columns).index("performance")]]
    with style.styled():
        columns = min(2, len(shown))
        figure = style.new_figure(0.55 + 2.45 * -(-len(shown) // columns))
        axes = style.grid_of_axes(figure, len(shown), columns)
        for axis, row in zip(axes, shown.to_dict("records"), strict=True):
            keys = ["study", "data", "chosen_by", *by]
            here = (units[keys] == pd.Series({k: row[k] for k in keys})).all(axis=1)
            _panel(axis, units[here], row, factor, alpha)
            parts = [str(row["data"]), *(f"{k} = {row[k]:g}" for k in by)]
            axis.set_title("  ".join(parts), fontsize=8.5)
            if shown["chosen_by"].nunique() > 1:
                words = CRITERION_WORDS.get(row["chosen_by"], row["chosen_by"])
                axis.set_title(words, loc="right", fontsize=7.5, fontweight="normal")
        for i, axis in enumerate(axes):
            if i % columns == 0:
                axis.set_ylabel(f"effect of forcing ({unit})")
        _legend(figure, alpha, len(fitted) - len(shown))
    return figure


def _panel(
    axis: Axes, units: pd.DataFrame, row: dict[object, object], factor: float, alpha: float
) -> None:
    along = str(row["along"])
    x = numeric_covariate(units, along).to_numpy(float)
    y = units["effect"].to_numpy(float) * factor
    span = float(np.ptp(x))
    grid = np.linspace(x.min() - 0.04 * span, x.max() + 0.04 * span, 80)
    fit = fitted_line(units, along)
    heights = [fit.combination([1.0, float(g)]) for g in grid]
    middle = np.array([h[0] for h in heights]) * factor
    half = np.array([stats.t.ppf(1 - alpha / 2, df) * se for _, se, df in heights]) * factor
    low, high = float(str(row["low"])), float(str(row["high"]))
    if row["set"] == "interval":
        axis.axvspan(max(low, grid[0]), min(high, grid[-1]), color=style.colour("band"), zorder=0)
        if grid[0] <= float(str(row["boundary"])) <= grid[-1]:
            axis.axvline(
                float(str(row["boundary"])),
                color=style.colour("ink"),
                linewidth=0.9,
                linestyle=(0, (4, 2)),
            )
    axis.axhline(0, color=style.colour("muted"), linewidth=0.8)
    axis.fill_between(
        grid, middle - half, middle + half, color=style.colour("alignment"), alpha=0.18, linewidth=0
    )
    axis.plot(grid, middle, color=style.colour("alignment"))
    rng = np.random.default_rng(0)
    jitter = rng.uniform(-0.012, 0.012, len(x)) * span
    error = np.sqrt(units["variance"].to_numpy(float)) * factor
    axis.errorbar(
        x + jitter,
        y,
        yerr=error,
        fmt="o",
        markersize=3,
        color=style.colour("muted"),
        elinewidth=0.7,
        alpha=0.9,
    )
    axis.grid(axis="y")
    axis.set_xlabel(AXIS_WORDS.get(along, along))
    axis.margins(x=0.0)
    words = (
        f"crosses 0 at {float(str(row['boundary'])):.2g} [{low:.2g}, {high:.2g}]".replace(
            "-", style.MINUS
        )
        if row["set"] == "interval"
        else "no crossing can be located (unbounded set)"
    )
    axis.text(
        0.98,
        0.97,
        f"{words}\n{row['n_units']} units, {row['n_draws']} draw"
        + ("s" if row["n_draws"] != 1 else ""),
        transform=axis.transAxes,
        ha="right",
        va="top",
        fontsize=7.5,
        color=style.colour("ink"),
    )


def _legend(figure: Figure, alpha: float, left_out: int) -> None:
    level = f"{1 - alpha:.0%}".replace("%", " %")
    handles = [
        Line2D([], [], marker="o", markersize=3, linewidth=0.7, color=style.colour("muted")),
        Line2D([], [], color=style.colour("alignment")),
        Rectangle((0, 0), 1, 1, color=style.colour("band")),
    ]
    labels = [
        "a draw in a cell, ± standard error",
        f"line and its {level} band",
        f"{level} set of the crossing",
    ]
    title = f"{left_out} more panels not drawn" if left_out else None
    figure.legend(
        handles, labels, loc="outside lower center", ncols=3, title=title, title_fontsize=7.5
    )
