"""CPU time of the analysis on large trial tables: python tests/benchmarks/bench_analysis.py.

The table is the one of the study `forcing` that comes with the package, with all its columns,
written again and again as cells of their own.
"""

import argparse
import sys
import time

import numpy as np
import pandas as pd

import raysweep_analysis as analysis
from raysweep_analysis.examples import FORCING

OUTCOME = "performance_fused_test"


def large_table(rows: int) -> pd.DataFrame:
    """So many rows at least; each copy has a number of training rows and noise of its own."""
    source = pd.read_parquet(FORCING)
    noise = np.random.default_rng(0)
    copies = []
    for number in range(-(-rows // len(source))):
        copy = source.copy()
        copy["key"] = copy["key"] + f"-{number}"
        copy["cell"] = copy["cell"] + f"-{number}"
        copy["n_train"] = copy["n_train"] + number
        copy[OUTCOME] += 1e-3 * noise.standard_normal(len(copy))
        copies.append(copy)
    return pd.concat(copies, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    trials = large_table(given.rows)
    sys.stdout.write(f"{len(trials):,} rows, {trials['cell'].nunique()} cells, CPU s (best)\n")
    for ask in (analysis.dose_response, analysis.power, analysis.moderators):
        seconds = []
        for _ in range(given.repeats):
            started = time.process_time()
            ask(trials, OUTCOME)
            seconds.append(time.process_time() - started)
        sys.stdout.write(f"{ask.__name__:14} {min(seconds):8.2f}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
