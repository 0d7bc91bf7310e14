"""Trials of one's own on GPUs that are declared and not there: each gets what was asked for."""

import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import opened, table
from trial_runs import study

from raysweep.errors import InputError


@pytest.fixture(scope="module")
def three_gpus() -> Iterator[None]:
    from raysweep.runners import ray_cluster

    ray = ray_cluster.ray
    path = list(sys.path)
    sys.path.insert(0, str(Path(__file__).parents[2]))
    ray.init(
        address="local",
        num_cpus=4,
        num_gpus=3,
        resources={"licence": 2},
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}},
    )
    yield
    ray.shutdown()
    sys.path[:] = path


def ran_on(
    folder: Path, resources: dict[str, Any], seeds: int = 6, grid: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """When each trial ran, and on which GPUs."""
    from raysweep.runners import tune

    wanted = study(
        trial="own_trials:placed",
        grid=grid,
        search={"trials": 2, "generation": 2, "seeds": 1},
        confirm={"seeds": seeds},
        resources=resources,
    )
    sweep = tune.run(wanted, opened(folder, wanted))
    assert not sweep.failures, sweep.failures
    seen = [json.loads(p.read_text()) for p in (folder / "trials").glob("*/files/seen.json")]
    assert len(seen) == len(table(folder))
    return seen


def most_at_a_time(spans: list[dict[str, Any]]) -> int:
    return max(
        sum(other["began"] <= one["began"] < other["ended"] for other in spans) for one in spans
    )


@pytest.mark.faults
@pytest.mark.ray
def test_halves_of_gpus_are_shared_by_two_and_no_more(three_gpus: None, tmp_path: Path) -> None:
    seen = ran_on(tmp_path, {"cpus_per_trial": 0.5, "gpus_per_trial": 0.5})
    by_gpu = defaultdict(list)
    for trial in seen:
        assert trial["gpus"] in ("0", "1", "2")
        by_gpu[trial["gpus"]].append(trial)
    assert len(by_gpu) > 1
    assert all(most_at_a_time(trials) <= 2 for trials in by_gpu.values())


@pytest.mark.faults
@pytest.mark.ray
def test_two_gpus_of_three_are_for_one_trial(three_gpus: None, tmp_path: Path) -> None:
    seen = ran_on(tmp_path, {"gpus_per_trial": 2}, seeds=2)
    assert all(len(set(trial["gpus"].split(","))) == 2 for trial in seen)
    assert most_at_a_time(seen) == 1


@pytest.mark.faults
@pytest.mark.ray
def test_custom_resources_and_memory_bound_how_many_run(three_gpus: None, tmp_path: Path) -> None:
    needs = {"cpus_per_trial": 0.25, "custom": {"licence": 1}, "memory": 0.01}
    assert most_at_a_time(ran_on(tmp_path, needs)) <= 2


@pytest.mark.faults
@pytest.mark.ray
def test_cells_of_one_study_get_what_each_needs(three_gpus: None, tmp_path: Path) -> None:
    """Two GPUs for wide ones, of three: beside them there is room for the halves alone."""
    by = {
        "width": {512: {"gpus_per_trial": 2, "memory": 0.01}, "1e3": {"gpus_per_trial": 1}},
        "genre": {"war": {"custom": {"licence": 1}}},
    }
    seen = ran_on(
        tmp_path,
        {"cpus_per_trial": 0.5, "gpus_per_trial": 0.5, "by": by},
        seeds=3,
        grid={"width": [256, 512, 1000], "genre": ["war", "horror"]},
    )
    shares = {256: 0.5, 512: 2.0, 1000: 1.0}
    for one in seen:
        assert len(one["gpus"].split(",")) == max(1, shares[one["cell"]["width"]])
        beside = [other for other in seen if other["began"] <= one["began"] < other["ended"]]
        used: dict[str, float] = defaultdict(float)
        for other in beside:
            for gpu in other["gpus"].split(","):
                used[gpu] += min(1.0, shares[other["cell"]["width"]])
        assert max(used.values()) <= 1.0
        assert sum(other["cell"]["genre"] == "war" for other in beside) <= 2


@pytest.mark.ray
@pytest.mark.parametrize(
    ("needs", "message"),
    [
        ({"gpus_per_trial": 4}, r"needs 1 CPU and 4 GPU, and no node has that.*gpus_per_trial"),
        ({"custom": {"licence": 3}}, r"1 CPU, 0 GPU and 3 licence.*resources\.custom"),
        ({"memory": 1e6}, r"1 CPU, 0 GPU and 1e\+06 GB.*resources\.memory"),
        (
            {"by": {"width": {"512": {"gpus_per_trial": 4}}}},
            r"needs 1 CPU and 4 GPU, and no node has that.*gpus_per_trial",
        ),
    ],
)
def test_what_no_node_has_is_told_before_anything_runs(
    three_gpus: None, tmp_path: Path, needs: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        ran_on(tmp_path, needs, grid={"width": [256, 512]})
