"""What is known of a run that goes on: what it has found, and how long it still takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from raysweep.folder.running import Epoch
from raysweep.kinds.pace import Pace
from raysweep.kinds.so_far import SoFar
from raysweep.kinds.sweep import Sweep
from raysweep.text import duration
from raysweep.trials.packing import Pack
from raysweep.trials.table import Row


def time_left(sweep: Sweep, seconds: float | None) -> str:
    """The time left in words: ``about 3 min left``; empty where it is not known."""
    if seconds is None:
        return ""
    return f"{'at most' if sweep.may_end_early else 'about'} {duration(seconds)} left"


@dataclass
class Outlook:
    """An observer that shows nothing: others ask it what to show.

    Attributes:
        so_far: the effects of forcing so far.
        pace: of the packs.
        told: where another process drives the run, what it says of the seconds left.
    """

    so_far: SoFar
    pace: Pace = field(default_factory=Pace)
    told: Callable[[], float | None] | None = None

    def seconds_left(self, sweep: Sweep) -> float | None:
        """Seconds until the run has ended; None while that is not known.

        At most so many where the sweep may end early.
        """
        return self.pace.seconds_left(sweep) if self.told is None else self.told()

    def started(self, sweep: Sweep, runner: str) -> None:
        """Nothing runs yet."""

    def pack_finished(self, sweep: Sweep, pack: Pack, rows: Sequence[Row]) -> None:
        """Take in what a pack has found, and how long it took."""
        self.so_far.take_in(rows)
        self.pace.ended(pack)

    def pack_failed(self, sweep: Sweep, pack: Pack, reason: str) -> None:
        """Count on a pack no more."""
        self.pace.ended(pack, whole=False)

    def epochs(self, sweep: Sweep, running: Sequence[Epoch]) -> None:
        """See `raysweep.runners.observer.Observer`."""

    def tick(self, sweep: Sweep) -> None:
        """See which packs run."""
        self.pace.look(sweep)

    def stopping(self, sweep: Sweep) -> None:
        """Nothing to do."""
