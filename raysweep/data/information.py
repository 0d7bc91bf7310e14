"""Exact information of a label that depends on bits of known distribution."""

from collections.abc import Sequence
from itertools import product
from math import prod

import numpy as np

from raysweep.data.decomposition import decompose, mutual_information
from raysweep.data.label_model import LabelModel
from raysweep.data.observation import Observation, information_between
from raysweep.data.views import Floats, Information


def bayes_accuracy(joint: Floats) -> float:
    """Accuracy of the best possible guess of Y from X, from a [p, c] table of p(x, y)."""
    return float(joint.max(axis=1).sum())


def _flipped(joint: Floats, axes: range, chance: float) -> Floats:
    """p(observed bits, ...) where each of these bit axes is flipped with this chance."""
    if chance == 0:
        return joint
    for axis in axes:
        joint = (1 - chance) * joint + chance * np.flip(joint, axis)
    return joint


def _seen_by_several(joint: Floats, shared: int, chances: Sequence[float]) -> Floats:
    """Each of the first ``shared`` bit axes becomes what several modalities observe of it.

    One that flips none of them tells them all: then they stay as they are.
    """
    if 0 in chances:
        return joint
    seen = np.ones((1, 2))
    for chance in chances:
        flip = np.array([[1 - chance, chance], [chance, 1 - chance]])
        seen = (seen[:, None, :] * flip[None, :, :]).reshape(-1, 2)
    for axis in range(shared):
        joint = np.moveaxis(np.tensordot(seen, joint, (1, axis)), 0, axis)
    return joint


def _with_missing(joint: Floats, share: float) -> Floats:
    """The [p, c] table where this share of the rows shows one more symbol: missing."""
    if share == 0:
        return joint
    return np.concatenate([(1 - share) * joint, share * joint.sum(axis=0, keepdims=True)])


def _seen(model: LabelModel, observation: Observation, modalities: Sequence[int]) -> Floats:
    """p(what these modalities show of the task bits, y), none of them missing: [p, c]."""
    classes = model.table.shape[-1]
    shared = len(model.shared)
    joint = model.table / 2 ** (model.table.ndim - 1)
    others = [k for k in range(1, len(model.unique) + 1) if k not in modalities]
    gone = [axis for k in others for axis in model.axes(k)]
    if not modalities:
        return joint.reshape(-1, classes).sum(axis=0, keepdims=True)
    joint = joint.sum(axis=tuple(gone))
    chances = [observation.noise(k) for k in modalities]
    if len(modalities) == 1:
        joint = _flipped(joint, range(shared), chances[0])
    start = shared
    for k, chance in zip(modalities, chances, strict=True):
        stop = start + len(model.unique[k - 1])
        joint = _flipped(joint, range(start, stop), chance)
        start = stop
    if len(modalities) > 1:
        joint = _seen_by_several(joint, shared, chances)
    return joint.reshape(-1, classes)


Cases = list[tuple[float, Floats]]


def _cases(model: LabelModel, observation: Observation, modalities: Sequence[int]) -> Cases:
    """What these modalities show, with its probability, for each set of them that is there."""
    found = []
    for there in product((True, False), repeat=len(modalities)):
        chances = []
        for k, present in zip(modalities, there, strict=True):
            lack = observation.missing(k)
            chances.append(1 - lack if present else lack)
        if prod(chances) > 0:
            present_ones = [k for k, present in zip(modalities, there, strict=True) if present]
            found.append((prod(chances), _seen(model, observation, present_ones)))
    return found


def exact_information(
    model: LabelModel, observation: Observation, with_all: bool = False
) -> Information:
    """Information of the observed modalities about the label, by enumeration of the task bits.

    Bits that the task does not need tell nothing and drop out. ``I_shared`` alone is of the bits
    as they are, before any is flipped or missing. Takes below .3 s for the paper's settings; at
    worst (U = 0, both modalities noisy, synergy, ten classes) seconds and half a gigabyte.

    Args:
        model: the label.
        observation: what is lost of the bits.
        with_all: whether to give ``I_all``, too; it is there for more than two modalities anyway.
    """
    every = range(1, len(model.unique) + 1)
    shared, classes = len(model.shared), model.table.shape[-1]
    seen = [_with_missing(_seen(model, observation, [k]), observation.missing(k)) for k in every]
    information = [mutual_information(table) for table in seen]
    pair = _cases(model, observation, (1, 2))
    everything = pair if len(every) == 2 else _cases(model, observation, every)
    information_12 = sum(chance * mutual_information(table) for chance, table in pair)
    untouched = not any(observation.noise(k) or observation.missing(k) for k in (1, 2))
    nested = untouched and not (model.unique_1 and model.unique_2)
    parts = decompose(seen[0], seen[1], information_12, nested=nested)
    bits = model.table / 2 ** (model.table.ndim - 1)
    bits = bits.sum(axis=tuple(range(shared, bits.ndim - 1)))
    accuracy = [bayes_accuracy(table) for table in seen]
    information_all = None
    if with_all or len(every) > 2:
        information_all = sum(chance * mutual_information(table) for chance, table in everything)
    return Information(
        I1=information[0],
        I2=information[1],
        I12=information_12,
        I_shared=mutual_information(bits.reshape(-1, classes)),
        I_X1X2=information_between(observation, shared),
        pid_R=parts.redundancy,
        pid_U1=parts.unique_1,
        pid_U2=parts.unique_2,
        pid_S=parts.synergy,
        bayes_1=accuracy[0],
        bayes_2=accuracy[1],
        bayes_fused=sum(chance * bayes_accuracy(table) for chance, table in everything),
        I_all=information_all,
        I_further=tuple(information[2:]),
        bayes_further=tuple(accuracy[2:]),
    )
