"""The searches of a run as Optuna studies, for optuna-dashboard and whatever else reads them."""

import warnings
from dataclasses import dataclass

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from sqlalchemy.exc import SQLAlchemyError

from raysweep.cells import Cell
from raysweep.errors import InputError
from raysweep.run_folder import RunFolder
from raysweep.search import objectives, told
from raysweep.spec import Study
from raysweep.sweep import science_digest

_SCIENCE = "raysweep.science"


@dataclass(frozen=True)
class ExportReport:
    """What an export did.

    Attributes:
        studies: Optuna studies that hold the run's searches now, one per cell.
        written: trials that were added.
        unchanged: trials that were there.
    """

    studies: int
    written: int
    unchanged: int


def export_searches(folder: RunFolder, storage: str) -> ExportReport:
    """Write the searches of a run into an Optuna storage; a second time writes nothing.

    One Optuna study per cell, named by study and cell, with the finished proposals in the order of
    asking. Values are means over draws and seeds of the validation split; what the study and the
    cell are made of is in the user attributes.

    Args:
        folder: the run's folder.
        storage: SQLAlchemy's address of a database, such as ``sqlite:///searches.db``.

    Raises:
        InputError: the folder is not a run's, the database cannot be opened, or it holds the
            searches of another study under the same names.
    """
    sweep = folder.open_sweep(folder.existing_study())
    science = science_digest(sweep.study)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        opened = RDBStorage(storage)
    except (SQLAlchemyError, ImportError, ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"--optuna {storage}: not a database that can be opened ({reason}); "
            "give SQLAlchemy's address of one, such as sqlite:///searches.db"
        ) from error
    written = unchanged = 0
    search = sweep.study.search
    for cell in sweep.cells:
        plan = sweep.plans[cell.id]
        study = optuna.create_study(
            storage=opened,
            study_name=f"{sweep.study.name}: {sweep.labels[cell.id]}",
            directions=["maximize"] * len(objectives(search)),
            load_if_exists=True,
        )
        if study.user_attrs.get(_SCIENCE, science) != science:
            raise InputError(
                f"--optuna {storage}: has searches named {study.study_name!r} of another study; "
                "give another database"
            )
        _describe(study, sweep.study, cell, science)
        there = len(study.get_trials(deepcopy=False))
        trials = told(search, plan.outcomes)
        for number, trial in enumerate(trials[there:], start=there):
            trial.set_user_attr("generation", number // search.generation)
            study.add_trial(trial)
        written += max(len(trials) - there, 0)
        unchanged += min(len(trials), there)
    return ExportReport(len(sweep.cells), written, unchanged)


def _describe(study: optuna.Study, of: Study, cell: Cell, science: str) -> None:
    facts = {
        "study": of.name,
        "description": of.description,
        "cell": cell.id,
        "data": cell.dataset,
        **dict(cell.parameters),
        "depth": [cell.depth_1, cell.depth_2],
        "width": [cell.width_1, cell.width_2],
        "loss": of.alignment.loss,
        "metric": of.metric,
        _SCIENCE: science,
    }
    known = study.user_attrs
    for name, value in facts.items():
        if known.get(name) != value:
            study.set_user_attr(name, value)
    names = objectives(of.search)
    if study.metric_names != names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names(names)
