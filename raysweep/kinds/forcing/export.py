"""The searches of strengths, as they are exported to Optuna."""

from collections.abc import Iterator

from raysweep.kinds.forcing.plan import ForcingSweep
from raysweep.kinds.forcing.search import told
from raysweep.study.cells import Cell
from raysweep.study.fingerprint import science_digest
from raysweep.tracking.optuna_export import ExportedSearch


def _scale(cell: Cell) -> dict[str, list[int]]:
    if not cell.scale:
        return {}
    return {"depth": [cell.depth_1, cell.depth_2], "width": [cell.width_1, cell.width_2]}


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
            },
            science_digest(study),
            told(study.search, sweep.plans[cell.id].outcomes),
            study.search.generation,
        )
