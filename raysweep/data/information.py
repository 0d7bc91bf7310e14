"""Exact information of a label that depends on bits of known distribution."""

import numpy as np

from raysweep.data.decomposition import decompose, mutual_information
from raysweep.data.label_model import LabelModel
from raysweep.data.views import Floats, Information


def bayes_accuracy(joint: Floats) -> float:
    """Accuracy of the best possible guess of Y from X, from a [p, c] table of p(x, y)."""
    return float(joint.max(axis=1).sum())


def exact_information(model: LabelModel, information_x1x2: float) -> Information:
    """Information of the two modalities about the label, by enumeration of the task bits.

    Bits that the task does not need tell nothing and drop out. Takes below .3 s.

    Args:
        model: p(label | task bits).
        information_x1x2: I(X1; X2) in nats, which does not depend on the label.
    """
    shared, only_1, only_2 = len(model.shared), len(model.unique_1), len(model.unique_2)
    classes = model.table.shape[-1]
    joint = model.table.reshape(2**shared, 2**only_1, 2**only_2, classes)
    joint = joint / 2 ** (shared + only_1 + only_2)
    joint_1 = joint.sum(axis=2).reshape(-1, classes)
    joint_2 = joint.sum(axis=1).reshape(-1, classes)
    both = joint.reshape(-1, classes)
    information_12 = mutual_information(both)
    parts = decompose(joint_1, joint_2, information_12)
    return Information(
        I1=mutual_information(joint_1),
        I2=mutual_information(joint_2),
        I12=information_12,
        I_shared=mutual_information(joint.sum(axis=(1, 2))),
        I_X1X2=information_x1x2,
        pid_R=parts.R,
        pid_U1=parts.U1,
        pid_U2=parts.U2,
        pid_S=parts.S,
        bayes_1=bayes_accuracy(joint_1),
        bayes_2=bayes_accuracy(joint_2),
        bayes_fused=bayes_accuracy(both),
    )


def binary_entropy(probability: float) -> float:
    """Entropy in nats of a coin that shows heads with this probability."""
    p = np.array([probability, 1.0 - probability])
    return float(-np.sum(p[p > 0] * np.log(p[p > 0])))
