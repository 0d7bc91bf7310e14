"""What to run next in an emergence study: a pure function of the study and what is there."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from raysweep.kinds.emergence.families import (
    EncoderTrial,
    Family,
    Rates,
    families,
    heterogeneity_depth,
)
from raysweep.kinds.emergence.study import EmergenceStudy, Tuning
from raysweep.kinds.emergence.tuning import TunedRates, choose_rates, propose_rates
from raysweep.kinds.sweep import CellPlan, CellState, Chain, Expected, Sweep, in_packs
from raysweep.seeds import derive_seed
from raysweep.study.cells import Cell
from raysweep.study.fingerprint import science_digest
from raysweep.trials.columns import named
from raysweep.trials.packing import Pack, pack_trials, packs_left
from raysweep.trials.trial import Arm, Stage, Status, Trial, TrialResult

Results = Mapping[str, TrialResult]
MODALITIES = (1, 2)


@dataclass(frozen=True)
class FamilyPlan:
    """Everything that is known of a family's work so far.

    Attributes:
        trials: the trials planned so far, in the order of the final table.
        packs: packs of those trials that are not there yet.
        rates: of each modality, None while they are tuned.
        outcomes: finished proposals of each modality's tuning, in the order of asking.
        state: how far the family is.
    """

    family: Family
    trials: tuple[EncoderTrial, ...]
    packs: tuple[Pack, ...]
    rates: tuple[Rates | None, Rates | None]
    outcomes: tuple[tuple[TunedRates, ...], tuple[TunedRates, ...]]
    state: CellState


def plan_family(study: EmergenceStudy, family: Family, results: Results) -> FamilyPlan:
    """Plan a family from the results that are there: the tuning of each modality, then the pairs.

    Pairs of one draw and seed are measured together: a pack has whole groups of these, as many as
    ``members_per_pack`` encoders of one shape allow.
    """
    science = science_digest(study)
    trials: list[EncoderTrial] = []
    packs: list[Pack] = []
    found: list[Rates | None] = []
    tried: list[tuple[TunedRates, ...]] = []
    for modality in MODALITIES:
        if study.tuning is None:
            found.append(
                Rates(
                    study.training.of(modality, "learning_rate"),
                    study.training.of(modality, "weight_decay"),
                )
            )
            tried.append(())
            continue
        tuned, missing, outcomes = _tune(study, study.tuning, family, modality, science, results)
        trials += tuned
        packs += missing
        found.append(None if missing else choose_rates(outcomes))
        tried.append(tuple(outcomes))
    first, second = found
    known = (first, second), (tried[0], tried[1])
    if packs:
        return FamilyPlan(family, tuple(trials), tuple(packs), *known, CellState.TUNING)
    if first is None or second is None:
        return FamilyPlan(family, tuple(trials), (), *known, CellState.NO_RATES)
    groups = [
        measured_trials(study, family, draw, seed, (first, second), science)
        for draw in family.draws
        for seed in study.seeds
    ]
    trials += itertools.chain(*groups)
    step = groups_per_pack(study, family)
    whole = [
        Pack(tuple(itertools.chain(*groups[start : start + step])))
        for start in range(0, len(groups), step)
    ]
    left = packs_left(whole, results)
    state = CellState.MEASURING if left else CellState.DONE
    return FamilyPlan(family, tuple(trials), left, *known, state)


def measured_trials(
    study: EmergenceStudy,
    family: Family,
    draw: int,
    seed: int,
    rates: tuple[Rates, Rates],
    science: str,
) -> list[EncoderTrial]:
    """The pairs of one draw and seed."""
    return [
        EncoderTrial(cell, draw, seed, 0.0, Arm.NONE, Stage.MEASURE, science, rates=rates)
        for cell in family.cells
        if draw in cell.draws
    ]


def groups_per_pack(study: EmergenceStudy, family: Family) -> int:
    """As many (draw, seed) as ``members_per_pack`` encoders of one shape allow, at least one."""
    return max(1, study.resources.members_per_pack // family.variants)


class EmergenceSweep(Sweep[EmergenceStudy]):
    """The plans of all families of a study; the plan of a cell is its share of the family's."""

    urgency: ClassVar[tuple[CellState, ...]] = (CellState.TUNING, CellState.MEASURING)

    def _plan_all(self) -> None:
        self.families = families(self.study)
        self._family_of = {cell.id: family for family in self.families for cell in family.cells}
        self.family_plans: dict[str, FamilyPlan] = {}
        self._plans: dict[str, CellPlan] = {
            cell.id: CellPlan(cell, (), (), CellState.TUNING) for cell in self.cells
        }
        for family in self.families:
            self._plan_family(family)

    def _plan_after(self, pack: Pack) -> None:
        self._plan_family(self._family_of[pack.trials[0].cell.id])

    def _plan_family(self, family: Family) -> None:
        plan = plan_family(self.study, family, self.results)
        self.family_plans[family.key] = plan
        trials: dict[str, list[EncoderTrial]] = {cell.id: [] for cell in family.cells}
        for trial in plan.trials:
            trials[trial.cell.id].append(trial)
        packs: dict[str, dict[str, Pack]] = {cell.id: {} for cell in family.cells}
        for pack in plan.packs:
            for cell_id in {trial.cell.id for trial in pack.trials}:
                packs[cell_id][pack.key] = pack
        for cell in family.cells:
            own = tuple(packs[cell.id].values())
            done = plan.state is CellState.MEASURING and not own
            state = CellState.DONE if done else plan.state
            self._plans[cell.id] = CellPlan(cell, tuple(trials[cell.id]), own, state)

    def behind(self, cell: Cell) -> Sequence[Trial]:
        """The cell's pairs; where its family has no rates, the tuning of all of its cells."""
        plan = self.family_plans[self._family_of[cell.id].key]
        return plan.trials if plan.state is CellState.NO_RATES else self._plans[cell.id].trials

    def trials_planned(self) -> int:
        """Trials the whole study will have when done; about so many while rates are tuned."""
        return sum(self._trials_of(self.family_plans[family.key]) for family in self.families)

    def work_left(self) -> list[Chain]:
        """See `Sweep.work_left`; a chain for each family, under the first of its cells."""
        return [self._left_of(self.family_plans[family.key]) for family in self.families]

    def _left_of(self, plan: FamilyPlan) -> Chain:
        cell, limit = plan.family.cells[0], self.study.resources.members_per_pack
        packs = [pack for pack in plan.packs if pack.key not in self.failures]
        now = []
        for pack in packs:
            left = len({trial.key for trial in pack.trials} - self.results.keys())
            now.append(Expected(cell, pack.trials[0].stage, left, pack.key))
        if plan.state is not CellState.TUNING or len(packs) < len(plan.packs):
            return [tuple(now)]
        pairs = sum(len(of.draws) for of in plan.family.cells) * len(self.study.seeds)
        tuned = self._trials_of(plan) - pairs - len({trial.key for trial in plan.trials})
        steps = [
            in_packs(cell, Stage.TUNE, tuned, limit),
            in_packs(cell, Stage.MEASURE, pairs, limit),
        ]
        return [tuple(now), *steps]

    def _trials_of(self, plan: FamilyPlan) -> int:
        if plan.state is not CellState.TUNING:
            return len({trial.key for trial in plan.trials})
        return trials_of_family(self.study, plan.family)


def trials_of_family(study: EmergenceStudy, family: Family) -> int:
    """Trials of a family: its pairs and the least that its tuning takes, if none comes twice."""
    pairs = sum(len(cell.draws) for cell in family.cells) * len(study.seeds)
    if study.tuning is None:
        return pairs
    encoders = sum(len(tuning_cells(study.tuning, family, m)) for m in MODALITIES)
    return pairs + encoders * study.tuning.proposals * len(study.tuning.seeds)


def tuning_cells(tuning: Tuning, family: Family, modality: int) -> list[Cell]:
    """The cells whose encoders of one modality a proposal is judged by, one for each encoder.

    Modality 2 at the heterogeneities D_phi = depth - offset; at all of the family's where there is
    none of those. ``tuning.D_phi`` takes out what else the grid has, of a family that has any.
    """
    matched: dict[object, Cell] = {}
    rest: dict[object, Cell] = {}
    wanted: Sequence[Cell] = family.cells
    if tuning.D_phi is not None:
        kept = (None, *tuning.D_phi)
        wanted = [cell for cell in wanted if heterogeneity_depth(cell) in kept] or wanted
    for cell in wanted:
        depth = (cell.depth_1, cell.depth_2)[modality - 1]
        width = (cell.width_1, cell.width_2)[modality - 1]
        if depth not in tuning.depths:
            continue
        if modality == 1:
            matched.setdefault((depth, width), cell)
            continue
        place = (depth, width, cell.parameters)
        rest.setdefault(place, cell)
        if heterogeneity_depth(cell) in [depth - offset for offset in tuning.offsets]:
            matched.setdefault(place, cell)
    return list((matched or rest).values())


def _tune(
    study: EmergenceStudy,
    tuning: Tuning,
    family: Family,
    modality: int,
    science: str,
    results: Results,
) -> tuple[list[EncoderTrial], tuple[Pack, ...], list[TunedRates]]:
    """The trials of a modality's tuning so far, the packs that are missing, what is found."""
    seed = derive_seed(study.seed, "tuning", family.key, modality)
    cells = tuning_cells(tuning, family, modality)
    trials: list[EncoderTrial] = []
    outcomes: list[TunedRates] = []
    generation = 0
    while proposed := _proposed(tuning, seed, tuple(outcomes)):
        start = len(outcomes)
        now = [
            EncoderTrial(
                cell,
                family.draws[0],
                s,
                0.0,
                Arm.NONE,
                Stage.TUNE,
                science,
                generation,
                start + i,
                rates=(rates, rates),
                modality=modality,
            )
            for i, rates in enumerate(proposed)
            for s in tuning.seeds
            for cell in cells
        ]
        known = {trial.key for trial in trials}
        fresh = {t.key: t for t in reversed(now) if t.key not in known}
        unique = [t for t in now if fresh.get(t.key) is t]
        trials += unique
        limit = study.resources.members_per_pack
        missing = packs_left(pack_trials([[t] for t in unique], limit), results)
        if missing:
            return trials, missing, outcomes
        for number, rates in enumerate(proposed, start):
            of_proposal = [t for t in now if t.number == number]
            outcomes.append(TunedRates(rates, _performance(of_proposal, modality, results)))
        generation += 1
    return trials, (), outcomes


def _performance(trials: Sequence[EncoderTrial], modality: int, results: Results) -> float:
    found = [results[trial.key] for trial in trials]
    if any(result.status is not Status.OK for result in found):
        return math.nan
    performed = named("performance", modality, "validation")
    return float(np.mean([r.number(performed) for r in found]))


@lru_cache(maxsize=10_000)
def _proposed(tuning: Tuning, seed: int, outcomes: tuple[TunedRates, ...]) -> tuple[Rates, ...]:
    return tuple(propose_rates(tuning, seed, outcomes))
