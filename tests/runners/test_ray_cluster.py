"""How many packs fit a node, and what a pack is trained on."""

import logging

import pytest
import ray
import torch
from drawn_runs import study

from raysweep.errors import InputError
from raysweep.runners import attempt, ray_cluster
from raysweep.runners.placement import _fitting


@pytest.mark.parametrize(
    ("node", "bundle", "count"),
    [
        ({"CPU": 4.0, "GPU": 2.0}, {"CPU": 1.0, "GPU": 0.4}, 4),  # 0.4 + 0.4 on each, no fifth
        ({"CPU": 4.0, "GPU": 2.0}, {"CPU": 1.0, "GPU": 0.5}, 4),
        ({"CPU": 3.0, "GPU": 2.0}, {"CPU": 1.0, "GPU": 0.5}, 3),
        ({"CPU": 64.0, "GPU": 4.0}, {"CPU": 1.0, "GPU": 0.1}, 40),
        ({"CPU": 64.0, "GPU": 4.0}, {"CPU": 1.0, "GPU": 0.6}, 4),
        ({"CPU": 64.0, "GPU": 5.0}, {"CPU": 1.0, "GPU": 2.0}, 2),
        ({"CPU": 64.0}, {"CPU": 1.0, "GPU": 0.1}, 0),
        ({"CPU": 2.0}, {"CPU": 0.4}, 5),  # a share of a CPU is not bound to one
    ],
)
def test_as_many_packs_as_ray_can_place(
    node: dict[str, float], bundle: dict[str, float], count: int
) -> None:
    assert _fitting(node, bundle) == count


def test_a_gpu_that_torch_does_not_find_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    attempt._warn_of_missing_gpu.cache_clear()
    wanting = study(resources={"gpus_per_pack": 0.5})
    with caplog.at_level(logging.WARNING):
        assert attempt.device_for(study()) == "cpu"
        assert not caplog.records
        assert [attempt.device_for(wanting) for _ in range(3)] == ["cpu"] * 3
    assert len(caplog.records) == 1
    assert "asks for a GPU, but torch" in caplog.text
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert attempt.device_for(wanting) == "cuda"
    assert attempt.device_for(study()) == "cpu"


def test_a_ray_that_takes_too_long_to_start_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Ray waits for its raylet for a fixed time, which no setting shortens.
    def late(**_: object) -> None:
        raise Exception("The current node timed out during startup. This could happen ...\nmore")

    monkeypatch.setattr(ray, "init", late)
    with pytest.raises(InputError, match=r"Ray did not start here \(The current .*--runner local"):
        ray_cluster.connect("local")
    assert not ray.is_initialized()
