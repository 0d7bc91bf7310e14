"""Tells an observer which epochs the trials have come to that run now."""

import contextlib
import time
from collections.abc import Iterator
from threading import Event, Thread

from raysweep.folder.run_folder import RunFolder
from raysweep.folder.running import running
from raysweep.kinds.kind import kind_of
from raysweep.kinds.sweep import Sweep
from raysweep.runners.observer import Observer

_EVERY_S = 1.0
_EVERY_FAR_S = 20.0
_TICK_S = 0.5


class Epochs:
    """Looks into a folder, now and then, for what running trials have logged last.

    Args:
        folder: of the run.
        observer: told, before every tick.
    """

    def __init__(self, folder: RunFolder, observer: Observer) -> None:
        self._output, self._observer = folder.output, observer
        self._every_s = _EVERY_FAR_S if folder.output.local is None else _EVERY_S
        self._seen = time.monotonic()

    def tick(self, sweep: Sweep) -> None:
        """Tell of the epochs, if some are due, and of the time."""
        now = time.monotonic()
        if kind_of(sweep.study).logs_epochs and now - self._seen >= self._every_s:
            with contextlib.suppress(OSError):
                there = [one for one in running(self._output) if one.key not in sweep.results]
                self._observer.epochs(sweep, there)
            self._seen = time.monotonic()
        self._observer.tick(sweep)

    @contextlib.contextmanager
    def ticking(self, sweep: Sweep) -> Iterator[None]:
        """Tick a few times a second while this process itself trains in the block."""
        if not kind_of(sweep.study).logs_epochs:
            yield
            return
        over = Event()

        def tick() -> None:
            while not over.wait(_TICK_S):
                self.tick(sweep)

        ticker = Thread(target=tick, name="raysweep-epochs", daemon=True)
        ticker.start()
        try:
            yield
        finally:
            over.set()
            ticker.join()
