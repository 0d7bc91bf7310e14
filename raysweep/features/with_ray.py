"""Models side by side: one Ray task each, with its share of a GPU."""

from collections.abc import Callable, Mapping
from typing import Any

from raysweep.errors import InputError
from raysweep.features.encoder import Manner
from raysweep.features.work import Job, attempt
from raysweep.runners import ray_cluster
from raysweep.text import raised


def make_all(
    todo: Mapping[str, list[Job]],
    manner: Manner,
    gpus_per_model: float,
    address: str,
    workers: int | None,
    tell: Callable[[str], None],
) -> dict[str, str]:
    """The files of all models; why some failed.

    Args:
        todo: the model as it was given -> the files that are missing.
        manner: how.
        gpus_per_model: a model's share of a GPU, or how many.
        address: as `ray_cluster.connect`.
        workers: likewise.
        tell: given a line when a model is done.

    Raises:
        InputError: no cluster answers, or no node has such a share of GPUs.
    """
    ray = ray_cluster.ray
    started_here = ray_cluster.connect(address, workers)
    try:
        most = max((node["Resources"].get("GPU", 0.0) for node in ray.nodes()), default=0.0)
        if gpus_per_model > most:
            raise InputError(
                f"--gpus-per-model {gpus_per_model:g}: no node has so many (the most is {most:g})"
            )
        task: Any = ray.remote(num_cpus=1, num_gpus=gpus_per_model, max_retries=0)(_attempt)
        pending = {task.remote(jobs, manner): model for model, jobs in todo.items()}
        failures: dict[str, str] = {}
        done = 0
        while pending:
            (ready,), _ = ray.wait(list(pending), num_returns=1)
            model = pending.pop(ready)
            try:
                failure = ray.get(ready)
            except ray.exceptions.RayError as error:
                failure = f"{model}: {raised(str(error))}"
            if failure:
                failures[model] = failure
            done += 1
            word = "failed" if failure else "done"
            tell(f"{model}: {word} ({done} of {len(todo)} models)")
        return failures
    finally:
        if started_here:
            ray_cluster.stop()


def _attempt(jobs: list[Job], manner: Manner) -> str:
    return attempt(jobs, manner, lambda line: None)
