"""What a sweep costs besides training: Ray's share of a pack, the driver's memory, large tables.

    python tests/benchmarks/bench_sweep.py [packs ...]        (by default 100 and 2000)

Packs of trivial size (3 pairs, 64 rows, 2 epochs) run through Ray Tune on all cores; then a folder
of 100,000 drawn rows in packs of 36 is opened, compacted and shown by the command line (CPU time).
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
sys.path.insert(0, str(Path(__file__).parents[2]))

from drawn_runs import draw_packs
from drawn_runs import opened as opened_drawn
from drawn_runs import study as drawn_study
from tiny_runs import opened, study

from raysweep.kinds.sweep import Sweep
from raysweep.runners import tune
from raysweep.runners.observer import Silent
from raysweep.trials.packing import Pack
from raysweep.trials.table import Row

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
        tune.run(planned, opened(folder, planned), meter)
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
        resources={"members_per_pack": 36},
    )
    with tempfile.TemporaryDirectory() as path:
        folder = opened_drawn(Path(path), planned)
        parts = draw_packs(folder, planned)
        before = command_s("status", path)
        began = time.process_time()
        sweep = folder.open_sweep(planned)
        opening = time.process_time() - began
        began = time.process_time()
        folder.compact(sweep)
        compacted = time.process_time() - began
        after = command_s("status", path)
    write(f"| open and plan, {len(sweep.results):,} rows in {parts:,} parts | {opening:.2f} s |\n")
    write(f"| compact | {compacted:.2f} s |\n")
    write(f"| `raysweep status`, the whole command | {after:.2f} s |\n")
    write(f"| `raysweep status` before the table is compacted | {before:.2f} s |\n")
    write(f"| `raysweep --help` | {command_s('--help'):.2f} s |\n")


def command_s(*arguments: str) -> float:
    """CPU time of a raysweep command in a process of its own, start and imports included, s."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "raysweep", *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(packs: Sequence[int]) -> None:
    write = sys.stdout.write
    write("| packs | a pack | encoders/s | driver's memory |\n| --- | --- | --- | --- |\n")
    for count in packs:
        write(sweep_of(count))
        sys.stdout.flush()
    write("\n| step | CPU time |\n| --- | --- |\n")
    large_table(write)


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [100, 2000])
