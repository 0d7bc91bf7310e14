"""What an interrupted run says last, where its copy to MLflow is cut short, too."""

import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from tiny_runs import kill, misbehaving, parts, raysweep, started, words, write_study
from waiting import wait_until

pytestmark = pytest.mark.mlflow
STORED = "stopping: what is finished is being stored"


@pytest.fixture(autouse=True)
def default_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def paused_copy(driver: subprocess.Popen[bytes]) -> psutil.Process:
    """The process that copies a run to MLflow, made to stand still."""
    found: list[psutil.Process] = []

    def is_there() -> bool:
        children = psutil.Process(driver.pid).children()
        found[:] = [child for child in children if "--follow" in child.cmdline()]
        return bool(found)

    wait_until(is_there, driver, 60)
    found[0].suspend()
    return found[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.faults)]
)
def test_a_signal_while_the_finished_results_are_copied(
    tmp_path: Path, number: signal.Signals
) -> None:
    write_study(tmp_path / "tiny.yaml")
    out, log = tmp_path / "out", tmp_path / "log"
    run = started(tmp_path, "run", "tiny.yaml", "--out", out, "--runner", "local")
    try:
        copy = paused_copy(run)
        wait_until(lambda: "Report: " in log.read_text(), run, 60)
        run.send_signal(number)
        assert run.wait(30) == 130
    finally:
        kill(run)
    assert not copy.is_running()
    text = log.read_text()
    assert text.splitlines()[-1] == (
        f"stopped; the results are complete. Copy the rest to MLflow with: raysweep sync {out}"
    )
    assert "raysweep resume" not in text
    assert "stopping" not in text  # nothing is waited for
    assert "Traceback" not in text
    caught_up = raysweep(tmp_path, "sync", out)
    assert caught_up.returncode == 0, caught_up.stderr
    assert "MLflow: experiment tiny" in caught_up.stdout


@pytest.mark.slow
def test_a_second_signal_while_what_there_is_is_copied(tmp_path: Path) -> None:
    switch = tmp_path / "switch"
    write_study(tmp_path / "tiny.yaml", **misbehaving(switch, "slow", amount=0.05, data__U=[0, 8]))
    (switch / "armed").touch()
    out, log = tmp_path / "out", tmp_path / "log"
    run = started(tmp_path, "run", "tiny.yaml", "--out", out, "--runner", "local")
    try:
        paused_copy(run)
        wait_until(lambda: len(parts(out)) >= 1, run, 60)
        run.send_signal(signal.SIGTERM)
        wait_until(lambda: "copying to MLflow, for 20 s at most" in log.read_text(), run, 120)
        run.send_signal(signal.SIGINT)
        assert run.wait(15) == 130  # long before the 20 s
    finally:
        kill(run)
    text = log.read_text()
    assert text.splitlines()[-1] == (
        f"stopped; everything finished is kept. Go on with: raysweep resume {out}. "
        f"Copy the rest to MLflow with: raysweep sync {out}"
    )
    assert words(text).count(STORED) == 1
    assert text.index(STORED) < text.index("copying to MLflow")
    assert "Traceback" not in text
