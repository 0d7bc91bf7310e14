"""The copy beside a run: a real server that goes away, a sidecar process, the UI in a browser."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from drawn_runs import draw_packs, opened, study
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.entities import Run
from waiting_for_mlflow import eventually, free_port, server

from raysweep.folder.run_folder import RunFolder
from raysweep.tracking import (
    Address,
    Sidecar,
    address,
    follow,
    start_sidecar,
    sync,
    ui_command,
    ui_page,
)
from raysweep.tracking.follow import BUSY_SHARE, pause_after
from raysweep.tracking.mirror import Mirror, SyncReport

pytestmark = pytest.mark.mlflow
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def runs_of(uri: str) -> list[Run]:
    client = MlflowClient(uri)
    found = client.get_experiment_by_name("drawn")
    return [] if found is None else list(client.search_runs([found.experiment_id]))


# Two starts of a server; test_tracking_sync.py has an outage between two copies.
@pytest.mark.faults
def test_server_that_goes_away_in_the_middle_and_comes_back(
    tmp_path: Path, empty_database: Path
) -> None:
    shutil.copyfile(empty_database, tmp_path / "server.db")
    folder = opened(tmp_path / "out", study())
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--port",
        str(port),
        "--workers",
        "1",
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/server.db",
    ]
    said: list[str] = []
    stop = threading.Event()
    thread = threading.Thread(target=follow, args=(folder, uri, stop, 0.2, said.append))
    thread.start()
    try:
        draw_packs(folder, study(), most=2)
        # Never there so far: one line, not one for each attempt.
        eventually(lambda: len(said) == 1)
        with server(command, tmp_path, port):
            eventually(lambda: len(said) == 2)
            assert "experiment drawn" in said[1]
            assert len(runs_of(uri)) > 3
        draw_packs(folder, study(), most=4)
        eventually(lambda: len(said) == 3, 300)  # what has been copied is rested from
        draw_packs(folder, study())
        with server(command, tmp_path, port):
            stop.set()
            thread.join(60)
            assert not thread.is_alive()
            found = runs_of(uri)
            again = sync(folder, uri)
    finally:
        stop.set()
        thread.join(60)
    assert "no server answers" in said[0]
    assert "experiment drawn" in said[-1]
    assert again.runs_written == 0
    assert len(found) == again.runs_unchanged
    assert len({run.data.tags["raysweep.id"] for run in found}) == len(found)
    assert {run.info.status for run in found} == {"FINISHED"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    return opened(tmp_path / "out", study())


@pytest.mark.slow
def test_sidecar_copies_what_comes_in_and_then_the_ui_shows_it(
    place: RunFolder, tmp_path: Path
) -> None:
    sidecar = start_sidecar(place)
    beside = sidecar._process
    draw_packs(place, study())
    sidecar.catch_up()
    assert beside.poll() is not None
    last = sidecar._process.pid
    assert os.getpriority(os.PRIO_PROCESS, last) == os.getpriority(os.PRIO_PROCESS, 0)
    group = Path(f"/proc/{last}/autogroup")
    if group.exists():
        assert group.read_text().endswith("nice 0\n")
    outcome = sidecar.finish(60)
    assert outcome.startswith("MLflow: experiment drawn")
    assert str(tmp_path / "mlflow.db") in outcome
    assert sync(place).runs_written == 0
    if CHROMIUM is None:
        pytest.skip("the UI is looked at where chromium is installed")
    port = free_port()
    with (
        server(ui_command(place, port=port), tmp_path, port),
        tempfile.TemporaryDirectory() as profile,
    ):
        page = subprocess.run(
            [
                CHROMIUM,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                f"--user-data-dir={profile}",
                "--virtual-time-budget=20000",
                "--dump-dom",
                ui_page(place, port=port),
            ],
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout
    for text in (
        "Drawn rows of two cells.",
        "tags.level = 'cell'",
        "synthetic U=0",
        "synthetic U=4",
    ):
        assert text in page
    # In the order of the study, and children folded into their cells.
    assert page.index("synthetic U=0") < page.index("synthetic U=4")
    assert "confirm forced" not in page


@pytest.mark.slow
def test_sidecar_ends_when_its_driver_is_killed(place: RunFolder, tmp_path: Path) -> None:
    draw_packs(place, study(), most=1)
    code = (
        "import sys, time; from raysweep.folder.run_folder import RunFolder; "
        "from raysweep.trials.storage import Output; from raysweep.tracking import start_sidecar; "
        "c = start_sidecar(RunFolder(Output(sys.argv[1]))); print(c._process.pid, flush=True); "
        "time.sleep(120)"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", code, place.output.location], stdout=subprocess.PIPE, text=True
    )
    assert driver.stdout is not None
    sidecar = int(driver.stdout.readline())
    # Not in the driver's session: Ctrl-C in the terminal does not reach it.
    assert os.getsid(sidecar) == sidecar
    eventually(lambda: os.getpriority(os.PRIO_PROCESS, sidecar) == 19)
    group = Path(f"/proc/{sidecar}/autogroup")
    if group.exists():  # where Linux shares processors out by session
        eventually(lambda: group.read_text().endswith("nice 19\n"))
    driver.kill()
    driver.wait()
    driver.stdout.close()
    # The test waits for it, and would at its priority wait for whatever else this machine does.
    with contextlib.suppress(OSError):
        group.write_text("0")
        os.setpriority(os.PRIO_PROCESS, sidecar, 0)
    log = tmp_path / "out" / "tracking.log"
    eventually(lambda: "MLflow: experiment drawn" in log.read_text(), 300)
    eventually(lambda: not alive(sidecar))


@given(cost_s=st.floats(1e-6, 1e4), cores=st.integers(1, 256))
def test_pause_keeps_the_copy_below_its_share(cost_s: float, cores: int) -> None:
    pause_s = pause_after(cost_s, cores)
    assert pause_s >= 0
    assert cost_s / (cost_s + pause_s) / cores <= BUSY_SHARE * (1 + 1e-9)


def test_copy_that_costs_much_rests_longer_but_is_whole_at_the_end(
    place: RunFolder, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies: list[SyncReport] = []
    update = Mirror.update

    def counted(mirror: Mirror, *given: Any, **named: Any) -> SyncReport:
        copies.append(update(mirror, *given, **named))
        return copies[-1]

    monkeypatch.setattr(Mirror, "update", counted)
    monkeypatch.setattr(sys.modules[follow.__module__], "BUSY_SHARE", 1e-9)
    draw_packs(place, study(), most=1)
    stop = threading.Event()
    thread = threading.Thread(target=follow, args=(place, uri, stop, 0.05))
    thread.start()
    try:
        # The first copy is not counted and the second costs something: then it rests for days.
        eventually(lambda: len(copies) == 2)
        before = len(runs_of(uri))
        draw_packs(place, study())
        time.sleep(1)
        assert len(copies) == 2
    finally:
        stop.set()
        thread.join(60)
    assert len(copies) == 3
    assert len(runs_of(uri)) > before > 0
    assert sync(place, uri).runs_written == 0


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.slow
def test_last_copy_waits_for_others_who_write_to_the_database(
    place: RunFolder, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address, "FIRST_ANSWER_S", 0.5)
    draw_packs(place, study(), most=1)
    said: list[str] = []
    stop = threading.Event()
    stop.set()
    with contextlib.closing(
        sqlite3.connect(uri.removeprefix("sqlite:///"), isolation_level=None)
    ) as other:
        other.execute("BEGIN EXCLUSIVE")
        thread = threading.Thread(target=follow, args=(place, uri, stop, 5.0, said.append))
        thread.start()
        time.sleep(3)
        assert thread.is_alive()
        other.execute("ROLLBACK")
    thread.join(60)
    assert len(said) == 1
    assert ", all there" in said[0]
    # Not for ever: those who wait are told what holds it up.
    monkeypatch.setattr(sys.modules[follow.__module__], "PATIENCE_S", 1.0)
    with contextlib.closing(
        sqlite3.connect(uri.removeprefix("sqlite:///"), isolation_level=None)
    ) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert follow(place, uri, stop, 5.0, said.append) is None
    assert "locked by another program" in said[-1]


@pytest.mark.slow
def test_sidecar_without_a_server_says_how_to_catch_up(place: RunFolder) -> None:
    draw_packs(place, study(), most=1)
    sidecar = start_sidecar(place, f"http://127.0.0.1:{free_port()}")
    outcome = sidecar.finish(60)
    assert "no server answers" in outcome
    assert f"`raysweep sync {place.output.location}`" in outcome


def test_sidecar_that_takes_too_long_is_ended(place: RunFolder) -> None:
    sidecar = start_sidecar(place)
    started = time.monotonic()
    assert "not all was copied in 0.1 s" in sidecar.finish(0.1)
    assert time.monotonic() - started < 5
    assert sidecar._process.poll() is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("says", "most_s", "expected"),
    [
        ("12:00:0{i} MLflow: {i} of 6 runs written", 60, "MLflow: 5 of 6 runs written"),
        ("12:00:0{i} MLflow: {i} of 6 runs written", 1.5, "not all was copied in 1 s"),
        ("WARNING no answer, try {i}", 60, "not all was copied in 1 s"),
    ],
)
def test_sidecar_is_waited_for_while_it_gets_on(
    tmp_path: Path, says: str, most_s: float, expected: str
) -> None:
    code = (
        "import sys, time\nfor i in range(6):\n"
        "    print(sys.argv[1].format(i=i), flush=True); time.sleep(0.5)"
    )
    log = tmp_path / "tracking.log"
    with open(log, "wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", code, says],
            stdin=subprocess.PIPE,
            stdout=stream,
            start_new_session=True,
        )
    eventually(lambda: log.stat().st_size > 0)
    copying = Sidecar(Address(f"sqlite:///{tmp_path}/mlflow.db", "given"), process, log)
    told: list[str] = []
    assert expected in copying.finish(1.0, most_s, told.append)
    assert process.poll() is not None
    assert all("runs written" in line for line in told)
    assert len(told) == len(set(told))
    assert bool(told) == ("runs written" in says)
