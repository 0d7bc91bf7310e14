"""Outputs that are far away, full, or not shared."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_runs import (
    assert_same_table,
    kill,
    opened,
    raysweep,
    study,
    table,
    words,
    write_study,
)
from waiting import wait_until

from raysweep.errors import InputError
from raysweep.folder import lock
from raysweep.folder.lock import only_driver
from raysweep.runners import local
from raysweep.trials.storage import Output


def test_a_study_in_a_bucket(bucket: str, tmp_path: Path) -> None:
    local.run(study(), opened(tmp_path / "folder", study()))
    local.run(study(), opened(bucket.format("local"), study()))
    assert_same_table(table(bucket.format("local")), table(tmp_path / "folder"))
    write_study(tmp_path / "tiny.yaml")
    out = bucket.format("ray")
    done = raysweep(tmp_path, "run", "tiny.yaml", "--out", out, "--no-mlflow")
    assert done.returncode == 0, done.stderr
    assert_same_table(table(out), table(tmp_path / "folder"))
    again = raysweep(tmp_path, "resume", out, "--no-mlflow")
    assert again.returncode == 0, again.stderr
    assert "nothing is missing" in again.stderr


HOLD = """
import os, sys, time
from raysweep.folder import lock
from raysweep.trials.storage import Output
location, machine, log = sys.argv[1:]
if machine:
    lock._machine = lambda: machine
with lock.only_driver(Output(location)):
    with open(log, "a") as told:
        print("begin", os.getpid(), file=told, flush=True)
        time.sleep(1.5 if log.endswith("many") else 600)
        print("end", os.getpid(), file=told, flush=True)
"""


def holding(out: str, machine: str, log: Path) -> subprocess.Popen[bytes]:
    """A process that drives the output, on this machine or (so it says) on another one."""
    return subprocess.Popen([sys.executable, "-c", HOLD, out, machine, str(log)])


def until_held(process: subprocess.Popen[bytes], log: Path) -> None:
    wait_until(lambda: log.exists() and "begin" in log.read_text(), process, 120)


def test_a_second_driver_in_a_bucket_is_refused_until_the_first_is_gone(
    bucket: str, tmp_path: Path
) -> None:
    out = bucket.format("held")
    opened(out, study())
    write_study(tmp_path / "tiny.yaml")
    first = holding(out, "", tmp_path / "log")
    try:
        until_held(first, tmp_path / "log")
        name = f"host {os.uname().nodename}, process {first.pid}"
        again = ("run", "tiny.yaml", "--out", out, "--runner", "local", "--no-mlflow")
        for action in (again, ("resume", out, *again[4:])):
            refused = raysweep(tmp_path, *action)
            assert refused.returncode == 2, refused.stderr
            assert f"another driver is running in this folder ({name})" in words(refused.stderr)
        assert f"a run goes on ({name})" in words(raysweep(tmp_path, "status", out).stdout)
        assert not table_is_there(out)
    finally:
        kill(first)
    done = raysweep(tmp_path, "resume", out, "--runner", "local", "--no-mlflow")
    assert done.returncode == 0, done.stderr
    assert "a run goes on" not in raysweep(tmp_path, "status", out).stdout
    assert Output(out).names(lock.LEASES, ".json") == []
    local.run(study(), opened(tmp_path / "folder", study()))
    assert_same_table(table(out), table(tmp_path / "folder"))


def table_is_there(out: str) -> bool:
    return Output(out).read("trials.parquet") is not None


def test_a_driver_on_another_machine_is_gone_when_it_is_silent(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = bucket.format("elsewhere")
    monkeypatch.setattr(lock, "PATIENCE_S", 25.0)
    first = holding(out, "another machine", tmp_path / "log")
    try:
        until_held(first, tmp_path / "log")
        with pytest.raises(InputError, match=f"process {first.pid}"), only_driver(Output(out)):
            pass
        assert first.poll() is None
    finally:
        kill(first)
    began = time.monotonic()
    with only_driver(Output(out)):
        assert time.monotonic() - began >= 24
        found = lock.find_driver(Output(out))
        assert found is not None
        assert found.name.endswith(f"process {os.getpid()}")


def test_of_many_that_come_to_a_bucket_at_once_never_two_drive(bucket: str, tmp_path: Path) -> None:
    log = tmp_path / "many"
    comers = [holding(bucket.format("many"), f"machine {n}", log) for n in range(4)]
    try:
        for process in comers:
            process.wait(240)
    finally:
        for process in comers:
            kill(process)
    told = [line.split() for line in log.read_text().splitlines()]
    assert told
    for begin, end in zip(told[::2], told[1::2], strict=True):
        assert (begin[0], end[0]) == ("begin", "end")
        assert begin[1] == end[1]


@pytest.mark.parametrize("runner", ["local", "ray"])
def test_a_disk_that_is_full(tmp_path: Path, runner: str) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a small disk")
    try:
        write_study(tmp_path / "tiny.yaml")
        done = raysweep(
            tmp_path, "run", "tiny.yaml", "--out", small / "out", "--runner", runner, "--no-mlflow"
        )
        assert done.returncode == 2, done.stderr
        assert "No space left on device" in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr
        grown = ["mount", "-o", "remount,size=8m", str(small)]
        assert subprocess.run(grown, capture_output=True).returncode == 0
        done = raysweep(tmp_path, "resume", small / "out", "--runner", "local", "--no-mlflow")
        assert done.returncode == 0, done.stderr
        local.run(study(), opened(tmp_path / "undisturbed", study()))
        assert_same_table(table(small / "out"), table(tmp_path / "undisturbed"))
    finally:
        subprocess.run(["umount", str(small)], capture_output=True, check=False)
