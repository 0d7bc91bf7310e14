"""An emergence study: encoders trained without partners, aligned afterwards."""

import itertools
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from pydantic import Field

from raysweep.study.encoders import BUILT_IN
from raysweep.study.spec.base import GridStudy
from raysweep.study.spec.fields import (
    CONFIRM_SEEDS_FROM,
    MOST_BATCH,
    MOST_EPOCHS,
    MOST_PROPOSALS,
    Clash,
    FreshSeeds,
    Number,
    Part,
    Seeds,
    Truth,
    Whole,
    Wholes,
    listed,
)
from raysweep.study.spec.parts import Evaluation, Resources
from raysweep.study.spec.ranges import Decays, LogRange, Rates
from raysweep.trials.columns import named

WHOLE = 24
"""Rates in lists with at most so many combinations are all tried."""

_PROPOSALS = 8


class EncoderTraining(Part):
    """How every encoder is trained (AdamW); ``_1`` and ``_2`` are for one modality alone."""

    epochs: Whole = Field(100, ge=1, le=MOST_EPOCHS)
    epochs_1: Whole | None = Field(None, ge=1, le=MOST_EPOCHS)
    epochs_2: Whole | None = Field(None, ge=1, le=MOST_EPOCHS)
    batch_size: Whole = Field(128, ge=4, le=MOST_BATCH)
    learning_rate: Number = Field(1e-3, gt=0)
    learning_rate_1: Number | None = Field(None, gt=0)
    learning_rate_2: Number | None = Field(None, gt=0)
    weight_decay: Number = Field(1e-2, ge=0)
    weight_decay_1: Number | None = Field(None, ge=0)
    weight_decay_2: Number | None = Field(None, ge=0)
    clip_norm: Number = Field(8.0, gt=0)
    checkpoint: Literal["best", "last"] = "best"
    evaluate_every: Whole = Field(1, ge=1, le=MOST_EPOCHS)
    patience: Whole | None = Field(None, ge=1, le=MOST_EPOCHS)
    dtype: Literal["float32", "float64"] = "float32"
    engine: Literal["auto", "kernel", "torch"] = "auto"
    tf32: Truth = False

    def of(self, modality: int, name: Literal["epochs", "learning_rate", "weight_decay"]) -> float:
        """A setting of one modality: its own where it is given, else that of both."""
        own = getattr(self, f"{name}_{modality}")
        value: float = getattr(self, name) if own is None else own
        return value


class EmergentEvaluation(Evaluation):
    """What is measured; by default on the best pair of layers, as in the paper."""

    layers: Literal["last", "best"] = "best"


class Tuning(Part):
    """The search of learning rate and weight decay, for each modality of each family of data.

    Each is a list of choices, or a range. Lists with at most `WHOLE` combinations are tried whole;
    otherwise there are ``trials`` proposals, and then what lies beside the best of them in the
    lists, until nothing there is better. A proposal's value is the mean validation accuracy of the
    encoders of these depths; of modality 2 at the heterogeneity D_phi = depth - offset. Where
    ``D_phi`` is given, only data of these heterogeneities are used, however many more the grid has.
    """

    learning_rate: Rates = (1e-3, 5e-3, 1e-2, 5e-2)
    weight_decay: Decays = (0.0, 1e-4, 1e-3, 1e-2, 1e-1)
    trials: Whole | None = Field(None, ge=1, le=MOST_PROPOSALS)
    generation: Whole = Field(4, ge=1, le=MOST_PROPOSALS)
    depths: Wholes = (1, 2, 3, 4)
    offsets: Wholes = (0, -1)
    D_phi: Wholes | None = None
    seeds: FreshSeeds = (CONFIRM_SEEDS_FROM,)

    @property
    def combinations(self) -> tuple[tuple[float, float], ...]:
        """Every (learning rate, weight decay), in the order of the lists; none with a range."""
        if isinstance(self.learning_rate, LogRange) or isinstance(self.weight_decay, LogRange):
            return ()
        return tuple(itertools.product(self.learning_rate, self.weight_decay))

    @property
    def proposals(self) -> int:
        """How many there are at least, as many as there can be where the lists are tried whole."""
        whole = len(self.combinations) or MOST_PROPOSALS
        if self.trials is None:
            return whole if whole <= WHOLE else _PROPOSALS
        return min(self.trials, whole)


class EmergenceStudy(GridStudy):
    """A study of the alignment that emerges between encoders that never met.

    ``seeds`` is a count (0, 1, ...) or a list; ``tuning`` is left out where the rates are given.
    Every encoder of one modality is paired with every one of the other.
    """

    every_pair: ClassVar[bool] = True

    kind: Literal["emergence"] = "emergence"
    training: EncoderTraining = EncoderTraining()
    evaluation: EmergentEvaluation = EmergentEvaluation()
    seeds: Seeds = (0, 1, 2, 3, 4)
    tuning: Tuning | None = None
    resources: Resources = Resources()
    files: dict[str, str] = Field(default_factory=dict)

    def trials_at_least(self) -> int:
        """Encoders of every cell, draw and seed, and one family's search of rates."""
        pairs = sum(self.cells_of(block) * len(block.draws) for block in self.data)
        tuned = self.tuning.proposals * len(self.tuning.seeds) if self.tuning is not None else 0
        return pairs * len(self.seeds) + tuned

    def clashes(self) -> Iterator[Clash]:
        """Other encoders, seeds that are used twice, and depths to tune that no encoder has."""
        yield from super().clashes()
        others = [name for name in self.model.encoder if name not in BUILT_IN]
        if others:
            yield Clash(
                f"emergence studies train {listed(BUILT_IN)} encoders only, found {listed(others)}",
                ("model", "encoder"),
            )
        if self.tuning is None:
            return
        shared = sorted(set(self.seeds) & set(self.tuning.seeds))
        if shared:
            yield Clash(
                f"seeds used twice: {listed(shared)} in both tuning.seeds and seeds; "
                "what is measured needs seeds that the tuning never saw",
                ("tuning", "seeds"),
                ("seeds",),
            )
        for modality in (0, 1):
            there = {pair[modality] for pair in self.pairs("depth", 1)}
            if not there & set(self.tuning.depths):
                yield Clash(
                    f"no encoder of modality {modality + 1} has one of these depths; the model "
                    f"grid has {listed(sorted(there))}",
                    ("tuning", "depths"),
                    ("model", "depth"),
                    ("model", named("depth", modality + 1)),
                )
        if self.tuning.D_phi is not None:
            have = {value: None for block in self.data for value in block.axes.get("D_phi", ())}
            unknown = [value for value in self.tuning.D_phi if value not in have]
            if unknown:
                yield Clash(
                    f"no data have D_phi {listed(unknown)}; the data grid has "
                    f"{listed(have) or 'no D_phi'}",
                    ("tuning", "D_phi"),
                    ("data",),
                )

    def science(self) -> dict[str, Any]:
        """What an encoder's numbers depend on besides its cell, draw, seed and rates."""
        rates = {f"{name}{end}" for name in ("learning_rate", "weight_decay") for end in _ENDS}
        return {
            "kind": self.kind,
            "seed": self.seed,
            "training": self.training.model_dump(mode="json", exclude=rates),
            "evaluation": self.evaluation.model_dump(mode="json"),
        }


_ENDS = ("", "_1", "_2")
