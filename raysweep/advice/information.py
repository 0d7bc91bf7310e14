"""How the label's information splits between two modalities, and what such an estimate would find.

How much an estimate misses depends on the features and how many rows there are. So a label is
planted whose information is known: the exclusive or of one bit of either modality, which is hardest
to find. What is found of it says what would be found of the own label's.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from raysweep.data.decomposition import decompose, mutual_information
from raysweep.data.estimable import Estimable, estimable
from raysweep.data.kept_estimates import estimate_of
from raysweep.data.missed import missed_at
from raysweep.data.views import Floats, Integers, Views
from raysweep.trials.tasks import Task

TOTALS = {"I1": "modality 1", "I2": "modality 2", "I12": "both together"}
"""What each number is of, for people."""
PARTS = {
    "pid_R": "shared by both",
    "pid_U1": "only in modality 1",
    "pid_U2": "only in modality 2",
    "pid_S": "only in both together",
}


@dataclass(frozen=True)
class Part:
    """A part of the information in nats, with its 95 % interval, never below 0."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Planted:
    """What is in both modalities together alone of a planted label, in nats.

    Attributes:
        exact: as it is.
        found: as it is estimated.
    """

    exact: float
    found: float

    @property
    def share(self) -> float:
        """What is found of it, 0..1."""
        return min(max(self.found / self.exact, 0.0), 1.0) if self.exact > 0 else 0.0

    @property
    def words(self) -> str:
        """A sentence for people."""
        return (
            "Of an exclusive or planted on these rows, of one bit of either modality, with "
            f"{self.exact:.2f} nats only in both together, the same estimate finds "
            f"{self.found:.2f} ({100 * self.share:.0f} %): what is only in both together is the "
            "hardest to find, and may be more than is said here."
        )


@dataclass(frozen=True)
class Estimated:
    """What was estimated of the label's information.

    Attributes:
        parts: those of TOTALS and of PARTS, by name.
        planted: what the same estimate finds of a planted label; None where it takes too long.
        rows: that tell something of their own.
        features: of the modality that has more.
        label: what is told of, for people.
    """

    parts: dict[str, Part]
    planted: Planted | None
    rows: int = 0
    features: int = 0
    label: str = "the label"

    @property
    def sentences(self) -> Iterator[str]:
        """What is found, and what may be missed, for people."""
        yield (
            f"What each tells of {self.label}, estimated in nats, with 95 % intervals of what the "
            f"same estimate finds of other rows: {in_nats(self.parts, TOTALS)}."
        )
        yield f"That is {in_nats(self.parts, PARTS)}."
        yield missed_at(self.rows, self.features).words
        if self.planted is not None:
            yield self.planted.words


def decomposition(views: Views, most_seconds: float = np.inf) -> Estimated:
    """Redundant, unique and synergistic information of the label, estimated.

    Args:
        views: of two modalities.
        most_seconds: what the planted label may cost, judged by the estimate of the own one.

    Raises:
        InputError: more than two modalities, or too few rows.
    """
    rows = estimable(views)
    made = estimate_of(rows)
    parts = {
        name: Part(float(getattr(made.information, name)), interval.low, interval.high)
        for name, interval in made.information.intervals.items()
    }
    check = planted_synergy(rows) if made.seconds < most_seconds else None
    features = max(rows.x1.shape[1], rows.x2.shape[1])
    label = label_words(views.task, views.classes)
    return Estimated(parts, check, rows.units, features, label)


def label_words(task: Task, parts: int) -> str:
    """What the information is of: the label, or the part or set of labels that stands for it."""
    if task is Task.REGRESSION:
        return f"which of {parts} equally large parts of its range the label lies in"
    if task is Task.MULTILABEL:
        return f"which of {parts} common sets of labels a row has"
    return "the label"


def in_nats(parts: dict[str, Part], names: dict[str, str]) -> str:
    """Some numbers in words, with their intervals where they are known."""
    return ", ".join(
        f"{words} {_nats(parts[name])}" for name, words in names.items() if name in parts
    )


def _nats(part: Part) -> str:
    if not np.isfinite(part.low):
        return f"{part.estimate:.2f}"
    return f"{part.estimate:.2f} ({part.low:.2f} to {part.high:.2f})"


def planted_synergy(rows: Estimable) -> Planted | None:
    """What is estimated of the exclusive or of one bit of either modality.

    A bit is whether a row lies above the median of its modality's first principal component.

    Returns:
        None where a modality has no such bit, or both have the same.
    """
    bits = _bit(rows.x1), _bit(rows.x2)
    label = bits[0] ^ bits[1]
    if min(len(np.unique(of)) for of in (*bits, label)) < 2:
        return None
    joint = np.zeros((2, 2, 2))
    np.add.at(joint, (*bits, label), 1 / len(label))
    exact = decompose(joint.sum(axis=1), joint.sum(axis=0), mutual_information(joint.reshape(4, 2)))
    return Planted(exact.synergy, estimate_of(replace(rows, y=label)).information.pid_S)


def _bit(x: Floats) -> Integers:
    varying = x[:, np.ptp(x, axis=0) > 0]
    if varying.shape[1] == 0:
        return np.zeros(len(x), dtype=np.int64)
    scaled = StandardScaler().fit_transform(varying)
    along = PCA(1, random_state=0).fit_transform(scaled)[:, 0]
    return np.asarray(along > np.median(along), dtype=np.int64)
