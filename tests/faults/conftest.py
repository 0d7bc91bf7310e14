"""A cluster of several nodes for the long tests."""

import contextlib
import os
import secrets
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
