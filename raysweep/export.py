"""The searches of a run as Optuna studies, for optuna-dashboard and whatever else reads them."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from raysweep.emergence import tuning
from raysweep.emergence.families import family_labels, heterogeneity_depth
from raysweep.emergence.plan import MODALITIES, EmergenceSweep, tuning_cells
from raysweep.errors import InputError
from raysweep.run_folder import RunFolder
from raysweep.science import science_digest
from raysweep.search import objectives, told
from raysweep.seeds import content_key
from raysweep.sweep import Sweep

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
class _Search:
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
    sweep = folder.open_sweep(folder.existing_study())
    if isinstance(sweep, EmergenceSweep):
        if sweep.study.tuning is None:
            raise InputError(
                f"{folder.output.location}: there is no search to export: {sweep.study.name} is "
                "an emergence study without tuning, whose rates are given in training"
            )
        searches = list(_searches_of_rates(sweep))
    else:
        searches = list(_searches_of_strengths(sweep))
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


def _searches_of_strengths(sweep: Sweep) -> Iterator[_Search]:
    study = sweep.study
    for cell in sweep.cells:
        yield _Search(
            f"{study.name}: {sweep.labels[cell.id]}",
            objectives(study.search),
            {
                "study": study.name,
                "description": study.description,
                "cell": cell.id,
                "data": cell.dataset,
                **dict(cell.parameters),
                "depth": [cell.depth_1, cell.depth_2],
                "width": [cell.width_1, cell.width_2],
                "loss": study.alignment.loss,
                "metric": study.metric,
            },
            science_digest(study),
            told(study.search, sweep.plans[cell.id].outcomes),
            study.search.generation,
        )


def _searches_of_rates(sweep: EmergenceSweep) -> Iterator[_Search]:
    study = sweep.study
    assert study.tuning is not None
    labels = family_labels(sweep.families)
    for family in sweep.families:
        common = set.intersection(*(set(cell.parameters) for cell in family.cells))
        for modality in MODALITIES:
            cells = tuning_cells(study.tuning, family, modality)
            heterogeneities = dict.fromkeys(heterogeneity_depth(cell) for cell in cells)
            depths = dict.fromkeys((cell.depth_1, cell.depth_2)[modality - 1] for cell in cells)
            yield _Search(
                f"{study.name}: {labels[family.key]}, modality {modality}",
                ["performance"],
                {
                    "study": study.name,
                    "description": study.description,
                    "data": family.cells[0].dataset,
                    **dict(sorted(common)),
                    "modality": modality,
                    "depths": list(depths),
                    "D_phi": [value for value in heterogeneities if value is not None],
                    "draw": family.draws[0],
                    "seeds": list(study.tuning.seeds),
                    "cells": [cell.id for cell in cells],
                },
                content_key(
                    [
                        science_digest(study),
                        study.tuning.model_dump(mode="json", exclude=_SELECTION),
                        family.draws[0],
                        [cell.id for cell in cells],
                    ]
                ),
                tuning.told(study.tuning, sweep.family_plans[family.key].outcomes[modality - 1]),
                study.tuning.generation,
            )


# What these select is in the cells.
_SELECTION = {"depths", "offsets", "D_phi"}


def _describe(study: optuna.Study, search: _Search) -> None:
    known = study.user_attrs
    for name, value in {**search.facts, _SCIENCE: search.science}.items():
        if known.get(name) != value:
            study.set_user_attr(name, value)
    names = list(search.objectives)
    if study.metric_names != names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names(names)
