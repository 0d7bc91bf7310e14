"""What a person sees of a run: a live table in a terminal, plain lines elsewhere, the verdict."""

import io
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from rich import box
from rich.console import (
    Console,
    ConsoleOptions,
    ConsoleRenderable,
    Group,
    RenderableType,
    RenderResult,
)
from rich.live import Live
from rich.table import Table as RichTable
from rich.text import Text

from raysweep.kinds.kind import kind_of
from raysweep.kinds.sweep import CellState, Sweep
from raysweep.text import counted, raised, visible
from raysweep.trials.outcomes import scale_of
from raysweep.trials.packing import Pack
from raysweep.trials.table import Row

_PAGE_WIDTH = 124
_PRE = '<pre style="font-family: monospace; line-height: 1.2">{code}</pre>'
_REFRESH_S = 0.5
_PLAIN_EVERY_S = 10.0
_COLOURS = {
    "helps": "green",
    "hurts": "red",
    "equivalent": "cyan",
    "inconclusive": "yellow",
    "untested": "",
}


class Screen(Console):
    """A console that shows every text as it is: nothing in it is markup, nothing is obeyed."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """A text, of control characters their escapes."""
        return super().render_str(visible(text), **settings)


class Lines(Protocol):
    """Where lines are printed."""

    def print(self, line: Text) -> None:
        """Print one."""
        ...


class LiveArea(Protocol):
    """Where something is shown that changes."""

    def start(self) -> None:
        """Begin."""
        ...

    def update(self, shown: RenderableType, *, refresh: bool = False) -> None:
        """Show this in the place of what was shown."""
        ...

    def stop(self) -> None:
        """End, and leave the last state."""
        ...


class RunDisplay:
    """Shows a run while it goes on; an observer for the runners and a context manager.

    Args:
        console: where lines are printed.
        live: where the table is shown; by default the terminal, if there is one.
    """

    def __init__(self, console: Lines, live: LiveArea | None = None) -> None:
        self._console, self._live = console, live
        if live is None and isinstance(console, Console) and console.is_terminal:
            self._live = Live(console=console, auto_refresh=False)
        self._started = time.monotonic()
        self._shown = -math.inf
        self._before = 0
        self._fresh = 0
        self._sweep: Sweep | None = None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            if self._sweep is not None:
                self._show(self._sweep, force=True)
            self._live.stop()

    def started(self, sweep: Sweep, runner: str, gone_s: float = 0.0) -> None:
        """Say what there is to do; the run began ``gone_s`` ago."""
        self._started = time.monotonic() - gone_s
        self._sweep = sweep
        self._before = _done(sweep)
        have = f", {self._before} already there" if self._before else ""
        self._say(
            f"{sweep.study.name}: {counted(len(sweep.cells), 'cell')}, "
            f"{counted(sweep.trials_planned(), 'trial')}{have}; {runner}"
        )
        self._show(sweep, force=True)

    def pack_finished(self, sweep: Sweep, pack: Pack, rows: Sequence[Row]) -> None:
        """Count the pack; name members that diverged."""
        self._fresh += len(rows)
        diverged = [str(row["cell"]) for row in rows if row["status"] != "ok"]
        if diverged:
            self._say(
                f"{cell_names(sweep, diverged)}: {len(diverged)} of "
                f"{counted(len(rows), 'trial')} diverged"
            )
        self._show(sweep)

    def pack_failed(self, sweep: Sweep, pack: Pack, reason: str) -> None:
        """Say that a pack was given up, and why, in a line."""
        names = cell_names(sweep, [cell.id for cell in pack.cells])
        self._say(f"{names}: pack {pack.key} failed: {raised(reason)}")

    def tick(self, sweep: Sweep) -> None:
        """Refresh now and then."""
        self._show(sweep)

    def stopping(self, sweep: Sweep) -> None:
        """Say that the interrupt was heard."""
        self._say("stopping: what is finished is being stored")

    def _say(self, line: str) -> None:
        self._console.print(as_it_is(line))

    def _show(self, sweep: Sweep, force: bool = False) -> None:
        now = time.monotonic()
        wait = _REFRESH_S if self._live is not None else _PLAIN_EVERY_S
        if not force and now - self._shown < wait:
            return
        self._shown = now
        if self._live is not None:
            shown = Group(status_table(sweep), as_it_is(f"{self._summary(sweep)}\n"))
            self._live.update(shown, refresh=True)
        elif not force:
            self._say(self._summary(sweep))

    def _summary(self, sweep: Sweep) -> str:
        elapsed = time.monotonic() - self._started
        done, planned = _done(sweep), sweep.trials_planned()
        finished = sum(sweep.state(c) in _ENDED for c in sweep.cells)
        parts = [
            f"{finished} of {counted(len(sweep.cells), 'cell')}",
            f"{done} of {counted(planned, 'trial')}",
            f"{counted(sweep.finished_packs, 'pack')} done",
            *([f"{len(sweep.failures)} failed"] if sweep.failures else []),
            f"{duration(elapsed)} gone",
        ]
        if self._fresh and done < planned:
            rate = self._fresh / elapsed
            parts.append(f"about {duration((planned - done) / rate)} left")
            encoders = sweep.encoders_per_trial
            parts.append(
                f"{rate:.1f} trials/s" if encoders is None else f"{encoders * rate:.1f} encoders/s"
            )
        return ", ".join(parts)


_ENDED = (CellState.DONE, CellState.NO_STRENGTH, CellState.NO_RATES, CellState.FAILED)


def status_table(sweep: Sweep) -> RichTable:
    """How far a study is: the rows that its kind shows."""
    return kind_of(sweep.study).status_table(sweep)


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
    shown, form = ("points (100 x accuracy)", "{:+.2f}") if points else (unit, "{:+.3g}")

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
        "placebo: forced - placebo",
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


def as_text(*shown: RenderableType) -> str:
    """What a screen would show, as a text."""
    screen = Screen(file=io.StringIO(), width=_PAGE_WIDTH, force_jupyter=False)
    with screen.capture() as captured:
        for part in shown:
            screen.print(part)
    return captured.get().rstrip()


def as_html(*shown: RenderableType) -> str:
    """What a screen would show, as HTML; nothing in it is markup."""
    screen = Screen(file=io.StringIO(), width=_PAGE_WIDTH, record=True, force_jupyter=False)
    for part in shown:
        screen.print(part, soft_wrap=isinstance(part, str))
    return screen.export_html(inline_styles=True, code_format=_PRE)


def as_it_is(text: str, style: str = "") -> Text:
    """A text for the screen: nothing in it is markup, and control characters are escaped."""
    return Text(visible(text), style)


def cell_names(sweep: Sweep, cells: Iterable[str], most: int | None = 3) -> str:
    """Cells by their labels, each once: so many of them, and how many more there are."""
    labels = [sweep.labels[cell] for cell in dict.fromkeys(cells)]
    more = len(labels[most:]) if most is not None else 0
    return ", ".join(labels[:most]) + (f" and {counted(more, 'more cell')}" if more else "")


def _done(sweep: Sweep) -> int:
    return sum(key in sweep.results for key in sweep.order())


def duration(seconds: float) -> str:
    """A time in words, such as ``2 min 05 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _number(value: Any, form: str) -> str:
    return "" if value is None or math.isnan(value) else form.format(value)
