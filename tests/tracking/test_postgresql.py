"""Copies to MLflow on PostgreSQL, directly and through a server, with a real database server."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from drawn_runs import draw_packs, opened, study
from mlflow import MlflowClient
from mlflow_server import running_server

from raysweep.tracking import TrackingUnavailable, sync

pytestmark = pytest.mark.mlflow
_FOLDERS = [
    *os.environ["PATH"].split(os.pathsep),
    *map(str, Path("/usr/lib").glob("postgresql/*/bin")),
]
_CONTROL = shutil.which("pg_ctl", path=os.pathsep.join(_FOLDERS))


class Database:
    """A PostgreSQL server of the test's own; it refuses to run as root."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._user = folder, None
        if os.geteuid() == 0:
            try:
                self._user = pwd.getpwnam("postgres").pw_uid
            except KeyError:
                pytest.skip("PostgreSQL does not run as root, and there is no user for it")
            os.chown(folder, self._user, -1)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port = probe.getsockname()[1]
        self.uri = f"postgresql://tester@127.0.0.1:{self._port}/postgres"
        self._run("initdb", "-o", "--username=tester --auth=trust --encoding=UTF8 --no-sync")

    def start(self) -> None:
        listen = f"-p {self._port} -k {self._folder} -c listen_addresses=127.0.0.1"
        self._run("start", "--wait", "-o", listen)

    def stop(self) -> None:
        self._run("stop", "--mode=immediate", check=False)

    def _run(self, action: str, *options: str, check: bool = True) -> None:
        assert _CONTROL is not None
        command = [_CONTROL, action, "-D", str(self._folder / "data"), "-s", *options]
        with open(self._folder / "log", "ab") as log:
            done = subprocess.run(
                command, user=self._user, cwd=self._folder, stdout=log, stderr=log, timeout=60
            )
        assert not check or done.returncode == 0, (self._folder / "log").read_text()


@pytest.fixture
def database() -> Iterator[Database]:
    if _CONTROL is None:
        pytest.skip("PostgreSQL is not installed")
    # Not pytest's folder, into which no other user may look.
    with tempfile.TemporaryDirectory() as folder:
        made = Database(Path(folder))
        made.start()
        try:
            yield made
        finally:
            made.stop()


@pytest.mark.slow
def test_runs_on_postgresql(database: Database, tmp_path: Path) -> None:
    folder = opened(tmp_path / "out", study())
    draw_packs(folder, study(), most=2)
    begun = sync(folder, database.uri)
    draw_packs(folder, study())
    grown = sync(folder, database.uri)
    again = sync(folder, database.uri)
    assert begun.runs_written
    assert grown.runs_written
    assert again.runs_written == 0
    assert "through its server only" in again.note
    with running_server(tmp_path, database.uri) as server:
        # The copy through a server on the same database finds what the direct one wrote.
        through = sync(folder, server.uri)
        client = MlflowClient(server.uri)
        (summary,) = client.search_runs([through.experiment_id], "tags.level = 'study'")
        files = [file.path for file in client.list_artifacts(summary.info.run_id)]
        assert (tmp_path / "mlartifacts").is_dir()
        runs = client.search_runs([through.experiment_id], max_results=1000)
        (best,) = client.search_runs(
            [through.experiment_id], "tags.stage = 'confirm' and tags.arm = 'forced'", max_results=1
        )
    assert through.runs_written == 0
    assert through.note == ""
    assert files == ["study.yaml"]
    assert len(runs) == again.runs_unchanged
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert best.data.metrics

    database.stop()
    with pytest.raises(TrackingUnavailable, match="postgresql"):
        sync(folder, database.uri)
    database.start()
    assert sync(folder, database.uri).runs_written == 0
