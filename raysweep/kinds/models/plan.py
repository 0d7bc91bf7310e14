"""What to run in a study of models: every pair of them, and what is there already."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from raysweep.kinds.models.study import ModelsStudy, Pair, features_of
from raysweep.kinds.sweep import CellPlan, CellState, Chain, Sweep
from raysweep.seeds import content_key
from raysweep.study.cells import Cell
from raysweep.study.fingerprint import science_digest
from raysweep.trials.columns import named
from raysweep.trials.packing import Pack, packs_left
from raysweep.trials.trial import Arm, Stage, Trained, Trial


@dataclass(frozen=True)
class PairTrial(Trial):
    """A pair of models, or one pair of their layers.

    Attributes:
        pair: the models.
        layers: numbers of the layers of both; empty where the best of all pairs is taken.
    """

    pair: Pair = field(kw_only=True)
    layers: tuple[int, ...] = field(default=(), kw_only=True)

    def own_rates(self) -> tuple[int, Trained]:
        """No modality is tuned; (name, number) of the layers."""
        return 0, tuple((named("layer", side), at) for side, at in enumerate(self.layers, start=1))

    @cached_property
    def key(self) -> str:
        """The trial's name: a hash of everything its numbers depend on."""
        content = [self.science, self.cell.id, self.stage.value, list(self.layers)]
        return content_key(content)


def trials_of_pair(study: ModelsStudy, cell: Cell, pair: Pair, science: str) -> list[PairTrial]:
    """The trials of one pair of models, in the order of their layers."""
    layers: Sequence[tuple[int, ...]] = [()]
    if study.evaluation.layers == "each":
        assert pair.left.layers is not None
        assert pair.right.layers is not None
        layers = list(itertools.product(range(pair.left.layers), range(pair.right.layers)))
    return [
        PairTrial(cell, 0, 0, 0.0, Arm.NONE, Stage.MEASURE, science, pair=pair, layers=of)
        for of in layers
    ]


class ModelsSweep(Sweep[ModelsStudy]):
    """The plans of all pairs of models.

    A pack has the pairs of one model of side 2 with some of side 1: the former is then gone through
    once for all of them.
    """

    urgency: ClassVar[tuple[CellState, ...]] = (CellState.MEASURING,)

    def _plan_all(self) -> None:
        science = science_digest(self.study)
        self._trials: dict[str, tuple[PairTrial, ...]] = {}
        together: dict[tuple[object, ...], list[Cell]] = {}
        for cell, pair in zip(self.cells, self.study.pairs_of_models, strict=True):
            self._trials[cell.id] = tuple(trials_of_pair(self.study, cell, pair, science))
            right = pair.left.side, dict(cell.parameters)[features_of(2)]
            together.setdefault(right, []).append(cell)
        size = self.study.resources.members_per_pack
        self._packs: dict[str, Pack] = {}
        for cells in together.values():
            for start in range(0, len(cells), size):
                some = cells[start : start + size]
                pack = Pack(tuple(itertools.chain(*(self._trials[cell.id] for cell in some))))
                self._packs |= {cell.id: pack for cell in some}
        self._plan(self.cells)

    def _plan_after(self, pack: Pack) -> None:
        self._plan(pack.cells)

    def _plan(self, cells: Sequence[Cell]) -> None:
        whole = {self._packs[cell.id].key: self._packs[cell.id] for cell in cells}
        left = {key: packs_left([pack], self.results) for key, pack in whole.items()}
        plans = dict(self._plans)
        for cell in cells:
            trials = self._trials[cell.id]
            done = all(trial.key in self.results for trial in trials)
            packs = () if done else left[self._packs[cell.id].key]
            state = CellState.DONE if done else CellState.MEASURING
            plans[cell.id] = CellPlan(cell, trials, packs, state)
        self._plans = plans

    def trials_planned(self) -> int:
        """Trials of the whole study."""
        return sum(map(len, self._trials.values()))

    def work_left(self) -> list[Chain]:
        """See `Sweep.work_left`; nothing follows on anything."""
        return [[self._waits_for(plan.cell, plan.packs)] for plan in self._plans.values()]
