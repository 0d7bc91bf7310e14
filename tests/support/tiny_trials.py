"""Trials of a tiny study, run as packs."""

import dataclasses
import math
from collections.abc import Iterable

from raysweep.kinds.forcing.run_pack import run_pack
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.kinds.sweep import science_digest
from raysweep.study.cells import Cell, expand
from raysweep.trials.packing import Pack
from raysweep.trials.table import Row
from raysweep.trials.trial import Arm, Stage, Trial


def trial(study: Study, strength: float = 0.0, cell: Cell | None = None, **more: object) -> Trial:
    cell = cell or expand(study)[0]
    arm = Arm.FORCED if strength else Arm.NONE
    first = Trial(cell, 0, 1000, strength, arm, Stage.CONFIRM, science_digest(study))
    return dataclasses.replace(first, **more)


def rows_of(study: Study, trials: Iterable[Trial]) -> list[Row]:
    return run_pack(study, Pack(tuple(trials)))


def curves(row: Row) -> dict[str, list[float]]:
    """What was seen in each epoch, NaN where nothing was."""
    return {
        name: [math.nan if value is None else value for value in values]
        for name, values in row.items()
        if isinstance(values, list)
    }
