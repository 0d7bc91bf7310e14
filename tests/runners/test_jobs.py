"""Studies as jobs of a real Ray with its job server and tokens: send, listen, list, stop."""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from another_wheel import ANOTHER, wheel_of_another_version
from tiny_runs import (
    SUPPORT,
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

from raysweep.errors import InputError
from raysweep.runners import jobs, local

pytestmark = pytest.mark.ray
JOB = re.compile(r"job (raysweep-tiny-\w+) at http")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


HEAD = "HEAD_OF_THE_TESTS"
"""The variable with the head's own address, for drivers."""


def listens(port: int) -> bool:
    """Whether something takes connections there."""
    with socket.socket() as knocking:
        return knocking.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a job server that asks for a token, which the environment then has."""
    folder = Path(tempfile.mkdtemp(prefix="rs-"))
    port, head_port = free_port(), free_port()
    given = {
        # Of all the machine's Pythons a job takes the first.
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{port}",
        "RAY_USAGE_STATS_ENABLED": "0",
        HEAD: f"127.0.0.1:{head_port}",
    }
    before = dict(os.environ)
    os.environ.update(given)
    command = [Path(sys.executable).with_name("ray"), "start", "--head", "--block"]
    command += ["--node-ip-address=127.0.0.1", f"--port={head_port}", "--num-cpus=2"]
    command += [f"--dashboard-port={port}", f"--temp-dir={folder}"]
    # By default a fixed one, which the Ray of another test may have.
    command += [f"--dashboard-agent-listen-port={free_port()}"]
    with open(folder / "log", "wb") as log:
        head = subprocess.Popen(
            [str(word) for word in command], stdout=log, stderr=log, start_new_session=True
        )
    try:
        end = time.monotonic() + 240
        # The job server may answer before the cluster does.
        while raysweep(folder, "jobs").returncode != 0 or not listens(head_port):
            assert head.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, (folder / "log").read_text()
        yield given["RAY_API_SERVER_ADDRESS"]
        assert head.poll() is None, (folder / "log").read_text()
    finally:
        head.terminate()
        head.wait(60)
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)


def while_listening(
    listener: subprocess.Popen[bytes], log: Path, true: Callable[[], object]
) -> None:
    """Wait until something is true, for as long as someone listens to the job."""
    end = time.monotonic() + 240
    while not true():
        assert listener.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)


def name_of(log: Path) -> str:
    found = JOB.search(log.read_text())
    return found.group(1) if found else ""


@pytest.mark.faults
def test_a_study_outlives_the_terminal_it_was_sent_from(cluster: str, tmp_path: Path) -> None:
    changes = misbehaving(tmp_path / "switch", "slow", 0.02, data__U=[0, 8])
    own = SUPPORT / "misbehaving.py"
    (tmp_path / "switch" / "armed").touch()
    write_study(tmp_path / "tiny.yaml", **changes)
    out, log = tmp_path / "out", tmp_path / "log"
    listener = started(tmp_path, "submit", "tiny.yaml", "--out", out, "--module", own)
    try:
        while_listening(listener, log, lambda: len(parts(out)) >= 2 and "cells" in log.read_text())
        listener.send_signal(signal.SIGINT)
        assert listener.wait(30) == 130
    finally:
        kill(listener)
    job = name_of(log)
    assert f"raysweep logs {job} --follow --address {cluster}" in words(log.read_text())
    assert "Traceback" not in log.read_text()

    listed = raysweep(tmp_path, "jobs")
    assert listed.returncode == 0, listed.stderr
    assert job in listed.stdout
    assert "running" in listed.stdout
    (tmp_path / "switch" / "armed").unlink()
    heard = raysweep(tmp_path, "logs", job, "--follow")
    assert heard.returncode == 0, heard.stderr
    assert "Does forcing alignment help?" in heard.stdout
    assert heard.stdout.rstrip().splitlines()[-1].startswith("Report: ")
    assert raysweep(tmp_path, "logs", job).stdout == heard.stdout
    wanted = study(**changes)
    local.run(wanted, opened(tmp_path / "here", wanted))
    assert_same_table(table(out), table(tmp_path / "here"))


@pytest.mark.faults
def test_a_job_is_stopped_and_ends_who_listens(cluster: str, tmp_path: Path) -> None:
    write_study(tmp_path / "tiny.yaml", confirm__seeds=2000)
    out, log = tmp_path / "out", tmp_path / "log"
    listener = started(tmp_path, "submit", "tiny.yaml", "--out", out)
    try:
        while_listening(listener, log, lambda: len(parts(out)) >= 3)
        job = name_of(log)
        stopped = raysweep(tmp_path, "stop", job)
        assert stopped.returncode == 0, stopped.stderr
        assert str(out) in stopped.stdout
        assert listener.wait(90) != 0
    finally:
        kill(listener)
    assert "everything finished is kept" in words(log.read_text())
    assert f"{job}: stopped" in words(log.read_text())
    assert len(table(out)) >= 6


OWN_LOSS = """
import os
import traceback
from pathlib import Path
import raysweep

def loss(h1, h2, folder):
    # Where the study is sent from it is tried, too, by the version there.
    if not any(frame.name == "check_usable" for frame in traceback.extract_stack()):
        with open(Path(folder) / "versions", "a") as versions:
            versions.write(f"{os.getpid()} {raysweep.__version__} {raysweep.__file__}\\n")
    return ((h1 @ h1.mT - h2 @ h2.mT) ** 2).mean(dim=(1, 2))
"""


@pytest.mark.faults
def test_a_job_runs_the_wheel_that_it_is_given(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "own_loss.py").write_text(OWN_LOSS)
    monkeypatch.syspath_prepend(own)
    options = {"folder": str(tmp_path), "packed": True}
    changes = {"alignment": {"loss": "own_loss:loss", "options": options}}
    write_study(tmp_path / "tiny.yaml", **changes)
    wheel = wheel_of_another_version(tmp_path)
    out = tmp_path / "out"
    sent = ("submit", "tiny.yaml", "--out", out, "--wheel", wheel)
    # A file of the working folder that the study does not name stays there.
    (tmp_path / "random.py").write_text("raise SystemExit('not the study')")
    done = raysweep(tmp_path, *sent, "--module", own / "own_loss.py", timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    ran = [line.split() for line in (tmp_path / "versions").read_text().splitlines()]
    assert {version for _, version, _ in ran} == {ANOTHER}
    assert not any(Path(file).is_relative_to(Path(__file__).parents[2]) for _, _, file in ran)
    wanted = study(**changes)
    local.run(wanted, opened(tmp_path / "here", wanted))
    assert_same_table(table(out), table(tmp_path / "here"))


@pytest.mark.slow
def test_a_study_is_checked_with_the_module_that_is_sent(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "own_loss.py").write_text(OWN_LOSS)
    options = {"folder": str(tmp_path), "packed": True}
    write_study(tmp_path / "tiny.yaml", alignment={"loss": "own_loss:loss", "options": options})
    sent = ("submit", "tiny.yaml", "--out", tmp_path / "out", "--address", "http://127.0.0.1:9")
    for module, expected in (
        ((), "cannot import own_loss"),
        (("--module", own / "own_loss.py"), "no Ray job server answers"),
        (("--module", own / "none.py"), "does not exist"),
    ):
        done = raysweep(tmp_path, *sent, *module)
        assert done.returncode == 2
        assert expected in words(done.stderr)
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"location": "out"}, "give the absolute path of a folder"),
        ({"wheel": Path("no.whl")}, r"no\.whl: no such file"),
        ({"wheel": Path(__file__)}, r"test_jobs\.py: not a wheel .*pip wheel --no-deps"),
        ({"tracking_uri": "sqlite:///m.db"}, "give an MLflow server"),
        ({"address": "127.0.0.1:8265"}, "expected http://HEAD:8265"),
    ],
)
def test_what_no_cluster_could_run_is_refused_here(options: dict[str, Any], expected: str) -> None:
    given = {"location": "/out", "address": "http://127.0.0.1:9", **options}
    with pytest.raises(InputError, match=expected):
        jobs.submit(study(), **given)


ASK = """
import sys
from raysweep.runners import jobs
from raysweep.errors import InputError
here, nowhere = sys.argv[1:]
for ask in (
    lambda: jobs.logs(here, "nosuchjob"),
    lambda: jobs.stop(here, "nosuchjob"),
    lambda: list(jobs.follow(here, "nosuchjob")),
    lambda: jobs.jobs(nowhere),
):
    try:
        print("no fault", ask())
    except InputError as error:
        print(error)
"""


@pytest.mark.faults
def test_a_job_or_a_server_that_is_not_there_is_told(cluster: str) -> None:
    # In a process of its own: Ray remembers which token it had first.
    done = subprocess.run(
        [sys.executable, "-c", ASK, cluster, "http://127.0.0.1:9"], capture_output=True, text=True
    )
    told = done.stdout.splitlines()
    none = f"nosuchjob: no such job at {cluster}; `raysweep jobs --address {cluster}` lists them"
    assert told[:3] == [none] * 3
    assert "--address http://127.0.0.1:9: no Ray job server answers there" in told[3]
    assert len(told) == 4


@pytest.mark.slow
def test_a_wrong_token_is_told(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "f" * 64)
    done = raysweep(tmp_path, "jobs")
    assert done.returncode == 2
    assert "does not take this token" in words(done.stderr)
    assert "RAY_AUTH_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr
    done = raysweep(tmp_path, "logs", "some-job", "--follow", timeout=60)
    assert done.returncode == 2
    assert "does not take this token" in words(done.stderr)


KNOCK = """
import os, sys, time
from raysweep.runners import ray_cluster
from raysweep.errors import InputError

began = time.monotonic()
try:
    ray_cluster.check_address(sys.argv[1])
    print("taken")
except InputError as error:
    print(error)
print(time.monotonic() - began)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("address", "changes", "told"),
    [
        ("HOST:PORT", {}, "taken"),
        ("HOST:PORT", {"RAY_AUTH_TOKEN": None}, "this token (none is set here); if it asks"),
        ("auto", {"RAY_AUTH_TOKEN": "f" * 64}, "does not take this token (InvalidAuthToken: "),
        *(
            pytest.param("HOST:PORT", changes, told, marks=pytest.mark.faults)
            for changes, told in (
                ({"RAY_AUTH_MODE": None}, "taken"),
                ({"RAY_AUTH_TOKEN": "f" * 64, "RAY_AUTH_MODE": None}, "this token (InvalidAuth"),
                ({"RAY_AUTH_MODE": "disabled"}, "this token (none is set here); if it asks"),
                (
                    {"RAY_AUTH_TOKEN": None, "RAY_AUTH_TOKEN_PATH": "/no/such"},
                    "RAY_AUTH_TOKEN_PATH is set but file cannot be opened or is empty: /no/such); ",
                ),
            )
        ),
    ],
)
def test_a_driver_is_told_of_its_token_at_once(
    cluster: str, tmp_path: Path, address: str, changes: dict[str, str | None], told: str
) -> None:
    # In a process of its own: Ray remembers which token it had first.
    given = {**os.environ, "HOME": str(tmp_path), "RAY_ADDRESS": os.environ[HEAD], **changes}
    environment = {name: value for name, value in given.items() if value is not None}
    place = os.environ[HEAD] if address == "HOST:PORT" else address
    command = [sys.executable, "-c", KNOCK, place]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    message, elapsed = done.stdout.splitlines()
    assert told in message
    assert float(elapsed) < 5


@pytest.mark.slow
def test_a_run_with_a_wrong_token_ends_before_anything_is_written(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "f" * 64)
    write_study(tmp_path / "tiny.yaml")
    place = os.environ[HEAD]
    done = raysweep(tmp_path, "run", "tiny.yaml", "--out", "out", "--address", place)
    assert done.returncode == 2
    assert f"--address {place}: the cluster does not take this token" in words(done.stderr)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("place", [HEAD, pytest.param("local", marks=pytest.mark.faults)])
def test_a_driver_brings_the_modules_that_a_study_needs(
    cluster: str, tmp_path: Path, place: str
) -> None:
    own = tmp_path / "own"
    (own / "pulling").mkdir(parents=True)
    (own / "pulling" / "__init__.py").write_text("from .inner import pull\n")
    (own / "pulling" / "inner.py").write_text(
        "def pull(h1, h2):\n    return (h1 - h2).square().mean()\n"
    )
    (own / "reading.py").write_text(
        "from torch import nn\n\n\ndef encoder(inputs, depth, width):\n"
        "    return nn.Sequential(nn.Linear(inputs, width), nn.Tanh())\n"
    )
    changes = {"alignment__loss": "pulling:pull", "model__encoder": "reading:encoder"}
    write_study(tmp_path / "tiny.yaml", **changes, confirm__seeds=2)
    address = os.environ.get(place, place)
    out = ("run", "tiny.yaml", "--out", "out", "--address", address, "--no-mlflow")
    missing = raysweep(tmp_path, *out)
    assert missing.returncode == 2
    assert "cannot import pulling" in words(missing.stderr)
    modules = ("--module", own / "pulling", "--module", own / "reading.py")
    done = raysweep(tmp_path, *out, *modules)
    assert done.returncode == 0, done.stderr
    rows = table(tmp_path / "out")
    assert set(rows["loss"]) == {"pulling:pull"}
    part = tmp_path / "out" / parts(tmp_path / "out")[0]
    (tmp_path / "out" / "parts" / part.name).unlink()
    again = ("resume", "out", "--address", address, "--no-mlflow")
    assert raysweep(tmp_path, *again, *modules).returncode == 0
    assert_same_table(table(tmp_path / "out"), rows)
