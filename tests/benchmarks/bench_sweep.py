"""What a sweep costs besides training: Ray's share of a pack, the driver's memory, large tables.

    python tests/benchmarks/bench_sweep.py [packs ...]        (by default 100 and 2000)

Packs of trivial size (3 pairs, 64 rows, 2 epochs) run through Ray Tune on all cores; then a folder
of 100,000 drawn rows is opened, shown and compacted.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

from rich.console import Console
from tiny_runs import opened, study

from raysweep import tune_runner
from raysweep.display import status_table
from raysweep.packing import Pack
from raysweep.progress import Silent
from raysweep.sweep import Sweep
from raysweep.table import Row
from tests.drawn_runs import draw_packs
from tests.drawn_runs import opened as opened_drawn
from tests.drawn_runs import study as drawn_study

MEGABYTE = 1e6


class Meter(Silent):
    """Counts packs and trials from the first result on, and looks at the driver's memory."""

    def __init__(self) -> None:
        self.packs, self.trials, self.began, self.first_mb = 0, 0, 0.0, 0.0

    def pack_finished(self, sweep: Sweep, pack: Pack, rows: Sequence[Row]) -> None:
        if not self.began:
            self.began = time.perf_counter()
            self.first_mb = resident_mb()
            return
        self.packs += 1
        self.trials += len(rows)


def resident_mb() -> float:
    return psutil.Process().memory_info().rss / MEGABYTE


def sweep_of(packs: int) -> str:
    planned = study(confirm__seeds=packs)
    meter = Meter()
    with tempfile.TemporaryDirectory() as folder:
        tune_runner.run(planned, opened(folder, planned), meter)
        took = time.perf_counter() - meter.began
    return (
        f"| {meter.packs} | {1000 * took / meter.packs:.0f} ms | {2 * meter.trials / took:.0f} | "
        f"{meter.first_mb:.0f} to {resident_mb():.0f} MB |\n"
    )


def large_table(write, rows: int = 100_000) -> None:
    cells = 9
    confirm = rows // (3 * cells)
    planned = drawn_study(
        data={"dataset": "synthetic", "U": list(range(cells))},
        confirm={"seeds": confirm},
        resources={"members_per_pack": 60},
    )
    with tempfile.TemporaryDirectory() as path:
        folder = opened_drawn(Path(path), planned)
        draw_packs(folder, planned)
        began = time.perf_counter()
        sweep = folder.open_sweep(planned)
        opening = time.perf_counter() - began
        Console(quiet=True).print(status_table(sweep))
        shown = time.perf_counter() - began
        began = time.perf_counter()
        folder.compact(sweep)
        compacted = time.perf_counter() - began
    write(f"| open and plan, {len(sweep.results):,} rows | {opening:.2f} s |\n")
    write(f"| open, plan and show the status | {shown:.2f} s |\n")
    write(f"| compact | {compacted:.2f} s |\n")


def main(packs: Sequence[int]) -> None:
    write = sys.stdout.write
    write("| packs | a pack | encoders/s | driver's memory |\n| --- | --- | --- | --- |\n")
    for count in packs:
        write(sweep_of(count))
        sys.stdout.flush()
    write("\n| step | time |\n| --- | --- |\n")
    large_table(write)


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [100, 2000])
