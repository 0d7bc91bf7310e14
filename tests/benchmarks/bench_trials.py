"""What a trial of one's own costs beyond its function: python tests/benchmarks/bench_trials.py.

Through Ray, and in this process; of trials that take no time, and with a checkpoint of 10 MB each.
With ``--epochs 600`` of trials of so many epochs of a tenth of a second, each logged and shown:
what they take beyond their own work, which they time themselves, so that other load counts for
little.
"""

import argparse
import io
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
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
from raysweep.trials.table import Row, read_table

# What the workers of Ray import the functions from.
sys.path.insert(0, str(Path(__file__).parent))

CHECKPOINT_NUMBERS = 2_500_000
EPOCH_PRODUCTS = 150


def instant(trial: raysweep.TrialContext) -> dict[str, float]:
    """Nothing but a point of a curve."""
    trial.log(1, f1=0.5)
    return {"f1_validation": 0.5 + trial.strength, "f1_test": 0.5}


def saving(trial: raysweep.TrialContext) -> dict[str, float]:
    """The same, with a checkpoint of 10 MB."""
    trial.save({"weights": torch.zeros(CHECKPOINT_NUMBERS)})
    return instant(trial)


def work(epoch: int) -> float:
    """What an epoch computes, for about a tenth of a second."""
    matrix = torch.full((256, 256), 1.0 / (256 + epoch))
    for _ in range(EPOCH_PRODUCTS):
        matrix = matrix @ matrix
    return float(matrix.sum())


def logged(trial: raysweep.TrialContext) -> dict[str, float]:
    """So many epochs as its axis says, each logged; a small checkpoint every tenth."""
    wall = cpu = 0.0
    for epoch in range(1, trial.cell["length"] + 1):
        began, began_cpu = time.monotonic(), time.thread_time()
        found = work(epoch)
        wall, cpu = wall + time.monotonic() - began, cpu + time.thread_time() - began_cpu
        trial.log(epoch, loss=found, f1=0.5)
        if epoch % 10 == 0:
            trial.save({"epoch": epoch, "weights": torch.zeros(1000)})
    return {"f1_validation": 0.5, "f1_test": 0.5, "wall_s_test": wall, "cpu_s_test": cpu}


def study(function: str, trials: int, length: int) -> TrialStudy:
    """A study of so many trials or a few more."""
    text = (
        f"name: cost\nkind: trial\ntrial: bench_trials:{function}\n"
        f"grid: {{length: {length}}}\nverdict: {{performance: f1_test}}\n"
        f"search: {{trials: 4, seeds: 1}}\nconfirm: {{seeds: {-(-(trials - 5) // 3)}}}\n"
    )
    place = Path(__file__).parent
    found = parse_study(text, "cost", place, (), checks.check, checks.resolve_files)
    assert isinstance(found, TrialStudy)
    return found


class Marked(RunDisplay):
    """Notes the time, and the CPU time of this process, at the end of every trial."""

    def __init__(self) -> None:
        super().__init__(Screen(file=io.StringIO(), force_terminal=True))
        self.ends: list[tuple[float, float]] = []

    def pack_finished(self, sweep: Sweep, pack: Pack, rows: Sequence[Row]) -> None:
        """As for a display."""
        super().pack_finished(sweep, pack, rows)
        self.ends.append((time.monotonic(), time.process_time()))


@dataclass(frozen=True)
class Cost:
    """Seconds a trial, those with what a run does at its start and end, and CPU seconds here."""

    whole: float
    wall: float
    cpu: float
    rows: pd.DataFrame


def cost_of_trials(runner: str, function: str, trials: int, length: int = 1) -> Cost:
    """Of a run in a Ray that has run one already, shown on a screen."""
    from raysweep.runners import tune

    found = Cost(0.0, 0.0, 0.0, pd.DataFrame())
    for count, epochs in ((8, 1), (trials, length)):
        wanted = study(function, count, epochs)
        with tempfile.TemporaryDirectory() as folder, Marked() as display:
            place = RunFolder(Output(folder))
            place.adopt(wanted)
            began = time.monotonic()
            run = local.run if runner == "local" else tune.run
            sweep = run(wanted, place, display)
            whole = time.monotonic() - began
            assert not sweep.failures, next(iter(sweep.failures.values()))
            rows = read_table(folder)
        (first, first_cpu), *_, (last, last_cpu) = display.ends
        further = len(display.ends) - 1
        found = Cost(
            whole / len(rows), (last - first) / further, (last_cpu - first_cpu) / further, rows
        )
    return found


def tell_of_whole_trials(runner: str, epochs: int) -> None:
    """What trials that work for a while take beyond their work, as shares of it."""
    cost = cost_of_trials(runner, "logged", 8, epochs)
    work, work_cpu = cost.rows["wall_s_test"].mean(), cost.rows["cpu_s_test"].mean()
    beyond = 100 * (cost.wall - work) / work
    # This process has done the work, too, or it is the driver alone.
    more = 100 * (cost.cpu - work_cpu * (runner == "local")) / work_cpu
    sys.stdout.write(
        f"{runner:6} {work:5.1f} s of work a trial; beyond it {beyond:.2f} % of wall time, "
        f"{more:.2f} % of CPU time in {'this process' if runner == 'local' else 'the driver'}\n"
    )


def main() -> None:
    """Print a row for each runner and function."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=0)
    asked = parser.parse_args()
    trials = asked.trials
    logging.disable(logging.WARNING)
    from raysweep.runners import ray_cluster

    torch.set_num_threads(1)
    sys.stdout.write(f"{trials} trials, ms a trial\n" if not asked.epochs else "")
    for runner in ("local", "ray"):
        started_here = runner == "ray" and ray_cluster.connect("local", 1)
        if asked.epochs:
            tell_of_whole_trials(runner, asked.epochs)
        else:
            for function in ("instant", "saving"):
                cost = 1000 * cost_of_trials(runner, function, trials).whole
                sys.stdout.write(f"{runner:6} {function:8} {cost:6.1f}\n")
        if started_here:
            ray_cluster.stop()


if __name__ == "__main__":
    main()
