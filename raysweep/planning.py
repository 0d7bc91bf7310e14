"""The plan of a cell, or of several that share packs: a pure function of study and results."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from raysweep.cells import Cell
from raysweep.packing import Pack, pack_trials
from raysweep.science import science_digest
from raysweep.search import Outcome, Proposal, choose, propose
from raysweep.seeds import derive_seed
from raysweep.spec import Search, Study
from raysweep.trials import Arm, Stage, Status, Trial, TrialResult

Results = Mapping[str, TrialResult]
Earlier = Mapping[str, tuple[Proposal, ...]]
"""Cell id -> the proposals that its search began with, before it was widened."""

NONE: Earlier = MappingProxyType({})


class CellState(StrEnum):
    """How far a cell is."""

    SEARCHING = "searching"
    CONFIRMING = "confirming"
    DONE = "done"
    NO_STRENGTH = "no usable strength"
    TUNING = "tuning"
    MEASURING = "measuring"
    NO_RATES = "no usable learning rate"
    FAILED = "failed"


@dataclass(frozen=True)
class CellPlan:
    """Everything that is known of a cell's work so far.

    Attributes:
        trials: the trials planned so far, in the order of the final table.
        packs: packs that the cell waits for: while it searches, all of its cohort's that are not
            there yet; then those that have trials of its own.
        outcomes: finished proposals of the search, in the order of asking.
        chosen: criterion -> proposal to confirm; empty while searching.
        state: how far the cell is.
    """

    cell: Cell
    trials: tuple[Trial, ...]
    packs: tuple[Pack, ...]
    outcomes: tuple[Outcome, ...]
    chosen: Mapping[str, Proposal]
    state: CellState


@dataclass
class _CellSearch:
    """A cell while it is planned: its trials so far, and what came of its search."""

    study: Study
    cell: Cell
    science: str
    earlier: tuple[Proposal, ...] = ()
    trials: list[Trial] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def ask(self) -> list[Trial]:
        """The trials of the next generation, the baseline beside those of the first.

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
            )
            for number, proposal in enumerate(proposed, start=done)
            for draw, s in pairs
        ]
        if not done:
            asked = [
                Trial(self.cell, draw, s, 0.0, Arm.NONE, Stage.SEARCH, self.science)
                for draw, s in pairs
            ] + asked
        self.trials += asked
        return asked

    def tell(self, asked: Sequence[Trial], results: Results) -> None:
        """Take in the results of a generation that `ask` gave."""
        numbers = dict.fromkeys(t.number for t in asked if t.number >= 0)
        self.outcomes += [
            _outcome(self.study, [t for t in asked if t.number == n], results) for n in numbers
        ]

    def plan(
        self, packs: Iterable[Pack], state: CellState, chosen: Mapping[str, Proposal] | None = None
    ) -> CellPlan:
        """The cell's plan as far as it has come."""
        trials, outcomes = tuple(self.trials), tuple(self.outcomes)
        return CellPlan(self.cell, trials, tuple(packs), outcomes, chosen or {}, state)


def plan_cell(study: Study, cell: Cell, results: Results, earlier: Earlier = NONE) -> CellPlan:
    """Plan a cell by itself; its trials are those that it has in any cohort."""
    [plan] = plan_cohort(study, [cell], results, earlier)
    return plan


def plan_cohort(
    study: Study, cells: Sequence[Cell], results: Results, earlier: Earlier = NONE
) -> list[CellPlan]:
    """Plan the cells of a cohort from the results that are there.

    Generations of the search come one after the other, each planned from all results of those
    before; then the confirm stage with its three arms. The cells go in lockstep, so that what they
    pack together depends on the study alone; what a cell proposes depends on its own results, and
    on its earlier proposals where it had some in a narrower range.
    """
    science, limit = science_digest(study), study.resources.members_per_pack
    searches = [_CellSearch(study, cell, science, earlier.get(cell.id, ())) for cell in cells]
    while len(searches[0].outcomes) < study.search.trials:
        asked = [search.ask() for search in searches]
        groups = [[trial] for of_cell in asked for trial in _unique(of_cell)]
        packs = _missing(pack_trials(groups, limit), results)
        if packs:
            return [search.plan(packs, CellState.SEARCHING) for search in searches]
        for search, generation in zip(searches, asked, strict=True):
            search.tell(generation, results)
    chosen = [choose(study.search, search.outcomes) for search in searches]
    confirm = [
        _confirm_groups(study, cell, science, found)
        for cell, found in zip(cells, chosen, strict=True)
    ]
    packs = _missing(pack_trials(list(itertools.chain(*confirm)), limit), results)
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


def trials_of_cell(study: Study, cell: Cell) -> int:
    """Trials of a cell: the search with its baseline, then the arms of the confirm stage."""
    criteria = 2 if study.search.objective == "both" else 1
    searched = len(search_draws(study, cell)) * len(study.search.seeds)
    confirmed = len(cell.draws) * len(study.confirm.seeds)
    return (1 + study.search.trials) * searched + (1 + 2 * criteria) * confirmed


def search_draws(study: Study, cell: Cell) -> tuple[int, ...]:
    """The dataset draws that a cell's search runs on."""
    return cell.draws if study.search.draws is None else study.search.draws


def _confirm_groups(
    study: Study, cell: Cell, science: str, chosen: Mapping[str, Proposal]
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
                    chosen_by="+".join(criteria),
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


def _outcome(study: Study, trials: Sequence[Trial], results: Results) -> Outcome:
    found = [results[t.key] for t in trials]
    proposal = Proposal(trials[0].strength, trials[0].options)
    if any(result.status is not Status.OK for result in found):
        return Outcome(proposal, math.nan, math.nan)
    alignment = [r.number(f"alignment_{study.metric}_validation") for r in found]
    performance = [r.number(f"{study.search.performance}_validation") for r in found]
    return Outcome(proposal, float(np.mean(alignment)), float(np.mean(performance)))


def _unique(trials: Iterable[Trial]) -> list[Trial]:
    return list({trial.key: trial for trial in trials}.values())


def _missing(packs: Iterable[Pack], results: Results) -> tuple[Pack, ...]:
    left = (pack.without(results.keys()) for pack in packs)
    return tuple(pack for pack in left if pack is not None)
