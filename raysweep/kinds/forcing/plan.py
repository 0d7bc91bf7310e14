"""The plan of a cell, or of several that share packs: a pure function of study and results."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import ClassVar

import numpy as np

from raysweep.kinds.forcing.search import Outcome, choose, propose
from raysweep.kinds.sweep import NONE, CellPlan, CellState, Earlier, Sweep
from raysweep.seeds import derive_seed
from raysweep.study.cells import Cell
from raysweep.study.fingerprint import science_digest
from raysweep.study.spec import Search, SearchedStudy
from raysweep.trials.columns import named
from raysweep.trials.criteria import joined
from raysweep.trials.packing import Pack, cohorts, pack_trials, packs_left
from raysweep.trials.trial import Arm, Proposal, Stage, Status, Trial, TrialResult

Results = Mapping[str, TrialResult]


@dataclass(frozen=True)
class SearchedCell(CellPlan):
    """The plan of a cell whose strength is searched.

    While it searches, it waits for all of its cohort's packs that are not there yet; then for those
    that have trials of its own.

    Attributes:
        outcomes: finished proposals of the search, in the order of asking.
    """

    outcomes: tuple[Outcome, ...] = ()


@dataclass
class _CellSearch:
    """A cell while it is planned: its trials so far, and what came of its search.

    Attributes:
        asked: the trials of the generation that is on, each as far as it went or is to go.
    """

    study: SearchedStudy
    cell: Cell
    science: str
    earlier: tuple[Proposal, ...] = ()
    trials: list[Trial] = field(default_factory=list)
    asked: list[Trial] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def ask(self) -> None:
        """Begin the next generation, the first with the baseline beside it.

        A generation is always proposed whole and cut to what the study asks for, so that a study
        extended by more trials keeps its proposals.
        """
        search, done = self.study.search, len(self.outcomes)
        pairs = list(itertools.product(search_draws(self.study, self.cell), search.seeds))
        seed = derive_seed(self.study.seed, "search", self.cell.id)
        proposed = self.earlier[done : done + search.generation]
        if len(proposed) < search.generation:
            proposed += _proposed(search, seed, tuple(self.outcomes))[len(proposed) :]
        proposed = proposed[: search.trials - done]
        asked = [
            Trial(
                self.cell,
                draw,
                s,
                proposal.strength,
                Arm.FORCED,
                Stage.SEARCH,
                self.science,
                done // search.generation,
                number,
                options=proposal.options,
                epochs=search.rungs[0],
            )
            for number, proposal in enumerate(proposed, start=done)
            for draw, s in pairs
        ]
        if not done:
            asked = [
                Trial(self.cell, draw, s, 0.0, Arm.NONE, Stage.SEARCH, self.science)
                for draw, s in pairs
            ] + asked
        self.asked = asked

    def go_on(self, before: int, epochs: int, results: Results) -> list[Trial]:
        """The trials of the better half of the generation, which go on.

        Args:
            before: all were looked at after so many epochs.
            epochs: the better half goes on to so many; 0 to its end.
            results: with those of all of them.
        """
        [criterion] = self.study.criteria
        racing = [o for o in self._outcomes(results) if o[1].stopped == before]
        ranked = sorted(
            (one for one in racing if one[1].reached(criterion)),
            key=lambda one: -getattr(one[1], criterion),
        )
        better = {number for number, _ in ranked[: (len(racing) + 1) // 2]}
        self.asked = [replace(t, epochs=epochs) if t.number in better else t for t in self.asked]
        return [t for t in self.asked if t.number in better]

    def tell(self, results: Results) -> None:
        """Take in the results of the generation."""
        self.outcomes += [outcome for _, outcome in self._outcomes(results)]
        self.trials += self.asked
        self.asked = []

    def _outcomes(self, results: Results) -> list[tuple[int, Outcome]]:
        numbers = dict.fromkeys(t.number for t in self.asked if t.number >= 0)
        return [
            (n, _outcome(self.study, [t for t in self.asked if t.number == n], results))
            for n in numbers
        ]

    def plan(
        self, packs: Iterable[Pack], state: CellState, chosen: Mapping[str, Proposal] | None = None
    ) -> SearchedCell:
        """The cell's plan as far as it has come."""
        trials, outcomes = (*self.trials, *self.asked), tuple(self.outcomes)
        return SearchedCell(self.cell, trials, tuple(packs), state, chosen or {}, outcomes)


def plan_cell(
    study: SearchedStudy, cell: Cell, results: Results, earlier: Earlier = NONE
) -> SearchedCell:
    """Plan a cell by itself; its trials are those that it has in any cohort."""
    [plan] = plan_cohort(study, [cell], results, earlier)
    return plan


def plan_cohort(
    study: SearchedStudy, cells: Sequence[Cell], results: Results, earlier: Earlier = NONE
) -> list[SearchedCell]:
    """Plan the cells of a cohort from the results that are there.

    Generations of the search come one after the other, each planned from all results of those
    before; then the confirm stage with its three arms. The cells go in lockstep, so that what they
    pack together depends on the study alone; what a cell proposes depends on its own results, and
    on its earlier proposals where it had some in a narrower range. Where a search halves, a
    generation is looked at rung by rung, each when all of it is there: no decision hangs on time.
    """
    science, limit = science_digest(study), study.resources.members_per_pack
    searches = [_CellSearch(study, cell, science, earlier.get(cell.id, ())) for cell in cells]
    while len(searches[0].outcomes) < study.search.trials:
        for search in searches:
            search.ask()
        asked = [search.asked for search in searches]
        for before, epochs in itertools.pairwise((None, *study.search.rungs)):
            if before is not None:
                asked = [search.go_on(before, epochs or 0, results) for search in searches]
            groups = [[trial] for of_cell in asked for trial in _unique(of_cell)]
            packs = packs_left(pack_trials(groups, limit), results)
            if packs:
                return [search.plan(packs, CellState.SEARCHING) for search in searches]
        for search in searches:
            search.tell(results)
    chosen = [choose(study.search, search.outcomes) for search in searches]
    confirm = [
        _confirm_groups(study, cell, science, found)
        for cell, found in zip(cells, chosen, strict=True)
    ]
    packs = packs_left(pack_trials(list(itertools.chain(*confirm)), limit), results)
    waiting: dict[str, list[Pack]] = {cell.id: [] for cell in cells}
    for pack in packs:
        for cell in pack.cells:
            waiting[cell.id].append(pack)
    plans = []
    for search, found, stage in zip(searches, chosen, confirm, strict=True):
        search.trials += itertools.chain(*stage)
        own = waiting[search.cell.id]
        state = CellState.CONFIRMING if own else CellState.DONE
        plans.append(search.plan(own, state if found else CellState.NO_STRENGTH, found))
    return plans


def trials_of_cell(study: SearchedStudy, cell: Cell) -> int:
    """Trials of a cell: the search with its baseline, then the arms of the confirm stage."""
    criteria = len(study.criteria)
    searched = len(search_draws(study, cell)) * len(study.search.seeds)
    confirmed = len(cell.draws) * len(study.confirm.seeds)
    return (1 + study.search.trials) * searched + (1 + 2 * criteria) * confirmed


def search_draws(study: SearchedStudy, cell: Cell) -> tuple[int, ...]:
    """The dataset draws that a cell's search runs on."""
    return cell.draws if study.search.draws is None else study.search.draws


def _confirm_groups(
    study: SearchedStudy, cell: Cell, science: str, chosen: Mapping[str, Proposal]
) -> list[list[Trial]]:
    proposals: dict[Proposal, list[str]] = {}
    for criterion, proposal in chosen.items():
        proposals.setdefault(proposal, []).append(criterion)
    groups = []
    for draw, seed in itertools.product(cell.draws, study.confirm.seeds):
        group = [Trial(cell, draw, seed, 0.0, Arm.NONE, Stage.CONFIRM, science)]
        for proposal, criteria in proposals.items():
            group += [
                Trial(
                    cell,
                    draw,
                    seed,
                    proposal.strength,
                    arm,
                    Stage.CONFIRM,
                    science,
                    chosen_by=joined(criteria),
                    options=proposal.options,
                )
                for arm in (Arm.FORCED, Arm.PLACEBO)
            ]
        groups.append(group)
    return groups if chosen else []


@lru_cache(maxsize=10_000)
def _proposed(search: Search, seed: int, outcomes: tuple[Outcome, ...]) -> tuple[Proposal, ...]:
    # A cell is planned anew with every pack that comes in, and a GP sampler takes a second to ask.
    return tuple(propose(search, seed, outcomes, search.generation))


def _outcome(study: SearchedStudy, trials: Sequence[Trial], results: Results) -> Outcome:
    found = [results[t.key] for t in trials]
    proposal, stopped = Proposal(trials[0].strength, trials[0].options), trials[0].epochs
    if any(result.status is not Status.OK for result in found):
        return Outcome(proposal, math.nan, math.nan, stopped)
    alignment = [r.number(named("alignment", study.metric, "validation")) for r in found]
    performance = [r.number(study.searched_performance) for r in found]
    told = (r.values.get(study.searched_performance) is not None for r in found)
    if "performance" not in study.criteria and not any(told):
        performance = [0.0]  # nobody asked for it, and it decides nothing
    sign = -1.0 if study.better_is_less else 1.0
    return Outcome(proposal, float(np.mean(alignment)), sign * float(np.mean(performance)), stopped)


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

    urgency: ClassVar[tuple[CellState, ...]] = (CellState.CONFIRMING, CellState.SEARCHING)

    def _plan_all(self) -> None:
        """Make the plans of all cells."""
        self._plans: dict[str, SearchedCell] = {}
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

    def trials_planned(self) -> int:
        """Trials the whole study will have when done.

        At most so many while cells are still searching: two criteria may choose one strength.
        """
        return sum(
            trials_of_cell(self.study, plan.cell)
            if plan.state is CellState.SEARCHING
            else len({trial.key for trial in plan.trials})
            for plan in self._plans.values()
        )

    @property
    def plans(self) -> Mapping[str, SearchedCell]:
        """Cell id -> its plan."""
        return dict(self._plans)

    @property
    def encoders_per_trial(self) -> float | None:
        """One encoder a modality."""
        return sum(cell.modalities for cell in self.cells) / len(self.cells)


def _without(plan: SearchedCell, pack: Pack) -> SearchedCell:
    """The plan of a cell that waits for a pack no more."""
    left = tuple(other for other in plan.packs if other.key != pack.key)
    done = not left and plan.state is CellState.CONFIRMING
    return replace(plan, packs=left, state=CellState.DONE if done else plan.state)
