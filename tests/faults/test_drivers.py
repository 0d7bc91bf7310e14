"""Drivers that are killed or stopped under Ray, and what is left of them."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from tiny_runs import (
    assert_same_table,
    kill,
    misbehaving,
    parts,
    raysweep,
    started,
    table,
    words,
    write_study,
)
from waiting import wait_until

from raysweep.trials.columns import TIMING_COLUMNS
from raysweep.trials.storage import Output
from raysweep.trials.table import read_parts

# Other moments each time; a failure tells which they were.
SEED = int(os.environ.get("FAULTS_SEED", random.SystemRandom().randrange(10**6)))
ROUNDS = 1 if "FAULTS_SEED" in os.environ else 3
KILLS = 3
ATTEMPTS = 30


@dataclass(frozen=True)
class Measured:
    """A study under Ray that nothing disturbed: its output, and when things happened.

    Attributes:
        changes: of the study.
        out: its output folder.
        first_s: from the driver's start to the first result, s.
        last_s: to the last one.
        end_s: to the driver's end.
        nothing_s: how long a driver takes that finds all results, s.
    """

    changes: dict[str, Any]
    out: Path
    first_s: float
    last_s: float
    end_s: float
    nothing_s: float

    def left_s(self, done: int) -> float:
        """How long a driver takes that starts with so many results, s."""
        if done == len(parts(self.out)):
            return self.nothing_s
        share = 1 - done / len(parts(self.out))
        return self.first_s + share * (self.last_s - self.first_s) + self.end_s - self.last_s


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    folder = tmp_path_factory.mktemp("measured")
    changes = misbehaving(folder / "switch", "slow", 0.1, data__U=[0, 8], confirm__seeds=20)
    (folder / "switch" / "armed").touch()
    write_study(folder / "tiny.yaml", **changes)
    out = folder / "out"
    times = [time.time()]
    for _ in range(2):
        done = raysweep(folder, "run", "tiny.yaml", "--out", out, "--no-mlflow")
        assert done.returncode == 0, done.stderr
        times.append(time.time())
    began, ended, again = times
    written = [(out / "parts" / name).stat().st_mtime for name in parts(out)]
    first_s, last_s = min(written) - began, max(written) - began
    return Measured(changes, out, first_s, last_s, ended - began, again - ended)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / "parts" / name).read_bytes() for name in parts(folder)}


def results(folder: Path) -> pd.DataFrame:
    """All rows that are in part files, by key, without the columns that tell of time."""
    stored = read_parts(Output(folder)).table.to_pandas()
    return stored.drop(columns=list(TIMING_COLUMNS)).set_index("key").sort_index()


def assert_ends_as(wanted: Measured, folder: Path, stored: dict[str, bytes]) -> None:
    """A resumed run adds what is missing to what was stored, and has the undisturbed table."""
    done = raysweep(folder, "resume", folder / "out", "--no-mlflow")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Does forcing alignment help?" in done.stdout
    assert stored.items() <= contents(folder / "out").items()  # not lost, and not run again
    assert_same_table(table(folder / "out"), table(wanted.out))
    pd.testing.assert_frame_equal(results(folder / "out"), results(wanted.out), check_exact=True)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_driver_killed_three_times_at_random_moments(
    measured: Measured, tmp_path: Path, number: int
) -> None:
    seed = SEED + number
    tell(f"the moments are those of FAULTS_SEED={seed}")
    moments = random.Random(seed)
    write_study(tmp_path / "tiny.yaml", **measured.changes)
    out = tmp_path / "out"
    stored: dict[str, bytes] = {}
    kills = 0
    for _ in range(ATTEMPTS):
        moment = moments.uniform(0, measured.left_s(len(stored)))
        driver = started(tmp_path, "run", "tiny.yaml", "--out", out, "--no-mlflow")
        try:
            code = driver.wait(moment)  # it may have been faster, and is started again
        except subprocess.TimeoutExpired:
            code = None
        finally:
            kill(driver)
        now = contents(out)
        tell(
            f"{moment:.1f} s: {'killed' if code is None else 'had ended'} after {len(now)} of "
            f"{len(parts(measured.out))} packs; {last_line(tmp_path / 'log')}"
        )
        assert code in (None, 0), (tmp_path / "log").read_text()
        assert stored.items() <= now.items()
        stored = now
        kills += code is None
        if kills == KILLS:
            break
    assert kills == KILLS
    assert_ends_as(measured, tmp_path, stored)


def test_a_driver_killed_while_files_are_written(measured: Measured, tmp_path: Path) -> None:
    write_study(tmp_path / "tiny.yaml", **measured.changes)
    out = tmp_path / "out"
    run = ("run", "tiny.yaml", "--out", out, "--no-mlflow")

    stored = killed_as_it_writes("study.yaml", tmp_path, run, {})
    stored = killed_as_it_writes("plan.json", tmp_path, run, stored)
    driver = started(tmp_path, *run)
    try:
        half = len(parts(measured.out)) // 2
        wait_until(
            # A worker writes, which goes with the driver's Ray.
            lambda: len(parts(out)) > half and any((out / "parts").glob("*.tmp")),
            driver,
            240,
        )
    finally:
        kill(driver)
    stored = contents(out)
    for name in ("trials.parquet", "effects.svg", "report.html"):
        stored = killed_as_it_writes(name, tmp_path, run, stored)
    assert stored.keys() == contents(measured.out).keys()
    assert_ends_as(measured, tmp_path, stored)


def killed_as_it_writes(
    name: str, folder: Path, run: Sequence[object], stored: dict[str, bytes]
) -> dict[str, bytes]:
    """The results that are there when a driver has gone, none of those before lost."""
    driver = started(folder, name, *run, module="dies_writing")
    try:
        assert driver.wait(240) == -signal.SIGKILL, name
    finally:
        kill(driver)
    assert not (folder / "out" / name).exists()
    now = contents(folder / "out")
    assert stored.items() <= now.items()
    return now


def tell(line: str) -> None:
    """Say something that a failure shows."""
    sys.stdout.write(f"{line}\n")


def last_line(log: Path) -> str:
    return next(reversed(log.read_text(errors="replace").splitlines()), "nothing said")


def test_a_second_driver_is_refused(measured: Measured, tmp_path: Path) -> None:
    write_study(tmp_path / "tiny.yaml", **measured.changes)
    out = tmp_path / "out"
    run = ("run", "tiny.yaml", "--out", out, "--no-mlflow")
    first = started(tmp_path, *run)
    try:
        wait_until(lambda: len(parts(out)) >= 2, first, 180)
        for second in (run, ("resume", out, "--no-mlflow"), (*run, "--runner", "local")):
            refused = raysweep(tmp_path, *second)
            assert first.poll() is None, "it was too slow to be met"
            assert_refused(refused.returncode, refused.stderr, first.pid)
        assert first.wait(180) == 0
    finally:
        kill(first)
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert_same_table(table(out), table(measured.out))


def test_of_two_drivers_that_start_at_once_one_is_refused(
    measured: Measured, tmp_path: Path
) -> None:
    write_study(tmp_path / "tiny.yaml", **measured.changes)
    out = tmp_path / "out"
    run = ("run", "tiny.yaml", "--out", out, "--no-mlflow")
    drivers = [started(tmp_path, *run, log=f"log-{i}") for i in range(2)]
    try:
        codes = [driver.wait(240) for driver in drivers]
    finally:
        for driver in drivers:
            kill(driver)
    assert sorted(codes) == [0, 2]
    refused = codes.index(2)
    text = (tmp_path / f"log-{refused}").read_text()
    assert_refused(codes[refused], text, drivers[1 - refused].pid)
    assert_same_table(table(out), table(measured.out))


def assert_refused(code: int, text: str, first: int) -> None:
    """One message, which names the first driver."""
    assert code == 2, text
    name = f"(host {socket.gethostname()}, process {first})"
    assert f"another driver is running in this folder {name}; wait for it" in words(text)
    assert len(text.strip().splitlines()) == 1


def test_sigterm_stops_a_run_under_ray_and_leaves_no_process(tmp_path: Path) -> None:
    changes = misbehaving(tmp_path / "switch", "slow", 0.05, confirm__seeds=40)
    (tmp_path / "switch" / "armed").touch()
    write_study(tmp_path / "tiny.yaml", **changes)
    out = tmp_path / "out"
    driver = started(tmp_path, "run", "tiny.yaml", "--out", out, "--no-mlflow")
    wait_until(lambda: len(parts(out)) >= 2, driver, 180)
    family = psutil.Process(driver.pid).children(recursive=True)
    driver.send_signal(signal.SIGTERM)
    assert driver.wait(60) == 130
    log = (tmp_path / "log").read_text()
    assert f"Go on with: raysweep resume {out}" in words(log)
    assert "Traceback" not in log
    _, alive = psutil.wait_procs(family, timeout=90)
    assert not alive
