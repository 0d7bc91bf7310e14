"""A Ray whose own processes die, and what runs leave in the temporary folder."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tiny_runs import assert_same_table, kill, parts, raysweep, started, table, words, write_study
from waiting import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.ray]

LONG = {"search__trials": 40, "search__generation": 2, "training__epochs": 100}
PATIENCE_S = 120


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder of the test's own, with a name as short as Ray's sockets need."""
    folder = Path(tempfile.mkdtemp(prefix="rs", dir="/tmp"))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def left(temporary: Path) -> list[str]:
    return sorted(path.name for path in temporary.iterdir() if path.name.startswith("raysweep-"))


def begun(folder: Path, runner: str = "ray") -> subprocess.Popen[bytes]:
    """A run of which some packs are there."""
    write_study(folder / "tiny.yaml", **LONG)
    arguments = ["run", "tiny.yaml", "--out", folder / "out", "--no-mlflow", "--runner", runner]
    run = started(folder, *arguments, *(["--workers", "1"] if runner == "ray" else []))
    wait_until(lambda: len(parts(folder / "out")) > 2, run, PATIENCE_S)
    return run


def goes_on(folder: Path, temporary: Path) -> None:
    """What is missing can be run, to the table of an undisturbed run; nothing is left behind."""
    before = len(parts(folder / "out"))
    resumed = raysweep(folder, "resume", folder / "out", "--no-mlflow", "--workers", "1")
    assert resumed.returncode == 0, resumed.stderr
    assert left(temporary) == []
    assert len(parts(folder / "out")) > before
    whole = raysweep(
        folder, "run", "tiny.yaml", "--out", folder / "whole", "--no-mlflow", "--runner", "local"
    )
    assert whole.returncode == 0, whole.stderr
    assert_same_table(table(folder / "out"), table(folder / "whole"))


@pytest.mark.parametrize("name", ["raylet", "gcs_server"])
def test_a_ray_that_is_gone_ends_with_the_last_words_of_other_faults(
    tmp_path: Path, temporary: Path, name: str
) -> None:
    run = begun(tmp_path)
    try:
        children = psutil.Process(run.pid).children(recursive=True)
        [process] = [child for child in children if child.name() == name]
        process.kill()
        assert run.wait(60) == 1
    finally:
        kill(run)
    log = (tmp_path / "log").read_text()
    assert log.splitlines()[-1] == (
        f"Ray is gone: its process {name} was ended from outside; everything finished is kept. "
        f"Go on with: raysweep resume {tmp_path / 'out'}"
    )
    assert "Traceback" not in log
    assert left(temporary) == []
    psutil.wait_procs(children, 120)  # without a GCS some wait for it for a while
    assert not [child for child in children if child.is_running()]
    goes_on(tmp_path, temporary)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_ended_run_leaves_nothing_in_the_temporary_folder(
    tmp_path: Path, temporary: Path, number: signal.Signals
) -> None:
    run = begun(tmp_path)
    try:
        children = psutil.Process(run.pid).children(recursive=True)
        run.send_signal(number)
        assert run.wait(60) == (-number if number == signal.SIGKILL else 130)
    finally:
        kill(run)
    psutil.wait_procs(children, 60)
    assert len(left(temporary)) == (2 if number == signal.SIGKILL else 0)
    # What a killed run could not remove the next one removes.
    done = raysweep(
        tmp_path, "run", "tiny.yaml", "--out", tmp_path / "other", "--no-mlflow", "--workers", "1",
        "--set", "search.trials=2", "--set", "training.epochs=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert left(temporary) == []
    assert words(done.stderr)
    assert not [name for name in os.listdir(temporary) if name.startswith("ray")]
