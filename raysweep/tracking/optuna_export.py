"""The searches of a run as Optuna studies, for optuna-dashboard and whatever else reads them."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from raysweep.errors import InputError
from raysweep.folder.run_folder import RunFolder
from raysweep.kinds.kind import kind_of
from raysweep.seeds import content_key

_SCIENCE = "raysweep.science"
_LONGEST_NAME = 512


@dataclass(frozen=True)
class ExportReport:
    """What an export did.

    Attributes:
        studies: Optuna studies that hold the run's searches now: one per cell, or one per family of
            data and modality whose rates are tuned.
        written: trials that were added.
        unchanged: trials that were there.
    """

    studies: int
    written: int
    unchanged: int


@dataclass(frozen=True)
class ExportedSearch:
    """One search, as it is exported.

    Attributes:
        objectives: names of what is maximized.
        facts: what the search is about, as user attributes.
        science: digest of what the values depend on; searches of one name must agree in it.
        trials: finished proposals in the order of asking.
        generation: proposals that were made together.
    """

    name: str
    objectives: Sequence[str]
    facts: Mapping[str, Any]
    science: str
    trials: Sequence[FrozenTrial]
    generation: int


def export_searches(folder: RunFolder, storage: str) -> ExportReport:
    """Write the searches of a run into an Optuna storage; a second time writes nothing.

    Of a forcing study one Optuna study per cell, whose values are means over draws and seeds of the
    validation split. Of an emergence study one per family of data and modality, over learning rate
    and weight decay, whose value is the mean validation accuracy of the encoders tuned on. Finished
    proposals are in the order of asking; what a search is about is in the user attributes.

    Args:
        folder: the run's folder.
        storage: SQLAlchemy's address of a database, such as ``sqlite:///searches.db``.

    Raises:
        InputError: the folder is not a run's, its study searches nothing, the database cannot be
            opened, or it holds the searches of another study under the same names.
    """
    wanted = folder.existing_study()
    sweep = folder.open_sweep(wanted)
    searches = list(kind_of(wanted).searches(sweep, folder.output.location))
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
    for search in searches:
        study = optuna.create_study(
            storage=opened,
            study_name=_stored(search.name),
            directions=["maximize"] * len(search.objectives),
            load_if_exists=True,
        )
        if study.user_attrs.get(_SCIENCE, search.science) != search.science:
            raise InputError(
                f"--optuna {storage}: has searches named {study.study_name!r} of another study; "
                "give another database"
            )
        _describe(study, search)
        there = len(study.get_trials(deepcopy=False))
        for number, trial in enumerate(search.trials[there:], start=there):
            trial.set_user_attr("generation", number // search.generation)
            try:
                study.add_trial(trial)
            except ValueError as error:
                # Optuna keeps the choices that a parameter had first.
                raise InputError(
                    f"--optuna {storage}: has the search {study.study_name!r} with fewer choices "
                    f"than it has now ({error}); give another database"
                ) from error
        written += max(len(search.trials) - there, 0)
        unchanged += min(len(search.trials), there)
    return ExportReport(len(searches), written, unchanged)


def _stored(name: str) -> str:
    """A name as Optuna's databases hold it: a long one by its start and its hash."""
    name = name.replace("\0", r"\x00")
    if len(name) <= _LONGEST_NAME:
        return name
    key = content_key(name, 10)
    return f"{name[: _LONGEST_NAME - len(key) - 2]}… {key}"


def _describe(study: optuna.Study, search: ExportedSearch) -> None:
    known = study.user_attrs
    for name, value in {**search.facts, _SCIENCE: search.science}.items():
        if known.get(name) != value:
            study.set_user_attr(name, value)
    names = list(search.objectives)
    if study.metric_names != names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names(names)
