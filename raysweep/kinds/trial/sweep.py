"""The plans of a study of trials of the user's own, and what its search has saved."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from raysweep.kinds.forcing.cell_search import search_draws
from raysweep.kinds.forcing.plan import ForcingSweep
from raysweep.text import counted

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
    """How many epochs a search did not train because it halves, in a sentence; mostly nothing."""
    study: TrialStudy = sweep.study  # type: ignore[assignment]
    halving = study.search.halving
    if halving is None:
        return []
    whole = halving.epochs[-1]
    trials = stopped = trained = 0
    for plan in sweep.plans.values():
        seeds = len(search_draws(study, plan.cell)) * len(study.search.seeds)
        for outcome in plan.outcomes:
            trials += seeds
            stopped += seeds * bool(outcome.stopped)
            trained += seeds * (outcome.stopped or whole)
    if not trials:
        return []
    return [
        f"Halving stopped {stopped} of {counted(trials, 'trial')} of the search early: "
        f"{trained} epochs instead of {trials * whole}."
    ]
