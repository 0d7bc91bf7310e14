"""False verdicts and power over splits of the same rows: python tests/benchmarks/bench_resplits.py.

Learners in closed form whose difference is 0 over datasets (`tests/support/simulate_resplits.py`),
split as raysweep splits a file, with its number of splits for so many rows. Minutes on one core.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from simulate_resplits import Setting, Splitter, crossed, differences, random

from raysweep.data.resplits import TURN, draws_for, held_out_rows
from raysweep_analysis.inference import overlap_of, paired_t, shared_variance, tost

LEARNERS = {
    "16 features": {"features": 8},
    "50 features, penalty chosen": {"features": 25, "penalties": (1.0, 10.0, 100.0)},
    "best of 8 strengths": {"features": 8, "strengths": 8, "seeds": 1},
}


def found(values: np.ndarray, shared: float, truth: float = 0.0) -> float:
    """The share of datasets in which a mean differs from the truth."""
    return float((paired_t(values - truth, shared=shared).p_value < 0.05).mean())


def measured(setting: Setting, datasets: int, splitter: Splitter) -> tuple[np.ndarray, float]:
    """Differences, and their true mean: 0 but for the best of several strengths."""
    values, expected = differences(setting, datasets, splitter)
    truth = float(expected.mean()) if setting.strengths > 1 or setting.gain else 0.0
    return values, truth


def row(rows: int, name: str, datasets: int) -> str:
    """A line of the table."""
    held_out = held_out_rows(rows)
    draws = draws_for(held_out)
    share = held_out / (rows - held_out)
    shared = float(shared_variance(overlap_of(range(draws), TURN, share)))
    anew = held_out / (rows - 2 * held_out)  # Nadeau and Bengio's n_test / n_train
    setting = Setting(rows, draws, **LEARNERS[name])
    values, truth = measured(setting, datasets, crossed)
    centred = values - truth
    # So large that splits that knew all could tell.
    effect = 3.0 * centred.mean(axis=1).std()
    margin = 4.0 * centred.mean(axis=1).std()
    other, other_truth = measured(setting, datasets, random)
    at_margin = centred + margin
    cells = [
        found(values, 0.0, truth),
        found(values, shared, truth),
        float((tost(at_margin, margin) < 0.05).mean()),
        float((tost(at_margin, margin, shared) < 0.05).mean()),
        found(centred + effect, 0.0),
        found(centred + effect, shared),
        found(other, anew, other_truth),
        found(other - other_truth + effect, anew),
    ]
    bias = 100 * float(other.mean() - other_truth)
    own = 100 * float(values.mean() - truth)
    shown = " | ".join(f"{value:.3f}" for value in cells)
    return f"| {rows:,} | {draws} | {name} | {shown} | {own:+.2f} | {bias:+.2f} |\n"


HEADER = (
    "| rows | splits | learners | helps or hurts where nothing does: plain t | ours | equivalent "
    "at the margin: plain t | ours | power: plain t | ours | splits drawn anew, Nadeau and Bengio: "
    "false | power | bias in points: ours | drawn anew |\n"
    f"| {' | '.join(['---'] * 13)} |\n"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=int, default=2_000)
    parser.add_argument("--rows", type=int, nargs="+", default=[150, 500, 1_500, 5_000])
    given = parser.parse_args()
    sys.stdout.write(HEADER)
    for rows in given.rows:
        for name in LEARNERS:
            sys.stdout.write(row(rows, name, given.datasets))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
