"""A trial, what came of it, and the enumerations their columns are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any

from raysweep.seeds import canonical_text, text_key
from raysweep.study.cells import Cell

FEW_STEPS = 500
"""Steps of the optimizer, of which fewer leave most encoders far from where they would go."""

# Options of the loss beside those that the study fixes: (name, value), sorted by name.
Options = tuple[tuple[str, Any], ...]
# Settings of the training in place of those that the study fixes, in the same form.
Trained = tuple[tuple[str, Any], ...]


def option_words(options: Options) -> list[str]:
    """Options as they are shown, such as ``temperature=0.1``."""
    return [f"{name}={_word(value)}" for name, value in options]


@lru_cache(maxsize=1000)
def _opening(science: str, cell: str) -> str:
    """What the keys of a cell's trials begin with."""
    return f"[{canonical_text(science)},{canonical_text(cell)},"


def _word(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


class Arm(StrEnum):
    """What is done to a pair of encoders; the arms of one seed are paired."""

    NONE = "none"
    FORCED = "forced"
    PLACEBO = "placebo"


class Stage(StrEnum):
    """Why a trial was run.

    In a forcing study to find how to train, to find a strength, or to test the one that was found;
    in an emergence study to find learning rates, or to measure the encoders trained with those that
    were found.
    """

    SEARCH = "search"
    CONFIRM = "confirm"
    TUNE = "tune"
    MEASURE = "measure"


class Status(StrEnum):
    """How a trial ended: trained, or stopped at a NaN or infinity."""

    OK = "ok"
    DIVERGED = "diverged"


@dataclass(frozen=True)
class Trial:
    """One pair of encoders to train.

    Attributes:
        cell: data characteristics and model scale.
        draw: which draw of the dataset.
        seed: initial weights and order of the batches; equal seeds pair the arms.
        strength: weight of the alignment loss, >= 0.
        arm: none (strength 0), forced, or placebo (shuffled pairs).
        stage: search or confirm.
        science: digest of what else the numbers depend on (`spec.StudyBase.science`).
        generation: generation of the search that proposed the strength, -1 outside a search.
        number: number of the proposal in its cell's search, -1 for strength 0 and in confirm.
        chosen_by: the criterion that chose the strength of a confirm trial, else empty.
        options: options of the loss that the search proposed; none at strength 0.
        epochs: of a search that halves: looked at after so many, to see who goes on; 0: whole.
        training: settings that a search of the training proposed or chose.
    """

    cell: Cell
    draw: int
    seed: int
    strength: float
    arm: Arm
    stage: Stage
    science: str
    generation: int = field(default=-1, compare=False)
    number: int = field(default=-1, compare=False)
    chosen_by: str = field(default="", compare=False)
    options: Options = ()
    epochs: int = 0
    training: Trained = ()

    def own_rates(self) -> tuple[int, Trained]:
        """The modality that is tuned alone, else 0; (name, value) of how the trial is trained."""
        return 0, self.training

    @cached_property
    def key(self) -> str:
        """The trial's name: a hash of everything its numbers depend on.

        It is the `content_key` of [science, cell, draw, seed, strength, arm, stage, options,
        epochs, "training", training], the last left out where there are none; written field by
        field, as a large study has 100,000.
        """
        options = f",{canonical_text(dict(self.options))}" if self.options else ""
        epochs = f",{self.epochs:d}" if self.epochs else ""
        training = f',"training",{canonical_text(dict(self.training))}' if self.training else ""
        return text_key(
            f"{_opening(self.science, self.cell.id)}{self.draw:d},{self.seed:d},"
            f'"{float(self.strength).hex()}","{self.arm}","{self.stage}"{options}{epochs}{training}]'
        )


@dataclass(frozen=True)
class Proposal:
    """What the search proposes to force with.

    Attributes:
        strength: weight of the alignment loss, > 0; 0 where only the training is searched.
        options: options of the loss that are searched beside it, sorted by name.
        training: settings of the training in place of the study's, sorted by name.
    """

    strength: float
    options: Options = ()
    training: Trained = ()

    def __str__(self) -> str:
        """Short, for tables: ``0.5 temperature=0.1``."""
        return " ".join([f"{self.strength:.3g}", *option_words((*self.options, *self.training))])


@dataclass(frozen=True)
class TrialResult:
    """One row of the trial table.

    Attributes:
        key: the trial's key.
        status: ok or diverged.
        values: every measured column (`raysweep.trials.table` gives names, types and units).
    """

    key: str
    status: Status
    values: Mapping[str, int | float | str | None]

    def number(self, column: str) -> float:
        """The value of a numeric column; NaN where there is none."""
        value = self.values.get(column)
        return float("nan") if value is None or isinstance(value, str) else float(value)
