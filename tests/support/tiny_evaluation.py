"""Views, packs and their exact answers, to evaluate."""

import dataclasses

import numpy as np
import torch

from raysweep.data.views import Population, Splits, Views
from raysweep.models.shape import MultimodalShape
from raysweep.models.trained import History, TrainedPack

SHAPE = MultimodalShape((3, 4), 3, depths=(2, 3), widths=(5, 6))
MEMBERS, ROWS = 7, 60
# Three datasets, neither in order nor equally often.
DATASET = np.array([2, 0, 1, 1, 0, 2, 1])


def pack_of(
    dtype: str = "float64",
    diverged: int | None = None,
    shape: MultimodalShape = SHAPE,
    scale: float = 1.0,
) -> TrainedPack:
    """Members with random weights."""
    rng = np.random.default_rng(3)
    parameters = rng.normal(size=(MEMBERS, shape.parameter_count)) * scale
    status = np.full(MEMBERS, "ok", dtype=object)
    if diverged is not None:
        parameters[diverged] = np.nan
        status[diverged] = "diverged"
    checkpoint = torch.from_numpy(parameters).to(getattr(torch, dtype))
    return TrainedPack(
        shape=shape,
        dataset=DATASET,
        parameters=checkpoint,
        own_parameters=checkpoint,
        status=status,
        diverged_step=np.full(MEMBERS, -1),
        unforced_steps=np.zeros(MEMBERS, dtype=np.int64),
        best_epoch=np.zeros(MEMBERS, dtype=int),
        own_best_epoch=np.zeros((len(shape.heads) - 1, MEMBERS), dtype=int),
        steps=np.ones(MEMBERS, dtype=int),
        history=History(*np.zeros((3, MEMBERS, 1)), {}),
        train_seconds=0.0,
        gradient_ratio=np.zeros(MEMBERS),
    )


def views_of(draw: int, population: Population | None = None, rows: int = ROWS) -> Views:
    rng = np.random.default_rng(draw)
    order = rng.permutation(rows)
    return Views(
        inputs=tuple(rng.normal(size=(rows, d)) for d in SHAPE.inputs),
        y=rng.integers(0, SHAPE.classes, rows),
        classes=SHAPE.classes,
        splits=Splits(order[:20], order[20:35], order[35:]),
        population=population,
    )


VIEWS = [views_of(draw) for draw in range(3)]


def population_of(seed: int) -> Population:
    """Five inputs of modality 1, four of modality 2, nine of the twenty joint ones occur."""
    rng = np.random.default_rng(seed + 50)
    joint = rng.permutation(20)[:9]
    weight = rng.dirichlet(np.ones(9))
    return Population.listed(
        (rng.normal(size=(5, SHAPE.inputs[0])), rng.normal(size=(4, SHAPE.inputs[1]))),
        (joint // 4, joint % 4),
        weight=weight,
        conditional=rng.dirichlet(np.full(SHAPE.classes, 0.5), size=9),
    )


POPULATIONS = [population_of(draw) for draw in range(3)]
KNOWN = [dataclasses.replace(v, population=p) for v, p in zip(VIEWS, POPULATIONS, strict=True)]


def tower(pack: TrainedPack, member: int, modality: int, x: np.ndarray) -> list[np.ndarray]:
    """Hidden layers [n, width] and logits [n, c] of one member, plainly."""
    flat = pack.parameters[member].double().numpy()
    start = 0
    for number, (inputs, depth, width) in enumerate(
        zip(SHAPE.inputs, SHAPE.depths, SHAPE.widths, strict=True)
    ):
        below, found = x, []
        sizes = [width] * depth + [SHAPE.classes]
        for index, size in enumerate(sizes):
            columns = (inputs if index == 0 else width) + 1
            block = flat[start : start + size * columns].reshape(size, columns)
            start += size * columns
            if number + 1 == modality:
                z = below @ block[:, :-1].T + block[:, -1]
                below = z if index == depth else np.where(z > 0, z, 0.1 * z)
                found.append(below)
        if number + 1 == modality:
            return found
    raise AssertionError(modality)


def logits_of(pack: TrainedPack, member: int, x1: np.ndarray, x2: np.ndarray) -> dict:
    *hidden_1, one = tower(pack, member, 1, x1)
    *hidden_2, two = tower(pack, member, 2, x2)
    flat = pack.parameters[member].double().numpy()
    block = flat[-SHAPE.classes * (sum(SHAPE.widths) + 1) :].reshape(SHAPE.classes, -1)
    both = np.concatenate([hidden_1[-1], hidden_2[-1]], axis=1)
    return {"1": one, "2": two, "fused": both @ block[:, :-1].T + block[:, -1]}


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
