"""How the synthetic bits reach the encoders: flipped bits, loose nuisance bits, missing modalities.

Everything here acts on bits before the heterogeneity networks, which are one to one, so that the
information stays exactly known.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raysweep.data.label_model import SHARED_BITS, UNIQUE_BITS
from raysweep.data.streams import stream
from raysweep.data.views import Integers

FEATURES = SHARED_BITS + UNIQUE_BITS
MISSING = 2**FEATURES


@dataclass(frozen=True)
class Observation:
    """What is lost between the bits and the rows; the defaults lose nothing.

    Modalities 3, 4, ... lose nothing but, as modality 2, by loose nuisance bits.

    Attributes:
        noise_1: probability 0..0.5 that a bit of modality 1 is flipped, each on its own.
        noise_2: the same for modality 2.
        nuisance: correlation 0..1 between the modalities of the shared bits without use for the
            task; modality 2's is flipped with probability (1 - nuisance) / 2, and so is that of
            every further modality, each on its own.
        missing_1: probability 0..1 that modality 1 is missing from a row.
        missing_2: the same for modality 2, independently.
    """

    noise_1: float = 0.0
    noise_2: float = 0.0
    nuisance: float = 1.0
    missing_1: float = 0.0
    missing_2: float = 0.0

    def noise(self, modality: int) -> float:
        """Probability that a bit of a modality, counted from 1, is flipped."""
        return (self.noise_1, self.noise_2)[modality - 1] if modality <= 2 else 0.0

    def missing(self, modality: int) -> float:
        """Probability that a modality, counted from 1, is missing from a row."""
        return (self.missing_1, self.missing_2)[modality - 1] if modality <= 2 else 0.0


def binary_entropy(probability: float) -> float:
    """Entropy in nats of a coin that shows heads with this probability."""
    p = np.array([probability, 1.0 - probability])
    return float(-np.sum(p[p > 0] * np.log(p[p > 0])))


def information_between(observation: Observation, task_shared: int) -> float:
    """I(X1; X2) in nats: each shared bit is seen through its flips, on both sides.

    Args:
        observation: what is lost.
        task_shared: how many of the shared bits the task needs; the others are nuisance.
    """
    kept = (1 - 2 * observation.noise_1) * (1 - 2 * observation.noise_2)
    task = np.log(2) - binary_entropy((1 - kept) / 2)
    nuisance = np.log(2) - binary_entropy((1 - kept * observation.nuisance) / 2)
    both_seen = (1 - observation.missing_1) * (1 - observation.missing_2)
    return float(both_seen * (task_shared * task + (SHARED_BITS - task_shared) * nuisance))


def flip_mask(
    observation: Observation,
    modality: int,
    task_shared: tuple[int, ...],
    rows: int,
    place: str,
    draw: int,
) -> Integers:
    """What to xor onto the rows of a modality; more rows leave the first as they are.

    Args:
        observation: what is lost.
        modality: counted from 1.
        task_shared: positions of the shared bits that the task needs.
        rows: how many.
        place: names the random stream.
        draw: of the dataset.

    Returns:
        [rows] int64.
    """
    chance = np.full(FEATURES, observation.noise(modality))
    if modality > 1:
        loose = [position for position in range(SHARED_BITS) if position not in task_shared]
        slip = (1 - observation.nuisance) / 2
        chance[loose] = chance[loose] * (1 - slip) + (1 - chance[loose]) * slip
    if not chance.any():
        return np.zeros(rows, dtype=np.int64)
    uniforms = stream("synthetic", draw, f"flips/{place}/{modality}").random((rows, FEATURES))
    flips: Integers = (uniforms < chance) @ 2 ** np.arange(FEATURES)[::-1]
    return flips


def missing_rows(
    share: float, modality: int, rows: int, place: str, draw: int
) -> NDArray[np.bool_]:
    """Which of the rows lack this modality: [rows] bool; more rows leave the first as they are."""
    if share == 0:
        return np.zeros(rows, dtype=bool)
    return stream("synthetic", draw, f"missing/{place}/{modality}").random(rows) < share
