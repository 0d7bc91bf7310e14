"""The answers as tables for the screen."""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rich import box
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

from raysweep.kinds.display import as_it_is
from raysweep.text import counted
from raysweep.trials.columns import column_of
from raysweep.trials.outcomes import kind_of, scale_of

_COLOURS = {
    "helps": "green",
    "hurts": "red",
    "equivalent": "cyan",
    "inconclusive": "yellow",
    "untested": "",
}


def verdict_table(effects: Any, performance: str, so_far: str = "") -> ConsoleRenderable:
    """The verdicts as a table for the screen: a line each, or a few where the screen is narrow.

    Args:
        effects: the rows of `raysweep_analysis.forcing_effects` that are tested.
        performance: the outcome that was tested.
        so_far: of a run that is not finished, how many cells are tested.
    """
    rows = [row for _, row in effects.iterrows()]
    factor, unit = scale_of(performance)
    points = unit == "points"
    shown, form = unit, "{:+z.2f}" if points else "{:+z.3g}"
    if points:
        shown = f"points (100 x {kind_of(performance)})"
    if column_of(performance).better_is_less:
        shown += ", less is better,"

    def effect(value: Any) -> str:
        return _number(factor * value, form)

    def column(
        name: str,
        justify: _Justify,
        value: Callable[[Any], str],
        colours: Mapping[str, str] | None = None,
    ) -> _Column:
        return _Column(name, justify, [value(row) for row in rows], colours or {})

    where = [column("cell", "left", lambda r: str(r["label"]))]
    if effects["chosen_by"].nunique() > 1:
        where.append(column("chosen by", "left", lambda r: str(r["chosen_by"])))
    if (effects["options"] != "").any():
        where.append(column("options", "left", lambda r: str(r["options"])))
    return _Fitted(
        f"Does forcing alignment help? ({'; '.join(filter(None, (performance, so_far)))})",
        f"effect: forced - none in {shown} with its confidence interval; "
        f"p: Holm-adjusted over {counted(len(rows), 'tested row')}{' so far' if so_far else ''}; "
        "placebo: forced - placebo, tested as a family of its own",
        [
            where,
            [
                column("strength", "right", lambda r: _number(r["strength"], "{:.3g}")),
                column("n", "right", lambda r: _number(r["n"], "{:.0f}")),
            ],
            [
                column(
                    "effect\n(interval)",
                    "right",
                    lambda r: (
                        f"{effect(r['effect'])}\n({effect(r['ci_low'])}, {effect(r['ci_high'])})"
                    ),
                )
            ],
            [
                column("placebo", "right", lambda r: effect(r["effect_vs_placebo"])),
                column(
                    "alignment",
                    "right",
                    lambda r: (
                        f"{_number(r['alignment_none'], '{:.2f}')} to "
                        f"{_number(r['alignment_forced'], '{:.2f}')}"
                        if math.isfinite(r["alignment_none"])
                        else ""
                    ),
                ),
            ],
            [
                column("p", "right", lambda r: _number(r["p_adjusted"], "{:.2g}")),
                column("verdict", "left", lambda r: str(r["verdict"]), _COLOURS),
            ],
        ],
    )


def emergence_table(summary: Any) -> ConsoleRenderable:
    """Emergent alignment as a table for the screen: a line each, or a few where it is narrow.

    Args:
        summary: what `raysweep_analysis.emergence_summary` returned.
    """
    along = str(summary.columns[1])

    def column(name: str, title: str, form: str) -> _Column:
        return _Column(title, "right", [_number(value, form) for value in summary[name]])

    measured = (
        {"best": "best alignment", "chance": "by chance", "corrected": "above chance"},
        {
            "alignment_performance": "with performance",
            "given_depth": "given depth",
            "performance_depth": "performance, depth",
            "alignment_depth": "alignment, depth",
        },
    )
    stacks = [
        [column(n, title, "{:.2f}") for n, title in names.items() if summary[n].notna().any()]
        for names in measured
    ]
    return _Fitted(
        f"Does alignment emerge? ({summary['alignment'].iloc[0]})",
        "best over models, mean over datasets and seeds; then medians of Pearson's "
        "correlations over models of one dataset and seed",
        [
            [_Column("data", "left", [str(name) for name in summary["data"]])],
            [column(name, name, "{:g}") for name in (along, "draws", "seeds")],
            *(stack for stack in stacks if stack),
        ],
    )


_Justify = Literal["left", "right"]


@dataclass(frozen=True)
class _Column:
    """A column for the screen; a line break in it is a space where there is room."""

    title: str
    justify: _Justify
    values: Sequence[str]
    colours: Mapping[str, str] = field(default_factory=dict)

    def cell(self, row: int, narrow: bool) -> Text:
        """One value, in its colour if it has one."""
        value = self.values[row]
        shown = value if narrow else value.replace("\n", " ")
        return as_it_is(shown, self.colours.get(value, ""))


@dataclass(frozen=True)
class _Fitted:
    """A table that fits the screen: where its columns do not, those of a stack share one."""

    title: str
    caption: str
    stacks: Sequence[Sequence[_Column]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        flat = self._table([[column] for stack in self.stacks for column in stack], narrow=False)
        boundless = options.update(width=sys.maxsize)
        fits = console.measure(flat, options=boundless).maximum <= options.max_width
        yield flat if fits else self._table(self.stacks, narrow=True)

    def _table(self, stacks: Sequence[Sequence[_Column]], narrow: bool) -> RichTable:
        table = RichTable(
            title=as_it_is(self.title, "table.title"),
            title_justify="left",
            caption=as_it_is(self.caption, "table.caption"),
            caption_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            collapse_padding=True,
            leading=int(narrow),
        )
        for number, stack in enumerate(stacks):
            title = "\n".join(column.title for column in stack)
            # The first column gives way, in whole words where it can: no number is ever cut.
            table.add_column(
                as_it_is(title if narrow else title.replace("\n", " ")),
                justify=stack[-1].justify,
                no_wrap=number > 0,
                overflow="fold",
            )
        for row in range(len(stacks[0][0].values)):
            table.add_row(
                *(Text("\n").join(column.cell(row, narrow) for column in stack) for stack in stacks)
            )
        return table


def _number(value: Any, form: str) -> str:
    return "" if value is None or math.isnan(value) else form.format(value)
