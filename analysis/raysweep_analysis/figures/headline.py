"""The answer in one picture: verdicts, and under them the effect along a characteristic."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from raysweep.text import counted
from raysweep.trials.criteria import BEST
from raysweep.trials.verdict_words import VERDICT_WORDS
from raysweep_analysis.draws import draw_effects
from raysweep_analysis.figures import style
from raysweep_analysis.figures.boundary import (
    HEADROOM,
    by_columns,
    crossing_words,
    draw_line,
    line_colour,
    line_colours,
    of_line,
)
from raysweep_analysis.figures.verdict_map import count_words, marker_of, tile_shade
from raysweep_analysis.figures.words import AXIS_WORDS, value_words
from raysweep_analysis.load import higher_is_better
from raysweep_analysis.verdicts import FOUND

_MOST_COLUMNS = 4
_AT = {
    "best": "Best against best: each arm trained as suits it",
    "alignment": "At the strength that aligns most",
    "performance": "At the strength that performs best",
    "": "At the strength that was forced",
}
_LEANS = "not known (hollow triangle: leans)"
_SHORT_AXES = {"U": "U: unique features", "R": "R: redundant features"}


def headline(
    trials: pd.DataFrame, effects: pd.DataFrame, boundaries: pd.DataFrame, alpha: float = 0.05
) -> Figure:
    """Draw verdicts above lines: a column for each model and sample size, a band per criterion.

    Made to be read at the width of a page of text (900 pixels). It shows one dataset, the first
    that has a boundary, and four columns at most; `verdict_map` and `boundary_figure` show all.

    Args:
        trials: the trial table.
        effects: as from `raysweep_analysis.forcing_effects`.
        boundaries: as from `raysweep_analysis.boundary`, its `by` every axis that tells cells apart
            beside the characteristic (`raysweep_analysis.lines_by`).
        alpha: one minus the coverage of the lines' bands.
    """
    fitted = boundaries[boundaries["set"] != "none"] if len(boundaries) else boundaries
    if fitted.empty or (effects["verdict"] == "untested").all():
        return style.empty_figure("no line along a characteristic of the data: nothing to head")
    fitted = fitted[fitted["data"] == fitted["data"].iloc[0]]
    along = str(fitted["along"].iloc[0])
    effects = effects[
        (effects["verdict"] != "untested") & (effects["data"] == fitted["data"].iloc[0])
    ]
    shade = line_colour(fitted)
    places = [name for name in by_columns(fitted) if name != shade]
    columns = fitted[places].drop_duplicates().to_dict("records")
    columns.sort(key=lambda place: [_sortable(place[name]) for name in places])
    criteria = [c for c in _AT if c in set(fitted["chosen_by"])]
    left_out = max(0, len(columns) - _MOST_COLUMNS)
    columns = columns[:_MOST_COLUMNS]
    units = draw_effects(trials, fitted["performance"].iloc[0])
    factor, unit = style.scale_of(fitted["performance"].iloc[0])
    limit = float(np.nanmax(np.abs(effects["effect"]))) * factor or 1.0
    levels = sorted(effects[shade].dropna().unique()) if shade else [None]
    tiles = 0.4 * len(levels) + 0.1
    with style.styled():
        heights = [tiles + 1.15 + 0.25 * (i == 0) + 0.2 for i in range(len(criteria))]
        heights[-1] += 0.25
        figure = style.new_figure(sum(heights) + 1.2, 7.2)
        figure.suptitle(headline_words(effects, along), fontsize=11, fontweight="bold")
        blocks: Any = figure.subfigures(len(criteria) + 1, 1, height_ratios=[*heights, 0.85])
        for n, (block, criterion) in enumerate(zip(blocks, criteria, strict=False)):
            axes = block.subplots(
                2,
                len(columns),
                sharex="col",
                sharey="row",
                squeeze=False,
                height_ratios=[tiles, 1.15],
            )
            block.suptitle(_AT[criterion], fontsize=9, x=0.01, ha="left")
            for i, place in enumerate(columns):
                here = _at(effects, place | {"chosen_by": criterion})
                _tiles(axes[0][i], here, along, shade, levels, limit, factor)
                rows = _at(fitted, place | {"chosen_by": criterion})
                _lines(axes[1][i], units, rows, shade, line_colours(fitted, shade), factor, alpha)
                if n == 0:
                    words = [value_words(effects, name, place[name]) for name in places]
                    title = style.folded(", ".join(filter(None, words)))
                    axes[0][i].set_title(title, fontsize=8.5, loc="center")
                if n == len(criteria) - 1:
                    axes[1][i].set_xlabel(_SHORT_AXES.get(along, AXIS_WORDS.get(along, along)))
            axes[0][0].set_yticks(range(len(levels)), [f"{v:g}" for v in levels if shade] or [""])
            axes[0][0].set_ylabel(value_words(effects, shade, "").strip(), fontsize=7.5)
            axes[1][0].set_ylabel(f"effect ({unit})")
            # a scale for each criterion: the strength that aligns most can dwarf all other effects
            low, high = axes[1][0].get_ylim()
            axes[1][0].set_ylim(low, low + (high - low) / (1 - HEADROOM))
        _legend(blocks[-1], effects, fitted, shade, unit, limit, left_out)
    return figure


def headline_words(effects: pd.DataFrame, along: str) -> str:
    """The finding in one plain line: in how many comparisons forcing helps and hurts, and where.

    Where it is known, of best against best alone: what a user gains by forcing. `where` is said of
    a verdict that keeps to a part of the characteristic.
    """
    primary = effects[effects["chosen_by"] == BEST]
    subject, what = "Forcing alignment", "comparisons"
    if len(primary):
        effects, subject, what = primary, "Best against best, forcing alignment", "cells"
    total = len(effects)
    parts = []
    for verdict in ("helps", "hurts"):
        here = effects[effects["verdict"] == verdict]
        if here.empty:
            parts.append((verdict, "none", ""))
            continue
        count = "all" if len(here) == total else str(len(here))
        parts.append((verdict, count, _stretch(here[along], effects[along], along)))
    parts.sort(key=lambda part: -(effects["verdict"] == part[0]).sum())
    if parts[0][1] == "none":
        return f"{subject} is not shown to help or hurt in any of {total} {what}"
    (first, n, where), (second, m, there) = parts
    if n == "all":
        return f"{subject} {first} in all {total} {what}"
    return f"{subject} {first} in {n} of {total} {what}{where}, {second} in {m}{there}"


def _stretch(here: pd.Series, everywhere: pd.Series, along: str) -> str:
    low, high = here.min(), here.max()
    first, last = everywhere.min(), everywhere.max()
    if low == high:
        return f" (at {along} = {low:g})"
    if low == first and high < last:
        return f" ({along} \N{LESS-THAN OR EQUAL TO} {high:g})"
    if low > first and high == last:
        return f" ({along} \N{GREATER-THAN OR EQUAL TO} {low:g})"
    return ""


def _at(table: pd.DataFrame, place: dict[Any, Any]) -> pd.DataFrame:
    same = pd.Series(True, table.index)
    for name, value in place.items():
        same &= table[name].isna() if pd.isna(value) else table[name] == value
    return table[same]


def _sortable(value: Any) -> tuple[bool, Any]:
    return (isinstance(value, str), value)


def _tiles(
    axis: Axes,
    rows: pd.DataFrame,
    along: str,
    shade: str,
    levels: Sequence[Any],
    limit: float,
    factor: float,
) -> None:
    values = np.sort(rows[along].unique().astype(float))
    step = float(np.diff(values).min()) if len(values) > 1 else 1.0
    sign = 1 if higher_is_better(rows["performance"].iloc[0]) else -1
    for row in rows.to_dict("records"):
        x, y = float(row[along]), levels.index(row[shade]) if shade else 0
        effect = row["effect"] * factor
        known = row["verdict"] in FOUND
        fill = tile_shade(row["verdict"], sign * effect, limit)
        axis.add_patch(
            Rectangle(
                (x - 0.47 * step, y - 0.47),
                0.94 * step,
                0.94,
                facecolor=fill,
                edgecolor=style.colour("muted"),
                linewidth=0.0 if known else 0.8,
                linestyle=(0, (3, 2)),
            )
        )
        ink = style.ink_on(fill)
        axis.plot(
            x,
            y + 0.2,
            marker_of(row, sign),
            color=ink,
            markersize=4.5,
            markerfacecolor=ink if known else "none",
            markeredgewidth=0.9,
        )
        digits = 0 if abs(effect) >= 9.95 else 1
        axis.text(
            x,
            y - 0.22,
            style.signed(effect, digits),
            ha="center",
            va="center",
            fontsize=7.5,
            color=ink,
        )
    axis.set(
        xlim=(values[0] - 0.55 * step, values[-1] + 0.55 * step), ylim=(-0.55, len(levels) - 0.45)
    )
    axis.set_xticks(values, [f"{v:g}" for v in values])
    axis.tick_params(length=0, labelbottom=False)
    axis.spines[["left", "bottom"]].set_visible(False)


def _lines(
    axis: Axes,
    units: pd.DataFrame,
    rows: pd.DataFrame,
    shade: str,
    shades: dict[Any, str],
    factor: float,
    alpha: float,
) -> None:
    for n, row in enumerate(rows.to_dict("records")):
        ink = shades[row[shade] if shade else None]
        shift = 0.03 * (n - (len(rows) - 1) / 2)
        draw_line(axis, of_line(units, row, by_columns(rows)), row, factor, alpha, ink, shift)
        axis.text(
            0.97,
            0.98 - 0.15 * n,
            crossing_words(row, brief=True),
            transform=axis.transAxes,
            ha="right",
            va="top",
            fontsize=7.5,
            color=ink,
            bbox=style.BEHIND_WORDS,
        )
    axis.axhline(0, color=style.colour("ink"), linewidth=0.9)
    axis.grid(axis="y")


def _legend(
    block: Any,
    effects: pd.DataFrame,
    fitted: pd.DataFrame,
    shade: str,
    unit: str,
    limit: float,
    left_out: int,
) -> None:
    ink = style.colour("ink")
    present = [v for v in style.VERDICT_MARKER if v in set(effects["verdict"])]
    handles: list[Line2D | Patch] = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=style.VERDICT_MARKER[v],
            color=ink,
            markerfacecolor="none" if v not in FOUND else ink,
        )
        for v in present
    ]
    leans = (effects["verdict"] == "inconclusive") & (effects["p_value"] < 0.05)
    words = dict(VERDICT_WORDS) | ({"inconclusive": _LEANS} if leans.any() else {})
    labels = [words[v] for v in present]
    for value, word, verdict in ((limit, "better", "helps"), (-limit, "worse", "hurts")):
        if verdict not in present:
            continue
        handles.append(Rectangle((0, 0), 1, 1, facecolor=style.diverging(value, limit)))
        labels.append(f"{limit:.2g} {unit} {word}")
    if shade:
        for value, line in line_colours(fitted, shade).items():
            handles.append(Line2D([], [], color=line, marker="o", markersize=2.4))
            labels.append(value_words(effects, shade, value))
    note = (
        f"Effect: {style.outcome_words(effects['performance'].iloc[0])}, forced "
        f"{style.MINUS} not forced, {unit}; {count_words(effects)}"
    )
    cells = effects["cell"].nunique()
    if len(effects) > cells:
        ways = counted(effects["chosen_by"].nunique(), "way")
        note += f"\n{len(effects)} comparisons: {cells} cells, {ways} to choose the strength; "
    else:
        note += "\n"
    note += "turns at: where the line crosses 0, with its set"
    if left_out:
        note += f"; {left_out} more columns in the full map"
    legend = block.legend(
        handles,
        labels,
        loc="center",
        ncols=4,
        title=note,
        title_fontsize=7.5,
        columnspacing=1.3,
        handletextpad=0.5,
    )
    legend.get_title().set_color(style.colour("muted"))
