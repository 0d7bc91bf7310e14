"""Two hosts, network namespaces joined by a cable that is cut, and what a cut-off worker does."""

import contextlib
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tiny_runs import (
    SUPPORT,
    assert_same_table,
    misbehaving,
    opened,
    parts,
    study,
    table,
    write_study,
)

from raysweep.runners import local

BIN = Path(sys.executable).parent
# So that a node that does not answer is given up in seconds, and does not give itself up.
PATIENCE = {
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "600",
}


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def eventually(true: Callable[[], object], log: Path, within_s: float = 240) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, log.read_text() if log.exists() else "no log"
        time.sleep(0.2)


@dataclass
class Hosts:
    """Two hosts, 10.77.0.1 and 10.77.0.2, and the processes that run on them."""

    names: tuple[str, str]
    folder: Path
    environment: dict[str, str]
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, host: int, log: str, *command: str) -> subprocess.Popen[bytes]:
        with open(self.folder / log, "ab") as stream:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.names[host], *command],
                cwd=self.folder,
                env=self.environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def pids(self, host: int) -> list[int]:
        done = subprocess.run(
            ["ip", "netns", "pids", self.names[host]], capture_output=True, text=True, check=True
        )
        return [int(pid) for pid in done.stdout.split()]

    def cable(self, state: str) -> None:
        ip("netns", "exec", self.names[1], "ip", "link", "set", "cable", state)

    def alive_nodes(self, address: str) -> int:
        done = subprocess.run(
            ["ip", "netns", "exec", self.names[0], BIN / "ray", "status", f"--address={address}"],
            env=self.environment,
            capture_output=True,
            text=True,
        )
        active = done.stdout.partition("Active:")[2].partition("Pending:")[0]
        return len(re.findall(r" node_", active))


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and iproute2")
    mark = secrets.token_hex(3)
    names = (f"rs-{mark}-a", f"rs-{mark}-b")
    try:
        ip("netns", "add", names[0])
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces are not permitted here: {error.stderr!r}")
    folder = Path(tempfile.mkdtemp(prefix="rs-"))  # short: sockets lie in it
    environment = {
        **os.environ,
        **PATIENCE,
        "PATH": os.pathsep.join((str(BIN), os.environ["PATH"])),
        "PYTHONPATH": str(SUPPORT),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    found = Hosts(names, folder, environment)
    try:
        ip("netns", "add", names[1])
        ip(
            "link",
            "add",
            "cable",
            "netns",
            names[0],
            "type",
            "veth",
            "peer",
            "cable",
            "netns",
            names[1],
        )
        for number, name in enumerate(names, start=1):
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")
        yield found
    finally:
        for host in (0, 1):
            with contextlib.suppress(subprocess.CalledProcessError):
                for pid in found.pids(host):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, 9)
        for process in found.started:
            process.wait(30)
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def inodes(out: Path) -> dict[str, int]:
    return {name: (out / "parts" / name).stat().st_ino for name in parts(out)}


def test_a_link_that_is_cut_and_restored_and_an_orphan_that_finishes(hosts: Hosts) -> None:
    folder, switch = hosts.folder, hosts.folder / "switch"
    changes = misbehaving(switch, "slow", 0.5, data__U=[0, 8], confirm__seeds=60)
    wanted = study(**changes)
    local.run(wanted, opened(folder / "undisturbed", wanted))
    (switch / "processes").unlink()
    (switch / "armed").touch()
    write_study(folder / "tiny.yaml", **changes)
    out, log, address = folder / "out", folder / "log", "10.77.0.1:6399"
    common = ["--num-cpus=1", "--object-store-memory=100000000", "--block"]
    hosts.start(
        0, "head.log", "ray", "start", "--head", "--node-ip-address=10.77.0.1", "--port=6399",
        "--include-dashboard=false", f"--temp-dir={folder}/a", *common,
    )  # fmt: skip
    eventually(lambda: hosts.alive_nodes(address) == 1, folder / "head.log")
    second = ["ray", "start", f"--address={address}", "--node-ip-address=10.77.0.2", *common]
    hosts.start(1, "second.log", *second, f"--temp-dir={folder}/b")
    eventually(lambda: hosts.alive_nodes(address) == 2, folder / "second.log")
    run = hosts.start(
        0, "log", sys.executable, "-m", "raysweep", "run", "tiny.yaml", "--out", str(out),
        "--address", address, "--no-mlflow",
    )  # fmt: skip

    def workers(host: int) -> list[int]:
        there = switch / "processes"
        seen = {int(pid) for pid in there.read_text().split()} if there.exists() else set()
        return sorted(seen & set(hosts.pids(host)))

    eventually(lambda: workers(1) and len(parts(out)) >= 3, log)
    [orphan] = workers(1)
    (switch / f"hold-{orphan}").touch()
    time.sleep(1)  # it is in the middle of a pack, or will be in the next one
    hosts.cable("down")
    eventually(lambda: hosts.alive_nodes(address) == 1, log)
    assert run.poll() is None, log.read_text()
    # The head's worker ends its pack, and then takes the lost one, which comes first.
    count = len(parts(out))
    eventually(lambda: len(parts(out)) >= count + 3, log)
    before = inodes(out)
    assert orphan in hosts.pids(1)
    (switch / f"hold-{orphan}").unlink()
    # The orphan ends what another has done meanwhile, and writes the same again.
    eventually(lambda: any(before[n] != i for n, i in inodes(out).items() if n in before), log)
    assert run.poll() is None, log.read_text()

    hosts.cable("up")
    hosts.start(1, "third.log", *second, f"--temp-dir={folder}/c")
    eventually(lambda: set(workers(1)) - {orphan}, log)  # the host works again
    (switch / "armed").unlink()
    assert run.wait(180) == 0, log.read_text()
    assert "Does forcing alignment help?" in log.read_text()
    assert_same_table(table(out), table(folder / "undisturbed"))
