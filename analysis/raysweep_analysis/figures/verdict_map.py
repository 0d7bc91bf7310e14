"""The picture that answers the question: verdicts over two characteristics of data and models."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from raysweep.trials.verdict_words import VERDICT_WORDS
from raysweep_analysis.contrasts import cell_columns
from raysweep_analysis.figures import style
from raysweep_analysis.figures.words import AXIS_WORDS, CRITERION_WORDS, value_words
from raysweep_analysis.load import axes_of, higher_is_better
from raysweep_analysis.verdicts import FOUND

_MOST_PANELS = 12
# tiles side by side that have room for numbers
_ROOMY = 12


def verdict_map(
    effects: pd.DataFrame, x: str | None = None, y: str | None = None, most: int = _MOST_PANELS
) -> Figure:
    """Draw one tile per cell: shade = effect where there is one, marker = verdict, and its numbers.

    Args:
        effects: as from `raysweep_analysis.forcing_effects`.
        x: a characteristic; by default the first that tells the cells of a dataset apart.
        y: another; by default the second such, or the criterion that chose the strength.
        most: panels to draw at most; further combinations are counted in a note.
    """
    effects = effects[effects["verdict"] != "untested"]
    if effects.empty:
        return style.empty_figure("no confirmed cell yet: nothing to map")
    factor, unit = style.scale_of(effects["performance"].iloc[0])
    sign = 1 if higher_is_better(effects["performance"].iloc[0]) else -1
    several = effects["data"].nunique() > 1
    panels = [
        panel
        for data, group in effects.groupby("data", sort=False, dropna=False)
        for panel in _panels(group, str(data) if several else "", x, y)
    ]
    left_out = max(0, len(panels) - most)
    panels = panels[:most]
    limit = float(np.nanmax(np.abs(effects["effect"]))) * factor or 1.0
    with style.styled():
        widest = max(panel.rows[panel.x].nunique() for panel in panels)
        columns = min(len(panels), 1 if widest > 6 and len(panels) <= 3 else 2)
        rows = -(-len(panels) // columns)
        deepest = max(panel.rows[panel.y].nunique() for panel in panels)
        step = 0.5 if widest * columns <= _ROOMY else 0.27
        figure = style.new_figure(min(rows * (0.75 + step * deepest) + 0.6, 20.0))
        axes = style.grid_of_axes(figure, len(panels), columns, share_y=False)
        for i, (axis, panel) in enumerate(zip(axes, panels, strict=True)):
            _draw(axis, panel, limit, factor, sign, columns)
            axis.set_title(style.folded(panel.title, 48), fontsize=8.5)
            axis.set_title(panel.criterion, loc="right", fontsize=7, fontweight="normal")
            if i + columns < len(panels) and panels[i + columns].x == panel.x:
                axis.set_xlabel("")
            if i % columns and panels[i - 1].y == panel.y:
                axis.set_ylabel("")
        _legend(figure, effects, unit, limit, sign, left_out)
    return figure


@dataclass(frozen=True)
class _Panel:
    """A part of the cells in which every tile is one row."""

    title: str
    criterion: str
    rows: pd.DataFrame
    x: str
    y: str


def _panels(group: pd.DataFrame, data: str, x: str | None, y: str | None) -> list[_Panel]:
    varying = axes_of(group, cell_columns(group))
    px = x or next(iter(varying), "cell")
    rest = [name for name in varying if name not in (px, y)]
    several = group["chosen_by"].nunique() > 1
    py = y or (rest.pop(0) if rest else "chosen_by")
    by = [*rest, *(["chosen_by"] if several and py != "chosen_by" else [])]
    if not by:
        return [_Panel(data, "", group, px, py)]
    panels = []
    for keys, rows in group.groupby(by, sort=False, dropna=False):
        values = dict(zip(by, keys, strict=True))
        criterion = CRITERION_WORDS.get(str(values.pop("chosen_by", None)), "")
        parts = [value_words(group, str(name), value) for name, value in values.items()]
        panels.append(_Panel(", ".join(filter(None, [data, *parts])), criterion, rows, px, py))
    return panels


def _draw(axis: Axes, panel: _Panel, limit: float, factor: float, sign: int, columns: int) -> None:
    x, y = panel.x, panel.y
    xs, ys = _levels(panel.rows[x]), _levels(panel.rows[y])
    roomy = len(xs) * columns <= _ROOMY
    for row in panel.rows.to_dict("records"):
        i, j = xs.index(row[x]), ys.index(row[y])
        effect = row["effect"] * factor
        known = row["verdict"] in FOUND
        shade = tile_shade(row["verdict"], sign * effect, limit)
        axis.add_patch(
            Rectangle(
                (i - 0.48, j - 0.47),
                0.96,
                0.94,
                facecolor=shade,
                edgecolor=style.colour("muted"),
                linewidth=0.0 if known else 0.9,
                linestyle=(0, (3, 2)),
            )
        )
        ink = style.ink_on(shade)
        axis.plot(
            i,
            j + (0.27 if roomy else 0.0),
            marker_of(row, sign),
            color=ink,
            markerfacecolor=ink if known else "none",
            markersize=6,
            markeredgewidth=1.0,
        )
        if roomy:
            half = (row["ci_high"] - row["ci_low"]) / 2 * factor
            digits = style.digits_of(row["performance"], float(effect), float(half))
            spread = f" ± {half:.{digits}f}" if np.isfinite(half) else ""
            text = style.signed(effect, digits) + spread
            axis.text(i, j - 0.05, text, ha="center", va="center", fontsize=7, color=ink)
            if np.isfinite(row["strength"]):
                at = f"at {row['strength']:.3g}"
                axis.text(i, j - 0.32, at, ha="center", va="center", fontsize=6, color=ink)
    axis.set(xlim=(-0.55, len(xs) - 0.45), ylim=(-0.55, len(ys) - 0.45))
    axis.set_xticks(range(len(xs)), [_tick(v) for v in xs], parse_math=False)
    names = {"alignment": "aligns\nmost", "performance": "performs\nbest", "": "forced"}
    criterion = y == "chosen_by"
    axis.set_yticks(
        range(len(ys)),
        [names.get(str(v), _tick(v)) if criterion else _tick(v) for v in ys],
        parse_math=False,
    )
    axis.set_xlabel(AXIS_WORDS.get(x, style.folded(x, 40)))
    axis.set_ylabel("strength that" if criterion else AXIS_WORDS.get(y, style.folded(y)))
    axis.tick_params(length=0)
    axis.spines[["left", "bottom"]].set_visible(False)


def marker_of(row: Mapping[Hashable, Any], sign: int) -> str:
    """The verdict's marker; what is not known but leans one way points there, hollow."""
    if row["verdict"] == "inconclusive" and row["p_value"] < 0.05:
        return style.LEANING[1 if sign * row["effect"] > 0 else -1]
    return style.VERDICT_MARKER[row["verdict"]]


def tile_shade(verdict: str, gain: float, limit: float) -> str:
    """Only what is known has a shade: an effect that was not found must not look like one."""
    if verdict in ("helps", "hurts"):
        return style.diverging(gain, limit)
    return style.colour("equivalent_tile" if verdict == "equivalent" else "paper")


_LEANS = {style.LEANING[1]: "better", style.LEANING[-1]: "worse"}


def _levels(values: pd.Series) -> list[object]:
    present: list[object] = list(values.unique())
    if pd.api.types.is_numeric_dtype(values):
        return sorted(present, key=lambda v: float(str(v)))
    return present


def _tick(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else style.folded(value, 14)


def _legend(
    figure: Figure, effects: pd.DataFrame, unit: str, limit: float, sign: int, left_out: int
) -> None:
    present = [v for v in style.VERDICT_MARKER if v in set(effects["verdict"])]
    marks: list[Line2D | Rectangle] = [
        Line2D(
            [],
            [],
            marker=style.VERDICT_MARKER[v],
            linestyle="",
            color=style.colour("ink"),
            markerfacecolor="none" if v not in FOUND else style.colour("ink"),
        )
        for v in present
    ]
    labels = [VERDICT_WORDS[v] for v in present]
    leaning = effects[(effects["verdict"] == "inconclusive") & (effects["p_value"] < 0.05)]
    for marker in sorted({marker_of(row, sign) for row in leaning.to_dict("records")}):
        marks.append(
            Line2D(
                [],
                [],
                marker=marker,
                linestyle="",
                color=style.colour("ink"),
                markerfacecolor="none",
            )
        )
        labels.append(f"leans to {_LEANS[marker]} (below 0.05 only before Holm)")
    for shade, words in ((limit, "better"), (-limit, "worse")):
        marks.append(Rectangle((0, 0), 1, 1, facecolor=style.diverging(shade, limit)))
        labels.append(f"{limit:.2g} {unit} {words}")
    note = (
        f"{unit}: forced {style.MINUS} not forced, ± half the 95 % interval, at the strength; "
        f"{count_words(effects)}"
    )
    if left_out:
        note += f"; {left_out} more panels not drawn"
    legend = figure.legend(
        marks,
        labels,
        loc="outside lower center",
        ncols=len(marks) if len(marks) <= 4 else 3,  # a wider row would be cut at the edges
        columnspacing=1.2,
        handletextpad=0.5,
        title=note,
        title_fontsize=7.5,
    )
    legend.get_title().set_color(style.colour("muted"))


def count_words(effects: pd.DataFrame, most: Sequence[str] = ("seed", "draw", "split")) -> str:
    """`n = 12 seeds per cell`, or the range where cells differ."""
    parts = []
    for unit in most:
        n = effects.loc[effects["unit"] == unit, "n"]
        if len(n):
            low, high = int(n.min()), int(n.max())
            number = low if low == high else f"{low}{style.DASH}{high}"
            parts.append(f"n = {number} {unit if high == 1 else f'{unit}s'} per cell")
    return ", ".join(parts)
