"""Whether a run beside other work is in MLflow when it ends, and how long its end waits for that.

``python tests/benchmarks/bench_busy.py --other DIR``: short runs beside busy loops, each with its
copy to a new SQLite database, then `raysweep sync` by hand under the same load; this version and
the one whose source is in DIR (``git archive``) in turns. The loops end by themselves.
"""

import argparse
import contextlib
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent.parent.parent
STUDY = """\
name: busy
data: {dataset: synthetic, U: 4, train: 128, validation: 64, test: 128}
model: {depth: 1, width: 8}
training: {epochs: 2, batch_size: 32, engine: torch}
evaluation: {metrics: [unbiased_cka]}
search: {trials: 4, generation: 4, seeds: 1}
confirm: {seeds: 3}
"""
RUNS = 1 + 1 + 5 + 3
"""In MLflow: study, cell, four strengths and none in the search, three arms."""
_LOOP = "import time\nend = time.monotonic() + 900\nwhile time.monotonic() < end: pass"
_WHOLE = (
    "SELECT count(*) FROM tags JOIN runs USING (run_uuid) WHERE key = 'raysweep.digest' "
    "AND lifecycle_stage = 'active' AND status = 'FINISHED'"
)


class Ended(NamedTuple):
    """Whole runs in MLflow when a run ended, and seconds: of it, of its wait, of a sync then."""

    runs: int
    run_s: float
    wait_s: float
    sync_s: float


def say(line: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@contextlib.contextmanager
def busy(loops: int) -> Iterator[None]:
    """So many processes that compute without end, for a limited time in any case.

    Each is in a session of its own, as other users' programs are: Linux may share processors out
    by session.
    """
    command = [sys.executable, "-c", _LOOP]
    running = [subprocess.Popen(command, start_new_session=True) for _ in range(loops)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def raysweep(source: Path, folder: Path, *arguments: str) -> list[tuple[float, str]]:
    """What a command of a version says, line by line, and its end; with the seconds until then."""
    began = time.monotonic()
    path = f"{source}{os.pathsep}{source / 'analysis'}"  # before what is installed
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "raysweep", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            lines = [(time.monotonic() - began, line.strip()) for line in process.stdout]
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        sys.exit("\n".join(line for _, line in lines))
    return [*lines, (time.monotonic() - began, "")]


def whole_runs(database: Path) -> int:
    """How many whole runs a database has; 0 where there is none yet."""
    with (
        contextlib.suppress(sqlite3.OperationalError),
        contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection,
    ):
        return int(connection.execute(_WHOLE).fetchone()[0])
    return 0


def measure(source: Path, loops: int) -> Ended:
    """One run and one sync of a version beside so many busy loops."""
    with tempfile.TemporaryDirectory() as temporary, busy(loops):
        folder, database = Path(temporary), Path(temporary) / "mlflow.db"
        (folder / "busy.yaml").write_text(STUDY)
        to = ("--tracking-uri", f"sqlite:///{database}")
        lines = raysweep(source, folder, "run", "busy.yaml", "--out", "o", "--runner", "local", *to)
        runs, whole_s = whole_runs(database), lines[-1][0]
        report_s = next(at for at, line in lines if line.startswith("Report:"))
        synced = raysweep(source, folder, "sync", "o", *to)
        return Ended(runs, whole_s, whole_s - report_s, synced[-1][0])


def main() -> None:
    """Run all sides in turns."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--other", type=Path, help="folder with the source of another version")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each version")
    parser.add_argument("--loops", type=int, default=8, help="busy processes beside each run")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that the loops end
    sides = {"this version": HERE}
    if given.other is not None:
        sides["the other"] = given.other.resolve()
    found: dict[str, list[Ended]] = {name: [] for name in sides}
    for source in sides.values():
        measure(source, 0)  # what is compiled once, is then
    for _ in range(given.repeats):
        for name, source in sides.items():
            one = measure(source, given.loops)
            found[name].append(one)
            say(f"{name}, load {os.getloadavg()[0]:.0f}: {one}")
    for name, all_of in found.items():
        whole = sum(one.runs == RUNS for one in all_of)
        times = zip(*(one[1:] for one in all_of), strict=True)
        run_s, wait_s, sync_s = map(statistics.median, times)
        say(
            f"{name}: {whole} of {len(all_of)} copies complete at the end; medians: run {run_s:.0f}"
            f" s, of which {wait_s:.0f} s after the report, sync by hand {sync_s:.0f} s "
            f"({given.loops} busy loops, {os.cpu_count()} cores)"
        )


if __name__ == "__main__":
    main()
