"""Which MLflow is used, and what is said where none answers."""

import contextlib
import re
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from drawn_runs import opened, study

from raysweep.errors import InputError
from raysweep.folder.run_folder import RunFolder
from raysweep.tracking import (
    TrackingUnavailable,
    address,
    check_free,
    resolve_address,
    serve_ui,
    server_page,
    sync,
    ui_command,
    ui_page,
)
from raysweep.tracking.address import Address, remember, remembered_address
from raysweep.tracking.database import fault_of, on_local_filesystem, set_up
from raysweep.trials.storage import Output


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    return opened(tmp_path / "out", study())


def test_default_is_a_database_in_the_working_directory(folder: RunFolder, tmp_path: Path) -> None:
    assert resolve_address(folder).uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert resolve_address(None, "sqlite:///other.db").database == tmp_path / "other.db"


def test_first_that_says_one_wins(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(folder, resolve_address(folder, None))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment:5000")
    assert resolve_address(folder).uri == "http://environment:5000"
    remember(folder, resolve_address(folder, "http://given:5000/"))
    assert resolve_address(folder).uri == "http://given:5000"
    assert resolve_address(folder, "http://now:5000").uri == "http://now:5000"


def test_remembered_database_does_not_move_with_the_directory(
    folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(folder, resolve_address(folder), "7")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert resolve_address(folder).uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert ui_page(folder).startswith("http://127.0.0.1:5000/#/experiments/7/runs")
    assert ui_page(None, port=5001) == "http://127.0.0.1:5001"


def test_password_is_neither_kept_nor_shown(folder: RunFolder) -> None:
    remember(folder, resolve_address(folder, "http://before:5000"))
    secret = resolve_address(folder, "postgresql://me:secret@host/db")
    remember(folder, secret)
    assert remembered_address(folder) is None
    assert "secret" not in secret.shown
    error = TrackingUnavailable(secret, "refused by postgresql://me:secret@host/db")
    assert "secret" not in str(error)


@pytest.mark.parametrize("note", [b"", b"[1]", b"{", b'{"uri": 3, "source": "given"}'])
def test_unreadable_note_is_no_note(folder: RunFolder, note: bytes) -> None:
    folder.output.write("tracking.json", note)
    assert remembered_address(folder) is None


@pytest.mark.parametrize(
    "uri",
    [
        "mlflow.db",
        "./mlruns",
        "file:///tmp/x",
        "http://",
        "http://h:port",
        "ftp://h",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///",
        "",
    ],
)
def test_malformed_address_is_refused(folder: RunFolder, uri: str) -> None:
    with pytest.raises(InputError, match=r"--tracking-uri .*expected"):
        resolve_address(folder, uri)


def test_closed_port_is_known_at_once() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for uri in (f"http://127.0.0.1:{port}", f"postgresql://127.0.0.1:{port}/db"):
        started = time.monotonic()
        with pytest.raises(TrackingUnavailable, match="refused"):
            Address(uri, "given").check()
        assert time.monotonic() - started < 3


def test_server_that_never_answers_is_given_up_in_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert address.FIRST_ANSWER_S <= 5
    monkeypatch.setattr(address, "FIRST_ANSWER_S", 1.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        started = time.monotonic()
        with pytest.raises(TrackingUnavailable, match="no server answers"):
            Address(f"http://127.0.0.1:{silent.getsockname()[1]}", "given").check()
        assert time.monotonic() - started < 6


def new_database(path: Path) -> None:
    """A database with a table, set up as MLflow's is."""

    def fill(uri: str) -> None:
        with contextlib.closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection:
            connection.execute("CREATE TABLE runs (name TEXT)")

    set_up(path, fill)


def test_new_database_gets_a_log_where_the_disk_is_local(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    assert fault_of(path, 1) == ""
    new_database(path)
    log = b"\x02\x02"  # write and read version of a file with a write-ahead log, at byte 18
    assert (path.read_bytes()[18:20] == log) is on_local_filesystem(path)


def test_taken_port_is_said(folder: RunFolder, tmp_path: Path) -> None:
    new_database(tmp_path / "mlflow.db")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"--port {port}: cannot listen there"):
            serve_ui(folder, None, port=port)
    with pytest.raises(InputError, match=r"--port 99999: cannot listen there .*0-65535"):
        check_free("127.0.0.1", 99999)


def test_ui_needs_a_database(folder: RunFolder) -> None:
    with pytest.raises(InputError, match="no such database"):
        ui_command(folder)
    with pytest.raises(InputError, match="is a server at http://host:5000"):
        ui_command(folder, "http://host:5000")


def test_a_server_is_named_with_the_view_of_the_run(folder: RunFolder) -> None:
    assert server_page(folder) == ""
    server = "http://host:5000"
    assert server_page(None, server) == server_page(folder, server) == server
    remember(folder, resolve_address(folder, server), "7")
    assert re.match(f"{server}/#/experiments/7/runs.*raysweep-cells$", server_page(folder, server))
    assert server_page(folder, "http://other:5000") == "http://other:5000"


def test_a_driver_does_not_load_mlflow() -> None:
    code = "import sys, raysweep.tracking; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_database_of_another_program_is_refused(tmp_path: Path, folder: RunFolder) -> None:
    text = tmp_path / "notes.db"
    text.write_text("no database at all, but long enough to be told apart from one" * 20)
    with pytest.raises(TrackingUnavailable, match="not a SQLite database"):
        sync(folder, f"sqlite:///{text}")
    with pytest.raises(TrackingUnavailable, match="there is no folder"):
        sync(folder, f"sqlite:///{tmp_path}/no/such/mlflow.db")


def test_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not the output of a run"):
        sync(RunFolder(Output(tmp_path)), f"sqlite:///{tmp_path}/mlflow.db")


@pytest.mark.parametrize(
    ("uri", "here"),
    [
        ("http://localhost:5000", True),
        ("http://127.0.0.1:5000", True),
        (f"http://{socket.gethostname()}:5000", True),
        ("postgresql://me@localhost/runs", True),
        ("http://192.0.2.1:5000", False),  # an address for documentation (RFC 5737)
        ("http://no-such-host.invalid:5000", False),
        ("sqlite:////tmp/mlflow.db", False),
    ],
)
def test_a_server_on_this_machine_is_known_by_any_of_its_names(uri: str, here: bool) -> None:
    assert Address(uri, "given").is_local_server is here
