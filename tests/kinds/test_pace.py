"""The time left of a run, beside a simulated one whose end is known."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from drawn_runs import drawn_row, study

from raysweep.folder.run_folder import sweep_of
from raysweep.kinds.pace import Pace
from raysweep.kinds.sweep import Sweep
from raysweep.study.spec import StudyBase
from raysweep.trials.packing import Pack
from raysweep.trials.table import results_of

Seconds = Callable[[Pack], float]


def simulated(
    planned: StudyBase, workers: int, seconds: Seconds, lose: frozenset[int] = frozenset()
) -> list[tuple[float, float | None]]:
    """(share of the run gone, seconds left as told over seconds left) as every pack ends."""
    now = 0.0
    pace, sweep = Pace(lambda: now), sweep_of(planned, {})
    ends: list[tuple[float, Pack]] = []
    told: list[tuple[float, float | None]] = []
    handed = 0
    while True:
        while len(ends) < workers and (pack := sweep.next_pack()) is not None:
            sweep.begin(pack)
            ends.append((now + seconds(pack), pack))
        pace.look(sweep)
        told.append((now, pace.seconds_left(sweep)))
        if not ends:
            break
        first = min(ends, key=lambda end: end[0])
        ends.remove(first)
        now, pack = first
        handed += 1
        finish(sweep, pace, pack, planned, failed=handed in lose)
    end = now
    return [(at / end, None if left is None else left / (end - at)) for at, left in told[:-1]]


def finish(sweep: Sweep, pace: Pace, pack: Pack, planned: StudyBase, failed: bool) -> None:
    if failed:
        sweep.fail(pack, "too bad")
    else:
        sweep.complete(pack, results_of([drawn_row(planned, t) for t in pack.trials]))  # type: ignore[arg-type]
    pace.ended(pack, whole=not failed)


def per_trial(pack: Pack) -> float:
    return 2.0 * len(pack.trials)


def test_equal_trials_one_at_a_time_are_told_exactly() -> None:
    told = simulated(study(), 1, per_trial)
    assert told[0][1] is None  # nothing is known before the first pack has ended
    assert [ratio for _, ratio in told[1:]] == pytest.approx(np.ones(len(told) - 1))


@dataclass
class Costly:
    """Four times the rows cost thrice as much, test rows a third more, a first pack 20 s.

    After so many packs everything takes so many times as long.
    """

    workers: int
    changed_after: int = 10**9
    by: float = 1.0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.workers)
        self.begun = 0

    def __call__(self, pack: Pack) -> float:
        self.begun += 1
        rows = dict(pack.trials[0].cell.parameters)["train"]
        cost = (3.0 if rows == 1024 else 1.0) * (1.3 if pack.trials[0].stage == "confirm" else 1.0)
        took = cost * len(pack.trials) * self.rng.lognormal(0, 0.2)
        took *= self.by if self.begun > self.changed_after else 1.0
        return took + 20.0 * (self.begun <= self.workers)


def of_eight_cells() -> StudyBase:
    return study(
        data={"dataset": "synthetic", "U": [0, 2, 4, 6], "train": [256, 1024]},
        search={"trials": 8, "generation": 2, "seeds": 2},
        confirm={"seeds": 12},
    )


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_from_a_fifth_on_the_time_left_is_within_a_factor_of_one_and_a_half(workers: int) -> None:
    told = simulated(of_eight_cells(), workers, Costly(workers))
    late = [ratio for share, ratio in told if 0.2 <= share < 0.95]
    assert all(ratio is not None and 1 / 1.5 < ratio < 1.5 for ratio in late)


@pytest.mark.parametrize("by", [2.0, 0.5])
def test_a_change_of_the_machines_speed_is_followed(by: float) -> None:
    """What is told as the change comes cannot know of it; it does two fifths of the rest later."""
    packs = len(simulated(of_eight_cells(), 1, per_trial))
    told = simulated(of_eight_cells(), 1, Costly(1, packs // 2, by))
    at_change = told[packs // 2][1]
    assert at_change is not None
    assert at_change < 1 / 1.4 if by > 1 else at_change > 1.4
    later = [ratio for _, ratio in told[packs // 2 + packs // 5 :]]
    assert len(later) > packs // 4
    assert all(ratio is not None and 1 / 1.5 < ratio < 1.5 for ratio in later)


def test_packs_that_were_given_up_are_not_waited_for() -> None:
    told = simulated(study(), 1, per_trial, lose=frozenset({2}))
    last = [ratio for share, ratio in told if share > 0.5]
    assert last == pytest.approx(np.ones(len(last)))
