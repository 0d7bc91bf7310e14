"""The scripts in cluster/ with real Ray nodes: two on this machine, as Slurm would start them."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from tiny_runs import (
    SUPPORT,
    assert_same_table,
    kill,
    misbehaving,
    opened,
    parts,
    study,
    table,
    words,
    write_study,
)
from waiting import wait_until

from raysweep.runners import local

CLUSTER = SUPPORT.parents[1] / "cluster"
# What Slurm does with these commands, on one machine that plays two.
FAKES = {
    "srun": 'while [[ $1 == --* ]]; do shift; done\nexec "$@"\n',
    "scontrol": '[[ "$1 $2 $3" == "show hostnames one,two" ]] && printf "one\\ntwo\\n"\n',
    "sbatch": (
        "while [[ $1 == --* ]]; do shift; done\n"
        'SLURM_JOB_NODELIST=one,two SLURM_CPUS_PER_TASK=1 exec bash "$@"\n'
    ),
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The virtual environment's programs first on the path, then Slurm's that are none."""
    fakes = tmp_path / "fakes"
    fakes.mkdir()
    for name, body in FAKES.items():
        (fakes / name).write_text(f"#!/bin/bash\n{body}")
        (fakes / name).chmod(0o755)
    path = (str(Path(sys.executable).parent), str(fakes), os.environ["PATH"])
    with socket.create_server(("", 0)) as probe:
        port = probe.getsockname()[1]
    return {
        **os.environ,
        "PATH": os.pathsep.join(path),
        "PYTHONPATH": str(SUPPORT),
        "SLURM_JOB_ID": str(1_000_000 + port - 20000),
        "PORT": str(port),
    }


def start(folder: Path, environment: dict[str, str], *command: str) -> subprocess.Popen[bytes]:
    with open(folder / "log", "ab") as log:
        return subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )


def test_slurm_starts_two_nodes_stops_before_its_limit_and_goes_on(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    switch = tmp_path / "switch"
    changes = misbehaving(switch, "slow", 0.05, data__U=[0, 8], confirm__seeds=10)
    wanted = study(**changes)
    local.run(wanted, opened(tmp_path / "undisturbed", wanted))
    (switch / "processes").unlink()
    (switch / "armed").touch()
    write_study(tmp_path / "tiny.yaml", **changes)
    out, log = tmp_path / "out", tmp_path / "log"
    command = ["sbatch", "--nodes=2", str(CLUSTER / "slurm.sh"), "tiny.yaml", str(out)]
    first = start(tmp_path, environment, *command, "--no-mlflow")
    try:
        wait_until(lambda: len(parts(out)) >= 3, first, 240)
        family = psutil.Process(first.pid).children(recursive=True)
        first.send_signal(signal.SIGTERM)
        assert first.wait(120) == 130, log.read_text()
        # Two Ray nodes were there, and nothing of them is left.
        assert sum(p.name() == "raylet" for p in family if p.is_running()) == 0
        _, alive = psutil.wait_procs(family, timeout=60)
        assert not alive
    finally:
        kill(first)
    assert "2 packs at a time" in words(log.read_text())
    assert f"Go on with: raysweep resume {out}" in words(log.read_text())
    assert len((switch / "processes").read_text().split()) > 0
    (switch / "armed").unlink()
    second = start(tmp_path, environment, *command, "--no-mlflow")
    try:
        assert second.wait(240) == 0, log.read_text()
    finally:
        kill(second)
    assert "Does forcing alignment help?" in log.read_text()
    assert_same_table(table(out), table(tmp_path / "undisturbed"))


def test_several_nodes_of_this_machine(tmp_path: Path, environment: dict[str, str]) -> None:
    local.run(study(), opened(tmp_path / "here", study()))
    write_study(tmp_path / "tiny.yaml")
    out, log = tmp_path / "out", tmp_path / "log"
    command = [str(CLUSTER / "local_nodes.sh"), "2", "1", "tiny.yaml", str(out), "--no-mlflow"]
    run = start(tmp_path, environment, *command)
    try:
        assert run.wait(240) == 0, log.read_text()
    finally:
        kill(run)
    assert "2 packs at a time" in words(log.read_text())
    assert_same_table(table(out), table(tmp_path / "here"))
