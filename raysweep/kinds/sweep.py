"""What to run next: the plans of all cells, kept up to date while results come in.

A `Sweep` knows neither the kind of its study, whose folder says how cells are planned, nor who runs
a pack: the local runner and the Ray runner both drive one.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar, Generic, TypeVar

from raysweep.study.cells import Cell, expand, varying
from raysweep.study.fingerprint import science_digest as science_digest
from raysweep.study.spec import StudyBase
from raysweep.trials.packing import Pack
from raysweep.trials.trial import Proposal, Stage, Trial, TrialResult

S = TypeVar("S", bound=StudyBase)

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
        packs: packs that the cell waits for.
        state: how far the cell is.
        chosen: criterion -> proposal to confirm; empty while searching.
    """

    cell: Cell
    trials: tuple[Trial, ...]
    packs: tuple[Pack, ...]
    state: CellState
    chosen: Mapping[str, Proposal] = field(default_factory=dict)


@dataclass(frozen=True)
class Expected:
    """A pack that will be run.

    Attributes:
        cell: whose trials it has.
        stage: of them.
        trials: how many there are.
        key: of a pack that is planned; empty of one that comes later.
    """

    cell: Cell
    stage: Stage
    trials: int
    key: str = ""


Step = tuple[Expected, ...]
"""Packs that may run at the same time."""

Chain = list[Step]
"""Steps of which each begins when all packs of the one before are there."""


def in_packs(cell: Cell, stage: Stage, trials: int, limit: int) -> Step:
    """So many trials in packs of at most so many members."""
    sizes = [min(limit, trials - done) for done in range(0, trials, limit)]
    return tuple(Expected(cell, stage, size) for size in sizes)


@dataclass
class Sweep(ABC, Generic[S]):
    """The plans of all cells of a study, kept up to date as packs finish.

    Attributes:
        study: the study.
        results: key -> result of every trial that is there.
        labels: cell id -> short readable name.
        urgency: the states of cells that wait for packs, the first to be served first.
    """

    study: S
    results: dict[str, TrialResult] = field(default_factory=dict)

    urgency: ClassVar[tuple[CellState, ...]]

    def __post_init__(self) -> None:
        self.cells = expand(self.study)
        self.labels = varying(self.cells)
        self._plans: Mapping[str, CellPlan] = {}
        self._plan_all()
        self._out: dict[str, Pack] = {}
        self._running: dict[str, Pack] = {}
        self._failed: dict[str, str] = {}
        self.finished_packs = 0

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
        return self.study.criteria

    @property
    def metric(self) -> str:
        """The alignment metric that a search goes by."""
        return self.study.metric

    def state(self, cell: Cell) -> CellState:
        """How far a cell is; failed where a pack that it waits for was given up."""
        plan = self._plans[cell.id]
        if any(pack.key in self._failed for pack in plan.packs):
            return CellState.FAILED
        return plan.state

    def _waits_for(self, cell: Cell, packs: Iterable[Pack]) -> Step:
        """The packs of a cell that were not given up, with the trials of its own."""
        found = []
        for pack in packs:
            if pack.key not in self._failed:
                own = {t.key for t in pack.trials if t.cell.id == cell.id}
                left = len(own - self.results.keys())
                found.append(Expected(cell, pack.trials[0].stage, left, pack.key))
        return tuple(found)

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

    @abstractmethod
    def trials_planned(self) -> int:
        """Trials the whole study will have when done; at most so many while it is searched."""

    @abstractmethod
    def work_left(self) -> list[Chain]:
        """What is still to be run, for each cell in its order: what follows on what.

        At most so much while the cells search. Of a cell that waits for a pack that was given up
        only its other packs.
        """

    @property
    def may_end_early(self) -> bool:
        """Whether cells may end with fewer trials than are planned."""
        return False

    @property
    def encoders_per_trial(self) -> float | None:
        """Encoders that a trial trains; None where trials share them."""
        return None

    @abstractmethod
    def _plan_all(self) -> None:
        """Make the plans of all cells, in their order."""

    @abstractmethod
    def _plan_after(self, pack: Pack) -> None:
        """Bring up to date the plans that the results of a pack change."""
