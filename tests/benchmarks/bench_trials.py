"""What a trial of one's own costs beyond its function: python tests/benchmarks/bench_trials.py.

Through Ray, and in this process; of trials that take no time, and with a checkpoint of 10 MB each.
With ``--epochs 600`` of a trial of so many epochs of a tenth of a second: CPU time of this process
with its epochs logged, shown and kept, and of the same work by itself, one after the other.
"""

import argparse
import io
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

import torch

import raysweep
from raysweep.folder.run_folder import RunFolder
from raysweep.kinds.display import RunDisplay, Screen
from raysweep.kinds.kind import kind_of
from raysweep.kinds.trial.study import TrialStudy
from raysweep.runners import local
from raysweep.runners.attempt import attempt
from raysweep.runners.epochs import Epochs
from raysweep.study import checks
from raysweep.study.reader import parse_study
from raysweep.trials.storage import Output

# What the workers of Ray import the functions from.
sys.path.insert(0, str(Path(__file__).parent))

CHECKPOINT_NUMBERS = 2_500_000
EPOCH_PRODUCTS = 150
EPOCHS = "BENCH_TRIALS_EPOCHS"


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
    """So many epochs as the benchmark asks for, each logged; a small checkpoint every tenth."""
    for epoch in range(1, int(os.environ[EPOCHS]) + 1):
        found = work(epoch)
        trial.log(epoch, loss=found, f1=0.5)
        if epoch % 10 == 0:
            trial.save({"epoch": epoch, "weights": torch.zeros(1000)})
    return {"f1_validation": 0.5, "f1_test": 0.5}


def share_of_a_trial(epochs: int) -> tuple[float, float]:
    """CPU seconds of the work by itself, and of a trial that does it, with a display that looks.

    Of a second trial in the same process: without what is imported once.
    """
    wanted = study("logged", 8)
    plain = trial = 0.0
    for count in (1, epochs):
        os.environ[EPOCHS] = str(count)
        began = time.process_time()
        for epoch in range(1, count + 1):
            work(epoch)
        plain = time.process_time() - began
        with tempfile.TemporaryDirectory() as folder:
            trial = _seconds_of_one(wanted, RunFolder(Output(folder)), count)
    return plain, trial


def _seconds_of_one(wanted: TrialStudy, place: RunFolder, epochs: int) -> float:
    place.adopt(wanted)
    sweep = place.open_sweep(wanted)
    pack = sweep.next_pack()
    assert pack is not None
    with RunDisplay(Screen(file=io.StringIO(), force_terminal=True)) as display:
        display.started(sweep, "bench")
        began = time.process_time()
        with Epochs(place, display).ticking(sweep):
            [row] = attempt(wanted, pack, execute=kind_of(wanted).executor(place.output))
        trial = time.process_time() - began
    assert row["trained_epochs"] == epochs
    return trial


def study(function: str, trials: int) -> TrialStudy:
    """A study of so many trials or a few more."""
    text = (
        f"name: cost\nkind: trial\ntrial: bench_trials:{function}\n"
        "verdict: {performance: f1_test}\n"
        f"search: {{trials: 4, seeds: 1}}\nconfirm: {{seeds: {-(-(trials - 5) // 3)}}}\n"
    )
    place = Path(__file__).parent
    found = parse_study(text, "cost", place, (), checks.check, checks.resolve_files)
    assert isinstance(found, TrialStudy)
    return found


def seconds_per_trial(runner: str, function: str, trials: int) -> float:
    """Of a second run in the same Ray: without what starts once."""
    from raysweep.runners import tune

    found = 0.0
    for count in (8, trials):
        wanted = study(function, count)
        with tempfile.TemporaryDirectory() as folder:
            place = RunFolder(Output(folder))
            place.adopt(wanted)
            started = time.monotonic()
            run = local.run if runner == "local" else tune.run
            sweep = run(wanted, place)
            found = (time.monotonic() - started) / len(sweep.results)
            assert not sweep.failures, next(iter(sweep.failures.values()))
    return found


def main() -> None:
    """Print a row for each runner and function."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=0)
    asked = parser.parse_args()
    trials = asked.trials
    logging.disable(logging.WARNING)
    if asked.epochs:
        torch.set_num_threads(1)
        plain, trial = share_of_a_trial(asked.epochs)
        more = 100 * (trial / plain - 1)
        sys.stdout.write(f"{plain:.1f} s of work, {trial:.1f} s as a trial: {more:+.2f} %\n")
        return
    from raysweep.runners import ray_cluster

    sys.stdout.write(f"{trials} trials, ms a trial\n")
    for runner in ("local", "ray"):
        started_here = runner == "ray" and ray_cluster.connect("local", 1)
        for function in ("instant", "saving"):
            cost = 1000 * seconds_per_trial(runner, function, trials)
            sys.stdout.write(f"{runner:6} {function:8} {cost:6.1f}\n")
        if started_here:
            ray_cluster.stop()


if __name__ == "__main__":
    main()
