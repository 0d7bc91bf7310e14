"""How a runner tells what it does: the display listens, the runner does not know who does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from raysweep.folder.running import Epoch
from raysweep.kinds.sweep import Sweep
from raysweep.trials.packing import Pack
from raysweep.trials.table import Row


class Observer(Protocol):
    """Listens to a run. Every method returns quickly and raises nothing."""

    def started(self, sweep: Sweep, runner: str) -> None:
        """The sweep was opened and packs are about to run."""
        ...

    def pack_finished(self, sweep: Sweep, pack: Pack, rows: Sequence[Row]) -> None:
        """A pack's results are stored and taken into the sweep."""
        ...

    def pack_failed(self, sweep: Sweep, pack: Pack, reason: str) -> None:
        """A pack was given up for this run."""
        ...

    def epochs(self, sweep: Sweep, running: Sequence[Epoch]) -> None:
        """What trials that run now have logged last, of kinds whose trials log epochs."""
        ...

    def tick(self, sweep: Sweep) -> None:
        """Called a few times a second while packs run."""
        ...

    def stopping(self, sweep: Sweep) -> None:
        """The run was interrupted; what is finished is still stored."""
        ...


class Silent:
    """An observer that says nothing."""

    def started(self, sweep: Sweep, runner: str) -> None:
        """Say nothing."""

    def pack_finished(self, sweep: Sweep, pack: Pack, rows: Sequence[Row]) -> None:
        """Say nothing."""

    def pack_failed(self, sweep: Sweep, pack: Pack, reason: str) -> None:
        """Say nothing."""

    def epochs(self, sweep: Sweep, running: Sequence[Epoch]) -> None:
        """Say nothing."""

    def tick(self, sweep: Sweep) -> None:
        """Say nothing."""

    def stopping(self, sweep: Sweep) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Several:
    """An observer that tells others, in their order."""

    observers: tuple[Observer, ...]

    def started(self, sweep: Sweep, runner: str) -> None:
        """See `Observer`."""
        for one in self.observers:
            one.started(sweep, runner)

    def pack_finished(self, sweep: Sweep, pack: Pack, rows: Sequence[Row]) -> None:
        """See `Observer`."""
        for one in self.observers:
            one.pack_finished(sweep, pack, rows)

    def pack_failed(self, sweep: Sweep, pack: Pack, reason: str) -> None:
        """See `Observer`."""
        for one in self.observers:
            one.pack_failed(sweep, pack, reason)

    def epochs(self, sweep: Sweep, running: Sequence[Epoch]) -> None:
        """See `Observer`."""
        for one in self.observers:
            one.epochs(sweep, running)

    def tick(self, sweep: Sweep) -> None:
        """See `Observer`."""
        for one in self.observers:
            one.tick(sweep)

    def stopping(self, sweep: Sweep) -> None:
        """See `Observer`."""
        for one in self.observers:
            one.stopping(sweep)
