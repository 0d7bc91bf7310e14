import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulate_packs import diverged, essence, measured, outcomes_by_hand, run
from tiny_two_cells import StudyFactory

from raysweep.kinds.forcing.plan import ForcingSweep as Sweep
from raysweep.kinds.forcing.plan import trials_of_cell
from raysweep.kinds.forcing.search import choose
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.kinds.kind import study_size
from raysweep.kinds.sweep import CellState
from raysweep.trials.packing import Pack
from raysweep.trials.trial import Arm, Stage, Trial


def study(**search: object) -> Study:
    """Three cells, two draws in one of them; nothing is ever loaded or trained."""
    return Study.model_validate(
        {
            "name": "simulated",
            "data": [
                {"dataset": "synthetic", "U": [0, 4], "draws": 1},
                {"dataset": "digits", "overlap": 2, "draws": 2},
            ],
            "search": {"trials": 5, "generation": 2, "seeds": 2, **search},
            "confirm": {"seeds": 3},
            "resources": {"members_per_pack": 4},
        }
    )


def changed(before: Study, **parts: dict[str, object]) -> Study:
    plain = before.model_dump()
    for part, values in parts.items():
        plain[part] = {**plain[part], **values} if isinstance(plain[part], dict) else values
    return Study.model_validate(plain)


@pytest.mark.parametrize("objective", ["alignment", "performance", "both"])
def test_a_sweep_trains_what_the_study_asks_for(objective: str) -> None:
    wanted = study(objective=objective)
    sweep = run(wanted)
    arms = {"none", "forced", "placebo"}
    for cell in sweep.cells:
        trials = [t for t in sweep.order().values() if t.cell.id == cell.id]
        searched = [t for t in trials if t.stage is Stage.SEARCH]
        confirmed = [t for t in trials if t.stage is Stage.CONFIRM]
        own = (0,) if cell.draws == (0,) else (1000, 1001)
        assert {(t.draw, t.seed) for t in searched} == {(d, s) for d in own for s in (0, 1)}
        assert len({t.strength for t in searched if t.arm is Arm.FORCED}) == 5
        assert all(t.arm is Arm.NONE for t in searched if t.strength == 0)
        assert Counter(t.strength for t in searched)[0.0] == 2 * len(cell.draws)
        pairs = {(t.draw, t.seed) for t in confirmed}
        assert pairs == {(d, s) for d in cell.draws for s in (1000, 1001, 1002)}
        strengths = {t.strength for t in confirmed} - {0.0}
        for pair in pairs:
            here = [t for t in confirmed if (t.draw, t.seed) == pair]
            assert {t.arm for t in here} == arms
            assert len(here) == 1 + 2 * len(strengths)
        assert sweep.plans[cell.id].state is CellState.DONE
        assert sweep.state(cell) is CellState.DONE
    assert sweep.results.keys() == sweep.order().keys()
    if objective != "both":
        assert len(sweep.order()) == sweep.trials_planned()
    assert sweep.trials_planned() == sum(trials_of_cell(wanted, cell) for cell in sweep.cells)


def test_draws_of_the_search_alone_are_never_confirmed() -> None:
    wanted = study(draws=3)
    sweep = run(wanted)
    for cell in sweep.cells:
        trials = [t for t in sweep.order().values() if t.cell.id == cell.id]
        searched = {t.draw for t in trials if t.stage is Stage.SEARCH}
        confirmed = {t.draw for t in trials if t.stage is Stage.CONFIRM}
        assert searched == {1000, 1001, 1002}
        assert confirmed == set(cell.draws)
    assert len(sweep.order()) == sweep.trials_planned() == study_size(wanted, False).trials
    # The same strengths are proposed first; what was found on other datasets differs.
    shared = run(study(draws="confirmed"))
    assert all(
        sweep.plans[c].outcomes[0].proposal == plan.outcomes[0].proposal
        and sweep.plans[c].outcomes[0].alignment != plan.outcomes[0].alignment
        for c, plan in shared.plans.items()
    )


@pytest.mark.parametrize("objective", ["alignment", "performance", "both"])
def test_the_strength_that_is_confirmed_is_the_best_by_hand(objective: str) -> None:
    wanted = study(objective=objective)
    sweep = run(wanted)
    for plan in sweep.plans.values():
        outcomes = outcomes_by_hand(wanted, plan, sweep.order().values())
        np.testing.assert_allclose(
            [(o.strength, o.alignment, o.performance) for o in plan.outcomes],
            [(o.strength, o.alignment, o.performance) for o in outcomes],
        )
        chosen = choose(wanted.search, outcomes)
        assert plan.chosen == chosen
        confirmed = [t for t in plan.trials if t.stage is Stage.CONFIRM and t.strength > 0]
        found = {c: t.strength for t in confirmed for c in t.chosen_by.split("+")}
        assert found == {criterion: proposal.strength for criterion, proposal in chosen.items()}


def test_a_strength_that_both_criteria_choose_is_trained_once() -> None:
    wanted = study(objective="both", trials=1, generation=1)
    sweep = run(wanted)
    for plan in sweep.plans.values():
        confirmed = [t for t in plan.trials if t.stage is Stage.CONFIRM and t.strength > 0]
        assert {t.chosen_by for t in confirmed} <= {"alignment+performance"}
        assert len(confirmed) == 2 * 3 * len(plan.cell.draws) or not plan.chosen


STUDY = study(objective="both")
UNDISTURBED = essence(run(STUDY))
STUDY_CELLS = [cell.id for cell in Sweep(STUDY).cells]


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 12), max_size=4))
def test_order_and_interruptions_change_nothing(seed: int, cuts: list[int]) -> None:
    choice = random.Random(seed)
    results: dict = {}
    for cut in cuts:
        results = run(STUDY, results, choice=choice, stop_after=cut).results
    sweep = run(STUDY, results, choice=choice)
    assert essence(sweep) == UNDISTURBED
    assert sweep.finished
    assert not sweep.failures


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 90))
def test_whatever_is_lost_is_run_again(seed: int, lost: int) -> None:
    # Part files that were deleted or damaged: any packs, also of early generations.
    choice = random.Random(seed)
    results = run(STUDY).results
    for key in choice.sample(sorted(results), min(lost, len(results))):
        del results[key]
    again = run(STUDY, results, choice=choice)
    assert essence(again) == UNDISTURBED


EXTENSIONS: dict[str, dict] = {
    "trials": {"search": {"trials": 8}},
    "trials to the end of a generation": {"search": {"trials": 6}},
    "search seeds": {"search": {"seeds": [0, 1, 2]}},
    "confirm seeds": {"confirm": {"seeds": [1000, 1001, 1002, 1003]}},
    "cells": {"data": [*STUDY.model_dump()["data"], {"dataset": "channels"}]},
    "draws": {
        "data": [
            {"dataset": "synthetic", "U": [0, 4], "draws": 2},
            {"dataset": "digits", "overlap": 2, "draws": 2},
        ]
    },
    "larger packs": {"resources": {"members_per_pack": 9}},
    "another margin": {"verdict": {"margin": 0.01}},
}


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_an_extended_study_keeps_its_results(extension: str) -> None:
    before = run(STUDY)
    wanted = changed(STUDY, **EXTENSIONS[extension])
    trained: list[Trial] = []

    def counted(trial: Trial):  # type: ignore[no-untyped-def]
        trained.append(trial)
        return measured(trial)

    after = run(wanted, before.results, counted)
    assert essence(after) == essence(run(wanted))
    # Nothing that is there is trained again, and nothing that is not asked for.
    assert not {t.key for t in trained} & set(before.results)
    if extension in ("larger packs", "another margin"):
        assert trained == []
    if extension in ("confirm seeds", "cells"):
        assert set(before.order()) <= set(after.order())
    if "trials" in extension:
        searched = [t for t in before.order().values() if t.stage is Stage.SEARCH]
        assert {t.key for t in searched} <= set(after.order())


@pytest.mark.parametrize("sampler", ["tpe", "qmc", "random"])
def test_more_trials_keep_the_proposals_of_every_sampler(sampler: str) -> None:
    short, long = (run(study(sampler=sampler, trials=t)) for t in (3, 7))
    for cell, plan in short.plans.items():
        strengths = [o.strength for o in plan.outcomes]
        assert [o.strength for o in long.plans[cell].outcomes][:3] == strengths


def test_a_grid_is_whole() -> None:
    sweep = run(study(sampler="grid", trials=7, generation=3))
    for plan in sweep.plans.values():
        found = [o.strength for o in plan.outcomes]
        np.testing.assert_allclose(found, np.geomspace(0.01, 10, 7), rtol=1e-5)


# Packs


def test_packs_are_of_one_cell_and_keep_arms_together() -> None:
    packs: list[Pack] = []
    sweep = run(study(objective="alignment"), fails=lambda pack: packs.append(pack) or False)
    assert sum(len(pack.trials) for pack in packs) == len(sweep.order())
    for pack in packs:
        assert len(pack.trials) <= 4
        assert len({t.cell.id for t in pack.trials}) == 1
        assert len({t.stage for t in pack.trials}) == 1
        if pack.trials[0].stage is Stage.CONFIRM:
            groups = {(t.draw, t.seed) for t in pack.trials}
            assert len(pack.trials) == 3 * len(groups)


def test_packs_are_the_same_however_the_run_was_cut() -> None:
    def packs_of(seed: int | None, cut: int | None) -> set[str]:
        choice = None if seed is None else random.Random(seed)
        found: list[str] = []

        def note(pack: Pack) -> bool:
            found.append(pack.key)
            return False

        first = run(STUDY, choice=choice, stop_after=cut, fails=note)
        run(STUDY, first.results, choice=choice, fails=note)
        assert len(found) == len(set(found)) or cut is not None
        return set(found)

    whole = packs_of(None, None)
    for seed in range(6):
        assert packs_of(seed, 3 * seed + 1) == whole


# Failure


def test_a_pack_that_fails_stops_its_cell_only() -> None:
    broken = STUDY_CELLS[1]

    def fails(pack: Pack) -> bool:
        return pack.trials[0].cell.id == broken and pack.trials[0].stage is Stage.SEARCH

    sweep = run(STUDY, fails=fails, choice=random.Random(0))
    states = {cell.id: sweep.state(cell) for cell in sweep.cells}
    assert states.pop(broken) is CellState.FAILED
    assert set(states.values()) == {CellState.DONE}
    assert sweep.finished
    assert set(sweep.failures.values()) == {"raised"}
    assert not any(t.cell.id == broken for t in map(sweep.order().get, sweep.results) if t)
    # The next run tries again.
    assert essence(run(STUDY, sweep.results)) == UNDISTURBED


def test_a_cell_whose_strengths_all_diverge_ends_without_a_confirm_stage() -> None:
    sweep = run(study(), measure=diverged)
    assert sweep.finished
    assert {sweep.state(cell) for cell in sweep.cells} == {CellState.NO_STRENGTH}
    assert {t.stage for t in sweep.order().values()} == {Stage.SEARCH}
    assert all(plan.chosen == {} for plan in sweep.plans.values())
    # More trials may still find one.
    longer = run(study(trials=9), sweep.results)
    assert {longer.state(cell) for cell in longer.cells} <= {CellState.DONE, CellState.NO_STRENGTH}
    assert CellState.DONE in {longer.state(cell) for cell in longer.cells}


def test_one_diverged_seed_fails_its_strength_only() -> None:
    sweep = run(study())
    outcomes = [o for plan in sweep.plans.values() for o in plan.outcomes]
    diverging = [o for o in outcomes if not o.defined("alignment")]
    assert diverging  # the simulation has some
    for plan in sweep.plans.values():
        for outcome in plan.outcomes:
            if not outcome.defined("alignment"):
                assert outcome.strength > 6
                assert outcome.proposal not in plan.chosen.values()


def test_a_pack_is_handed_out_once_until_it_ends() -> None:
    sweep = Sweep(STUDY)
    packs = []
    while (pack := sweep.next_pack()) is not None:
        packs.append(pack)
    assert len({pack.key for pack in packs}) == len(packs)
    assert sweep.running == ()  # all of them wait for a worker
    for pack in packs[:2]:
        sweep.begin(pack)
    sweep.lose(packs[1])
    assert sweep.running == (packs[0],)
    assert not sweep.finished
    sweep.complete(packs[0], [measured(t) for t in packs[0].trials])
    assert packs[0] not in sweep.running
    sweep.fail(packs[1], "why")
    assert sweep.next_pack() != packs[1]
    assert sweep.failures == {packs[1].key: "why"}


def test_cells_near_their_end_come_first(study_of: StudyFactory) -> None:
    sweep = Sweep(study_of("search.trials=1", "search.generation=1"))
    first = sweep.next_pack()
    assert first is not None
    sweep.complete(first, [measured(t) for t in first.trials])
    following = sweep.next_pack()
    assert following is not None
    assert following.trials[0].cell.id == first.trials[0].cell.id
    assert following.trials[0].stage is Stage.CONFIRM
