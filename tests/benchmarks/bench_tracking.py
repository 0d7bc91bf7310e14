"""How fast a study is copied to an MLflow server, and what that costs the sweep.

``python tests/benchmarks/bench_tracking.py``: draws runs of 2,000 trials, copies them to a real
server on this machine, copies them again, and runs a study with and without its companion.
"""

import argparse
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import drawn_runs

from raysweep.tracking import sync

# Search trials x seeds + baseline, then three arms x confirm seeds; cells to make 2,000 trials.
SHAPES = {
    "24 confirm seeds, 20 cells": {
        "data": {"dataset": "synthetic", "U": list(range(5)), "D_phi": [1, 2, 3, 4]},
        "search": {"trials": 8, "generation": 4, "seeds": 3},
        "confirm": {"seeds": 24},
    },
    "one seed, 125 cells": {
        "data": {"dataset": "synthetic", "U": list(range(5)), "D_phi": [1, 2, 3, 4, 5]},
        "model": {"width": [8, 16, 32, 64, 128]},
        "search": {"trials": 12, "generation": 4, "seeds": 1},
        "confirm": {"seeds": 1},
    },
}
STUDY = """\
name: paced
data: {dataset: synthetic, U: [0, 4, 8], train: 2048, validation: 512, test: 512}
model: {width: 32}
training: {epochs: 60}
evaluation: {metrics: [unbiased_cka]}
search: {trials: 4, generation: 4, seeds: 2}
confirm: {seeds: 8}
resources: {members_per_pack: 4}
"""


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """A real MLflow server on SQLite; its address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with open(folder / "server.log", "wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    uri = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                urllib.request.urlopen(f"{uri}/health", timeout=2).close()
                break
            except OSError:
                time.sleep(0.3)
        yield uri
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def time_copies(epochs: int) -> None:
    """Copy 2,000 drawn trials, then copy them again."""
    drawn_runs.EPOCHS = epochs
    for name, shape in SHAPES.items():
        planned = drawn_runs.study(resources={"members_per_pack": 33}, **shape)
        with tempfile.TemporaryDirectory() as temporary:
            folder = drawn_runs.opened(Path(temporary) / "out", planned)
            drawn_runs.draw_packs(folder, planned)
            trials = len(folder.open_sweep(planned).results)
            size = sum(p.stat().st_size for p in (Path(temporary) / "out" / "parts").iterdir())
            with server(Path(temporary)) as uri:
                started = time.perf_counter()
                first = sync(folder, uri)
                took = time.perf_counter() - started
                started = time.perf_counter()
                second = sync(folder, uri)
                again = time.perf_counter() - started
        sys.stdout.write(
            f"{name}: {trials} trials, {first.runs_written} runs in {took:.0f} s; again "
            f"{second.runs_written} written in {again:.1f} s; parts {size / 1e6:.1f} MB\n"
        )
        sys.stdout.flush()


def time_sweeps(repeats: int) -> None:
    """The same study with its companion and without, in turns; time from first to last part."""
    took: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "paced.yaml").write_text(STUDY)
        with server(folder) as uri:
            for _ in range(repeats):
                for copied in (True, False):
                    command = [sys.executable, "-m", "raysweep", "run", "paced.yaml"]
                    command += ["--out", "out", "--runner", "local"]
                    command += ["--tracking-uri", uri] if copied else ["--no-mlflow"]
                    subprocess.run(command, cwd=folder, check=True, capture_output=True)
                    times = [p.stat().st_mtime for p in (folder / "out" / "parts").iterdir()]
                    took[copied].append(max(times) - min(times))
                    shutil.rmtree(folder / "out")
    ratios = [a / b for a, b in zip(took[True], took[False], strict=True)]
    sys.stdout.write(
        f"sweep with copy {statistics.median(took[True]):.1f} s, without "
        f"{statistics.median(took[False]):.1f} s; ratio of pairs: median "
        f"{statistics.median(ratios):.3f}, from {min(ratios):.3f} to {max(ratios):.3f}\n"
    )


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=25, help="points of a learning curve")
    parser.add_argument("--repeats", type=int, default=5, help="pairs of runs; 0 for none")
    given = parser.parse_args()
    time_copies(given.epochs)
    if given.repeats:
        time_sweeps(given.repeats)


if __name__ == "__main__":
    main()
