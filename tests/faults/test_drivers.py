"""Drivers that are killed or stopped under Ray, and what is left of them."""

import random
import signal
from pathlib import Path

import psutil
from test_resume import wait_until
from tiny_runs import (
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

from raysweep import local_runner


def test_a_driver_killed_three_times_at_random_moments(tmp_path: Path) -> None:
    changes = misbehaving(tmp_path / "switch", "slow", 0.02, data__U=[0, 8], confirm__seeds=10)
    wanted = study(**changes)
    local_runner.run(wanted, opened(tmp_path / "undisturbed", wanted))
    (tmp_path / "switch" / "armed").touch()
    write_study(tmp_path / "tiny.yaml", **changes)
    out = tmp_path / "out"
    moments = random.Random(0)
    stored: dict[str, bytes] = {}
    for _ in range(3):
        driver = started(tmp_path, "run", "tiny.yaml", "--out", out, "--no-mlflow")
        goal = len(stored) + moments.randint(1, 6)
        try:
            wait_until(lambda goal=goal: len(parts(out)) >= goal, driver, 180)
        finally:
            kill(driver)
        now = {name: (out / "parts" / name).read_bytes() for name in parts(out)}
        assert stored.items() <= now.items()  # nothing finished was lost or run again
        assert len(now) < len(parts(tmp_path / "undisturbed"))
        stored = now
    done = raysweep(tmp_path, "resume", out, "--no-mlflow")
    assert done.returncode == 0, done.stderr
    now = {name: (out / "parts" / name).read_bytes() for name in parts(out)}
    assert stored.items() <= now.items()
    assert_same_table(table(out), table(tmp_path / "undisturbed"))


def test_sigterm_stops_a_run_under_ray_and_leaves_no_process(tmp_path: Path) -> None:
    changes = misbehaving(tmp_path / "switch", "slow", 0.05, confirm__seeds=40)
    (tmp_path / "switch" / "armed").touch()
    write_study(tmp_path / "tiny.yaml", **changes)
    out = tmp_path / "out"
    driver = started(tmp_path, "run", "tiny.yaml", "--out", out, "--no-mlflow")
    wait_until(lambda: len(parts(out)) >= 2, driver, 180)
    family = psutil.Process(driver.pid).children(recursive=True)
    driver.send_signal(signal.SIGTERM)
    assert driver.wait(60) == 130
    log = (tmp_path / "log").read_text()
    assert f"Go on with: raysweep resume {out}" in words(log)
    assert "Traceback" not in log
    _, alive = psutil.wait_procs(family, timeout=90)
    assert not alive
