"""The report of a run that goes on: a page that loads itself anew, and how long it still takes."""

import contextlib
import datetime
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from raysweep.folder.causes import given_up
from raysweep.folder.conclusion import REPORT_NAME
from raysweep.folder.running import Epoch
from raysweep.folder.stored_progress import forget_progress, store_seconds_left
from raysweep.kinds.kind import kind_of
from raysweep.kinds.outlook import Outlook, time_left
from raysweep.kinds.sweep import CellState, Sweep
from raysweep.runners.observer import Silent
from raysweep.runners.signals import held_back
from raysweep.text import counted
from raysweep.trials.packing import Pack
from raysweep.trials.storage import Output
from raysweep.trials.table import Row

EVERY_S = 10.0
FAR_AWAY_S = 60.0
"""How often a page is written that goes over a network."""
_SHARE = 100
"""The page may take one part in so many of the run's time,"""
_OLDEST_S = 30.0
"""unless it would be older than this."""
_MOST_FAILURES = 10


class Loader(Silent):
    """An observer that loads what shows results before the first is shown.

    Told before those who show them: an interruption does not leave it half loaded, and the seconds
    that it takes are no page's.
    """

    def pack_finished(self, sweep: Sweep, pack: Pack, rows: Sequence[Row]) -> None:
        """Load it."""
        with held_back():
            import raysweep_analysis.report.so_far  # noqa: F401

    def pack_failed(self, sweep: Sweep, pack: Pack, reason: str) -> None:
        """Load it, too: failures are shown on a page."""
        self.pack_finished(sweep, pack, ())


class LiveReport:
    """An observer that keeps ``report.html`` and ``progress.json`` up to date; a context manager.

    The first page is written with the first result. When the run ends early, one is left that does
    not load itself anew any more; when it ends, the report takes the page's place. A page that
    cannot be written stops nothing: the results have the say in that.

    Args:
        output: the run's folder.
        outlook: what is known of the run; told before this is.
    """

    def __init__(self, output: Output, outlook: Outlook) -> None:
        self._output, self._outlook = output, outlook
        self._every = EVERY_S if output.local is not None else FAR_AWAY_S
        self._due = 0.0
        self._sweep: Sweep | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._sweep is None:
            return
        with contextlib.suppress(OSError):
            if kind is not None or not self._sweep.finished:
                self._output.write(REPORT_NAME, self._page(self._sweep, ended=True))
            forget_progress(self._output)

    def started(self, sweep: Sweep, runner: str) -> None:
        """Nothing is known that an earlier report does not say better."""

    def pack_finished(self, sweep: Sweep, pack: Pack, rows: Sequence[Row]) -> None:
        """Write the first page."""
        self._sweep = sweep
        self.tick(sweep)

    def pack_failed(self, sweep: Sweep, pack: Pack, reason: str) -> None:
        """Name it on a page."""
        self._sweep = sweep

    def epochs(self, sweep: Sweep, running: Sequence[Epoch]) -> None:
        """See `raysweep.runners.observer.Observer`."""

    def tick(self, sweep: Sweep) -> None:
        """Write a page if the last one is old."""
        if self._sweep is None or time.monotonic() < self._due:
            return
        began = time.monotonic()
        with contextlib.suppress(OSError):
            left = self._outlook.seconds_left(sweep)
            if left is not None:
                store_seconds_left(self._output, left)
            self._output.write(REPORT_NAME, self._page(sweep))
        now = time.monotonic()
        self._due = now + max(self._every, min(_SHARE * (now - began), _OLDEST_S))

    def stopping(self, sweep: Sweep) -> None:
        """The page is written at the end."""

    def _page(self, sweep: Sweep, ended: bool = False) -> bytes:
        from raysweep_analysis.report.so_far import CellSoFar, RunSoFar, so_far_page

        best = kind_of(sweep.study).best_so_far(sweep)
        failed = dict.fromkeys(given_up(reason) for reason in sweep.failures.values())
        failures = [f"{counted(len(sweep.failures), 'pack')} failed", *failed] if failed else []
        run = RunSoFar(
            study=sweep.study.name,
            cells=[
                CellSoFar(
                    sweep.labels[cell.id],
                    sweep.state(cell).value,
                    dict(best.get(cell.id, {})),
                    self._outlook.so_far.of(cell.id),
                )
                for cell in sweep.cells
            ],
            finished=sum(sweep.state(cell) is CellState.DONE for cell in sweep.cells),
            done=sum(key in sweep.results for key in sweep.order()),
            planned=sweep.trials_planned(),
            failures=tuple(failures[:_MOST_FAILURES]),
            time_left="" if ended else time_left(sweep, self._outlook.seconds_left(sweep)),
            written=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
            every_s=0 if ended else max(round(self._every), 1),
            go_on=f"Go on with: raysweep resume {self._output.argument}" if ended else "",
        )
        return so_far_page(run).encode(errors="backslashreplace")
