"""Where packs find room: what each needs, and how many fit the nodes of a cluster."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from raysweep.errors import InputError
from raysweep.runners import ray_cluster
from raysweep.study.spec import StudyBase


@contextlib.contextmanager
def room(
    study: StudyBase, address: str, workers: int | None = None, modules: Sequence[Path] = ()
) -> Iterator[None]:
    """A Ray in which a pack of the study finds room; seen before anything is written.

    Args:
        study: its ``resources`` say what a pack needs.
        address: as `ray_cluster.connect`; a Ray that is started here is ended with the block.
        workers: likewise.
        modules: likewise.

    Raises:
        InputError: no cluster answers, or no node of it can hold a pack.
    """
    started_here = ray_cluster.connect(address, workers, modules)
    try:
        slots(study)
        yield
    finally:
        if started_here:
            ray_cluster.stop()


def needs(study: StudyBase) -> dict[str, float]:
    """What a pack needs, as Tune takes it."""
    tunes = {"CPU": "cpu", "GPU": "gpu"}
    return {tunes.get(name, name): amount for name, amount in study.resources.needs().items()}


def slots(
    study: StudyBase, wait_s: float = 0.0, waiting: Callable[[str], None] | None = None
) -> int:
    """How many packs fit the cluster's nodes at a time, busy or not.

    Args:
        study: its ``resources`` say what a pack needs.
        wait_s: wait so long for a node that can hold a pack, and ask an autoscaler for one.
        waiting: called once, with what is waited for.

    Raises:
        InputError: no node can hold a pack.
    """
    bundle = {name: amount for name, amount in study.resources.needs().items() if amount > 0}
    end = time.monotonic() + wait_s
    asked = False
    while True:
        nodes = [node["Resources"] for node in ray_cluster.ray.nodes() if node["Alive"]]
        count = sum(_fitting(node, bundle) for node in nodes)
        if count:
            return count
        names = list(dict.fromkeys(["CPU", "GPU", *bundle]))
        has = "; ".join(", ".join(_amount(n.get(name, 0), name) for name in names) for n in nodes)
        *first, last = (_amount(bundle.get(name, 0), name) for name in names)
        wanted = f"{', '.join(first)} and {last}"
        if time.monotonic() >= end:
            raise InputError(
                f"resources: a pack needs {wanted}, and no node has that (nodes: {has}); lower "
                + " or ".join(f"resources.{name}" for name in study.resources.placed_by)
            )
        if not asked:
            asked = True
            from ray.autoscaler.sdk import request_resources

            with contextlib.suppress(Exception):  # without an autoscaler someone may add a node
                request_resources(bundles=[bundle])
            if waiting is not None:
                waiting(f"waiting up to {wait_s:g} s for a node with {wanted}")
        time.sleep(1.0)


def _amount(amount: float, name: str) -> str:
    return f"{amount / 1e9:g} GB" if name == "memory" else f"{amount:g} {name}"


def _fitting(node: Mapping[str, float], bundle: Mapping[str, float]) -> int:
    """How many bundles fit a node; each share of a GPU lies on one GPU, as Ray places it."""

    def fitting(has: float, amount: float) -> int:
        if amount < 1:
            return int(1 / amount + 1e-9) * int(has + 1e-9)
        return int(has / amount + 1e-9)

    return min(
        fitting(node.get(name, 0.0), amount)
        if name == "GPU"
        else int(node.get(name, 0.0) / amount + 1e-9)
        for name, amount in bundle.items()
    )
