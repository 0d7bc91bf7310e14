"""A cluster of several nodes, and a bucket, for the long tests."""

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cluster_of_nodes import node
from tiny_runs import SUPPORT

TOKEN = secrets.token_hex(32)


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Ray cluster on this machine with a head of one CPU; the tests' folder is importable."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join((str(SUPPORT), os.environ.get("PYTHONPATH", "")))
    )
    from raysweep.runners import ray_cluster  # noqa: F401 - sets what Ray reads when it is imported

    # isort: split
    from ray._private.authentication_test_utils import reset_auth_token_state
    from ray.cluster_utils import Cluster

    # A process remembers the token that it had first, in the tests of another file, say.
    reset_auth_token_state()
    found = Cluster(initialize_head=True, head_node_args=node(num_cpus=1))
    yield found
    with contextlib.suppress(Exception):  # it may miss a node that was removed
        found.shutdown()
    reset_auth_token_state()


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
