"""A Ray cluster of several nodes on this machine, to which nodes come and from which they go."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def node(**resources: Any) -> dict[str, Any]:
    """What a node is started with."""
    return {**resources, "include_dashboard": False, "object_store_memory": 80 * 2**20}


def take_away(spot: Any, nodes: Any) -> None:
    """Announce that a spot machine will be taken away, as an autoscaler does, and take it."""
    notice_s = 1
    command = ["ray", "drain-node", "--address", nodes.address, "--node-id", spot.node_id]
    command += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot"]
    command += ["--deadline-remaining-seconds", str(notice_s)]
    ray = Path(sys.executable).parent / command[0]
    subprocess.run([ray, *command[1:]], check=True, capture_output=True)
    time.sleep(notice_s)
    nodes.remove_node(spot, allow_graceful=False)
