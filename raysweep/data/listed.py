"""Every input of the synthetic generator with its probability, as far as they can be listed."""

from itertools import product
from math import prod

import numpy as np

from raysweep.data.label_model import (
    SHARED_BITS,
    TASK_BITS,
    UNIQUE_BITS,
    LabelModel,
    bits_at,
    joint_inputs,
)
from raysweep.data.observation import MISSING, Observation
from raysweep.data.views import Floats, Integers, Population

MOST_LISTED = 3
"""Modalities whose joint inputs are listed: 2^20 of three; 2^24 of four are too many."""


def bit_population(
    model: LabelModel, observation: Observation, inputs: tuple[Floats, ...]
) -> Population | None:
    """Every input, unless flipped or loose bits make them too many (2^24) to list.

    Of more than three modalities the inputs of each are listed, the joint ones are not.

    Args:
        model: the label.
        observation: what is lost of the bits.
        inputs: for each modality [4097, 12], its scaled inputs, the row of a missing one last.
    """
    loose = observation.nuisance < 1 and len(model.shared) < TASK_BITS
    if observation.noise_1 > 0 or observation.noise_2 > 0 or loose:
        return None
    lacks = [observation.missing(modality) for modality in range(1, len(inputs) + 1)]
    if len(inputs) > MOST_LISTED:
        margins = [_margin(model, k, lack) for k, lack in enumerate(lacks, start=1)]
        return Population(inputs, tuple(margins), None)
    pairs, conditional = joint_inputs(model)
    weight = np.full(len(conditional), 1.0 / len(conditional))
    if not any(lacks):
        return Population.listed(tuple(x[:MISSING] for x in inputs), pairs, weight, conditional)
    blocks = (2**SHARED_BITS, *[2**UNIQUE_BITS] * len(inputs))
    rows: list[list[Integers]] = [[] for _ in inputs]
    weights, conditionals = [], []
    for there in product(*[(True, False)] * 2, *[(True,)] * (len(inputs) - 2)):
        chance = prod(
            1 - lack if present else lack for lack, present in zip(lacks, there, strict=True)
        )
        # Of the inputs without these modalities one stands for all that look the same.
        first = [slice(None), *(slice(None) if present else slice(1) for present in there)]
        gone = tuple(i for i, present in enumerate(there, start=1) if not present)
        mean = conditional.reshape(*blocks, -1).mean(axis=gone).reshape(-1, conditional.shape[1])
        if not any(there):
            first[0], mean = slice(1), conditional.mean(axis=0, keepdims=True)
        for of, pair, present in zip(rows, pairs, there, strict=True):
            of.append(pair.reshape(blocks)[tuple(first)].reshape(-1))
            if not present:
                of[-1] = np.full(len(mean), MISSING)
        weights.append(np.full(len(mean), chance / len(mean)))
        conditionals.append(mean)
    return Population.listed(
        inputs,
        tuple(np.concatenate(of) for of in rows),
        np.concatenate(weights),
        np.concatenate(conditionals),
    )


def _margin(model: LabelModel, modality: int, lack: float) -> Floats:
    """p(input of a modality, label), [4097, c], the missing modality last."""
    others = [k for k in range(1, len(model.unique) + 1) if k != modality]
    table = model.table.mean(axis=tuple(axis for k in others for axis in model.axes(k)))
    every = np.arange(MISSING)
    bits = bits_at(every >> UNIQUE_BITS, model.shared, SHARED_BITS)
    bits += bits_at(every % 2**UNIQUE_BITS, model.unique[modality - 1], UNIQUE_BITS)
    conditional = table[bits]
    missing = lack * conditional.mean(axis=0, keepdims=True)
    return np.concatenate([(1 - lack) / MISSING * conditional, missing])
