"""Trials of one's own whose node or worker is lost in mid trial: they go on from their save."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_of_nodes import node, take_away
from tiny_runs import assert_same_table, kill, raysweep, started, table
from trial_runs import document, ran, study
from waiting import alive, wait_until

GONE: dict[str, Any] = {
    "trial": "own_stepwise:stepwise",
    "grid": None,
    "search": {"trials": 1, "generation": 1, "seeds": 1, "sampler": "grid"},
    "confirm": {"seeds": 2},
}


def trained(*logs: Path) -> dict[str, dict[int, list[int]]]:
    """Trial -> process -> the epochs that it trained."""
    found: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for log in logs:
        for line in log.read_text().splitlines():
            point = json.loads(line)
            found[point["trial"]][point["process"]].append(point["epoch"])
    return found


def assert_one_went_on(found: dict[str, dict[int, list[int]]]) -> None:
    """One trial was cut after its sixth epoch, which was saved; all others ran in one go."""
    assert len(found) == 8
    cut = [list(of.values()) for of in found.values() if len(of) > 1]
    assert cut == [[list(range(1, 7)), list(range(7, 13))]]
    whole = [list(of.values()) for of in found.values() if len(of) == 1]
    assert all(epochs == [list(range(1, 13))] for epochs in whole)


@pytest.mark.parametrize("how", ["removed", "spot"])
def test_a_trial_goes_on_from_its_save_where_its_node_is_gone(
    nodes: Any, tmp_path: Path, how: str
) -> None:
    # The head has none of it: trials run where a node of the test's has been added.
    changes = {**GONE, "resources": {"custom": {"rented": 1}}}
    wanted = study(**changes)
    assert not ran(wanted, tmp_path / "undisturbed").failures
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(document(**changes)))
    (tmp_path / "hold").touch()
    rented = node(num_cpus=1, resources={"rented": 1})
    first = nodes.add_node(**rented)
    out = tmp_path / "out"

    def logs() -> list[Path]:
        return sorted((out / "trials").glob("*/files/epochs.jsonl"))

    arguments = ("run", "mine.yaml", "--out", out, "--address", nodes.address, "--no-mlflow")
    run = started(tmp_path, *arguments)
    try:
        wait_until(lambda: any((out / "trials").glob("*/files/saved")), run, 300)
        if how == "spot":
            take_away(first, nodes)
        else:
            nodes.remove_node(first, allow_graceful=False)
        # A node that is truly lost takes its processes with it; here they end by themselves.
        [held] = {process for of in trained(*logs()).values() for process in list(of)[-1:]}
        wait_until(lambda: not alive(held), run, 60)
        (tmp_path / "hold").unlink()
        nodes.add_node(**rented)
        assert run.wait(300) == 0, (tmp_path / "log").read_text()
    finally:
        kill(run)
    assert_same_table(table(out), table(tmp_path / "undisturbed"))
    assert_one_went_on(trained(*logs()))


def test_a_trial_goes_on_from_its_save_in_a_bucket(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's own folder is gone with it: what was saved is in the store."""
    assert not ran(study(**GONE), tmp_path / "undisturbed").failures
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(document(**GONE)))
    switch = tmp_path / "switch"
    switch.mkdir()
    (switch / "die").touch()
    monkeypatch.setenv("OWN_TRIALS_SWITCH", str(switch))
    out = bucket.format("gone")
    arguments = ("mine.yaml", "--out", out, "--workers", "1", "--no-mlflow")
    done = raysweep(tmp_path, "run", *arguments)
    assert done.returncode == 0, done.stderr
    assert not (switch / "die").exists()
    assert_same_table(table(out), table(tmp_path / "undisturbed"))
    assert_one_went_on(trained(switch / "epochs.jsonl"))
