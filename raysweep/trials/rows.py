"""The rows of the trial table: what every kind of study writes of a trial, by name of column."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from raysweep.study.cells import Cell
from raysweep.study.encoders import options_of
from raysweep.study.spec import SearchedStudy, StudyBase
from raysweep.trials.columns import named
from raysweep.trials.trial import Status, Trial

T = TypeVar("T")
Values = dict[str, int | float | str | None]


def planned(study: StudyBase, trial: Trial) -> Values:
    """Which trial a row is."""
    return {
        "key": trial.key,
        "study": study.name,
        "cell": trial.cell.id,
        "draw": trial.draw,
        "seed": trial.seed,
        "strength": trial.strength,
        "arm": trial.arm.value,
        "stage": trial.stage.value,
        "chosen_by": trial.chosen_by,
        "generation": trial.generation,
        "number": trial.number,
    }


def forced_by(study: SearchedStudy, trial: Trial) -> Values:
    """The loss and its options, fixed or searched; the former empty at strength 0."""
    fixed = {n: v if trial.strength > 0 else None for n, v in study.alignment.options.items()}
    options = {**fixed, **dict(trial.options)}
    return {
        "loss": study.alignment.loss,
        **{named("option", name): value for name, value in options.items()},
    }


def modelled(study: StudyBase, cell: Cell) -> Values:
    """The encoders of a cell."""
    options = options_of(study.model, cell.encoder)
    return {
        **cell.scale,
        **{named("encoder_option", name): value for name, value in options.items()},
    }


def ended(status: Status, diverged_step: int) -> Values:
    """How training ended, and at which step where it diverged, else -1."""
    return {
        "status": status.value,
        "reason": "" if status is Status.OK else f"not finite at step {diverged_step}",
        "diverged_step": diverged_step,
    }


def aligned(
    metric: str, split: str, value: T, calibrated: tuple[T, T, T] | None = None
) -> Iterator[tuple[str, T]]:
    """A metric on a split, of one trial or of many.

    Args:
        metric: its name.
        split: what it was measured on.
        value: the alignment.
        calibrated: its chance, what is above chance, and its p-value, where they were asked for.
    """
    yield named("alignment", metric, split), value
    if calibrated is not None:
        for family, of_chance in zip(("chance", "corrected", "chance_p"), calibrated, strict=True):
            yield named(family, metric, split), of_chance


def distinct(split: str, counted: Iterable[tuple[T, ...] | None]) -> Iterator[tuple[str, list[T]]]:
    """What metrics of neighbours counted of each modality's rows; others counted nothing."""
    known = [counts for counts in counted if counts is not None]
    for modality, counts in enumerate(zip(*known, strict=True), start=1):
        yield named("distinct_rows", modality, split), list(counts)
