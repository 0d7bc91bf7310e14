"""What a forcing study commits itself to before its first trial, and what it could find."""

from dataclasses import replace

import numpy as np

from raysweep.data.registry import DATASETS
from raysweep.data.resplits import HELD_OUT, TURN
from raysweep.study.cells import Cell, expand
from raysweep.study.fingerprint import science_digest
from raysweep.study.spec import SearchedStudy
from raysweep_analysis.inference import detectable_effect as smallest
from raysweep_analysis.inference import look_levels, overlap_of, shared_variance
from raysweep_analysis.preregistration import AnalysisPlan

RESAMPLED = (
    "paired t, two-sided; over splits of the same rows with what they share added to its variance"
)


def analysis_plan(study: SearchedStudy) -> AnalysisPlan:
    """Everything that the verdicts of a study hang on."""
    cells = expand(study)
    plan = AnalysisPlan(
        study=study.name,
        cells=tuple(cell.id for cell in cells),
        draws={cell.id: cell.draws for cell in cells},
        seeds=study.confirm.seeds,
        search_seeds=study.search.seeds,
        criteria=study.criteria,
        performance=study.verdict.performance,
        alpha=study.verdict.alpha,
        margin=study.verdict.margin,
        hypotheses=study.verdict.hypotheses,
        science=science_digest(study),
    )
    if any(map(_splits_anew, cells)):
        plan = replace(plan, test=RESAMPLED)
    return replace(plan, test=f"{plan.test}; {_looks(study)}") if study.confirm.sequential else plan


def _looks(study: SearchedStudy) -> str:
    """How a sequential study ends, in words."""
    units = ", ".join(map(str, study.confirm.sequential))
    return (
        f"looked at after {units} units of a cell, alpha spent in proportion to them; a cell stops "
        "as soon as it is decided at the level of Holm's first step; placebo where forcing differs"
    )


def _splits_anew(cell: Cell) -> bool:
    """Whether a cell's draws are several splits of the same rows."""
    # Rows that come with their split have one draw.
    return len(cell.draws) > 1 and cell.dataset in DATASETS and DATASETS[cell.dataset].own


def detectable_effect(study: SearchedStudy, power: float) -> float:
    """See `raysweep.folder.conclusion.detectable_effect`."""
    cells = expand(study)
    level = study.verdict.alpha / (len(cells) * len(study.criteria))
    if study.confirm.sequential:  # of the last look alone
        level = 2 * float(look_levels(study.confirm.sequential, level / 2)[-1])
    found = []
    for cell in cells:
        units = len(cell.draws) if len(cell.draws) > 1 else len(study.confirm.seeds)
        overlap = overlap_of(cell.draws, TURN, HELD_OUT / (1 - HELD_OUT))
        shared = float(shared_variance(overlap)) if _splits_anew(cell) else 0.0
        found.append(smallest(units, level, power, shared))
    return float(np.max(found))  # NaN where one of them is
