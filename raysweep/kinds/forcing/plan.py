"""The plan of a cell, or of several that share packs: a pure function of study and results."""

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from raysweep.kinds.forcing.cell_search import (
    CellSearch,
    Phase,
    Results,
    phases,
    proposals_of,
    rungs,
    search_draws,
    state,
)
from raysweep.kinds.forcing.confirm import Confirmation, granted, steps_at_most
from raysweep.kinds.forcing.search import Outcome
from raysweep.kinds.sweep import NONE, CellPlan, CellState, Chain, Earlier, Sweep, in_packs
from raysweep.study.cells import Cell
from raysweep.study.fingerprint import science_digest
from raysweep.study.spec import SearchedStudy
from raysweep.trials.packing import Pack, cohorts, pack_trials, packs_left
from raysweep.trials.trial import Proposal, Stage, Trial

_BEFORE = (CellState.SEARCHING, CellState.TUNING)
"""The states of a cell whose confirm stage is not known yet."""


@dataclass(frozen=True)
class SearchedCell(CellPlan):
    """The plan of a cell whose strength is searched.

    While it searches, it waits for all of its cohort's packs that are not there yet; then for those
    that have trials of its own.

    Attributes:
        told: finished proposals of each phase of the search, in the order of asking.
        stage: its confirm stage as far as it has come; None while it searches.
    """

    told: Mapping[Phase, tuple[Outcome, ...]] = field(default_factory=dict)
    stage: Confirmation | None = field(default=None, compare=False)

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """Finished proposals of the search of strengths."""
        return self.told.get(Phase.STRENGTH, ())


def plan_cell(
    study: SearchedStudy, cell: Cell, results: Results, earlier: Earlier = NONE
) -> SearchedCell:
    """Plan a cell by itself; its trials are those that it has in any cohort."""
    [plan] = plan_cohort(study, [cell], results, earlier)
    return plan


def plan_cohort(
    study: SearchedStudy,
    cells: Sequence[Cell],
    results: Results,
    earlier: Earlier = NONE,
    allowed: Mapping[str, int] | None = None,
) -> list[SearchedCell]:
    """Plan the cells of a cohort from the results that are there.

    The phases of the search come one after the other (`raysweep.kinds.forcing.cell_search`), and
    their generations, each planned from all results of those before; then the confirm stage with
    its three arms. The cells go in lockstep, so that what they
    pack together depends on the study alone; what a cell proposes depends on its own results, and
    on its earlier proposals where it had some in a narrower range. Where a search halves, a
    generation is looked at rung by rung, each when all of it is there: no decision hangs on time.
    So it is with the looks of a sequential confirm stage, of which ``allowed`` says how many a
    budget leaves each cell.
    """
    science, limit = science_digest(study), study.resources.members_per_pack
    searches = [CellSearch(study, cell, science, earlier.get(cell.id, ())) for cell in cells]
    for phase in phases(study):
        while searches[0].left(phase):
            for search in searches:
                search.ask(phase)
            asked = [search.asked for search in searches]
            for before, epochs in itertools.pairwise((None, *rungs(study, phase))):
                if before is not None:
                    asked = [search.go_on(before, epochs or 0, results) for search in searches]
                groups = [[trial] for of_cell in asked for trial in _unique(of_cell)]
                packs = packs_left(pack_trials(groups, limit), results)
                if packs:
                    return [_planned(search, packs, state(phase)) for search in searches]
            for search in searches:
                search.tell(phase, results)
    return _confirmed(searches, results, limit, allowed or {})


def _confirmed(
    searches: Sequence[CellSearch], results: Results, limit: int, allowed: Mapping[str, int]
) -> list[SearchedCell]:
    """The plans of cells whose search is over, step by step of their confirm stages."""
    stages = [
        Confirmation(search, search.chosen(), allowed.get(search.cell.id)) for search in searches
    ]
    while asked := {s.search.cell.id: groups for s in stages if (groups := s.ask())}:
        groups = list(itertools.chain(*asked.values()))
        if packs := packs_left(pack_trials(groups, limit), results):
            return [_waiting(stage, packs, stage.search.cell.id in asked) for stage in stages]
        for stage in stages:
            if stage.search.cell.id in asked:
                stage.tell(results)
    return [_waiting(stage, (), False) for stage in stages]


def _waiting(stage: Confirmation, packs: Sequence[Pack], asks: bool) -> SearchedCell:
    """The plan of a cell that confirms, or is done.

    Where cells look at what they have before they go on, they wait for each other.
    """
    cell = stage.search.cell
    own = packs if stage.search.study.confirm.sequential else _of_cell(packs, cell)
    own = own if asks else ()
    state_is = CellState.CONFIRMING if own else CellState.DONE
    state_is = state_is if stage.chosen else CellState.NO_STRENGTH
    stage.search.trials += stage.trials
    return replace(_planned(stage.search, own, state_is, stage.chosen), stage=stage)


def _of_cell(packs: Iterable[Pack], cell: Cell) -> tuple[Pack, ...]:
    return tuple(pack for pack in packs if cell in pack.cells)


def _planned(
    search: CellSearch,
    packs: Iterable[Pack],
    how_far: CellState,
    chosen: Mapping[str, Proposal] | None = None,
) -> SearchedCell:
    """A cell's plan as far as it has come."""
    trials = (*search.trials, *search.asked)
    told = {phase: tuple(of) for phase, of in search.told.items()}
    return SearchedCell(search.cell, trials, tuple(packs), how_far, chosen or {}, told)


def trials_of_cell(study: SearchedStudy, cell: Cell) -> int:
    """Trials of a cell: the search with its baseline, then the arms of the confirm stage."""
    return trials_by_stage(study, cell).total()


def trials_by_stage(study: SearchedStudy, cell: Cell) -> Counter[Stage]:
    """`trials_of_cell`, stage by stage."""
    searched = len(search_draws(study, cell)) * len(study.search.seeds)
    confirmed = len(cell.draws) * len(study.confirm.seeds)
    found = Counter({Stage.SEARCH: searched})
    for phase in phases(study):
        stage = Stage.SEARCH if phase is Phase.STRENGTH else Stage.TUNE
        found[stage] += proposals_of(study, cell, phase) * searched
    found[Stage.CONFIRM] = (1 + 2 * len(study.criteria)) * confirmed
    return found


def _unique(trials: Iterable[Trial]) -> list[Trial]:
    return list({trial.key: trial for trial in trials}.values())


@dataclass
class ForcingSweep(Sweep[SearchedStudy]):
    """The plans of all cells of a forcing study.

    Attributes:
        earlier: what the searches proposed before the study was widened.
        cohorts: the cells that share packs.
    """

    earlier: Earlier = field(default_factory=dict)

    urgency: ClassVar[tuple[CellState, ...]] = (CellState.CONFIRMING, *_BEFORE)

    def _plan_all(self) -> None:
        """Make the plans of all cells."""
        self._plans: dict[str, SearchedCell] = {}
        self.cohorts = cohorts(self.cells, self.study.resources.cells_per_pack)
        self._cohort_of = {cell.id: cohort for cohort in self.cohorts for cell in cohort}
        # Under a budget every cell has its first look, and what is left then is shared out.
        budget = self.study.confirm.budget is not None
        self._allowed = dict.fromkeys(self._cohort_of, 1) if budget else {}
        plans = {plan.cell.id: plan for cohort in self.cohorts for plan in self._planned(cohort)}
        self._plans = {cell.id: plans[cell.id] for cell in self.cells}
        self._share_out()

    def _planned(self, cohort: Sequence[Cell]) -> list[SearchedCell]:
        return plan_cohort(self.study, cohort, self.results, self.earlier, self._allowed)

    def _share_out(self) -> None:
        """Let open cells look once more, as far as the budget goes, once all cells have looked."""
        while self._allowed and not any(plan.packs for plan in self._plans.values()):
            trials = {cell: plan.trials for cell, plan in self._plans.items()}
            stages = {c: plan.stage for c, plan in self._plans.items() if plan.stage is not None}
            more = granted(self.study, trials, stages, self.results)
            if not more:
                return
            self._allowed |= more
            for cohort in dict.fromkeys(self._cohort_of[cell] for cell in more):
                self._plans.update((plan.cell.id, plan) for plan in self._planned(cohort))

    def _plan_after(self, pack: Pack) -> None:
        """Bring up to date the plans that the results of a pack change."""
        whole = all(trial.key in self.results for trial in pack.trials)
        for cohort in dict.fromkeys(self._cohort_of[cell.id] for cell in pack.cells):
            plans = [_without(self._plans[cell.id], pack, self._deciding) for cell in cohort]
            # Nothing new is decided before a generation, or a look, is whole.
            decides = any(p.state in self._deciding and not p.packs for p in plans)
            if decides or not whole:
                plans = self._planned(cohort)
            self._plans.update((plan.cell.id, plan) for plan in plans)
        self._share_out()

    @property
    def _deciding(self) -> tuple[CellState, ...]:
        """The states of cells that decide something once their packs are there."""
        looks = self.study.confirm.sequential
        return (*_BEFORE, CellState.CONFIRMING) if looks else _BEFORE

    def trials_planned(self) -> int:
        """Trials the whole study will have when done.

        At most so many while cells are still searching, as two criteria may choose one proposal,
        and while cells may still stop early.
        """
        return sum(
            trials_of_cell(self.study, plan.cell)
            if plan.state in self._deciding
            else len({trial.key for trial in plan.trials})
            for plan in self._plans.values()
        )

    def work_left(self) -> list[Chain]:
        """See `Sweep.work_left`."""
        return [self._left_of(plan) for plan in self._plans.values()]

    def _left_of(self, plan: SearchedCell) -> Chain:
        now = self._waits_for(plan.cell, plan.packs)
        if self.state(plan.cell) is CellState.FAILED:
            return [now]
        study, cell, limit = self.study, plan.cell, self.study.resources.members_per_pack
        if plan.state not in _BEFORE:
            still = plan.stage.still() if plan.stage is not None else []
            return [now, *(in_packs(cell, Stage.CONFIRM, trials, limit) for trials in still)]
        pairs = len(search_draws(study, cell)) * len(study.search.seeds)
        later, asked = [], bool(now)
        for phase in phases(study):
            stage = Stage.SEARCH if phase is Phase.STRENGTH else Stage.TUNE
            done = len(plan.told.get(phase, ()))
            while done < proposals_of(study, cell, phase):
                count = min(study.search.generation, proposals_of(study, cell, phase) - done)
                none = phase is Phase.STRENGTH and not done
                if not asked:
                    later.append(in_packs(cell, stage, (count + none) * pairs, limit))
                asked, done = False, done + count
        confirmed = steps_at_most(study, cell, 0, len(study.criteria))
        return [now, *later, *(in_packs(cell, Stage.CONFIRM, n, limit) for n in confirmed)]

    @property
    def plans(self) -> Mapping[str, SearchedCell]:
        """Cell id -> its plan."""
        return dict(self._plans)

    @property
    def may_end_early(self) -> bool:
        """Whether cells that look at what they have are still open."""
        looks = self.study.confirm.sequential
        return bool(looks) and any(plan.state in self._deciding for plan in self._plans.values())

    @property
    def encoders_per_trial(self) -> float | None:
        """One encoder a modality."""
        return sum(cell.modalities for cell in self.cells) / len(self.cells)


def _without(plan: SearchedCell, pack: Pack, deciding: Collection[CellState]) -> SearchedCell:
    """The plan of a cell that waits for a pack no more."""
    left = tuple(other for other in plan.packs if other.key != pack.key)
    done = not left and plan.state is CellState.CONFIRMING and plan.state not in deciding
    return replace(plan, packs=left, state=CellState.DONE if done else plan.state)
