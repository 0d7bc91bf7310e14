"""Where the effect changes sign: draws, fitted lines, and the sets of crossings."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from scipy import stats

from raysweep_analysis.boundaries import fitted_line
from raysweep_analysis.draws import MODEL_SCALE, draw_effects, numeric_covariate
from raysweep_analysis.figures import style
from raysweep_analysis.figures.words import AXIS_WORDS, CRITERION_WORDS, value_words

_MOST = 24
# lines of one panel; more could not be told apart
_MOST_LINES = 4
HEADROOM = 0.3
"""Share of a panel's height that is kept for words."""


def boundary_figure(
    trials: pd.DataFrame,
    boundaries: pd.DataFrame,
    alpha: float = 0.05,
    most: int = _MOST,
    colour_by: str | None = None,
) -> Figure:
    """Draw the effects of dataset draws along a characteristic, and where they cross zero.

    Args:
        trials: the trial table.
        boundaries: as from `raysweep_analysis.boundary`, one line per row.
        alpha: one minus the coverage of band and set.
        most: panels to draw at most.
        colour_by: the axis whose values share a panel, in colours; by default `line_colour`'s.
    """
    fitted = boundaries[boundaries["set"] != "none"] if len(boundaries) else boundaries
    if fitted.empty:
        return style.empty_figure(
            "a boundary needs three or more values of a characteristic and four units"
        )
    by = by_columns(fitted)
    shade = colour_by or line_colour(fitted)
    units = draw_effects(trials, fitted["performance"].iloc[0])
    factor, unit = style.scale_of(fitted["performance"].iloc[0])
    place = ["data", *[name for name in by if name != shade], "chosen_by"]
    panels = list(fitted.groupby(["study", *place], sort=False, dropna=False))
    shown = panels[:most]
    shades = line_colours(fitted, shade)
    with style.styled():
        columns = min(2, len(shown))
        figure = style.new_figure(0.75 + 2.15 * -(-len(shown) // columns))
        axes = style.grid_of_axes(figure, len(shown), columns)
        for i, (axis, (_, rows)) in enumerate(zip(axes, shown, strict=True)):
            for n, row in enumerate(rows.to_dict("records")):
                here = of_line(units, row, by)
                ink = shades[row[shade] if shade else None]
                draw_line(axis, here, row, factor, alpha, ink, 0.025 * (n - (len(rows) - 1) / 2))
                name = value_words(trials, shade, row[shade]) if shade else ""
                _words(axis, row, name, n, ink)
            axis.axhline(0, color=style.colour("muted"), linewidth=0.8)
            axis.grid(axis="y")
            axis.margins(x=0.0)
            _titles(axis, trials, fitted, rows.iloc[0].to_dict(), place)
            if i + columns >= len(shown):
                axis.set_xlabel(AXIS_WORDS.get(str(rows["along"].iloc[0]), rows["along"].iloc[0]))
            if i % columns == 0:
                axis.set_ylabel(f"effect of forcing ({unit})")
        low, high = axes[0].get_ylim()
        axes[0].set_ylim(low, low + (high - low) / (1 - HEADROOM))
        _legend(figure, trials, fitted, alpha, len(panels) - len(shown), shade)
    return figure


def by_columns(boundaries: pd.DataFrame) -> list[str]:
    """The axes that tell the lines of `raysweep_analysis.boundary` apart."""
    columns = list(boundaries.columns)
    return columns[3 : columns.index("performance")]


def line_colour(boundaries: pd.DataFrame) -> str:
    """The axis to overlay in colours: a characteristic of the data with few values; or none."""
    names = [
        name
        for name in by_columns(boundaries)
        if name not in (*MODEL_SCALE, "n_train")
        and 2 <= boundaries[name].nunique() <= _MOST_LINES
        and pd.api.types.is_numeric_dtype(boundaries[name])
    ]
    return names[0] if names else ""


def line_colours(boundaries: pd.DataFrame, name: str) -> dict[Any, str]:
    """Value of the overlaid axis -> colour; with no such axis, the one colour of None."""
    if not name:
        return {None: style.colour("alignment")}
    palette = [style.colour(c) for c in ("alignment", "second", "third", "ink")]
    return dict(zip(sorted(boundaries[name].unique()), palette, strict=False))


def of_line(units: pd.DataFrame, row: dict[Any, Any], by: Sequence[str]) -> pd.DataFrame:
    """The units that a row of `raysweep_analysis.boundary` was fitted to."""
    same = pd.Series(True, units.index)
    for name in ("study", "data", "chosen_by", *by):
        value = row[name]
        same &= units[name].isna() if pd.isna(value) else units[name] == value
    return units[same]


def draw_line(
    axis: Axes,
    units: pd.DataFrame,
    row: dict[Any, Any],
    factor: float,
    alpha: float,
    ink: str,
    shift: float = 0.0,
    points: bool = True,
) -> None:
    """Draw one fitted line with its band, the set of its crossing, and the draws behind it.

    Args:
        axis: where.
        units: the draws' effects, as from `of_line`.
        row: of `raysweep_analysis.boundary`.
        factor: from the outcome's unit to the axis's.
        alpha: one minus the coverage of the band.
        ink: colour.
        shift: of the points, in parts of the range, so that lines do not hide each other's.
        points: whether to draw them.
    """
    along = str(row["along"])
    x = numeric_covariate(units, along).to_numpy(float)
    y = units["effect"].to_numpy(float) * factor
    span = float(np.ptp(x))
    grid = np.linspace(x.min() - 0.06 * span, x.max() + 0.06 * span, 80)
    fit = fitted_line(units, along)
    height, se, df = np.array([fit.combination([1.0, float(g)]) for g in grid]).T
    middle = height * factor
    half = stats.t.ppf(1 - alpha / 2, df) * se * factor
    low, high = max(row["low"], grid[0]), min(row["high"], grid[-1])
    top = 1 - HEADROOM
    # a set that lies beside the data has nothing to shade here
    if row["crosses"] == "within" and low < high:
        axis.axvspan(low, high, ymax=top, color=ink, alpha=0.13, linewidth=0, zorder=0)
        if low <= row["boundary"] <= high:
            axis.axvline(row["boundary"], ymax=top, color=ink, linewidth=1.0, linestyle=(0, (4, 2)))
    axis.fill_between(grid, middle - half, middle + half, color=ink, alpha=0.2, linewidth=0)
    axis.plot(grid, middle, color=ink)
    if points:
        jitter = np.random.default_rng(0).uniform(-0.01, 0.01, len(x)) * span + shift * span
        error = np.sqrt(units["variance"].to_numpy(float)) * factor
        axis.errorbar(
            x + jitter, y, yerr=error, fmt="o", markersize=2.4, color=ink, elinewidth=0.6, alpha=0.6
        )


def crossing_words(row: dict[Any, Any], brief: bool = False) -> str:
    """Where a line crosses zero, with its set; or that it does not, or that none can be located.

    Args:
        row: of `raysweep_analysis.boundary`.
        brief: to one decimal and in fewer words, for small panels.
    """
    if row["crosses"] == "nowhere":
        return f"no crossing within {row['x_min']:g}{style.DASH}{row['x_max']:g}"
    if row["set"] != "interval":
        return "crossing not located" if brief else "no crossing can be located"
    ends = (row["boundary"], row["low"], row["high"])
    at, low, high = (f"{round(v, 1) + 0.0:.1f}" if brief else f"{v:.2g}" for v in ends)
    text = f"{'turns' if brief else 'crosses 0'} at {at} [{low}, {high}]"
    return text.replace("-", style.MINUS)


def _words(axis: Axes, row: dict[Any, Any], name: str, n: int, ink: str) -> None:
    axis.text(
        0.98,
        0.975 - 0.1 * n,
        f"{name}: {crossing_words(row)}" if name else crossing_words(row),
        transform=axis.transAxes,
        ha="right",
        va="top",
        fontsize=7.5,
        color=ink,
        bbox=style.BEHIND_WORDS,
    )


def _titles(
    axis: Axes, trials: pd.DataFrame, fitted: pd.DataFrame, row: dict[Any, Any], place: list[str]
) -> None:
    parts = [value_words(trials, name, row[name]) for name in place[1:-1]]
    if fitted["data"].nunique() > 1 or not any(parts):
        parts.insert(0, str(row["data"]))
    axis.set_title(style.folded(", ".join(filter(None, parts)), 44), fontsize=8.5)
    if fitted["chosen_by"].nunique() > 1:
        words = CRITERION_WORDS.get(row["chosen_by"], row["chosen_by"])
        axis.set_title(words, loc="right", fontsize=7.5, fontweight="normal")


def _legend(
    figure: Figure,
    trials: pd.DataFrame,
    fitted: pd.DataFrame,
    alpha: float,
    left_out: int,
    shade: str,
) -> None:
    level = f"{1 - alpha:.0%}".replace("%", " %")
    shades = line_colours(fitted, shade)
    first = next(iter(shades.values()))
    handles: list[Line2D | Rectangle] = [
        Line2D([], [], marker="o", markersize=3, linewidth=0.7, color=first),
        Line2D([], [], color=first),
        Rectangle((0, 0), 1, 1, color=first, alpha=0.2, linewidth=0),
    ]
    labels = [
        "a draw in a cell, ± standard error",
        f"line and its {level} band",
        f"{level} set of the crossing",
    ]
    if shade:
        handles += [Line2D([], [], color=ink, linewidth=3) for ink in shades.values()]
        labels += [style.folded(value_words(trials, shade, value), 30) for value in shades]
    counts = f"{fitted['n_units'].max()} units, {fitted['n_draws'].max()} draws a line"
    title = f"{counts}; {left_out} more panels not drawn" if left_out else counts
    figure.legend(
        handles, labels, loc="outside lower center", ncols=3, title=title, title_fontsize=7.5
    )
