"""What a label can be, and what is measured of a model that predicts it."""

from enum import StrEnum

from raysweep.trials.columns import column_of, named
from raysweep.trials.outcome_families import FAMILIES

_ALWAYS = {
    "classification": ("performance", "loss"),
    "regression": ("r2", "rmse"),
    "multilabel": ("micro_f1", "hamming_loss"),
    "ordinal": ("weighted_kappa", "rank_mae"),
}


class Task(StrEnum):
    """What a label is: a class, a number, several labels that a row has or not, or a rank."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    MULTILABEL = "multilabel"
    ORDINAL = "ordinal"

    @property
    def always(self) -> tuple[str, ...]:
        """The families of columns that are measured without being asked for, the main one first."""
        return _ALWAYS[self]

    @property
    def main(self) -> str:
        """The family by which checkpoints and, unless a study says otherwise, strengths go."""
        return self.always[0]

    @property
    def asked(self) -> tuple[str, ...]:
        """The families that are measured where they are asked for."""
        return tuple(family for family in FAMILIES[self] if family not in self.always)

    @property
    def tested(self) -> str:
        """The outcome of the verdict, where a study names none."""
        return named(self.main, "fused", "test")

    def measures(self, outcome: str) -> bool:
        """Whether a column is an outcome of such a label."""
        return column_of(outcome).family in (*self.always, *self.asked)


def task_of(outcome: str) -> Task:
    """What a label is of which this is an outcome; a class where the name does not tell."""
    return next((task for task in Task if task.measures(outcome)), Task.CLASSIFICATION)
