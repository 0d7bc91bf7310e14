"""Packs over several cells, planned: nothing depends on timing, interruptions or their number."""

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulate_packs import diverged, essence, measured, run

from raysweep.kinds.forcing.plan import ForcingSweep as Sweep
from raysweep.kinds.forcing.plan import plan_cell, plan_cohort
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.kinds.kind import study_size
from raysweep.kinds.sweep import CellState
from raysweep.study.cells import Cell, expand
from raysweep.trials.packing import Pack, cohorts
from raysweep.trials.trial import Stage, Trial, TrialResult

CELLS_PER_PACK = (1, 2, 5, 100)


def simulated(cells_per_pack: int, members: int = 7, **parts: Any) -> Study:
    """Twelve cells of four scales and two datasets, draws in some; nothing is ever trained."""
    return Study.model_validate(
        {
            "name": "simulated",
            "data": [
                {"dataset": "synthetic", "U": [0, 2, 4], "train": [64, 128], "draws": 2},
                {"dataset": "digits", "overlap": [0, 2]},
            ],
            "model": {"width": [8, 16]},
            "search": {"trials": 5, "generation": 2, "seeds": 2, "objective": "both"},
            "confirm": {"seeds": 3},
            "resources": {"members_per_pack": members, "cells_per_pack": cells_per_pack},
            **parts,
        }
    )


def scale(cell: Cell) -> tuple[object, ...]:
    """What makes the shape of a cell's models and data."""
    rows = dict(cell.parameters).get("train")
    return cell.dataset, rows, cell.encoder, cell.depth_1, cell.depth_2, cell.width_1, cell.width_2


def packs_of(wanted: Study, **how: Any) -> tuple[Sweep, list[Pack]]:
    packs: list[Pack] = []
    return run(wanted, fails=lambda pack: packs.append(pack) or False, **how), packs


ALONE = run(simulated(1))


# Plans


@settings(max_examples=60)
@given(st.integers(1, 14))
def test_cohorts_are_runs_of_the_grid_of_equal_scale(most: int) -> None:
    cells = expand(simulated(1))
    found = cohorts(cells, most)
    assert Counter(cell.id for own in found for cell in own) == Counter(c.id for c in cells)
    place = {cell.id: at for at, cell in enumerate(cells)}
    for own in found:
        assert 1 <= len(own) <= most
        assert len({scale(cell) for cell in own}) == 1
        places = [place[cell.id] for cell in own]
        assert places == sorted(places)
        between = cells[places[0] : places[-1]]
        assert all(cell in own for cell in between if scale(cell) == scale(own[0]))
    # Only the last cohort of a scale is short.
    short = [own for own in found if len(own) < most]
    assert len(short) == len({scale(own[0]) for own in short})


@settings(max_examples=20)
@given(
    st.sampled_from(CELLS_PER_PACK),
    st.integers(3, 60),
    st.integers(0, 2**32),
    st.lists(st.integers(1, 30), max_size=3),
)
def test_no_size_order_or_interruption_changes_what_is_trained(
    cells: int, members: int, seed: int, cuts: list[int]
) -> None:
    wanted, choice, results = simulated(cells, members), random.Random(seed), {}
    packs: list[Pack] = []
    for cut in (*cuts, None):
        sweep, fresh = packs_of(wanted, results=results, choice=choice, stop_after=cut)
        results, packs = sweep.results, packs + fresh
    assert essence(sweep) == essence(ALONE)
    assert sweep.results == ALONE.results
    assert sweep.finished
    assert {sweep.state(cell) for cell in sweep.cells} == {CellState.DONE}
    for pack in packs:
        assert len(pack.trials) <= members
        assert len(pack.cells) <= cells
        assert len({scale(cell) for cell in pack.cells}) == 1
        assert len({(t.stage, t.generation) for t in pack.trials if t.strength > 0}) <= 1
    # Packs are the rule's, whenever they came in; a cut loses only those that were running.
    whole = {pack.key for pack in packs_of(wanted)[1]}
    assert {pack.key for pack in packs} == whole


def test_packs_are_as_large_as_they_may_be() -> None:
    members = 60
    _, packs = packs_of(simulated(100, members))
    alone = packs_of(simulated(1, members))[1]
    assert max(len(pack.trials) for pack in packs) > 50 > max(len(pack.trials) for pack in alone)
    assert len(packs) < len(alone) / 2
    assert max(len(pack.cells) for pack in packs) == 3


@settings(max_examples=12)
@given(st.integers(0, 2**32), st.sampled_from(CELLS_PER_PACK), st.sampled_from(CELLS_PER_PACK))
def test_another_number_of_cells_uses_every_result(seed: int, before: int, after: int) -> None:
    choice = random.Random(seed)
    results = run(simulated(before), choice=choice, stop_after=choice.randint(1, 40)).results
    trained: list[str] = []

    def counted(trial: Trial) -> TrialResult:
        trained.append(trial.key)
        return measured(trial)

    again = run(simulated(after), results, counted, choice=choice)
    assert essence(again) == essence(ALONE)
    assert len(trained) == len(set(trained))
    assert not set(trained) & set(results)
    assert set(trained) | set(results) == set(ALONE.results)


@settings(max_examples=12)
@given(st.integers(0, 2**32), st.integers(0, 400))
def test_results_lost_at_random_are_trained_again(seed: int, lost: int) -> None:
    choice = random.Random(seed)
    results = dict(ALONE.results)
    for key in choice.sample(sorted(results), min(lost, len(results))):
        del results[key]
    assert essence(run(simulated(5), results, choice=choice)) == essence(ALONE)


@settings(max_examples=12)
@given(st.integers(0, 2**32), st.integers(0, 60))
def test_in_step_a_cell_proposes_what_it_proposes_alone(seed: int, stop_after: int) -> None:
    wanted = simulated(5)
    results = run(wanted, choice=random.Random(seed), stop_after=stop_after or None).results
    for cohort in cohorts(expand(wanted), 5):
        plans = plan_cohort(wanted, cohort, results)
        assert [plan.cell for plan in plans] == list(cohort)
        assert len({len(plan.outcomes) for plan in plans}) == 1
        for plan in plans:
            alone = plan_cell(wanted, plan.cell, results)
            assert alone.trials[: len(plan.trials)] == plan.trials
            assert alone.outcomes[: len(plan.outcomes)] == plan.outcomes
            assert plan.chosen in ({}, alone.chosen)
            if plan.state is CellState.SEARCHING:
                assert plan.packs == plans[0].packs
            else:
                assert plan == alone or plan.packs


@pytest.mark.parametrize("cells", CELLS_PER_PACK)
@pytest.mark.parametrize(
    "search",
    [
        {"objective": "alignment"},
        {"objective": "both"},
        {"options": {"temperature": [0.05, 0.1]}},
        {"options": {"temperature": [0.05, 0.1]}, "objective": "both", "draws": 2},
    ],
)
def test_the_size_that_is_told_is_that_of_a_run(cells: int, search: dict[str, Any]) -> None:
    search = {"trials": 5, "generation": 2, "seeds": 2, **search}
    search["strength"] = {"low": 0.01, "high": 5}  # nothing diverges
    wanted = simulated(cells, 20, search=search)
    sweep, packs = packs_of(wanted)
    size = study_size(wanted, measure_time=False)
    assert all(len({t.options for t in p.trials if t.strength > 0}) <= 1 for p in packs)
    chosen = 2 if search.get("objective") == "both" else 1
    if "options" in search or any(
        len(set(plan.chosen.values())) < chosen for plan in sweep.plans.values()
    ):
        assert size.packs >= len(packs)
    else:
        assert (size.packs, size.trials) == (len(packs), len(sweep.order()))
    assert sweep.trials_planned() == len(sweep.order())


def test_a_pack_that_fails_holds_up_its_cohort_and_no_other() -> None:
    wanted = simulated(3, 20)
    broken = expand(wanted)[0].id

    def fails(pack: Pack) -> bool:
        return any(t.cell.id == broken and t.generation == 1 for t in pack.trials)

    sweep = run(wanted, fails=fails, choice=random.Random(0))
    assert sweep.finished
    [cohort] = [own for own in sweep.cohorts if broken in [cell.id for cell in own]]
    assert len(cohort) == 3
    assert all(sweep.state(cell) is CellState.FAILED for cell in cohort)
    others = [cell for cell in sweep.cells if cell not in cohort]
    assert {sweep.state(cell) for cell in others} == {CellState.DONE}
    assert essence(run(wanted, sweep.results)) == essence(ALONE)


def test_a_cell_without_a_strength_leaves_the_others_to_confirm() -> None:
    wanted = simulated(5)
    lost = expand(wanted)[2].id

    def mostly(trial: Trial) -> TrialResult:
        return diverged(trial) if trial.cell.id == lost else measured(trial)

    sweep = run(wanted, measure=mostly)
    assert sweep.finished
    states = {cell.id: sweep.state(cell) for cell in sweep.cells}
    assert states.pop(lost) is CellState.NO_STRENGTH
    assert set(states.values()) == {CellState.DONE}
    confirmed = {t.cell.id for t in sweep.order().values() if t.stage is Stage.CONFIRM}
    assert confirmed == states.keys()


def test_a_cell_is_done_with_the_last_of_its_own_packs() -> None:
    sweep = Sweep(simulated(100, 6))
    seen: set[str] = set()
    while (pack := sweep.next_pack()) is not None:
        sweep.complete(pack, [measured(trial) for trial in pack.trials])
        for cell in sweep.cells:
            keys = {trial.key for trial in sweep.plans[cell.id].trials}
            if sweep.state(cell) is CellState.DONE:
                assert keys <= sweep.results.keys()
                seen.add(f"done beside {sweep.state(sweep.cells[-1])}")
    assert len(seen) > 1
