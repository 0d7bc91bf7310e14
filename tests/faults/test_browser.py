"""What people see of a study in MLflow: real pages of a real server, in a real browser."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from matplotlib import image
from mlflow import MlflowClient
from tiny_runs import raysweep, write_study

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

SHOWN_FILE = (slice(300, 1200), slice(480, 1140))  # where the page of an artifact shows it
Look = Callable[[str, str], str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that keeps runs and files, with a study that was run against it."""
    folder = tmp_path_factory.mktemp("browser")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with open(folder / "server.log", "wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    uri = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 120
        while True:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"{uri}/health", timeout=2),
            ):
                break
            assert process.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < end
            time.sleep(0.3)
        write_study(
            folder / "tiny.yaml",
            data__U=[0, 4, 8],
            training__epochs=12,
            search__objective="both",
            description="Three cells to look at.",
        )
        done = raysweep(
            folder, "run", "tiny.yaml", "--out", "out", "--runner", "local", "--tracking-uri", uri
        )
        assert done.returncode == 0, done.stderr
        assert "page" not in done.stderr
        yield uri
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """Opens a page, photographs it to a file of the given name, and returns its document."""

    def open_page(address: str, name: str) -> str:
        picture = Path(os.environ.get("PICTURES", tmp_path)) / f"{name}.png"
        common = [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={tmp_path}/profile", "--window-size=1600,1300",
            "--virtual-time-budget=25000",
            # Else the frame that shows a file is drawn by a process that virtual time knows not.
            "--disable-features=IsolateSandboxedIframes",
        ]  # fmt: skip
        for how in (f"--screenshot={picture}", "--dump-dom"):
            done = subprocess.run(
                [*common, how, address], capture_output=True, text=True, timeout=180
            )
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.stat().st_size > 20_000  # an empty page is smaller
        if name == "report":
            assert image.imread(picture)[SHOWN_FILE].std() > 0.05
        return done.stdout

    return open_page


def test_pages_of_a_study(server: str, look: Look) -> None:
    client = MlflowClient(server)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    here = f"{server}/#/experiments/{experiment.experiment_id}"
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}

    listed = look(f"{here}/runs?workflowType=machine_learning", "experiment")
    for text in ("Three cells to look at.", "study tiny", "synthetic U=0", "synthetic U=8"):
        assert text in listed
    assert listed.index("synthetic U=0") < listed.index("synthetic U=4")
    assert "confirm forced" not in listed  # folded into its cell

    parent = runs["synthetic U=4"]
    page = look(f"{here}/runs/{parent.info.run_id}", "parent")
    for text in ("synthetic U=4", "chosen_strength_by_performance", "I_shared", "depth_1"):
        assert text in page
    assert "Verdicts are in the report" in page

    child = next(r for name, r in runs.items() if name.startswith("confirm forced"))
    curves = look(f"{here}/runs/{child.info.run_id}/model-metrics", "curves")
    assert "curve_alignment_loss" in curves  # charts further down are drawn when scrolled to
    assert "Step" in curves

    view = f"{here}/runs?workflowType=machine_learning&viewStateShareKey=raysweep-confirm"
    chart = look(f"{view}&compareRunsMode=CHART", "comparison")
    assert "Parallel Coordinates" in chart or "parallel" in chart.lower()
    assert "performance_fused_test" in chart
    assert chart.count("<svg") > 3

    report = look(f"{here}/runs/{runs['study tiny'].info.run_id}/artifacts/report.html", "report")
    for text in ("report.html", "study.yaml", "figures", "<iframe"):
        assert text in report
