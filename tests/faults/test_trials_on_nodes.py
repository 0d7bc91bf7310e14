"""Trials of one's own on several nodes: one is killed in mid trial; it goes on from its save."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_of_nodes import node, take_away
from tiny_runs import assert_same_table, kill, started, table
from trial_runs import document, ran, study
from waiting import wait_until

GONE: dict[str, Any] = {
    "trial": "own_trials:stepwise",
    "grid": None,
    "search": {"trials": 1, "generation": 1, "seeds": 1, "sampler": "grid"},
    "confirm": {"seeds": 2},
    # The head has none: trials run where a node of the test's has been added.
    "resources": {"custom": {"rented": 1}},
}


def epochs_of(out: Path) -> dict[str, list[dict[str, Any]]]:
    """Of each trial, the epochs that were trained, with who trained them."""
    logs = (out / "trials").glob("*/files/epochs.jsonl")
    return {
        log.parts[-3]: [json.loads(line) for line in log.read_text().splitlines()] for log in logs
    }


@pytest.mark.parametrize("how", ["removed", "spot"])
def test_a_trial_goes_on_from_its_save_where_its_node_is_gone(
    nodes: Any, tmp_path: Path, how: str
) -> None:
    wanted = study(**GONE)
    assert not ran(wanted, tmp_path / "undisturbed").failures
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(document(**GONE)))
    (tmp_path / "slow").touch()
    rented = node(num_cpus=1, resources={"rented": 1})
    first = nodes.add_node(**rented)
    out = tmp_path / "out"
    arguments = ("run", "mine.yaml", "--out", out, "--address", nodes.address, "--no-mlflow")
    run = started(tmp_path, *arguments)
    try:
        wait_until(lambda: any(len(e) >= 4 for e in epochs_of(out).values()), run, 300)
        if how == "spot":
            take_away(first, nodes)
        else:
            nodes.remove_node(first, allow_graceful=False)
        time.sleep(0.5)
        before = epochs_of(out)
        nodes.add_node(**rented)
        assert run.wait(300) == 0, (tmp_path / "log").read_text()
    finally:
        kill(run)
    assert_same_table(table(out), table(tmp_path / "undisturbed"))
    [cut] = [key for key, epochs in before.items() if len(epochs) < 12]
    trained = epochs_of(out)[cut]
    one, other = (
        [e["epoch"] for e in trained if e["process"] == process]
        for process in dict.fromkeys(e["process"] for e in trained)
    )
    assert one == list(range(1, len(one) + 1))  # until the node was killed
    assert 4 <= len(one) < 12
    # What was saved is not trained again; an epoch whose save was cut is.
    assert other in (list(range(len(one) + 1, 13)), list(range(len(one), 13)))
