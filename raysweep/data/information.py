"""Exact information of a label that depends on bits of known distribution."""

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


def _seen_twice(joint: Floats, shared: int, chance_1: float, chance_2: float) -> Floats:
    """Each of the first ``shared`` bit axes becomes two observations: [4 or 2] * shared + rest."""
    if chance_1 == 0 or chance_2 == 0:
        return joint
    flip_1 = np.array([[1 - chance_1, chance_1], [chance_1, 1 - chance_1]])
    flip_2 = np.array([[1 - chance_2, chance_2], [chance_2, 1 - chance_2]])
    twice = (flip_1[:, None, :] * flip_2[None, :, :]).reshape(4, 2)
    for axis in range(shared):
        joint = np.moveaxis(np.tensordot(twice, joint, (1, axis)), 0, axis)
    return joint


def _with_missing(joint: Floats, share: float) -> Floats:
    """The [p, c] table where this share of the rows shows one more symbol: missing."""
    if share == 0:
        return joint
    return np.concatenate([(1 - share) * joint, share * joint.sum(axis=0, keepdims=True)])


def exact_information(model: LabelModel, observation: Observation) -> Information:
    """Information of the two observed modalities about the label, by enumeration of the task bits.

    Bits that the task does not need tell nothing and drop out. ``I_shared`` alone is of the bits
    as they are, before any is flipped or missing. Takes below .3 s for the paper's settings; at
    worst (U = 0, both modalities noisy, synergy, ten classes) seconds and half a gigabyte.
    """
    shared, only_1, only_2 = len(model.shared), len(model.unique_1), len(model.unique_2)
    count = shared + only_1 + only_2
    classes = model.table.shape[-1]
    noise_1, noise_2 = observation.noise_1, observation.noise_2
    joint = model.table / 2**count
    bits_2 = tuple(range(shared + only_1, count))
    clean_1 = joint.sum(axis=bits_2)
    clean_2 = joint.sum(axis=tuple(range(shared, shared + only_1)))
    joint_1 = _flipped(clean_1, range(shared + only_1), noise_1).reshape(-1, classes)
    joint_2 = _flipped(clean_2, range(shared + only_2), noise_2).reshape(-1, classes)
    both = _flipped(joint, range(shared, shared + only_1), noise_1)
    both = _flipped(both, range(shared + only_1, count), noise_2)
    both = _seen_twice(both, shared, noise_1, noise_2).reshape(-1, classes)
    nothing = joint.reshape(-1, classes).sum(axis=0, keepdims=True)

    lack_1, lack_2 = observation.missing_1, observation.missing_2
    cases = (
        ((1 - lack_1) * (1 - lack_2), both),
        ((1 - lack_1) * lack_2, joint_1),
        (lack_1 * (1 - lack_2), joint_2),
        (lack_1 * lack_2, nothing),
    )
    seen_1, seen_2 = _with_missing(joint_1, lack_1), _with_missing(joint_2, lack_2)
    information_12 = sum(chance * mutual_information(table) for chance, table in cases)
    untouched = noise_1 == noise_2 == lack_1 == lack_2 == 0
    parts = decompose(
        seen_1, seen_2, information_12, nested=untouched and (only_1 == 0 or only_2 == 0)
    )
    return Information(
        I1=mutual_information(seen_1),
        I2=mutual_information(seen_2),
        I12=information_12,
        I_shared=mutual_information(
            joint.sum(axis=tuple(range(shared, count))).reshape(-1, classes)
        ),
        I_X1X2=information_between(observation, shared),
        pid_R=parts.redundancy,
        pid_U1=parts.unique_1,
        pid_U2=parts.unique_2,
        pid_S=parts.synergy,
        bayes_1=bayes_accuracy(seen_1),
        bayes_2=bayes_accuracy(seen_2),
        bayes_fused=sum(chance * bayes_accuracy(table) for chance, table in cases),
    )
