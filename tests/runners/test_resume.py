"""Interrupted anywhere and resumed, or extended: the same table; from real processes, too."""

import os
import random
import signal
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from tiny_runs import (
    assert_equal_numbers,
    assert_same_table,
    kill,
    misbehaving,
    opened,
    parts,
    raysweep,
    started,
    study,
    table,
    words,
    write_study,
)
from waiting import in_a_terminal, wait_until

from raysweep.errors import InputError
from raysweep.folder.stored_progress import is_so_far
from raysweep.kinds.sweep import Sweep
from raysweep.runners import local
from raysweep.runners.observer import Silent
from raysweep.runners.ray_cluster import check_address
from raysweep.trials.packing import Pack
from raysweep.trials.table import Row

FLAGS = ("--no-mlflow",)


class Interrupting(Silent):
    """Raises KeyboardInterrupt after so many packs."""

    def __init__(self, after: int) -> None:
        self.left = after

    def pack_finished(self, sweep: Sweep, pack: Pack, rows: Sequence[Row]) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    local.run(study(data__U=[0, 8]), opened(folder, study(data__U=[0, 8])))
    return folder


@dataclass(frozen=True)
class Slow:
    """Changes that make a study slow, the switch that does, and its undisturbed output."""

    changes: dict[str, Any]
    switch: Path
    undisturbed: Path


def test_interrupted_after_every_single_pack(undisturbed: Path, tmp_path: Path) -> None:
    wanted = study(data__U=[0, 8])
    folder = opened(tmp_path, wanted)
    interruptions = 0
    while True:
        try:
            local.run(wanted, folder, Interrupting(after=1))
        except KeyboardInterrupt:
            interruptions += 1
            continue
        break
    assert interruptions == len(parts(undisturbed))
    assert_same_table(table(tmp_path), table(undisturbed))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "all_kept"),
    [
        ({"confirm__seeds": 6}, True),
        ({"data__U": [0, 8, 4]}, True),
        ({"data__draws": 2, "search__draws": "confirmed"}, False),
        ({"search__trials": 7}, False),
        ({"search__seeds": 3}, False),
    ],
    ids=["seeds", "cells", "draws", "trials", "search seeds"],
)
def test_an_extended_study_reuses_what_is_there(
    undisturbed: Path, tmp_path: Path, change: dict[str, object], all_kept: bool
) -> None:
    small, large = study(data__U=[0, 8]), study(**{"data__U": [0, 8], **change})
    folder = opened(tmp_path / "grown", small)
    for name in parts(undisturbed):
        folder.output.write(f"parts/{name}", (undisturbed / "parts" / name).read_bytes())
    folder.adopt(large)
    before = set(table(undisturbed)["key"])
    planned = {t.key for p in folder.open_sweep(large).plans.values() for t in p.trials}
    local.run(large, folder)
    local.run(large, opened(tmp_path / "fresh", large))
    fresh = table(tmp_path / "fresh")
    assert_equal_numbers(table(tmp_path / "grown"), fresh)
    # Nothing that the larger study wants too was trained again.
    stored = [key for name in parts(tmp_path / "grown") for key in keys(tmp_path / "grown", name)]
    assert len(stored) == len(set(stored))
    assert len(before & planned) > 0
    if all_kept:
        assert before <= set(fresh["key"])


def keys(folder: Path, name: str) -> list[str]:
    from raysweep.trials.storage import Output
    from raysweep.trials.table import read_parts

    found = read_parts(Output(folder), [f"parts/{name}"]).table.column("key").to_pylist()
    return [str(key) for key in found]


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Slow:
    """A study that takes its time while a switch is on, and its undisturbed run."""
    folder = tmp_path_factory.mktemp("slow")
    changes = misbehaving(folder / "switch", "slow", amount=0.05, data__U=[0, 8])
    wanted = study(**changes)
    local.run(wanted, opened(folder / "out", wanted))
    return Slow(changes, folder / "switch" / "armed", folder / "out")


# SIGTERM is the signal of the reports below, and of the last words of a copy.
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_signal_to_the_local_runner(slow: Slow, tmp_path: Path, number: signal.Signals) -> None:
    write_study(tmp_path / "tiny.yaml", **slow.changes)
    out = tmp_path / "out"
    slow.switch.touch()
    process = started(tmp_path, "run", "tiny.yaml", "--out", out, "--runner", "local", *FLAGS)
    wait_until(lambda: len(parts(out)) >= random.Random(number).randint(1, 6), process, 60)
    process.send_signal(number)
    assert process.wait(30) == (-number if number is signal.SIGKILL else 130)
    slow.switch.unlink()
    log = (tmp_path / "log").read_text()
    if number is not signal.SIGKILL:
        assert f"Go on with: raysweep resume {out}" in words(log)
        assert "Traceback" not in log
    assert 0 < len(parts(out)) < len(parts(slow.undisturbed))
    done = raysweep(tmp_path, "resume", out, "--runner", "local", *FLAGS)
    assert done.returncode == 0, done.stderr
    assert_same_table(table(out), table(slow.undisturbed))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_where_nothing_is_begun(tmp_path: Path, number: signal.Signals) -> None:
    write_study(tmp_path / "tiny.yaml", training__epochs=10**6)
    process = started(tmp_path, "plan", "tiny.yaml", "--full")
    wait_until(lambda: "name: tiny" in (tmp_path / "log").read_text(), process, 60)
    process.send_signal(number)
    assert process.wait(30) == 130
    assert (tmp_path / "log").read_text().splitlines()[-1] == "interrupted"


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("begun", ["gcs_server", "raylet"])
def test_a_signal_while_ray_starts(tmp_path: Path, begun: str) -> None:
    write_study(tmp_path / "tiny.yaml")
    process = started(tmp_path, "run", "tiny.yaml", "--out", tmp_path / "out", *FLAGS)
    driver = psutil.Process(process.pid)
    wait_until(lambda: begun in {child.name() for child in driver.children()}, process, 60)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130
    assert (tmp_path / "log").read_text().splitlines()[-1] == "interrupted"
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("begun", "runner"),
    [
        ("trials.parquet", "local"),
        pytest.param("figures", "local", marks=pytest.mark.faults),
        # Ray has ended by then, and takes a minute for what the others show.
        pytest.param("figures", "ray", marks=[pytest.mark.ray, pytest.mark.faults]),
    ],
)
def test_a_signal_while_the_report_is_made(
    undisturbed: Path, tmp_path: Path, begun: str, runner: str
) -> None:
    write_study(tmp_path / "tiny.yaml", data__U=[0, 8])
    out = tmp_path / "out"
    process = started(tmp_path, "run", "tiny.yaml", "--out", out, "--runner", runner, *FLAGS)
    wait_until((out / begun).exists, process, 120)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 130
    log = (tmp_path / "log").read_text()
    assert f"Go on with: raysweep resume {out}" in words(log)
    assert "Traceback" not in log
    # The page of the run may be there, which is no report yet.
    page = out / "report.html"
    assert not page.exists() or is_so_far(page.read_bytes())
    before = {name: (out / "parts" / name).read_bytes() for name in parts(out)}
    done = raysweep(tmp_path, "resume", out, "--runner", "local", *FLAGS)
    assert done.returncode == 0, done.stderr
    assert "verdict" in done.stdout
    assert "</html>" in (out / "report.html").read_text()
    assert {name: (out / "parts" / name).read_bytes() for name in parts(out)} == before
    assert_same_table(table(out), table(undisturbed))


# A minute; the local runner's is killed above, and more under Ray in faults/test_drivers.py.
@pytest.mark.faults
@pytest.mark.ray
def test_a_driver_killed_under_ray_and_resumed_with_other_workers(
    slow: Slow, tmp_path: Path
) -> None:
    write_study(tmp_path / "tiny.yaml", **slow.changes)
    out = tmp_path / "out"
    slow.switch.touch()
    first = started(tmp_path, "run", "tiny.yaml", "--out", out, "--workers", "1", *FLAGS)
    try:
        # While the first driver starts: the second one takes as long as some packs.
        wait_until((out / "study.yaml").is_file, first, 120)
        second = raysweep(tmp_path, "resume", out, "--runner", "local", *FLAGS)
        assert second.returncode == 2
        assert f"host {os.uname().nodename}, process {first.pid}" in words(second.stderr)
        wait_until(lambda: len(parts(out)) >= 2, first, 120)
        family = psutil.Process(first.pid).children(recursive=True)
        names = {p.pid: p.name() for p in family}
        assert first.poll() is None
    finally:
        kill(first)
    slow.switch.unlink()
    assert len(family) > 3  # the processes of its Ray
    idle = ("DashboardAgent", "RuntimeEnvAgent")  # they notice after a minute, and do nothing
    working = [p for p in family if not names[p.pid].endswith(idle)]
    assert len(working) >= 3
    _, alive = psutil.wait_procs(working, timeout=30)
    assert not alive
    before = {name: (out / "parts" / name).read_bytes() for name in parts(out)}
    assert 0 < len(before) < len(parts(slow.undisturbed))
    text, code = in_a_terminal(tmp_path, "resume", out, "--workers", "2", *FLAGS)
    assert code == 0, text
    assert_same_table(table(out), table(slow.undisturbed))
    after = {name: (out / "parts" / name).read_bytes() for name in parts(out)}
    assert before.items() <= after.items()
    assert_quiet(text)


@pytest.mark.slow
@pytest.mark.ray
def test_ctrl_c_in_a_terminal(tmp_path: Path) -> None:
    write_study(tmp_path / "tiny.yaml", data__U=[0, 8], confirm__seeds=400)
    out = tmp_path / "out"
    pressed: list[float] = []

    def press(terminal: int) -> None:
        if not pressed and len(parts(out)) >= 3:
            pressed.append(time.monotonic())
            os.write(terminal, b"\x03")

    text, code = in_a_terminal(tmp_path, "run", "tiny.yaml", "--out", out, *FLAGS, act=press)
    assert code == 130, text
    assert time.monotonic() - pressed[0] < 15
    assert "Go on with: raysweep resume" in text
    assert text.count("stopping: what is finished is being stored") == 1
    assert_quiet(text)
    assert len(table(out)) >= 6


def test_an_address_where_nothing_answers(tmp_path: Path) -> None:
    write_study(tmp_path / "tiny.yaml")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    began = time.monotonic()
    done = raysweep(
        tmp_path, "run", "tiny.yaml", "--out", "out", "--address", f"127.0.0.1:{port}", *FLAGS
    )
    assert done.returncode == 2
    assert f"--address 127.0.0.1:{port}: no Ray cluster answers there" in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 3
    assert time.monotonic() - began < 40
    assert not (tmp_path / "out").exists()  # nothing is begun that cannot go on


@pytest.mark.slow
@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0", b"", None])
def test_an_address_where_another_server_listens(answer: bytes | None) -> None:
    """Ray itself would wait for ever at the job server's port, which is the likeliest slip."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                if answer is None:
                    over.wait(60)
                else:
                    connection.sendall(answer)

        over = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        began = time.monotonic()
        try:
            with pytest.raises(
                InputError, match=r"what listens there is no head node of Ray.*6379"
            ):
                check_address(f"127.0.0.1:{port}")
        finally:
            over.set()
            thread.join()
    assert time.monotonic() - began < 30


def test_an_address_whose_port_is_none() -> None:
    with pytest.raises(InputError, match=r"port 99999 is not one of 1\.\.65535"):
        check_address("127.0.0.1:99999")


def assert_quiet(text: str) -> None:
    """Nothing of Ray's, Tune's or Python's own is on the screen."""
    for noise in ("Traceback", "WARNING", "INFO", "ERROR", "ray.tune", "raylet", "Warning", "(pid"):
        assert noise not in text, text
