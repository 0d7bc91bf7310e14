"""What a trial of one's own costs beyond its function: python tests/benchmarks/bench_trials.py.

Through Ray, and in this process; of trials that take no time, and with a checkpoint of 10 MB each.
"""

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

import torch

import raysweep
from raysweep.folder.run_folder import RunFolder
from raysweep.kinds.trial.study import TrialStudy
from raysweep.runners import local
from raysweep.study import checks
from raysweep.study.reader import parse_study
from raysweep.trials.storage import Output

# What the workers of Ray import the functions from.
sys.path.insert(0, str(Path(__file__).parent))

CHECKPOINT_NUMBERS = 2_500_000


def instant(trial: raysweep.TrialContext) -> dict[str, float]:
    """Nothing but a point of a curve."""
    trial.log(1, f1=0.5)
    return {"f1_validation": 0.5 + trial.strength, "f1_test": 0.5}


def saving(trial: raysweep.TrialContext) -> dict[str, float]:
    """The same, with a checkpoint of 10 MB."""
    trial.save({"weights": torch.zeros(CHECKPOINT_NUMBERS)})
    return instant(trial)


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
    trials = parser.parse_args().trials
    logging.disable(logging.WARNING)
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
