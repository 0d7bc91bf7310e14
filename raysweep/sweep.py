"""What to run next: the plans of all cells, kept up to date while results come in.

A `Sweep` does not know who runs a pack; the local runner and the Ray runner both drive one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from raysweep.cells import Cell, expand, varying
from raysweep.packing import Pack, cohorts
from raysweep.planning import CellPlan, CellState, Earlier, plan_cohort, trials_of_cell
from raysweep.science import science_digest as science_digest
from raysweep.search import objectives
from raysweep.spec import Study
from raysweep.trials import Trial, TrialResult


@dataclass
class Sweep:
    """The plans of all cells of a study, kept up to date as packs finish.

    Attributes:
        study: the study.
        results: key -> result of every trial that is there.
        earlier: what the searches proposed before the study was widened.
        labels: cell id -> short readable name.
        cohorts: the cells that share packs.
    """

    study: Study
    results: dict[str, TrialResult] = field(default_factory=dict)
    earlier: Earlier = field(default_factory=dict)

    urgency: ClassVar[tuple[CellState, ...]] = (CellState.CONFIRMING, CellState.SEARCHING)

    def __post_init__(self) -> None:
        self.cells = expand(self.study)
        self.labels = varying(self.cells)
        self._plans: dict[str, CellPlan] = {}
        self._plan_all()
        self._out: dict[str, Pack] = {}
        self._running: dict[str, Pack] = {}
        self._failed: dict[str, str] = {}
        self.finished_packs = 0

    def _plan_all(self) -> None:
        """Make the plans of all cells."""
        self.cohorts = cohorts(self.cells, self.study.resources.cells_per_pack)
        self._cohort_of = {cell.id: cohort for cohort in self.cohorts for cell in cohort}
        plans = {
            plan.cell.id: plan
            for cohort in self.cohorts
            for plan in plan_cohort(self.study, cohort, self.results, self.earlier)
        }
        self._plans = {cell.id: plans[cell.id] for cell in self.cells}

    def _plan_after(self, pack: Pack) -> None:
        """Bring up to date the plans that the results of a pack change."""
        whole = all(trial.key in self.results for trial in pack.trials)
        for cohort in dict.fromkeys(self._cohort_of[cell.id] for cell in pack.cells):
            plans = [_without(self._plans[cell.id], pack) for cell in cohort]
            # Nothing new is decided before a generation is whole.
            decides = any(p.state is CellState.SEARCHING and not p.packs for p in plans)
            if decides or not whole:
                plans = plan_cohort(self.study, cohort, self.results, self.earlier)
            self._plans.update((plan.cell.id, plan) for plan in plans)

    def next_pack(self) -> Pack | None:
        """A pack to run now, or None while there is none; it is not handed out again.

        Cells nearest to their end come first, so that verdicts come in early; the order has no
        influence on any result.
        """
        for state in self.urgency:
            for plan in self._plans.values():
                if plan.state is not state:
                    continue
                for pack in plan.packs:
                    if pack.key not in self._out and pack.key not in self._failed:
                        self._out[pack.key] = pack
                        return pack
        return None

    def begin(self, pack: Pack) -> None:
        """Note that a worker has started on a pack; until then it waits for one."""
        self._running[pack.key] = pack

    def lose(self, pack: Pack) -> None:
        """Note that a pack's worker is gone; the pack waits for another."""
        self._running.pop(pack.key, None)

    def complete(self, pack: Pack, results: Iterable[TrialResult]) -> None:
        """Take in the results of a pack."""
        self.results.update((result.key, result) for result in results)
        self._take_back(pack)
        self.finished_packs += 1
        self._plan_after(pack)

    def fail(self, pack: Pack, reason: str) -> None:
        """Give a pack up for this run; a later run tries it again."""
        self._take_back(pack)
        self._failed[pack.key] = reason

    @property
    def finished(self) -> bool:
        """Whether nothing is handed out and nothing is left that could run."""
        return not self._out and all(
            pack.key in self._failed for plan in self._plans.values() for pack in plan.packs
        )

    @property
    def failures(self) -> Mapping[str, str]:
        """Key of each pack that was given up -> why."""
        return dict(self._failed)

    @property
    def running(self) -> tuple[Pack, ...]:
        """The packs that are running now."""
        return tuple(self._running.values())

    @property
    def plans(self) -> Mapping[str, CellPlan]:
        """Cell id -> its plan."""
        return dict(self._plans)

    def missing(self) -> list[Pack]:
        """The packs that are not there; one may be of several cells."""
        packs = {pack.key: pack for plan in self._plans.values() for pack in plan.packs}
        return list(packs.values())

    def given_up(self) -> dict[str, str]:
        """Cell -> why a pack that it waits for was given up."""
        return {
            cell: self._failed[pack.key]
            for cell, plan in self._plans.items()
            for pack in plan.packs
            if pack.key in self._failed
        }

    def behind(self, cell: Cell) -> Sequence[Trial]:
        """The trials that a cell's answer comes from."""
        return self._plans[cell.id].trials

    @property
    def criteria(self) -> Sequence[str]:
        """What a strength is chosen by."""
        return objectives(self.study.search)

    @property
    def metric(self) -> str:
        """The alignment metric that the search goes by."""
        return self.study.metric

    def state(self, cell: Cell) -> CellState:
        """How far a cell is; failed where a pack that it waits for was given up."""
        plan = self._plans[cell.id]
        if any(pack.key in self._failed for pack in plan.packs):
            return CellState.FAILED
        return plan.state

    def _take_back(self, pack: Pack) -> None:
        self._out.pop(pack.key, None)
        self._running.pop(pack.key, None)

    def order(self) -> dict[str, Trial]:
        """All trials planned so far by key, each once, in the order of the final table."""
        planned: dict[str, Trial] = {}
        for plan in self._plans.values():
            for trial in plan.trials:
                planned.setdefault(trial.key, trial)
        return planned

    def trials_planned(self) -> int:
        """Trials the whole study will have when done.

        At most so many while cells are still searching: two criteria may choose one strength.
        """
        searching = (CellState.SEARCHING,)
        return sum(
            trials_of_cell(self.study, plan.cell)
            if plan.state in searching
            else len({trial.key for trial in plan.trials})
            for plan in self._plans.values()
        )


def _without(plan: CellPlan, pack: Pack) -> CellPlan:
    """The plan of a cell that waits for a pack no more."""
    left = tuple(other for other in plan.packs if other.key != pack.key)
    done = not left and plan.state is CellState.CONFIRMING
    return replace(plan, packs=left, state=CellState.DONE if done else plan.state)
