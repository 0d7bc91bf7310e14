"""The columns of a row that say which trial it is of."""

from raysweep.spec import SearchedStudy
from raysweep.spec.values import OptionValue
from raysweep.table import Row
from raysweep.trials import Trial


def trial_columns(study: SearchedStudy, trial: Trial) -> Row:
    """What the trial is, and why it was run."""
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
        "objective": study.search.objective,
    }


def option_columns(study: SearchedStudy, trial: Trial) -> dict[str, OptionValue | None]:
    """The options of the loss that are given, fixed or searched; the former empty at strength 0."""
    fixed = {n: v if trial.strength > 0 else None for n, v in study.alignment.options.items()}
    options = {**fixed, **dict(trial.options)}
    return {f"option_{name}": value for name, value in options.items()}
