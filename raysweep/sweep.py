"""What to run next: a pure function of the study and the results that are there.

`plan_cell` answers it for one cell, `Sweep` keeps the plans of all cells while results come in.
Neither knows who runs a pack; the local runner and the Ray runner both drive a `Sweep`.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import ClassVar

import numpy as np

from raysweep.cells import Cell, expand, varying
from raysweep.packing import Pack, pack_trials
from raysweep.science import science_digest as science_digest
from raysweep.search import Outcome, Proposal, choose, propose
from raysweep.seeds import derive_seed
from raysweep.spec import Search, Study
from raysweep.trials import Arm, Stage, Status, Trial, TrialResult

NO_STRENGTH = "every strength of the search diverged"

Results = Mapping[str, TrialResult]


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
        packs: packs of those trials that are not there yet.
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


def plan_cell(study: Study, cell: Cell, results: Results) -> CellPlan:
    """Plan a cell from the results that are there.

    Generations of the search come one after the other, each planned from all results of those
    before; then the confirm stage with its three arms. A generation is always proposed whole and
    cut to what the study asks for, so that a study extended by more trials keeps its proposals.
    """
    science = science_digest(study)
    seed = derive_seed(study.seed, "search", cell.id)
    search, limit = study.search, study.resources.members_per_pack
    draws = search_draws(study, cell)
    trials: list[Trial] = []
    outcomes: list[Outcome] = []
    while len(outcomes) < search.trials:
        generation = len(outcomes) // search.generation
        proposed = _proposed(search, seed, tuple(outcomes))[: search.trials - len(outcomes)]
        asked = [(len(outcomes) + i, proposal) for i, proposal in enumerate(proposed)]
        now = [
            Trial(
                cell,
                draw,
                s,
                proposal.strength,
                Arm.FORCED,
                Stage.SEARCH,
                science,
                generation,
                number,
                options=proposal.options,
            )
            for number, proposal in asked
            for draw in draws
            for s in search.seeds
        ]
        if generation == 0:
            now = [
                Trial(cell, draw, s, 0.0, Arm.NONE, Stage.SEARCH, science)
                for draw in draws
                for s in search.seeds
            ] + now
        trials += now
        packs = _missing(pack_trials([[t] for t in _unique(now)], limit), results)
        if packs:
            return CellPlan(cell, tuple(trials), packs, tuple(outcomes), {}, CellState.SEARCHING)
        outcomes += [_outcome(study, [t for t in now if t.number == n], results) for n, _ in asked]
    chosen = choose(search, outcomes)
    confirm = _confirm_groups(study, cell, science, chosen)
    trials += [trial for group in confirm for trial in group]
    packs = _missing(pack_trials(confirm, limit), results)
    state = CellState.CONFIRMING if packs else CellState.DONE
    if not chosen:
        state = CellState.NO_STRENGTH
    return CellPlan(cell, tuple(trials), packs, tuple(outcomes), chosen, state)


@dataclass
class Sweep:
    """The plans of all cells of a study, kept up to date as packs finish.

    Attributes:
        study: the study.
        results: key -> result of every trial that is there.
        labels: cell id -> short readable name.
    """

    study: Study
    results: dict[str, TrialResult] = field(default_factory=dict)

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
        self._plans = {c.id: plan_cell(self.study, c, self.results) for c in self.cells}

    def _plan_after(self, pack: Pack) -> None:
        """Bring up to date the plans that the results of a pack change."""
        cell = pack.trials[0].cell
        plan = self._plans[cell.id]
        left = tuple(other for other in plan.packs if other.key != pack.key)
        if left and all(trial.key in self.results for trial in pack.trials):
            # Nothing new is decided before a generation or a stage is whole.
            self._plans[cell.id] = replace(plan, packs=left)
        else:
            self._plans[cell.id] = plan_cell(self.study, cell, self.results)

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

    def state(self, cell: Cell) -> CellState:
        """How far a cell is; failed where a pack of it was given up."""
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
