"""Where packs find room: what each needs, and how many fit the nodes of a cluster."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from raysweep.errors import InputError
from raysweep.runners import ray_cluster
from raysweep.study.spec import Resources, StudyBase


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


def bundle(resources: Resources) -> dict[str, float]:
    """What a pack needs, as Ray takes it."""
    return {name: amount for name, amount in resources.needs().items() if amount > 0}


def slots(
    study: StudyBase, wait_s: float = 0.0, waiting: Callable[[str], None] | None = None
) -> int:
    """How many packs fit the cluster's nodes at a time, busy or not.

    Args:
        study: its ``resources`` say what a pack needs; where packs differ, those count that need
            least, and each must fit some node.
        wait_s: wait so long for nodes that can hold the packs, and ask an autoscaler for them.
        waiting: called once, with what is waited for.

    Raises:
        InputError: no node can hold a pack.
    """
    every = study.every_resources()
    end = time.monotonic() + wait_s
    asked = False
    while True:
        nodes = [node["Resources"] for node in ray_cluster.ray.nodes() if node["Alive"]]
        counts = [sum(_fitting(node, bundle(of)) for node in nodes) for of in every]
        if all(counts):
            return max(counts)
        lacking = every[counts.index(0)]
        wanted, has = _lacking(lacking, nodes)
        if time.monotonic() >= end:
            raise InputError(
                f"resources: a pack needs {wanted}, and no node has that (nodes: {has}); lower "
                + " or ".join(f"resources.{name}" for name in lacking.placed_by)
            )
        if not asked:
            asked = True
            from ray.autoscaler.sdk import request_resources

            with contextlib.suppress(Exception):  # without an autoscaler someone may add a node
                request_resources(bundles=[bundle(of) for of in every])
            if waiting is not None:
                waiting(f"waiting up to {wait_s:g} s for a node with {wanted}")
        time.sleep(1.0)


def _lacking(resources: Resources, nodes: Sequence[Mapping[str, float]]) -> tuple[str, str]:
    """What a pack needs and what nodes have, in words."""
    needed = bundle(resources)
    names = list(dict.fromkeys(["CPU", "GPU", *needed]))
    has = "; ".join(", ".join(_amount(n.get(name, 0), name) for name in names) for n in nodes)
    *first, last = (_amount(needed.get(name, 0), name) for name in names)
    return f"{', '.join(first)} and {last}", has


def _amount(amount: float, name: str) -> str:
    return f"{amount / 1e9:g} GB" if name == "memory" else f"{amount:g} {name}"


def _fitting(node: Mapping[str, float], needed: Mapping[str, float]) -> int:
    """How many packs fit a node; each share of a GPU lies on one GPU, as Ray places it."""

    def fitting(has: float, amount: float) -> int:
        if amount < 1:
            return int(1 / amount + 1e-9) * int(has + 1e-9)
        return int(has / amount + 1e-9)

    return min(
        fitting(node.get(name, 0.0), amount)
        if name == "GPU"
        else int(node.get(name, 0.0) / amount + 1e-9)
        for name, amount in needed.items()
    )
