"""The searches of learning rate and weight decay, as they are exported to Optuna."""

from collections.abc import Iterator

from raysweep.errors import InputError
from raysweep.kinds.emergence import tuning
from raysweep.kinds.emergence.families import family_labels, heterogeneity_depth
from raysweep.kinds.emergence.plan import MODALITIES, EmergenceSweep, tuning_cells
from raysweep.seeds import content_key
from raysweep.study.fingerprint import science_digest
from raysweep.tracking.optuna_export import ExportedSearch

# What these select is in the cells.
_SELECTION = {"depths", "offsets", "D_phi"}


def searches(sweep: EmergenceSweep, place: str) -> Iterator[ExportedSearch]:
    """One search per family of data and modality; the value is the mean validation accuracy.

    Args:
        sweep: of the run.
        place: where it is, for messages.

    Raises:
        InputError: rates are not tuned.
    """
    study = sweep.study
    if study.tuning is None:
        raise InputError(
            f"{place}: there is no search to export: {study.name} is an emergence study without "
            "tuning, whose rates are given in training"
        )
    labels = family_labels(sweep.families)
    for family in sweep.families:
        common = set.intersection(*(set(cell.parameters) for cell in family.cells))
        for modality in MODALITIES:
            cells = tuning_cells(study.tuning, family, modality)
            heterogeneities = dict.fromkeys(heterogeneity_depth(cell) for cell in cells)
            depths = dict.fromkeys((cell.depth_1, cell.depth_2)[modality - 1] for cell in cells)
            yield ExportedSearch(
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
