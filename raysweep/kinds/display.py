"""What a person sees of a run: a live table in a terminal, plain lines elsewhere, the verdict."""

import io
import math
import textwrap
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console, ConsoleRenderable, Group, RenderableType
from rich.live import Live
from rich.text import Text

from raysweep.folder.running import Epoch
from raysweep.kinds.kind import kind_of
from raysweep.kinds.outlook import Outlook, time_left
from raysweep.kinds.so_far import SoFar
from raysweep.kinds.sweep import CellState, Sweep
from raysweep.text import counted, duration, raised, visible
from raysweep.trials.packing import Pack
from raysweep.trials.table import Row

_PAGE_WIDTH = 124
_PRE = '<pre style="font: 12px/1.3 monospace; overflow-x: auto">{code}</pre>'
_REFRESH_S = 0.5
_UNCHANGED_S = 2.0
"""How often what goes on is drawn where only the time has changed."""
_PLAIN_EVERY_S = 10.0
_SHARE = 100
"""Drawing may take one part in so many of the run's time."""
_MOST_RUNNING = 8


class Screen(Console):
    """A console that shows every text as it is: nothing in it is markup, nothing is obeyed."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """A text, of control characters their escapes."""
        return super().render_str(visible(text), **settings)

    def say(self, sentence: str, style: str = "", indent: int = 0) -> None:
        """Print a sentence: on a terminal broken between words, elsewhere as one line.

        What is to be copied, a path or a command, is printed with ``soft_wrap`` instead.
        """
        shown = visible(sentence)
        if self.is_terminal:
            shown = textwrap.fill(
                shown,
                self.width,
                subsequent_indent=" " * (indent or 2 * shown.startswith("- ")),
                break_long_words=False,
                break_on_hyphens=False,
            )
        self.print(Text(shown, style), soft_wrap=True)


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
        outlook: what is known of the run while it goes on.
    """

    def __init__(
        self, console: Lines, live: LiveArea | None = None, outlook: Outlook | None = None
    ) -> None:
        self._console, self._live, self._outlook = console, live, outlook
        if live is None and isinstance(console, Console) and console.is_terminal:
            self._live = Live(console=console, auto_refresh=False)
        self._started = time.monotonic()
        self._due = -math.inf
        self._before = 0
        self._fresh = 0
        self._sweep: Sweep | None = None
        self._epochs: Sequence[Epoch] = ()
        self._changed = True

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
        self._changed = True
        diverged = [str(row["cell"]) for row in rows if row["status"] != "ok"]
        if diverged:
            self._say(
                f"{cell_names(sweep, diverged)}: {len(diverged)} of "
                f"{counted(len(rows), 'trial')} diverged"
            )
        self._show(sweep)

    def pack_failed(self, sweep: Sweep, pack: Pack, reason: str) -> None:
        """Say that a pack was given up, and why, in a line."""
        self._changed = True
        names = cell_names(sweep, [cell.id for cell in pack.cells])
        self._say(f"{names}: pack {pack.key} failed: {raised(reason)}")

    def epochs(self, sweep: Sweep, running: Sequence[Epoch]) -> None:
        """Show below the table where trials are that run now."""
        self._changed = self._changed or running != self._epochs
        self._epochs = running

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
        if not force and now < self._due + (0.0 if self._changed else _UNCHANGED_S):
            return
        self._changed = False
        began = time.thread_time()
        if self._live is not None:
            so_far = None if self._outlook is None else self._outlook.so_far
            above = "\n".join([self._summary(sweep), *self._running(sweep)])
            # A table may be longer than the screen, which then shows its first lines.
            shown = Group(as_it_is(f"{above}\n"), status_table(sweep, so_far))
            self._live.update(shown, refresh=True)
        elif not force:
            self._say(self._summary(sweep))
            for line in self._running(sweep):
                self._say(line)
        wait = _REFRESH_S if self._live is not None else _PLAIN_EVERY_S
        took = 0.0 if force else time.thread_time() - began  # the first draws import
        self._due = now + max(wait, _SHARE * took)

    def _running(self, sweep: Sweep) -> list[str]:
        there = [one for one in self._epochs if one.key not in sweep.results]
        shown = there[:_MOST_RUNNING]
        lines = [one.line(sweep.labels.get(one.cell, one.cell)) for one in shown]
        more = len(there) - len(shown)
        return [*lines, *([f"and {counted(more, 'more trial')}"] if more else [])]

    def _summary(self, sweep: Sweep) -> str:
        elapsed = time.monotonic() - self._started
        done, planned = _done(sweep), sweep.trials_planned()
        finished = sum(sweep.state(c) in _ENDED for c in sweep.cells)
        left = ""
        if self._outlook is not None and self._fresh and done < planned:
            left = time_left(sweep, self._outlook.seconds_left(sweep))
        parts = [
            f"{finished} of {counted(len(sweep.cells), 'cell')}",
            f"{done} of {counted(planned, 'trial')}",
            *([left] if left else []),
            f"{duration(elapsed)} gone",
            f"{counted(sweep.finished_packs, 'pack')} done",
            *([f"{len(sweep.failures)} failed"] if sweep.failures else []),
        ]
        if self._fresh and done < planned:
            rate = self._fresh / elapsed
            encoders = sweep.encoders_per_trial
            parts.append(
                f"{rate:.1f} trials/s" if encoders is None else f"{encoders * rate:.1f} encoders/s"
            )
        return ", ".join(parts)


_ENDED = (CellState.DONE, CellState.NO_STRENGTH, CellState.NO_RATES, CellState.FAILED)


def status_table(sweep: Sweep, so_far: SoFar | None = None) -> ConsoleRenderable:
    """How far a study is: the rows that its kind shows, with what was found so far, if given."""
    return kind_of(sweep.study).status_table(sweep, so_far)


def as_text(*shown: RenderableType) -> str:
    """What a screen would show, as a text."""
    screen = Screen(
        file=io.StringIO(),
        width=_PAGE_WIDTH,
        force_jupyter=False,
        force_terminal=False,
        color_system=None,
        no_color=True,
    )
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
