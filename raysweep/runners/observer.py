"""How a runner tells what it does: the display listens, the runner does not know who does."""

from collections.abc import Sequence
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
