"""Faults of outputs, studies, packs and MLflow while a real Ray runs; one Ray for all of them."""

import contextlib
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient
from tiny_runs import (
    assert_same_table,
    kill,
    misbehaving,
    opened,
    packed,
    parts,
    raysweep,
    started,
    study,
    table,
    words,
    write_study,
)
from waiting import wait_until
from waiting_for_mlflow import eventually, free_port, server

from raysweep.errors import InputError
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.kinds.sweep import CellState, Sweep
from raysweep.runners import local
from raysweep.runners.observer import Silent
from raysweep.tracking import start_sidecar, sync
from raysweep.trials.packing import Pack
from raysweep.trials.table import Row, read_parts

pytestmark = pytest.mark.ray

PATIENCE_S = 900


class At(Silent):
    """Does something when so many packs are there."""

    def __init__(self, acts: dict[int, Callable[[], object]]) -> None:
        self.acts, self.packs = acts, 0

    def pack_finished(self, sweep: Sweep, pack: Pack, rows: Sequence[Row]) -> None:
        self.packs += 1
        if self.packs in self.acts:
            self.acts[self.packs]()


def run_ray(wanted: Study, folder: Path, observer: Silent | None = None) -> Sweep:
    from raysweep.runners import tune

    return tune.run(wanted, opened(folder, wanted), observer)


def run_local(wanted: Study, folder: Path) -> Sweep:
    return local.run(wanted, opened(folder, wanted))


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / "parts" / name).read_bytes() for name in parts(folder)}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of `study()`, by the local runner."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run_local(study(), folder)
    return folder


# The output


def test_an_output_that_cannot_be_written_any_more(
    ray_here: None, undisturbed: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a disk")

    def remount(how: str) -> None:
        # A disk that a worker is just writing to is busy.
        command = ["mount", "-o", f"remount,{how}", str(disk)]
        eventually(lambda: subprocess.run(command, capture_output=True).returncode == 0)

    try:
        with pytest.raises(OSError, match="Read-only file system"):
            run_ray(study(), disk / "out", At({2: lambda: remount("ro")}))
        stored = contents(disk / "out")
        assert len(stored) >= 2
        remount("rw")
        assert run_ray(study(), disk / "out").finished
        assert stored.items() <= contents(disk / "out").items()
        assert_same_table(table(disk / "out"), table(undisturbed))
    finally:
        subprocess.run(["umount", str(disk)], capture_output=True, check=False)


def test_result_files_that_are_damaged_are_run_again_and_no_others(
    ray_here: None, undisturbed: Path, tmp_path: Path
) -> None:
    run_ray(study(), tmp_path)
    before = contents(tmp_path)
    names = list(before)
    harm = [b"", before[names[0]][:100], os.urandom(500), before[names[2]][:-1] + b"\0"]
    damaged = random.Random(0).sample(names, len(harm))
    for name, content in zip(damaged, harm, strict=True):
        (tmp_path / "parts" / name).write_bytes(content)
    folder = opened(tmp_path, study())
    assert set(read_parts(folder.output).damaged) == {f"parts/{name}" for name in damaged}
    sweep = run_ray(study(), tmp_path)
    assert sweep.finished_packs == len(harm)
    assert contents(tmp_path).keys() == before.keys()
    assert_same_table(table(tmp_path), table(undisturbed))


# The study


def test_an_extended_study_reuses_all_and_a_changed_one_is_refused(
    ray_here: None, tmp_path: Path
) -> None:
    steps: list[dict[str, Any]] = [
        {},
        {"confirm__seeds": 6},
        {"confirm__seeds": 6, "data__U": [0, 8]},
        {"confirm__seeds": 6, "data__U": [0, 8], "search__trials": 6},
    ]
    before: dict[str, bytes] = {}
    for step in steps:
        run_ray(study(**step), tmp_path / "grown")
        now = contents(tmp_path / "grown")
        assert before.items() < now.items()
        before = now
    run_local(study(**steps[-1]), tmp_path / "fresh")
    assert_same_table(table(tmp_path / "grown"), table(tmp_path / "fresh"))
    keys = read_parts(opened(tmp_path / "grown", study(**steps[-1])).output).table.column("key")
    assert len(set(keys.to_pylist())) == len(keys)  # nothing was trained twice
    for change in ({"training__epochs": 3}, {"search__trials": 2}, {"data__train": 128}):
        with pytest.raises(InputError, match="holds the results of another study"):
            run_ray(study(**{**steps[-1], **change}), tmp_path / "grown")
    assert contents(tmp_path / "grown") == before


def test_a_study_edited_after_its_driver_was_killed(tmp_path: Path) -> None:
    changes = misbehaving(tmp_path / "switch", "slow", 0.05)
    write_study(tmp_path / "tiny.yaml", **changes)
    (tmp_path / "switch" / "armed").touch()
    out = tmp_path / "out"
    driver = started(tmp_path, "run", "tiny.yaml", "--out", out, "--no-mlflow")
    try:
        wait_until(lambda: len(parts(out)) >= 2, driver, 240)
    finally:
        kill(driver)
    (tmp_path / "switch" / "armed").unlink()
    before = contents(out)
    good = (out / "study.yaml").read_text()
    (out / "study.yaml").write_text(good.replace("  epochs: 2\n", "  epochs: 3\n"))
    refused = raysweep(tmp_path, "resume", out, "--no-mlflow")
    assert refused.returncode == 2
    assert "-  epochs: 2\n+  epochs: 3\n" in refused.stderr
    assert contents(out) == before
    larger = good.replace("[1000, 1001, 1002, 1003]", "[1000, 1001, 1002, 1003, 1004]")
    assert larger != good
    (out / "study.yaml").write_text(larger)
    done = raysweep(tmp_path, "resume", out, "--no-mlflow")
    assert done.returncode == 0, done.stderr
    assert before.items() <= contents(out).items()
    wanted = study(**changes, confirm__seeds=5)
    run_local(wanted, tmp_path / "fresh")
    assert_same_table(table(out), table(tmp_path / "fresh"))


def test_a_study_that_finds_no_room_leaves_nothing(tmp_path: Path) -> None:
    write_study(tmp_path / "tiny.yaml", resources={"cpus_per_pack": 1000})
    done = raysweep(tmp_path, "run", "tiny.yaml", "--out", tmp_path / "out", "--no-mlflow")
    assert done.returncode == 2
    assert "a pack needs 1000 CPU and 0 GPU, and no node has that" in words(done.stderr)
    assert not (tmp_path / "out").exists()


# Packs


def test_packs_that_diverge(ray_here: None, tmp_path: Path) -> None:
    wanted = study(data__U=[0, 8], training__learning_rate=1e200)
    sweep = run_ray(wanted, tmp_path / "ray")
    assert sweep.finished
    assert not sweep.failures
    assert {sweep.state(cell) for cell in sweep.cells} == {CellState.NO_STRENGTH}
    assert set(table(tmp_path / "ray")["status"]) == {"diverged"}
    run_local(wanted, tmp_path / "local")
    assert_same_table(table(tmp_path / "ray"), table(tmp_path / "local"))


@pytest.mark.parametrize("fitting", [1, 2, 3])
def test_packs_that_are_too_large_for_memory_are_halved(
    ray_here: None, tmp_path: Path, fitting: int
) -> None:
    switch = tmp_path / "switch"
    wanted = study(**misbehaving(switch, "memory", amount=fitting, resources__members_per_pack=6))
    run_local(wanted, tmp_path / "undisturbed")
    (switch / "armed").touch()
    assert not run_ray(wanted, tmp_path / "halved").failures
    calls = packed(switch)
    assert max(members for _, members in calls) == 4 > fitting
    assert len({process for process, _ in calls}) <= 2  # no worker was lost
    whole, halved = table(tmp_path / "undisturbed"), table(tmp_path / "halved")
    pd.testing.assert_frame_equal(whole, halved, check_exact=False, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("fault", "amount", "expected"),
    [
        ("memory", 0, "memory is short even for one trial at a time"),
        ("raise", 1, "ArithmeticError: the loss was told to raise"),
    ],
)
def test_packs_that_can_never_run_are_given_up_and_run_when_they_can(
    ray_here: None, tmp_path: Path, fault: str, amount: float, expected: str
) -> None:
    switch = tmp_path / "switch"
    wanted = study(**misbehaving(switch, fault, amount))
    (switch / "armed").touch()
    sweep = run_ray(wanted, tmp_path / "out")
    assert sweep.finished
    assert sweep.failures
    assert all(expected in reason for reason in sweep.failures.values())
    (switch / "armed").unlink()
    assert not run_ray(wanted, tmp_path / "out").failures
    run_local(wanted, tmp_path / "undisturbed")
    assert_same_table(table(tmp_path / "out"), table(tmp_path / "undisturbed"))


# MLflow


@contextlib.contextmanager
def sidecar(folder: Path, uri: str, said: list[str]) -> Iterator[None]:
    """A copy beside the run, as the command line has one; ``said`` gets its outcome."""
    copying = start_sidecar(opened(folder, study()), uri)
    try:
        yield
    finally:
        said.append(copying.finish(120))


def copied(uri: str) -> int:
    client = MlflowClient(uri)
    found = client.get_experiment_by_name("tiny")
    return 0 if found is None else len(client.search_runs([found.experiment_id]))


@pytest.mark.mlflow
def test_a_server_that_is_stopped_and_started_in_mid_sweep(
    ray_here: None, undisturbed: Path, tmp_path: Path
) -> None:
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db"]
    out, log, said = tmp_path / "out", tmp_path / "out" / "tracking.log", list[str]()
    with contextlib.ExitStack() as first, contextlib.ExitStack() as second:
        first.enter_context(server(command, tmp_path, port))

        # A copy rests for its share of the processors: up to some minutes on a busy machine.
        def stop() -> None:
            eventually(lambda: copied(uri) > 0, PATIENCE_S)
            first.close()

        def start() -> None:
            eventually(lambda: "no server answers" in log.read_text(), PATIENCE_S)
            second.enter_context(server(command, tmp_path, port))

        with sidecar(out, uri, said):
            sweep = run_ray(study(), out, At({2: stop, 5: start}))
        assert sweep.finished
        assert "experiment tiny" in said[0]
        again = sync(opened(out, study()), uri)
        assert again.runs_written == 0
        assert again.runs_unchanged == copied(uri) > 3
    assert_same_table(table(out), table(undisturbed))


@pytest.mark.mlflow
def test_a_server_that_is_never_there(ray_here: None, undisturbed: Path, tmp_path: Path) -> None:
    said: list[str] = []
    with sidecar(tmp_path / "out", f"http://127.0.0.1:{free_port()}", said):
        assert run_ray(study(), tmp_path / "out").finished
    assert "no server answers" in said[0]
    assert f"`raysweep sync {tmp_path / 'out'}`" in said[0]
    assert_same_table(table(tmp_path / "out"), table(undisturbed))


@pytest.mark.mlflow
def test_a_database_that_is_locked_by_another_program(
    ray_here: None, undisturbed: Path, tmp_path: Path
) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    out, said = tmp_path / "out", list[str]()
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as other:
        other.execute("CREATE TABLE another (x)")
        other.commit()
        other.execute("BEGIN EXCLUSIVE")
        with sidecar(out, uri, said):
            assert run_ray(study(), out).finished
        assert "locked by another program" in said[0]
        assert_same_table(table(out), table(undisturbed))
        other.rollback()
        other.execute("DROP TABLE another")
        other.commit()
    assert sync(opened(out, study()), uri).runs_written == copied(uri) > 3
