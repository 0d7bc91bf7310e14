"""The plans of a study of trials of the user's own, and what its search has saved."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from raysweep.kinds.forcing.plan import ForcingSweep
from raysweep.text import counted
from raysweep.trials.trial import Stage, Trial, TrialResult

if TYPE_CHECKING:
    from raysweep.kinds.trial.study import TrialStudy


@dataclass
class TrialSweep(ForcingSweep):
    """As of a forcing study; what a trial trains is the user's."""

    @property
    def encoders_per_trial(self) -> None:
        """Nobody knows."""
        return None


def saved(sweep: ForcingSweep) -> list[str]:
    """How many epochs a search did not train because it halves, in sentences; mostly nothing."""
    study: TrialStudy = sweep.study  # type: ignore[assignment]
    halving = study.search.halving
    if halving is None:
        return []
    whole = halving.epochs[-1]
    trials = [
        trial
        for plan in sweep.plans.values()
        for trial in plan.trials
        if trial.stage is Stage.SEARCH and 0 <= trial.number < len(plan.outcomes)
    ]
    if not trials:
        return []
    stopped = sum(bool(trial.epochs) for trial in trials)
    least = sum(trial.epochs or whole for trial in trials)
    trained = least + sum(_again(sweep.results, trial, halving.epochs) for trial in trials)
    said = (
        f"Halving stopped {stopped} of {counted(len(trials), 'trial')} of the search early: "
        f"{trained} epochs instead of {len(trials) * whole}."
    )
    anew = (
        f"Trials that went on began anew; where they do so from trial.save, it is {least} epochs."
    )
    return [said, *([anew] if trained > least else [])]


def _again(results: Mapping[str, TrialResult], trial: Trial, looks: Sequence[int]) -> int:
    """Epochs that a trial trained anew when it went on, if that is known."""
    whole, again = looks[-1], 0
    for before, until in itertools.pairwise(looks):
        if until > (trial.epochs or whole):
            break
        went_on = results.get(replace(trial, epochs=until if until < whole else 0).key)
        began = None if went_on is None else went_on.values.get("began_after")
        again += 0 if began is None else max(before - int(began), 0)
    return again
