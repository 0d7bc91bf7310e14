"""The copy in MLflow against the trial table it was made from: SQLite, and a real server."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from drawn_runs import draw_packs, opened, study
from tiny_runs import raysweep

from raysweep.tracking import TrackingUnavailable, sync
from raysweep.trials.table import read_table

pytestmark = [
    pytest.mark.mlflow,
    # MLflow's own imports and schema set-up warn of what they will change themselves.
    pytest.mark.filterwarnings("ignore"),
]

TINY = """\
name: tiny
data: {dataset: synthetic, U: 0, train: 64, validation: 32, test: 64}
model: {width: 8}
training: {epochs: 1, batch_size: 32}
evaluation: {metrics: [unbiased_cka]}
search: {trials: 2, generation: 2, seeds: 1}
confirm: {seeds: 2}
"""


def runs_of(uri: str, name: str) -> pd.DataFrame:
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], max_results=1000)
    return pd.DataFrame(
        {
            "id": run.info.run_id,
            "name": run.info.run_name,
            "parent": run.data.tags.get("mlflow.parentRunId", ""),
            "metrics": run.data.metrics,
            "params": run.data.params,
        }
        for run in found
    )


def strengths_of(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of single strengths: those that have an arm, below the runs of their cells."""
    return runs[[("arm" in p and "stage" in p) for p in runs["params"]]]


def test_a_sync_copies_the_table_and_a_second_one_writes_nothing(tmp_path: Path, uri: str) -> None:
    planned = study()
    folder = opened(tmp_path / "out", planned)
    draw_packs(folder, planned, most=3)
    first = sync(folder, uri)
    assert first.runs_written > 0
    before = runs_of(uri, "drawn")

    draw_packs(folder, planned)
    grown = sync(folder, uri)
    assert grown.runs_written > 0
    again = sync(folder, uri)
    assert again.runs_written == 0
    assert again.runs_unchanged == grown.runs_written + grown.runs_unchanged

    folder.compact(folder.open_sweep(planned))
    table = read_table(tmp_path / "out")
    runs = runs_of(uri, "drawn")
    # A run that had grown was brought up to date in its place.
    assert set(before["id"]) <= set(runs["id"])
    groups = table.groupby(["cell", "stage", "arm", "strength"])
    leaves = strengths_of(runs)
    assert len(leaves) == groups.ngroups
    assert runs["id"].is_unique
    # Every strength's run hangs below its cell's run.
    assert leaves["parent"].nunique() == table["cell"].nunique()
    column = "performance_fused_test"
    expected = sorted(groups[column].mean())
    assert sorted(m[column] for m in leaves["metrics"]) == pytest.approx(expected)
    strengths = sorted({float(p["strength"]) for p in leaves["params"]})
    assert strengths == pytest.approx(sorted(set(table["strength"])))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def server(folder: Path, port: int) -> Iterator[str]:
    """A real MLflow server on localhost, ended on the way out."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db"]
    command += ["--default-artifact-root", str(folder / "artifacts")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    uri = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"{uri}/health", timeout=2):
                    break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.3)
        yield uri
    finally:
        os.killpg(process.pid, 9)
        process.wait()


@pytest.mark.slow
def test_an_outage_of_the_server_is_told_at_once_and_caught_up_with(
    tmp_path: Path, empty_database: Path
) -> None:
    shutil.copyfile(empty_database, tmp_path / "server.db")
    planned = study()
    folder = opened(tmp_path / "out", planned)
    port = free_port()
    draw_packs(folder, planned, most=2)
    with server(tmp_path, port) as uri:
        assert sync(folder, uri).runs_written > 0
        known = set(runs_of(uri, "drawn")["id"])
    draw_packs(folder, planned)
    started = time.monotonic()
    with pytest.raises(TrackingUnavailable, match=f"`raysweep sync {tmp_path}/out`"):
        sync(folder, uri)
    assert time.monotonic() - started < 20
    with server(tmp_path, port) as uri:
        assert sync(folder, uri).runs_written > 0
        assert sync(folder, uri).runs_written == 0
        runs = runs_of(uri, "drawn")
        assert known <= set(runs["id"])
        assert runs["id"].is_unique


@pytest.mark.parametrize("uri", ["nonsense", "sqlite:////nowhere/at/all.db", "./mlruns"])
def test_an_address_that_cannot_be_used(tmp_path: Path, uri: str) -> None:
    planned = study()
    folder = opened(tmp_path / "out", planned)
    draw_packs(folder, planned, most=1)
    with pytest.raises(ValueError, match=r"MLflow|tracking|expected"):
        sync(folder, uri)


@pytest.mark.slow
def test_a_run_fills_mlflow_where_the_environment_says(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    shutil.copyfile(empty_database, tmp_path / "elsewhere.db")
    uri = f"sqlite:///{tmp_path}/elsewhere.db"
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        done = raysweep(tmp_path, "run", "tiny.yaml", "--out", "out", "--runner", "local")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "mlflow.db").exists()
    table = read_table(tmp_path / "out")
    runs = runs_of(uri, "tiny")
    leaves = strengths_of(runs)
    assert len(leaves) == table.groupby(["cell", "stage", "arm", "strength"]).ngroups
    again = raysweep(tmp_path, "sync", "out")
    assert ", all there at " in again.stdout


@pytest.mark.slow
def test_a_run_without_a_server_goes_on_and_says_how_to_catch_up(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    address = f"http://127.0.0.1:{free_port()}"
    done = raysweep(
        tmp_path, "run", "tiny.yaml", "--out", "out", "--runner", "local",
        "--tracking-uri", address,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "raysweep sync" in done.stderr
    assert len(read_table(tmp_path / "out")) == 3 + 6
