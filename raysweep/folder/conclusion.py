"""What a run is concluded with: the plan registered before it, the verdict and the report after it.

The only module that calls `raysweep_analysis`, and only when asked to: a run needs none of it.
"""

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from raysweep.data.own_notes import own_notes
from raysweep.errors import InputError
from raysweep.folder.causes import WAITING, given_up
from raysweep.folder.run_folder import RunFolder
from raysweep.folder.stored_answer import store_answer
from raysweep.kinds.kind import kind_of
from raysweep.kinds.sweep import Sweep
from raysweep.study.spec import SearchedStudy, StudyBase
from raysweep.study.spec.fields import listed
from raysweep.text import counted
from raysweep.trials.table import PART_SUFFIX, PARTS

if TYPE_CHECKING:
    import pandas as pd

    from raysweep_analysis.pilot import PilotSpread as PilotSpread
    from raysweep_analysis.report import Findings

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
        emergence: emergent alignment in one row per value of a characteristic, or per pair of
            models; empty in a forcing study.
        sentences: the answer in plain words, most important first.
        report: where the page is.
        tested: of a forcing study, how many of its cells have a test; of an emergence study, how
            many have a measurement.
        unfinished: whether runs are still to come.
        findings: everything that was found in the table.
    """

    effects: "pd.DataFrame"
    emergence: "pd.DataFrame"
    sentences: tuple[str, ...]
    report: str
    tested: Tested
    unfinished: bool
    findings: "Findings"

    @property
    def first(self) -> str:
        """The sentence that answers."""
        return self.sentences[0] if self.sentences else ""

    @property
    def unknown(self) -> tuple[str, ...]:
        """What is not known and what would tell, as in `sentences`, where it comes second."""
        said = self.findings.answer
        return () if said is None else tuple(f"- {sentence}" for sentence in said.unknown)

    @property
    def state(self) -> str:
        """What the answer is from: ``5 of 5 cells tested``."""
        end = " so far" if self.unfinished else ""
        return f"{self.tested.cells} of {counted(self.tested.of, 'cell')} tested{end}"


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
    plan = kind_of(study).registered(study)
    if plan is None:
        return ""
    from raysweep_analysis.preregistration import PLAN_NAME, read_plan, register

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


def detectable_effect(study: StudyBase, power: float = 0.8) -> float | None:
    """The smallest standardised effect (d_z) that the study would find in a cell.

    With the confirm seeds as units, or the draws where a cell has several, at the level of Holm's
    first step over all comparisons: what the worst cell needs.

    Returns:
        d_z: the true mean difference over its standard deviation between units; NaN for one unit,
        None for a study that forces nothing.
    """
    return kind_of(study).detectable_effect(study, power)


def pilot_spread(pilot: RunFolder, study: StudyBase) -> "PilotSpread":
    """How much units of the study's outcome spread in a pilot of it.

    Args:
        pilot: a run of the same study with few draws.
        study: that is to be sized.

    Raises:
        InputError: the study tests nothing, there is no trial table, or it holds no pairs.
    """
    from raysweep_analysis.load import load_trials
    from raysweep_analysis.pilot import pilot_spread as spread

    if not isinstance(study, SearchedStudy):
        raise InputError(f"--pilot: a study of kind {study.kind} tests nothing that it would size")
    return spread(load_trials(pilot.output.location), study.verdict.performance)


def conclude(folder: RunFolder, study: StudyBase, sweep: Sweep | None = None) -> Conclusion:
    """`judge` a run, and write its report, figures and tables beside its trial table.

    Raises:
        InputError: as `judge`.
        OSError: the output cannot be written.
    """
    from raysweep_analysis.report import report_contents

    conclusion = judge(folder, study, sweep)
    for name, content in report_contents(conclusion.findings).items():
        folder.output.write(name, content)
    store_answer(
        folder.output,
        conclusion.first,
        conclusion.state,
        _verdicts_of(conclusion.effects),
        _intervals_of(conclusion.effects),
    )
    return conclusion


def under_all_choices(folder: RunFolder, conclusion: Conclusion) -> list[str]:
    """Judge a run under every choice that its rows allow; write tables and a figure of it.

    Returns:
        Sentences: how far verdicts hang on the choices, cell by cell.

    Raises:
        OSError: the output cannot be written.
    """
    from raysweep_analysis.report import multiverse_contents

    sentences, contents = multiverse_contents(conclusion.findings)
    for name, content in contents.items():
        folder.output.write(name, content)
    return sentences


def _verdicts_of(effects: "pd.DataFrame") -> dict[str, dict[str, str]]:
    """Cell id -> criterion -> verdict."""
    found: dict[str, dict[str, str]] = {}
    for row in effects.to_dict("records") if "verdict" in effects else ():
        found.setdefault(str(row["cell"]), {})[str(row["chosen_by"])] = str(row["verdict"])
    return found


def _intervals_of(effects: "pd.DataFrame") -> dict[str, dict[str, tuple[float, float]]]:
    """Cell id -> criterion -> the ends of the effect's interval, where it has one."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for row in effects.to_dict("records") if "verdict" in effects else ():
        ends = float(row["ci_low"]), float(row["ci_high"])
        if all(map(math.isfinite, ends)):
            found.setdefault(str(row["cell"]), {})[str(row["chosen_by"])] = ends
    return found


def judge(folder: RunFolder, study: StudyBase, sweep: Sweep | None = None) -> Conclusion:
    """Analyse a run.

    Args:
        folder: of the run.
        study: whose cells are expected to have a verdict, and whose names they go by.
        sweep: as the run has left it; by default as its folder tells.

    Raises:
        InputError: there is no trial table, or it cannot be analysed.
    """
    from raysweep_analysis.report import find

    sweep = folder.left(study) if sweep is None else sweep
    waiting = dict.fromkeys((cell for cell, plan in sweep.plans.items() if plan.packs), WAITING)
    waiting.update((cell, given_up(why)) for cell, why in sweep.given_up().items())
    kind = kind_of(study)
    notes = _without(kind.answer, kind.unanswered(folder, sweep, waiting), sweep.labels)
    notes += [*kind.remarks(sweep), *own_notes(study)]
    found = find(folder.output.location, waiting=waiting, notes=notes)
    lines = found.answer.lines() if found.answer is not None else found.emergence
    effects = found.effects
    if "cell" in effects:
        labels = effects["cell"].map(sweep.labels)
        effects = effects.assign(label=labels.fillna(effects["label"]))
    return Conclusion(
        effects,
        found.emergent,
        (*lines, *notes),
        folder.output.place(REPORT_NAME),
        Tested(kind.answered(found, sweep), len(sweep.cells)),
        bool(waiting),
        found,
    )


def _without(what: str, left: Mapping[str, str], labels: Mapping[str, str]) -> list[str]:
    """The sentences about cells that nothing else is said of, one for each cause."""
    by_cause: dict[str, list[str]] = {}
    for cell, why in left.items():
        by_cause.setdefault(why, []).append(labels[cell])
    return [
        f"No {what} on {len(names)} of {len(labels)} cells ({listed(names)}): {why}."
        for why, names in by_cause.items()
    ]
