"""A run seen from another terminal: how far it is, what failed, when it ends."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from drawn_runs import draw_packs, opened, study
from tiny_runs import kill, raysweep, started, words

from raysweep.folder.run_folder import RunFolder


def fail_a_pack(folder: RunFolder, reason: str) -> str:
    pack = folder.left(study()).next_pack()
    assert pack is not None
    folder.record_failure(pack, reason)
    return pack.key


def until(log: Path, text: str) -> None:
    end = time.monotonic() + 60
    while text not in words(log.read_text()):
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)


@pytest.mark.slow
def test_a_run_is_watched_until_its_driver_ends(tmp_path: Path) -> None:
    folder = opened(tmp_path / "out", study())
    earlier = draw_packs(folder, study(), most=2)
    log = tmp_path / "log"
    with folder.driver_lock():
        during = draw_packs(folder, study(), most=2)
        watcher = started(tmp_path, "status", "out", "--watch")
        try:
            until(log, "run by host")
            assert ", 6 already there" in words(log.read_text())  # what was there before the run
            assert earlier == during == 2
            draw_packs(folder, study(), most=3)
            fail_a_pack(folder, "Traceback\nValueError: too bad")
            until(log, "failed: ValueError: too bad")
        except BaseException:
            kill(watcher)
            raise
    try:
        assert watcher.wait(30) == 0
    finally:
        kill(watcher)
    text = words(log.read_text())
    assert "1 pack failed; see why with: raysweep failures" in text
    assert "Traceback (most" not in text


@pytest.mark.slow
def test_a_killed_driver_is_told_with_how_to_go_on(tmp_path: Path) -> None:
    folder = opened(tmp_path / "out", study())
    code = (
        "import sys, time; from raysweep.folder.run_folder import RunFolder; "
        "from raysweep.trials.storage import Output\n"
        "with RunFolder(Output(sys.argv[1])).driver_lock(): time.sleep(120)"
    )
    driver = subprocess.Popen([sys.executable, "-c", code, folder.output.location])
    log = tmp_path / "log"
    hint = f"Go on with: raysweep resume {folder.output.location}"
    try:
        while folder.driver() is None:
            assert driver.poll() is None
            time.sleep(0.05)
        watcher = started(tmp_path, "status", "out", "--watch")
        try:
            until(log, "run by host")
            draw_packs(folder, study(), most=2)
            kill(driver)
            assert watcher.wait(30) == 0
        finally:
            kill(watcher)
    finally:
        kill(driver)
    assert f"no driver runs, and trials are missing. {hint}" in words(log.read_text())
    assert hint in words(raysweep(tmp_path, "status", "out", "--watch").stdout)
    draw_packs(folder, study())
    assert "Go on" not in raysweep(tmp_path, "status", "out").stdout


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watching_is_stopped_without_stopping_the_run(
    tmp_path: Path, number: signal.Signals
) -> None:
    folder = opened(tmp_path / "out", study())
    with folder.driver_lock():
        watcher = started(tmp_path, "status", "out", "--watch")
        try:
            until(tmp_path / "log", "run by host")
            watcher.send_signal(number)
            assert watcher.wait(30) == 0
        finally:
            kill(watcher)
        assert "the run goes on" in words((tmp_path / "log").read_text())
        assert folder.driver() is not None
    assert folder.driver() is None


def test_asking_for_the_driver_keeps_no_driver_out(tmp_path: Path) -> None:
    folder = opened(tmp_path, study())
    for _ in range(200):
        assert folder.driver() is None
        with folder.driver_lock():
            found = folder.driver()
            assert found is not None
            assert abs(found.since_ns / 1e9 - time.time()) < 60


def test_failures_are_told_by_cell_with_the_last_lines(tmp_path: Path) -> None:
    folder = opened(tmp_path / "out", study())
    none = raysweep(tmp_path, "failures", "out")
    assert none.returncode == 0
    assert "no pack of this study has failed" in none.stdout
    reason = "\n".join(f"line {n} of [it]" for n in range(30))
    key = fail_a_pack(folder, reason)
    brief = raysweep(tmp_path, "failures", "out").stdout
    assert f"synthetic U=0: pack {key}" in brief
    assert "line 29 of [it]" in brief
    assert "line 3 " not in brief
    full = raysweep(tmp_path, "failures", "out", "--full").stdout
    assert all(line in full for line in reason.splitlines())
    status = raysweep(tmp_path, "status", "out").stdout
    assert "failed" in status
    draw_packs(folder, study())
    assert "no pack of this study has failed" in raysweep(tmp_path, "failures", "out").stdout
