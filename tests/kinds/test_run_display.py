"""How often a run is drawn: soon where something has changed, and never at much of its time."""

from types import SimpleNamespace

import pytest
from drawn_runs import study
from rich.console import RenderableType

from raysweep.folder.running import Epoch
from raysweep.kinds import display
from raysweep.kinds.display import RunDisplay, Screen
from raysweep.kinds.forcing.plan import ForcingSweep


class Area:
    """Counts what is drawn, which takes a processor the time that a test says."""

    def __init__(self) -> None:
        self.drawn, self.now, self.busy, self.takes = 0, 0.0, 0.0, 0.001

    def start(self) -> None:
        """Nothing to prepare."""

    def update(self, shown: RenderableType, *, refresh: bool = False) -> None:
        self.drawn += 1
        self.busy += self.takes

    def stop(self) -> None:
        """Nothing to leave."""


def draws(area: Area, shown: RunDisplay, sweep: ForcingSweep, changes: bool) -> int:
    """In a minute that is ticked through four times a second."""
    before = area.drawn
    for tick in range(240):
        area.now += 0.25
        if changes:
            shown.epochs(sweep, [Epoch("k", "c", "forced", tick, None, {})])
        shown.tick(sweep)
    return area.drawn - before


def test_what_is_drawn_hangs_on_what_has_changed_and_on_what_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    area = Area()
    clock = SimpleNamespace(monotonic=lambda: area.now, thread_time=lambda: area.busy)
    monkeypatch.setattr(display, "time", clock)
    sweep = ForcingSweep(study())
    shown = RunDisplay(Screen(), area)
    shown.started(sweep, "here")
    assert draws(area, shown, sweep, changes=True) == 120
    assert 20 <= draws(area, shown, sweep, changes=False) <= 30
    area.takes = 0.1
    assert draws(area, shown, sweep, changes=True) <= 7  # a hundredth of a minute
