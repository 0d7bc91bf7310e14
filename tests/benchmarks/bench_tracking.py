"""How fast a study is copied to an MLflow server, and what that costs the sweep.

``python tests/benchmarks/bench_tracking.py``: draws runs of 2,000 trials, copies them to a real
server on this machine, copies them again, and runs a study with and without its sidecar. CPU
time is printed beside wall-clock time: on a machine with other work only the former means much.
"""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import drawn_runs
from mlflow_server import running_server

from raysweep.tracking import sync
from raysweep_analysis import load_trials

# Search trials x seeds + baseline, then three arms x confirm seeds; cells to make 2,000 trials.
SHAPES: dict[str, dict[str, Any]] = {
    "24 confirm seeds": {
        "data": {"dataset": "synthetic", "U": list(range(5)), "D_phi": [1, 2, 3, 4]},
        "search": {"trials": 8, "generation": 4, "seeds": 3},
        "confirm": {"seeds": 24},
    },
    "one seed": {
        "data": {"dataset": "synthetic", "U": list(range(5)), "D_phi": [1, 2, 3, 4, 5]},
        "model": {"width": [8, 16, 32, 64, 128]},
        "search": {"trials": 12, "generation": 4, "seeds": 1},
        "confirm": {"seeds": 1},
    },
}
STUDY = """\
name: paced
data: {dataset: synthetic, {grid}, train: 2048, validation: 512, test: 512}
model: {width: 32}
training: {epochs: {epochs}}
evaluation: {metrics: [unbiased_cka]}
search: {search}
confirm: {confirm}
resources: {members_per_pack: {members}}
"""


@dataclass(frozen=True)
class Sweep:
    """A study that takes about two minutes on two cores: long trials, or many short ones.

    Attributes:
        grid, search, confirm: YAML of its parts.
        epochs: of each trial.
        members: trials in a pack, at most.
    """

    grid: str
    search: str
    confirm: str
    epochs: int
    members: int

    def yaml(self) -> str:
        """The study file."""
        text = STUDY
        for name, value in vars(self).items():
            text = text.replace(f"{{{name}}}", str(value))
        return text


SWEEPS = {
    "102": Sweep("U: [0, 4, 8]", "{trials: 4, generation: 4, seeds: 2}", "{seeds: 8}", 5000, 4),
    "1980": Sweep(
        "U: [0, 2, 4, 6, 8], D_phi: [1, 2, 3, 4]",
        "{trials: 8, generation: 4, seeds: 3}",
        "{seeds: 24}",
        300,
        36,
    ),
}


def cpu_s(process: psutil.Process) -> float:
    """CPU time of a process and of those it started, or 0 once it is gone."""
    try:
        family = [process, *process.children(recursive=True)]
        return sum(sum(p.cpu_times()[:2]) for p in family)
    except psutil.Error:
        return 0.0


def say(line: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def time_copies(shapes: list[str], epochs: int, widths: int) -> None:
    """Copy drawn trials, then copy them again."""
    drawn_runs.EPOCHS = epochs
    for name in shapes:
        shape = dict(SHAPES[name])
        if "model" in shape:
            shape["model"] = {"width": shape["model"]["width"][:widths]}
        planned = drawn_runs.study(resources={"members_per_pack": 33}, **shape)
        with tempfile.TemporaryDirectory() as temporary:
            folder = drawn_runs.opened(Path(temporary) / "out", planned)
            drawn_runs.draw_packs(folder, planned)
            trials = len(folder.open_sweep(planned).results)
            with running_server(Path(temporary)) as server:
                family = psutil.Process(server.process.pid)
                for copy in ("first", "second"):
                    wall, own, theirs = time.perf_counter(), time.process_time(), cpu_s(family)
                    done = sync(folder, server.uri)
                    wall = time.perf_counter() - wall
                    own, theirs = time.process_time() - own, cpu_s(family) - theirs
                    per_run = 1000 / (done.runs_written + done.runs_unchanged)
                    say(
                        f"{name}, {trials} trials, {copy} copy: {done.runs_written} runs written, "
                        f"{wall:.0f} s; CPU: server {theirs:.1f} s ({theirs * per_run:.0f} ms a "
                        f"run), copy {own:.1f} s ({own * per_run:.0f} ms)"
                    )


class Watched:
    """CPU time of the sidecar that a driver starts and of the server, seen from outside."""

    def __init__(self, driver: int, server: psutil.Process) -> None:
        self.nice = 0
        self._samples: list[tuple[float, float]] = []
        self._driver, self._stop = psutil.Process(driver), threading.Event()
        self._server, self._before = server, cpu_s(server)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        sidecar: psutil.Process | None = None
        while not self._stop.wait(0.1):
            try:
                if sidecar is None:
                    started = self._driver.children()
                    sidecar = next((p for p in started if "--follow" in p.cmdline()), None)
                else:
                    took = cpu_s(sidecar) + cpu_s(self._server) - self._before
                    self._samples.append((time.time(), took))
                    self.nice = max(self.nice, sidecar.nice())
            except psutil.Error:
                continue

    def between(self, first: float, last: float) -> float:
        """CPU seconds of both between two times of day."""
        until = [
            max((cpu for at, cpu in self._samples if at <= t), default=0.0) for t in (first, last)
        ]
        return until[1] - until[0]

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def trained_s(out: Path) -> pd.Series:
    """Each trial's share of its pack's training time, s, under its key."""
    return load_trials(out).set_index("key")["train_seconds"]


def time_sweeps(trials: str, repeats: int, runner: str, to_server: bool) -> None:
    """The same study with its sidecar and without, in turns; time from first to last part."""
    took: dict[bool, list[float]] = {True: [], False: []}
    shares, niceness = [], 0
    training: dict[bool, pd.Series] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "paced.yaml").write_text(SWEEPS[trials].yaml())
        with running_server(folder) as server:
            family = psutil.Process(server.process.pid)
            uri = server.uri if to_server else f"sqlite:///{folder}/direct.db"
            for pair in range(repeats):
                # Whichever goes first, the other one finds the machine as it left it.
                for copied in (True, False) if pair % 2 else (False, True):
                    command = [sys.executable, "-m", "raysweep", "run", "paced.yaml"]
                    command += ["--out", "out", "--runner", runner]
                    command += ["--tracking-uri", uri] if copied else ["--no-mlflow"]
                    with open(folder / "log", "wb") as log:
                        driver = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
                        watched = Watched(driver.pid, family)
                        try:
                            code = driver.wait()
                        finally:
                            watched.stop()
                            driver.kill()
                    if code:
                        sys.exit((folder / "log").read_text())
                    parts = list((folder / "out" / "parts").iterdir())
                    times = [p.stat().st_mtime for p in parts]
                    took[copied].append(max(times) - min(times))
                    if copied:
                        cores_s = took[True][-1] * (os.cpu_count() or 1)
                        shares.append(watched.between(min(times), max(times)) / cores_s)
                        niceness = max(niceness, watched.nice)
                    training[copied] = trained_s(folder / "out")
                    shutil.rmtree(folder / "out")
                ratio = took[True][-1] / took[False][-1]
                packs = (training[True] / training[False]).dropna()
                say(
                    f"  with {took[True][-1]:.1f} s, without {took[False][-1]:.1f} s ({ratio:.3f});"
                    f" training: {training[True].sum() / training[False].sum():.3f}, of "
                    f"{packs.nunique()} packs the median {packs.median():.3f}; copy and server "
                    f"took {shares[-1]:.2%} of all cores meanwhile"
                )
    ratios = [a / b for a, b in zip(took[True], took[False], strict=True)]
    logs = np.log(ratios)
    bound = np.nan
    if len(logs) > 1:
        error = logs.std(ddof=1) / len(logs) ** 0.5
        bound = np.exp(logs.mean() + stats.t.ppf(0.95, len(logs) - 1) * error)
    say(
        f"{trials} trials, runner {runner}, {os.cpu_count()} cores, copied to "
        f"{'a server' if to_server else 'SQLite'}; sweep with copy "
        f"{statistics.median(took[True]):.1f} s, without {statistics.median(took[False]):.1f} s; "
        f"ratio of pairs: median {statistics.median(ratios):.3f}, from {min(ratios):.3f} to "
        f"{max(ratios):.3f}, mean {np.exp(logs.mean()):.3f}, below {bound:.3f} with 95 % "
        f"confidence; sidecar at nice {niceness}, it and the server took "
        f"{statistics.median(shares):.2%} of all cores' time (median; at most {max(shares):.2%})"
    )


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shapes", nargs="*", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--epochs", type=int, default=25, help="points of a learning curve")
    parser.add_argument("--widths", type=int, default=5, help="a fifth of 'one seed' for each")
    parser.add_argument("--repeats", type=int, default=5, help="pairs of runs; 0 for none")
    parser.add_argument("--trials", default="102", choices=list(SWEEPS), help="of such a sweep")
    parser.add_argument("--runner", default="ray", choices=["ray", "local"])
    parser.add_argument("--server", action="store_true", help="sweeps copy to it, not to SQLite")
    given = parser.parse_args()
    # As an exception, so that the server is ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    time_copies(given.shapes, given.epochs, given.widths)
    if given.repeats:
        time_sweeps(given.trials, given.repeats, given.runner, given.server)


if __name__ == "__main__":
    main()
