"""The searches of strengths, as they are exported to Optuna."""

import math
from collections.abc import Iterator

import numpy as np

from raysweep.kinds.forcing.plan import ForcingSweep
from raysweep.kinds.forcing.search import told
from raysweep.study.cells import Cell
from raysweep.study.fingerprint import science_digest
from raysweep.tracking.optuna_export import ExportedSearch
from raysweep.trials.columns import named
from raysweep.trials.trial import Arm, Stage


def _scale(cell: Cell) -> dict[str, list[int]]:
    if not cell.scale:
        return {}
    return {"depth": [cell.depth_1, cell.depth_2], "width": [cell.width_1, cell.width_2]}


def _baseline(sweep: ForcingSweep, cell: Cell) -> dict[str, float]:
    """What strength 0 comes to in the search, beside which every strength is to be read.

    It is no trial: a logarithmic range of strengths has no 0, and Optuna would take no parameter
    for important that one trial lacks.
    """
    study, plan = sweep.study, sweep.plans[cell.id]
    none = [t for t in plan.trials if t.arm is Arm.NONE and t.stage is Stage.SEARCH]
    found = [sweep.results[trial.key] for trial in none if trial.key in sweep.results]
    if not found or len(found) < len(none):
        return {}
    columns = {
        "alignment": named("alignment", study.metric, "validation"),
        "performance": study.searched_performance,
    }
    means = {
        f"strength_0_{name}": float(np.mean([result.number(column) for result in found]))
        for name, column in columns.items()
    }
    return {name: value for name, value in means.items() if math.isfinite(value)}


def searches(sweep: ForcingSweep) -> Iterator[ExportedSearch]:
    """One search per cell; values are means over draws and seeds of the validation split."""
    study = sweep.study
    for cell in sweep.cells:
        yield ExportedSearch(
            f"{study.name}: {sweep.labels[cell.id]}",
            study.criteria,
            {
                "study": study.name,
                "description": study.description,
                "cell": cell.id,
                "data": cell.dataset,
                **dict(cell.parameters),
                **_scale(cell),
                "loss": study.alignment.loss,
                "metric": study.metric,
                **_baseline(sweep, cell),
            },
            science_digest(study),
            told(study.search, sweep.plans[cell.id].outcomes),
            study.search.generation,
        )
