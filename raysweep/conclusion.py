"""What a run is concluded with: the plan registered before it, the verdict and the report after it.

The only module that calls `raysweep_analysis`, and only when asked to: a run needs none of it.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from raysweep.cells import expand, varying
from raysweep.run_folder import RunFolder
from raysweep.science import science_digest
from raysweep.spec import Study, StudyBase
from raysweep.spec.values import listed
from raysweep.table import PART_SUFFIX, PARTS

if TYPE_CHECKING:
    import pandas as pd

    from raysweep_analysis.plan import AnalysisPlan

REPORT_NAME = "report.html"


class Tested(NamedTuple):
    """Cells of a study that have a test, and all of them."""

    cells: int
    of: int


@dataclass(frozen=True)
class Conclusion:
    """What a run says.

    Attributes:
        effects: the verdicts, one row per cell and criterion; empty without a confirm stage.
        emergence: emergent alignment in one row per value of a characteristic; empty in a forcing
            study.
        sentences: the answer in plain words, most important first.
        report: where the page is.
        tested: of a forcing study, how many of its cells have a test.
    """

    effects: "pd.DataFrame"
    emergence: "pd.DataFrame"
    sentences: tuple[str, ...]
    report: str
    tested: Tested | None


def register_plan(folder: RunFolder, study: StudyBase) -> str:
    """Store what the study commits itself to, with its hash, before the first trial.

    A folder that has results already keeps the plan it has, or has none: what was seen cannot be
    planned any more. An extension of a study is therefore reported as a deviation from its plan.

    Returns:
        A line that says which plan holds, with its hash; empty if there is none. An emergence study
        tests nothing that it chose before, so it has none.

    Raises:
        InputError: the plan that is there is damaged.
    """
    if not isinstance(study, Study):
        return ""
    from raysweep_analysis.plan import PLAN_NAME, read_plan, register

    plan = _plan(study)
    if folder.output.names(PARTS, PART_SUFFIX):
        stored = folder.output.read(PLAN_NAME)
        if stored is None:
            return ""
        place = folder.output.place(PLAN_NAME)
        kept = read_plan(stored.decode(errors="replace"), place)[0].digest
        grown = "" if kept == plan.digest else "; the study has changed since, which is reported"
        return f"plan registered before the first trial: {kept}{grown}"
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    folder.output.write(PLAN_NAME, register(plan, now).encode())
    return f"plan registered before the first trial: {plan.digest}"


def _plan(study: Study) -> "AnalysisPlan":
    from raysweep_analysis.plan import AnalysisPlan

    cells = expand(study)
    criteria = ("alignment", "performance")
    return AnalysisPlan(
        study=study.name,
        cells=tuple(cell.id for cell in cells),
        draws={cell.id: cell.draws for cell in cells},
        seeds=study.confirm.seeds,
        search_seeds=study.search.seeds,
        criteria=criteria if study.search.objective == "both" else (study.search.objective,),
        performance=study.verdict.performance,
        alpha=study.verdict.alpha,
        margin=study.verdict.margin,
        hypotheses=study.verdict.hypotheses,
        science=science_digest(study),
    )


def detectable_effect(study: StudyBase, power: float = 0.8) -> float | None:
    """The smallest standardised effect (d_z) that the study would find in a cell.

    With the confirm seeds as units, or the draws where a cell has several, at the level of Holm's
    first step over all comparisons: what the worst cell needs.

    Returns:
        d_z: the true mean difference over its standard deviation between units; NaN for one unit,
        None for a study that forces nothing.
    """
    if not isinstance(study, Study):
        return None
    from raysweep_analysis.inference import detectable_effect as smallest

    cells = expand(study)
    comparisons = len(cells) * (2 if study.search.objective == "both" else 1)
    draws = min(len(cell.draws) for cell in cells)
    units = draws if draws > 1 else len(study.confirm.seeds)
    return smallest(units, study.verdict.alpha / comparisons, power)


def conclude(folder: RunFolder, study: StudyBase) -> Conclusion:
    """Analyse a run and write its report, figures and tables beside its trial table.

    Args:
        folder: of the run.
        study: whose cells are expected to have a verdict, and whose names they go by.

    Raises:
        InputError: there is no trial table, or it cannot be analysed.
        OSError: the output cannot be written.
    """
    from raysweep_analysis.report import find, report_contents

    found = find(folder.output.location)
    for name, content in report_contents(found).items():
        folder.output.write(name, content)
    lines = list(found.answer.lines() if found.answer is not None else found.emergence)
    effects = found.effects
    tested = None
    if isinstance(study, Study):
        names = varying(expand(study))
        if "cell" in effects:
            effects = effects.assign(label=effects["cell"].map(names).fillna(effects["label"]))
        known = set(effects["cell"]) if "cell" in effects else set()
        with_test = effects[effects["verdict"] != "untested"] if known else effects
        tested = Tested(with_test["cell"].nunique() if known else 0, len(names))
        lines += _without_verdict(names, known)
    report = folder.output.place(REPORT_NAME)
    return Conclusion(effects, found.summary, tuple(lines), report, tested)


def _without_verdict(names: Mapping[str, str], tested: set[str]) -> list[str]:
    """The sentence about cells that nothing is said of, if there are any."""
    left = [name for cell, name in names.items() if cell not in tested]
    if not left:
        return []
    return [
        f"No verdict on {len(left)} of {len(names)} cells ({listed(left)}): their packs failed, "
        "diverged or have not run; `raysweep status` and `raysweep failures` say which."
    ]
