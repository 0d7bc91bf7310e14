"""Runs a sweep without training: results come from a known function of the trial."""

import math
import random
from collections.abc import Callable, Iterable, Mapping

from raysweep.kinds.forcing.plan import ForcingSweep as Sweep
from raysweep.kinds.forcing.search import Outcome
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.kinds.sweep import NONE, CellPlan, Earlier
from raysweep.seeds import derive_seed
from raysweep.trials.packing import Pack
from raysweep.trials.trial import Proposal, Status, Trial, TrialResult

MOST_PACKS = 2_000
Measure = Callable[[Trial], TrialResult]


def noise(trial: Trial, what: str) -> float:
    """Between 0 and 1, another for every trial; search and confirm of one seed differ, too."""
    return derive_seed(what, trial.key) / 2**63


def measured(trial: Trial, study_metric: str = "unbiased_cka") -> TrialResult:
    """Alignment peaks near strength 1, performance near 0.1; above 6 half of the trials diverge."""
    if trial.strength > 6 and noise(trial, "diverges") < 0.5:
        return TrialResult(trial.key, Status.DIVERGED, {})
    log = math.log10(trial.strength) if trial.strength > 0 else -4.0
    values = {
        f"alignment_{study_metric}_validation": 1 - log**2 + 0.1 * noise(trial, "alignment"),
        "performance_fused_validation": 0.9 - (log + 1) ** 2 + 0.1 * noise(trial, "performance"),
    }
    return TrialResult(trial.key, Status.OK, values)


def diverged(trial: Trial) -> TrialResult:
    """Whatever is tried diverges, save the baseline."""
    status = Status.OK if trial.strength == 0 else Status.DIVERGED
    return TrialResult(trial.key, status, {})


def run(
    study: Study,
    results: Mapping[str, TrialResult] | None = None,
    measure: Measure = measured,
    choice: random.Random | None = None,
    stop_after: int | None = None,
    fails: Callable[[Pack], bool] = lambda pack: False,
    earlier: Earlier = NONE,
) -> Sweep:
    """Run a sweep to its end, or until so many packs have come in.

    Args:
        study: the study.
        results: what is there already.
        measure: gives the results.
        choice: how many packs run at once and which comes in first; one by one if None.
        stop_after: packs that come in before the run is cut off; running ones are lost.
        fails: whether a pack raises.
        earlier: what was proposed before the study was widened.
    """
    sweep = Sweep(study, dict(results or {}), earlier)
    running: list[Pack] = []
    for _ in range(MOST_PACKS):
        if sweep.finished:
            return sweep
        at_once = 1 if choice is None else choice.randint(1, 5)
        while len(running) < at_once and (pack := sweep.next_pack()) is not None:
            running.append(pack)
        pack = running.pop(0 if choice is None else choice.randrange(len(running)))
        if fails(pack):
            sweep.fail(pack, "raised")
            continue
        sweep.complete(pack, [measure(trial) for trial in pack.trials])
        if sweep.finished_packs == stop_after:
            return sweep
    raise AssertionError("the sweep does not end")


def essence(sweep: Sweep) -> list[tuple[object, ...]]:
    """What must not depend on how a sweep was run: all planned trials with their plan."""
    return [
        (t.key, t.strength, t.options, t.arm, t.stage, t.generation, t.number, t.chosen_by)
        for t in sweep.order().values()
    ]


def outcomes_by_hand(study: Study, plan: CellPlan, trials: Iterable[Trial]) -> list[Outcome]:
    """The outcomes of a plan's search, worked out slowly from the trials themselves."""
    strengths: dict[int, list[Trial]] = {}
    for trial in trials:
        if trial.number >= 0 and trial.cell.id == plan.cell.id:
            strengths.setdefault(trial.number, []).append(trial)
    found = []
    for number in sorted(strengths):
        group = strengths[number]
        proposal = Proposal(group[0].strength, group[0].options)
        results = [measured(trial) for trial in group]
        if any(result.status is Status.DIVERGED for result in results):
            found.append(Outcome(proposal, math.nan, math.nan))
            continue
        means = [
            sum(result.number(column) for result in results) / len(results)
            for column in (
                f"alignment_{study.metric}_validation",
                "performance_fused_validation",
            )
        ]
        found.append(Outcome(proposal, *means))
    return found
