"""Whether packs over several cells pay: whole sweeps with 1 and with 4 cells a pack, in turns.

    python tests/benchmarks/bench_cells.py [rounds]        (by default 3)

Eight synthetic cells in one process: 512 rows, width 64, batches of 128, 20 epochs. Encoders per
second of CPU time, and the median over rounds of the ratio within a round.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
sys.path.insert(0, str(Path(__file__).parents[2]))

from tiny_runs import opened, study

from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.runners import local

CELLS = (1, 4)


def of_cells(cells: int, engine: str) -> Study:
    return study(
        data={
            "dataset": "synthetic",
            "U": list(range(8)),
            "train": 512,
            "validation": 256,
            "test": 512,
        },
        model={"width": 64},
        training={"epochs": 20, "batch_size": 128, "engine": engine},
        evaluation={"metrics": {"unbiased_cka": {}, "mutual_knn": {}}},
        search={"trials": 12, "generation": 4, "seeds": 2},
        confirm={"seeds": 12},
        resources={"members_per_pack": 144, "cells_per_pack": cells},
    )


def encoders_per_s(wanted: Study) -> float:
    with tempfile.TemporaryDirectory() as folder:
        place = opened(folder, wanted)
        began = time.process_time()
        sweep = local.run(wanted, place)
        return 2 * len(sweep.results) / (time.process_time() - began)


def main(rounds: int) -> None:
    write = sys.stdout.write
    write("| engine | 1 cell a pack | 4 cells | ratio |\n| --- | --- | --- | --- |\n")
    for engine in ("torch", "auto"):
        encoders_per_s(of_cells(4, engine))  # loads data, warms up
        found: dict[int, list[float]] = {cells: [] for cells in CELLS}
        for turn in range(rounds):
            for cells in CELLS if turn % 2 == 0 else reversed(CELLS):
                found[cells].append(encoders_per_s(of_cells(cells, engine)))
        one, four = found[1], found[4]
        ratios = [b / a for a, b in zip(one, four, strict=True)]
        write(
            f"| {engine} | {statistics.median(one):.0f}/s | {statistics.median(four):.0f}/s | "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
