"""What a trial of one's own costs beyond its function: python tests/benchmarks/bench_trials.py.

Through Ray with one worker, and in this process: medians over trials of the time from the end of
one to the end of the next. Of trials that take no time, and with a checkpoint of 10 MB each; with
``--seconds 60 --trials 5`` of trials that work for about so long in epochs of a tenth of a second,
each logged and shown. They time their own work, which is taken off. ``--sleep`` has them sleep
instead, so that what else runs on the machine counts for little.
"""

import argparse
import io
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

import raysweep
from raysweep.folder.run_folder import RunFolder
from raysweep.kinds.display import RunDisplay, Screen
from raysweep.kinds.sweep import Sweep
from raysweep.kinds.trial.study import TrialStudy
from raysweep.runners import local
from raysweep.study import checks
from raysweep.study.reader import parse_study
from raysweep.trials.packing import Pack
from raysweep.trials.storage import Output
from raysweep.trials.table import Row

# What the workers of Ray import the functions from.
sys.path.insert(0, str(Path(__file__).parent))

CHECKPOINT_NUMBERS = 2_500_000
EPOCH_S = 0.1


def instant(trial: raysweep.TrialContext) -> dict[str, float]:
    """Nothing but a point of a curve."""
    trial.log(1, f1=0.5)
    return {"f1_validation": 0.5 + trial.strength, "f1_test": 0.5}


def saving(trial: raysweep.TrialContext) -> dict[str, float]:
    """The same, with a checkpoint of 10 MB."""
    trial.save({"weights": torch.zeros(CHECKPOINT_NUMBERS)})
    return instant(trial)


def product(size: int = 256) -> float:
    """A fixed amount of work, of a few tenths of a millisecond."""
    matrix = torch.full((size, size), 1.0 / size)
    return float((matrix @ matrix).sum())


@cache
def products_per_epoch() -> int:
    """How many take about as long as an epoch; found once in a process, and fixed from then on."""
    for _ in range(100):
        product()
    began = time.thread_time()
    for _ in range(500):
        product()
    return max(1, round(EPOCH_S * 500 / (time.thread_time() - began)))


def working(trial: raysweep.TrialContext) -> dict[str, float]:
    """So many epochs as its axis says, each logged; a small checkpoint every tenth."""
    products = products_per_epoch()
    wall = cpu = 0.0
    for epoch in range(1, trial.cell["length"] + 1):
        began, began_cpu = time.monotonic(), time.thread_time()
        if trial.cell["sleeps"]:
            time.sleep(EPOCH_S)
        else:
            for _ in range(products):
                product()
        wall, cpu = wall + time.monotonic() - began, cpu + time.thread_time() - began_cpu
        trial.log(epoch, loss=1 / epoch, f1=0.5)
        if epoch % 10 == 0:
            trial.save({"epoch": epoch, "weights": torch.zeros(1000)})
    return {"f1_validation": 0.5, "f1_test": 0.5, "wall_s_test": wall, "cpu_s_test": cpu}


def study(function: str, trials: int, length: int = 1, sleeps: bool = False) -> TrialStudy:
    """A study of so many trials, 5 or more, or up to two more."""
    text = (
        f"name: cost\nkind: trial\ntrial: bench_trials:{function}\n"
        f"grid: {{length: {length}, sleeps: {str(sleeps).lower()}}}\n"
        "verdict: {performance: f1_test}\nsearch: {trials: 1, generation: 1, seeds: 1}\n"
        f"confirm: {{seeds: {max(1, -(-(trials - 2) // 3))}}}\n"
    )
    place = Path(__file__).parent
    found = parse_study(text, "cost", place, (), checks.check, checks.resolve_files)
    assert isinstance(found, TrialStudy)
    return found


class Marked(RunDisplay):
    """Notes the time, and the CPU time of this process, at the end of every trial."""

    def __init__(self) -> None:
        super().__init__(Screen(file=io.StringIO(), force_terminal=True))
        self.ends: list[tuple[float, float, float, float]] = []

    def pack_finished(self, sweep: Sweep, pack: Pack, rows: Sequence[Row]) -> None:
        """As for a display."""
        super().pack_finished(sweep, pack, rows)
        [row] = rows
        own = (float(row.get(name) or 0.0) for name in ("wall_s_test", "cpu_s_test"))
        self.ends.append((time.monotonic(), time.process_time(), *own))


@dataclass(frozen=True)
class Cost:
    """Of each trial but the first, [n]: seconds from the end of the one before, and of its work.

    Attributes:
        wall: from end to end.
        cpu: of this process, from end to end.
        work: wall time of the function's own work.
        work_cpu: its CPU time.
    """

    wall: np.ndarray
    cpu: np.ndarray
    work: np.ndarray
    work_cpu: np.ndarray


def cost_of(runner: str, wanted: TrialStudy) -> Cost:
    """Run a study, shown on a screen."""
    from raysweep.runners import tune

    with tempfile.TemporaryDirectory() as folder, Marked() as display:
        place = RunFolder(Output(folder))
        place.adopt(wanted)
        sweep = (local.run if runner == "local" else tune.run)(wanted, place, display)
        assert not sweep.failures, next(iter(sweep.failures.values()))
    ends = np.array(display.ends)
    between = np.diff(ends[:, :2], axis=0)
    return Cost(between[:, 0], between[:, 1], ends[1:, 2], ends[1:, 3])


def tell_of_work(runner: str, trials: int, seconds: float, sleeps: bool) -> None:
    """What trials that work for a while take beyond their work, in ms and as shares of it."""
    cost = cost_of(runner, study("working", trials, max(1, round(seconds / EPOCH_S)), sleeps))
    beyond = cost.wall - cost.work
    here = cost.cpu - cost.work_cpu * (runner == "local")  # which has done the work, too
    sys.stdout.write(
        f"{runner:6} {np.median(cost.work):6.2f} s of work in {len(beyond)} trials; beyond it "
        f"{1000 * np.median(beyond):.0f} ms ({1000 * beyond.min():.0f} to "
        f"{1000 * beyond.max():.0f}), {100 * np.median(beyond / cost.work):.2f} % of its time; "
        f"CPU time of this process beyond it {1000 * np.median(here):.0f} ms\n"
    )


def main() -> None:
    """Print a row for each runner and function."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200, help="5 or more, of each runner")
    parser.add_argument("--seconds", type=float, default=0.0, help="that a trial works for")
    parser.add_argument("--sleep", action="store_true", help="sleep instead of working")
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    from raysweep.runners import ray_cluster

    torch.set_num_threads(1)
    if not asked.seconds:
        sys.stdout.write("ms from the end of a trial to the end of the next, median (mean)\n")
    for runner in ("local", "ray"):
        started_here = runner == "ray" and ray_cluster.connect("local", 1)
        cost_of(runner, study("instant", 5))  # what only a first run has to load
        if asked.seconds:
            tell_of_work(runner, asked.trials, asked.seconds, asked.sleep)
        else:
            for function in ("instant", "saving"):
                wall = 1000 * cost_of(runner, study(function, asked.trials)).wall
                sys.stdout.write(
                    f"{runner:6} {function:8} {np.median(wall):6.1f} ({wall.mean():.1f})\n"
                )
        if started_here:
            ray_cluster.stop()


if __name__ == "__main__":
    main()
