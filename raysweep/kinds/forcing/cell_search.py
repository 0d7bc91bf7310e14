"""The search in one cell, phase by phase: how to train, both together, and how hard to force."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache

import numpy as np

from raysweep.kinds.forcing.search import Outcome, choose, propose
from raysweep.kinds.forcing.tuning import (
    best,
    proposals_of_none,
    propose_for_none,
    propose_with_strength,
)
from raysweep.kinds.sweep import CellState
from raysweep.seeds import derive_seed
from raysweep.study.cells import Cell
from raysweep.study.spec import Search, SearchedStudy
from raysweep.trials.columns import named
from raysweep.trials.criteria import BEST
from raysweep.trials.trial import Arm, Proposal, Stage, Status, Trained, Trial, TrialResult

Results = Mapping[str, TrialResult]


class Phase(StrEnum):
    """What a generation looks for; a study that does not search the training has the last only.

    NONE: how to train without forcing. BOTH: the strength, and how to train with it. CHECK: whether
    what is best with forcing is better without, too, as two searches are lucky in different places.
    STRENGTH: the strength, trained as is best for none.
    """

    NONE = "none"
    BOTH = "both"
    CHECK = "check"
    STRENGTH = "strength"


OF_NONE = (Phase.NONE, Phase.CHECK)
OF_FORCED = (Phase.BOTH, Phase.STRENGTH)


def phases(study: SearchedStudy) -> tuple[Phase, ...]:
    """The phases of a study's searches."""
    if study.search.training is None:
        return (Phase.STRENGTH,)
    return tuple(Phase) if BEST in study.criteria else (Phase.NONE, Phase.STRENGTH)


def state(phase: Phase) -> CellState:
    """The state of a cell in a phase."""
    return CellState.SEARCHING if phase is Phase.STRENGTH else CellState.TUNING


def search_in(study: SearchedStudy, cell: Cell) -> Search:
    """The search of a cell: where the fused head is an axis, each searches with its own."""
    search = study.search
    if search.training is None or not cell.fusion:
        return search
    training = search.training.model_copy(update={"fusion": (cell.fusion,)})
    return search.model_copy(update={"training": training})


def proposals_of(study: SearchedStudy, cell: Cell, phase: Phase) -> int:
    """How many proposals a phase makes in a cell."""
    search = search_in(study, cell)
    if phase is Phase.STRENGTH or search.training is None:
        return search.trials
    if phase is Phase.BOTH:
        return search.training.trials
    return proposals_of_none(search) if phase is Phase.NONE else 1


def rungs(study: SearchedStudy, phase: Phase) -> tuple[int, ...]:
    """See `Search.rungs`; only strengths are halved."""
    return study.search.rungs if phase is Phase.STRENGTH else (0,)


def search_draws(study: SearchedStudy, cell: Cell) -> tuple[int, ...]:
    """The dataset draws that a cell's search runs on."""
    return study.search.draws_for(cell.draws)


@dataclass
class CellSearch:
    """A cell while it is planned: its trials so far, and what came of its search.

    Attributes:
        earlier: strengths that were proposed before the search was widened.
        trials: of the generations that are told.
        asked: the trials of the generation that is on, each as far as it went or is to go.
        told: what came of each phase's proposals, in the order of asking.
    """

    study: SearchedStudy
    cell: Cell
    science: str
    earlier: tuple[Proposal, ...] = ()
    trials: list[Trial] = field(default_factory=list)
    asked: list[Trial] = field(default_factory=list)
    told: dict[Phase, list[Outcome]] = field(default_factory=lambda: {of: [] for of in Phase})

    @property
    def training(self) -> Trained:
        """How arm none is trained: as was best; as the study says where nothing was."""
        found = best(self._told(OF_NONE))
        return () if found is None else found.training

    def _told(self, of: Sequence[Phase]) -> list[Outcome]:
        return [outcome for phase in of for outcome in self.told[phase]]

    def none(self, draw: int, seed: int, stage: Stage) -> Trial:
        """A trial without forcing."""
        return Trial(
            self.cell, draw, seed, 0.0, Arm.NONE, stage, self.science, training=self.training
        )

    def left(self, phase: Phase) -> bool:
        """Whether a phase has proposals still to be made."""
        return len(self.told[phase]) < proposals_of(self.study, self.cell, phase)

    def ask(self, phase: Phase) -> None:
        """Begin the next generation of a phase, that of strengths with the baseline beside it.

        A generation is always proposed whole and cut to what the study asks for, so that a study
        extended by more trials keeps its proposals.
        """
        search, done = self.study.search, len(self.told[phase])
        pairs = list(itertools.product(search_draws(self.study, self.cell), search.seeds))
        arm = Arm.NONE if phase in OF_NONE else Arm.FORCED
        first = done if phase is not Phase.CHECK else len(self.told[Phase.NONE])
        asked = [
            Trial(
                self.cell,
                draw,
                s,
                proposal.strength,
                arm,
                Stage.SEARCH if phase is Phase.STRENGTH else Stage.TUNE,
                self.science,
                first // search.generation,
                number,
                options=proposal.options,
                epochs=rungs(self.study, phase)[0],
                training=proposal.training,
            )
            for number, proposal in enumerate(self._proposed(phase), start=first)
            for draw, s in pairs
        ]
        if phase is Phase.STRENGTH and not done:
            asked = [self.none(draw, s, Stage.SEARCH) for draw, s in pairs] + asked
        self.asked = asked

    def _proposed(self, phase: Phase) -> tuple[Proposal, ...]:
        search, done = search_in(self.study, self.cell), len(self.told[phase])
        count = min(search.generation, proposals_of(self.study, self.cell, phase) - done)
        seed = derive_seed(self.study.seed, "search", self.cell.id)
        if phase is Phase.STRENGTH:
            proposed = self.earlier[done : done + search.generation]
            if len(proposed) < search.generation:
                outcomes = tuple(self.told[phase])
                proposed += _strengths(search, seed, outcomes)[len(proposed) :]
            return tuple(replace(one, training=self.training) for one in proposed[:count])
        seed = derive_seed(seed, phase.value)
        if phase is Phase.CHECK:
            forced = best(self.told[Phase.BOTH])
            training = self.training if forced is None else forced.training
            return (Proposal(0.0, (), training),)
        ask = _ways_of_none if phase is Phase.NONE else _with_strength
        return ask(search, seed, tuple(self.told[phase]))[:count]

    def go_on(self, before: int, epochs: int, results: Results) -> list[Trial]:
        """The trials of the better half of the generation, which go on.

        Args:
            before: all were looked at after so many epochs.
            epochs: the better half goes on to so many; 0 to its end.
            results: with those of all of them.
        """
        [criterion] = self.study.search.criteria
        racing = [o for o in self._outcomes(results) if o[1].stopped == before]
        ranked = sorted(
            (one for one in racing if one[1].reached(criterion)),
            key=lambda one: -getattr(one[1], criterion),
        )
        better = {number for number, _ in ranked[: (len(racing) + 1) // 2]}
        self.asked = [replace(t, epochs=epochs) if t.number in better else t for t in self.asked]
        return [t for t in self.asked if t.number in better]

    def tell(self, phase: Phase, results: Results) -> None:
        """Take in the results of the generation."""
        self.told[phase] += [outcome for _, outcome in self._outcomes(results)]
        # A way to train that is checked may have been tried before.
        there = {t.key for t in self.trials} if phase is Phase.CHECK else set()
        self.trials += [trial for trial in self.asked if trial.key not in there]
        self.asked = []

    def chosen(self) -> dict[str, Proposal]:
        """The proposals to confirm, by criterion; see `raysweep.kinds.forcing.search.choose`."""
        at_same = choose(self.study.search, self.told[Phase.STRENGTH])
        if BEST not in self.study.criteria:
            return at_same
        found = best(self._told(OF_FORCED))
        return at_same if found is None else {BEST: found, **at_same}

    def _outcomes(self, results: Results) -> Iterator[tuple[int, Outcome]]:
        numbers = dict.fromkeys(t.number for t in self.asked if t.number >= 0)
        for n in numbers:
            yield n, _outcome(self.study, [t for t in self.asked if t.number == n], results)


# A cell is planned anew with every pack that comes in, and a GP sampler takes a second to ask.
@lru_cache(maxsize=10_000)
def _strengths(search: Search, seed: int, outcomes: tuple[Outcome, ...]) -> tuple[Proposal, ...]:
    return tuple(propose(search, seed, outcomes, search.generation))


@lru_cache(maxsize=10_000)
def _ways_of_none(search: Search, seed: int, outcomes: tuple[Outcome, ...]) -> tuple[Proposal, ...]:
    return tuple(propose_for_none(search, seed, outcomes, search.generation))


@lru_cache(maxsize=10_000)
def _with_strength(
    search: Search, seed: int, outcomes: tuple[Outcome, ...]
) -> tuple[Proposal, ...]:
    return tuple(propose_with_strength(search, seed, outcomes, search.generation))


def _outcome(study: SearchedStudy, trials: Sequence[Trial], results: Results) -> Outcome:
    found = [results[t.key] for t in trials]
    first = trials[0]
    proposal, stopped = Proposal(first.strength, first.options, first.training), first.epochs
    if any(result.status is not Status.OK for result in found):
        return Outcome(proposal, math.nan, math.nan, stopped)
    alignment = [r.number(named("alignment", study.metric, "validation")) for r in found]
    performance = [r.number(study.searched_performance) for r in found]
    told = (r.values.get(study.searched_performance) is not None for r in found)
    if "performance" not in study.criteria and first.stage is Stage.SEARCH and not any(told):
        performance = [0.0]  # nobody asked for it, and it decides nothing
    sign = -1.0 if study.better_is_less else 1.0
    return Outcome(proposal, float(np.mean(alignment)), sign * float(np.mean(performance)), stopped)
