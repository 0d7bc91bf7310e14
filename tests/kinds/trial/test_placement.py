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
    folder: Path,
    resources: dict[str, Any],
    grid: dict[str, Any] | None = None,
    trials: int = 1,
    company: dict[str, int] | None = None,
) -> list[dict[str, Any]]:
    """When each trial ran, and on which GPUs.

    A trial's span lies within the time for which it had what it asked for: spans that overlap were
    placed beside each other.
    """
    from raysweep.runners import tune

    wanted = study(
        trial="own_trials:placed",
        grid=grid,
        search={"trials": trials, "generation": trials, "seeds": 1},
        confirm={"seeds": 2},
        resources=resources,
    )
    if company is not None:
        (folder / "company.json").write_text(json.dumps(company))
    out = folder / "out"
    sweep = tune.run(wanted, opened(out, wanted))
    assert not sweep.failures, sweep.failures
    seen = [json.loads(p.read_text()) for p in (out / "trials").glob("*/files/seen.json")]
    assert len(seen) == len(table(out))
    return seen


def most_at_a_time(spans: list[dict[str, Any]]) -> int:
    return max(
        sum(other["began"] <= one["began"] < other["ended"] for other in spans) for one in spans
    )


def met(folder: Path) -> dict[str, list[str]]:
    """GPUs of the trials that were there when those that a test asks for all were, by width."""
    found = defaultdict(list)
    for width, gpus in json.loads((folder / "met.json").read_text()):
        found[width].append(gpus)
    return {width: sorted(gpus) for width, gpus in found.items()}


def assert_no_gpu_has_more_than_one(seen: list[dict[str, Any]], shares: dict[Any, float]) -> None:
    for one in seen:
        used: dict[str, float] = defaultdict(float)
        for other in seen:
            if other["began"] <= one["began"] < other["ended"]:
                for gpu in other["gpus"].split(","):
                    used[gpu] += min(1.0, shares[other["cell"].get("width")])
        assert max(used.values()) <= 1.0


@pytest.mark.faults
@pytest.mark.ray
def test_six_halves_of_gpus_run_at_a_time_two_on_each(three_gpus: None, tmp_path: Path) -> None:
    half = {"cpus_per_trial": 0.5, "gpus_per_trial": 0.5}
    seen = ran_on(tmp_path, half, trials=5, company={"": 6})
    assert met(tmp_path) == {"": ["0", "0", "1", "1", "2", "2"]}
    assert_no_gpu_has_more_than_one(seen, {None: 0.5})


@pytest.mark.faults
@pytest.mark.ray
@pytest.mark.parametrize(
    ("wide", "company"), [(2, {"256": 2, "512": 1}), (1, {"256": 2, "512": 2})]
)
def test_halves_of_one_gpu_run_beside_trials_that_have_the_others(
    three_gpus: None, tmp_path: Path, wide: int, company: dict[str, int]
) -> None:
    """Cells of one study that need different things fill three GPUs to the last half."""
    by = {"width": {512: {"gpus_per_trial": wide, "memory": 0.01}}}
    needs = {"cpus_per_trial": 0.5, "gpus_per_trial": 0.5, "by": by}
    seen = ran_on(tmp_path, needs, grid={"width": [256, 512]}, company=company)
    found = met(tmp_path)
    assert len(set(found["256"])) == 1  # the halves share one
    whole = [gpu for gpus in found["512"] for gpu in gpus.split(",")]
    assert sorted([*whole, found["256"][0]]) == ["0", "1", "2"]
    assert all(len(one["gpus"].split(",")) == wide for one in seen if one["cell"]["width"] == 512)
    assert_no_gpu_has_more_than_one(seen, {256: 0.5, 512: float(wide)})


@pytest.mark.faults
@pytest.mark.ray
@pytest.mark.parametrize("bound", ["custom", "memory"])
def test_custom_resources_and_memory_bound_how_many_run(
    three_gpus: None, tmp_path: Path, bound: str
) -> None:
    from raysweep.runners import ray_cluster

    share = 0.4 * ray_cluster.ray.cluster_resources()["memory"] / 1e9
    needs = {"custom": {"custom": {"licence": 1}}, "memory": {"memory": share}}[bound]
    seen = ran_on(tmp_path, {"cpus_per_trial": 0.25, **needs}, trials=5, company={"": 2})
    assert len(met(tmp_path)[""]) == 2
    assert most_at_a_time(seen) <= 2


@pytest.mark.slow
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
