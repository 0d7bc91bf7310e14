"""What every dataset hands on: two views of the same rows, their splits and what is known of them.

Axis letters: n rows, d features, c classes, p distinct inputs, q joint inputs.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Splits:
    """Disjoint int64 row indices of the three splits."""

    train: Integers
    validation: Integers
    test: Integers


@dataclass(frozen=True, eq=False)
class Population:
    """Every input that can occur, with its probability: performance without test noise.

    Attributes:
        x1: [p1, d1] float64, the distinct inputs of modality 1, scaled like the rows.
        x2: [p2, d2] float64, the distinct inputs of modality 2, scaled like the rows.
        pair_1: [q] int64, the row of ``x1`` in each joint input.
        pair_2: [q] int64, the row of ``x2`` in each joint input.
        weight: [q] float64, the probability of each joint input; sums to 1.
        conditional: [q, c] float64, p(label | joint input); every row sums to 1.
    """

    x1: Floats
    x2: Floats
    pair_1: Integers
    pair_2: Integers
    weight: Floats
    conditional: Floats


@dataclass(frozen=True)
class Information:
    """What the modalities tell about the label Y, in nats; accuracies in 0..1.

    ``I_shared`` is structural, I(features present in both; Y), and differs from the redundancy
    ``pid_R`` of the decomposition: I1 = R + U1, I2 = R + U2, I12 = R + U1 + U2 + S.
    """

    I1: float
    I2: float
    I12: float
    I_shared: float
    I_X1X2: float
    pid_R: float
    pid_U1: float
    pid_U2: float
    pid_S: float
    bayes_1: float
    bayes_2: float
    bayes_fused: float


@dataclass(frozen=True, eq=False)
class PairedViews:
    """One draw of a dataset. Its arrays are shared between callers: read, never write.

    Compares and hashes by identity: two loads that hit the same memory are the same object.

    Attributes:
        x1: [n, d1] float64, scaled with the training split's statistics.
        x2: [n, d2] float64, scaled with the training split's statistics.
        y: [n] int64 labels in 0..classes-1.
        classes: c, the number of labels.
        splits: which rows train, validate and test.
        characteristics: columns of the trial table that describe the data (U, D_phi, ...).
        information: exact where the distribution is known, None otherwise.
        population: every input, where they can be listed; None otherwise.
    """

    x1: Floats
    x2: Floats
    y: Integers
    classes: int
    splits: Splits
    characteristics: dict[str, int | float | str] = field(default_factory=dict)
    information: Information | None = None
    population: Population | None = None


@dataclass(frozen=True, eq=False)
class Scaling:
    """x -> (x - mean) / sd, feature by feature; a feature that is constant becomes 0."""

    mean: Floats
    sd: Floats

    def __call__(self, x: Floats) -> Floats:
        """Scale the [n, d] float64 rows ``x``; returns a new [n, d] float64 array."""
        varies = self.sd > 0
        return np.where(varies, (x - self.mean) / np.where(varies, self.sd, 1.0), 0.0)


def z_scaling(train: Floats) -> Scaling:
    """Scaling to mean 0 and sd 1 (population sd, as the paper) of the [n, d] training rows.

    A feature whose sd is below 1e-12 of its largest magnitude is constant but for rounding.
    """
    mean = train.mean(axis=0)
    sd = train.std(axis=0)
    rounding = 1e-12 * np.abs(train).max(axis=0)
    return Scaling(mean, np.where(sd > rounding, sd, 0.0))
