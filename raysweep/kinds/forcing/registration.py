"""What a forcing study commits itself to before its first trial, and what it could find."""

from raysweep.study.cells import expand
from raysweep.study.fingerprint import science_digest
from raysweep.study.spec import SearchedStudy
from raysweep_analysis.inference import detectable_effect as smallest
from raysweep_analysis.preregistration import AnalysisPlan


def analysis_plan(study: SearchedStudy) -> AnalysisPlan:
    """Everything that the verdicts of a study hang on."""
    cells = expand(study)
    return AnalysisPlan(
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


def detectable_effect(study: SearchedStudy, power: float) -> float:
    """See `raysweep.folder.conclusion.detectable_effect`."""
    cells = expand(study)
    comparisons = len(cells) * len(study.criteria)
    draws = min(len(cell.draws) for cell in cells)
    units = draws if draws > 1 else len(study.confirm.seeds)
    return smallest(units, study.verdict.alpha / comparisons, power)
