"""Outputs that are far away, full, or not shared."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_runs import assert_same_table, opened, raysweep, study, table, write_study

from raysweep import local_runner


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A bucket of a real S3-compatible server (moto's) on this machine, as a URI."""
    pytest.importorskip("moto.server")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    keys = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    os.environ.update(keys)
    from pyarrow import fs

    server = fs.S3FileSystem(
        endpoint_override=f"127.0.0.1:{port}", scheme="http", allow_bucket_creation=True
    )
    end = time.monotonic() + 60
    while True:
        try:
            server.create_dir("sweeps")
            break
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.5)
    yield f"s3://sweeps/{{}}?endpoint_override=127.0.0.1:{port}&scheme=http"
    process.kill()
    process.wait(30)
    for name in keys:
        os.environ.pop(name)


def test_a_study_in_a_bucket(bucket: str, tmp_path: Path) -> None:
    local_runner.run(study(), opened(tmp_path / "folder", study()))
    local_runner.run(study(), opened(bucket.format("local"), study()))
    assert_same_table(table(bucket.format("local")), table(tmp_path / "folder"))
    write_study(tmp_path / "tiny.yaml")
    out = bucket.format("ray")
    done = raysweep(tmp_path, "run", "tiny.yaml", "--out", out, "--no-mlflow")
    assert done.returncode == 0, done.stderr
    assert_same_table(table(out), table(tmp_path / "folder"))
    again = raysweep(tmp_path, "resume", out, "--no-mlflow")
    assert again.returncode == 0, again.stderr
    assert "nothing is missing" in again.stderr


@pytest.mark.parametrize("runner", ["local", "ray"])
def test_a_disk_that_is_full(tmp_path: Path, runner: str) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a small disk")
    try:
        write_study(tmp_path / "tiny.yaml")
        done = raysweep(
            tmp_path, "run", "tiny.yaml", "--out", small / "out", "--runner", runner, "--no-mlflow"
        )
        assert done.returncode == 2, done.stderr
        assert "No space left on device" in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr
        grown = ["mount", "-o", "remount,size=8m", str(small)]
        assert subprocess.run(grown, capture_output=True).returncode == 0
        done = raysweep(tmp_path, "resume", small / "out", "--runner", "local", "--no-mlflow")
        assert done.returncode == 0, done.stderr
        local_runner.run(study(), opened(tmp_path / "undisturbed", study()))
        assert_same_table(table(small / "out"), table(tmp_path / "undisturbed"))
    finally:
        subprocess.run(["umount", str(small)], capture_output=True, check=False)
