"""Which trials of a cell are one run of MLflow, and what the run is called."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from raysweep.kinds.sweep import CellPlan
from raysweep.seeds import content_key
from raysweep.tracking.facts import text
from raysweep.trials.columns import named
from raysweep.trials.trial import Arm, Options, Stage, Trained, Trial, option_words


@dataclass(frozen=True)
class About:
    """What the trials of one run have in common: all but draw and seed.

    Attributes:
        stage, arm, strength, options: of the trials.
        modality: the one whose encoder is trained while rates are tuned; else 0.
        rates: (name, value) of how the encoders are trained, where a search may have chosen it.
    """

    stage: Stage
    arm: Arm
    strength: float
    options: Options
    modality: int = 0
    rates: Trained = ()

    @property
    def name(self) -> str:
        """Readable, and different for different runs of a cell."""
        if self.stage is Stage.MEASURE:
            return "independent encoders"
        words = option_words((*self.options, *self.rates))
        if self.stage is Stage.TUNE and self.modality:
            return " ".join([f"tune modality {self.modality}", *words])
        if self.stage is Stage.TUNE and self.arm is Arm.NONE:
            return " ".join(["tune none", *words])
        if self.stage is not Stage.CONFIRM:
            return " ".join([f"{self.stage.value} strength={self.strength:g}", *words])
        if self.arm is Arm.NONE:
            return " ".join(["confirm none", *words])
        return " ".join([f"confirm {self.arm.value} {self.strength:g}", *words])

    @property
    def params(self) -> dict[str, str]:
        """The run's own parameters, as MLflow shows them."""
        return {
            "stage": self.stage.value,
            "arm": self.arm.value,
            "strength": text(self.strength),
            **{named("option", name): text(value) for name, value in self.options},
            **({"modality": str(self.modality)} if self.modality else {}),
            **{name: text(value) for name, value in self.rates},
        }

    def identity(self, parent: str) -> str:
        """The run's identity under its parent's; the same for as long as the run grows."""
        return content_key(
            [
                *(parent, self.stage.value, self.arm.value, float(self.strength).hex()),
                *([dict(self.options)] if self.options else []),
                *([self.modality, dict(map(_exact, self.rates))] if self.rates else []),
            ]
        )


def _exact(setting: tuple[str, Any]) -> tuple[str, Any]:
    """A setting with a number as it is stored."""
    name, value = setting
    return name, value.hex() if isinstance(value, float) else value


@dataclass(frozen=True)
class Group:
    """The trials of one run, and which rows of the cell's table are theirs."""

    about: About
    trials: tuple[Trial, ...]
    rows: np.ndarray


def group_trials(plan: CellPlan, position: Mapping[str, int]) -> list[Group]:
    """The planned trials of a cell as runs, in the order in which they are shown.

    Args:
        plan: the cell's plan.
        position: key of a trial -> its row in the cell's table, of those that are there.
    """
    members: dict[About, dict[str, Trial]] = {}
    for trial in plan.trials:
        members.setdefault(_about(trial), {}).setdefault(trial.key, trial)
    return [
        Group(
            about,
            tuple(trials.values()),
            np.array([position[key] for key in trials if key in position], dtype=np.int64),
        )
        for about, trials in sorted(members.items(), key=lambda item: _display_order(item[0]))
    ]


def _about(trial: Trial) -> About:
    return About(trial.stage, trial.arm, trial.strength, trial.options, *trial.own_rates())


def _display_order(about: About) -> tuple[int, int, float, str, int, tuple[Any, ...]]:
    return (
        -list(Stage).index(about.stage),
        list(Arm).index(about.arm),
        about.strength,
        " ".join(option_words(about.options)),
        about.modality,
        tuple(value for _, value in about.rates),
    )
