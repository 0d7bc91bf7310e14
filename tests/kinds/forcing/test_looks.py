"""Confirm stages that look at their cells, and stop those that are decided."""

import random
from collections import Counter

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulate_packs import essence, measured, noise, run

from raysweep.errors import InputError
from raysweep.kinds.forcing.extension import extends
from raysweep.kinds.forcing.plan import ForcingSweep as Sweep
from raysweep.kinds.forcing.plan import plan_cell
from raysweep.kinds.forcing.registration import analysis_plan
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.kinds.sweep import CellState
from raysweep.trials.trial import Arm, Stage, Trial, TrialResult
from raysweep_analysis import forcing_effects
from raysweep_analysis.preregistration import check

LOOKS = [4, 6, 9, 12]
OUTCOME = "performance_fused_test"
EFFECTS = {0: 0.05, 2: 0.0, 4: -0.05, 6: 0.01}
"""By the number of unique features; the spread of a difference is a tenth of a point, but of the
last: ten points."""


def study(cells: int = 1, **confirm: object) -> Study:
    """Four cells of 12 draws, searched on draws of its own; nothing is loaded or trained."""
    return Study.model_validate(
        {
            "name": "looked_at",
            "data": {"dataset": "synthetic", "U": list(EFFECTS), "draws": 12},
            "search": {"trials": 2, "generation": 2, "seeds": 1, "draws": 1},
            "confirm": {"seeds": 2, "sequential": LOOKS, **confirm},
            "resources": {"members_per_pack": 5, "cells_per_pack": cells},
        }
    )


def outcome(trial: Trial) -> TrialResult:
    """As `measured`, with an outcome of known effect on the test split."""
    unique = dict(trial.cell.parameters)["U"]
    spread = 0.2 if unique == 6 else 0.002
    effect = EFFECTS[unique] if trial.arm is Arm.FORCED else 0.0
    result = measured(trial)
    values = {
        **result.values,
        OUTCOME: 0.7 + effect + spread * (noise(trial, "outcome") - 0.5),
        "train_seconds": 30.0,
    }
    return TrialResult(trial.key, result.status, values)


def looked_at(sweep: Sweep, unique: int) -> tuple[list[Trial], Sweep]:
    [cell] = [c for c in sweep.cells if dict(c.parameters)["U"] == unique]
    trials = [t for t in sweep.plans[cell.id].trials if t.stage is Stage.CONFIRM]
    return trials, sweep


def draws_of(sweep: Sweep, unique: int) -> Counter[str]:
    """Arm -> draws that it was trained on."""
    trials, _ = looked_at(sweep, unique)
    return Counter({arm.value: len({t.draw for t in trials if t.arm is arm}) for arm in Arm})


def rows_of(sweep: Sweep) -> pd.DataFrame:
    """The trial table of a sweep."""
    return pd.DataFrame(
        [
            {
                "key": key,
                "study": sweep.study.name,
                "cell": trial.cell.id,
                "status": sweep.results[key].status.value,
                **{n: getattr(trial, n) for n in ("draw", "seed", "strength", "chosen_by")},
                "arm": trial.arm.value,
                "stage": trial.stage.value,
                "data": "synthetic",
                **dict(trial.cell.parameters),
                **sweep.results[key].values,
            }
            for key, trial in sweep.order().items()
        ]
    )


def test_a_cell_stops_once_it_is_decided_and_the_placebo_follows_an_effect() -> None:
    sweep = run(study(), measure=outcome)
    assert draws_of(sweep, 0) == {"none": 4, "forced": 4, "placebo": 4}
    assert draws_of(sweep, 4) == {"none": 4, "forced": 4, "placebo": 4}
    assert draws_of(sweep, 2) == {"none": 4, "forced": 4, "placebo": 0}
    assert draws_of(sweep, 6) == {"none": 12, "forced": 12, "placebo": 0}
    assert {sweep.state(cell) for cell in sweep.cells} == {CellState.DONE}
    trials, _ = looked_at(sweep, 0)
    assert {(t.draw, t.seed) for t in trials} == {(d, s) for d in range(4) for s in (1000, 1001)}


def test_the_analysis_says_what_the_cells_stopped_for() -> None:
    sweep = run(study(), measure=outcome)
    effects = forcing_effects(rows_of(sweep), OUTCOME, looks=LOOKS).set_index("U")
    assert effects["verdict"].to_dict() == {
        0: "helps",
        2: "equivalent",
        4: "hurts",
        6: "inconclusive",
    }
    assert effects["look"].to_dict() == {0: 1, 2: 1, 4: 1, 6: 4}
    looked = "1 look of 4: after 4 of 12 draws, which p-values and intervals allow for"
    assert looked in effects.loc[0, "reason"]
    assert "placebo" not in effects.loc[2, "reason"]
    once = forcing_effects(rows_of(sweep), OUTCOME).set_index("U")
    wider = (effects["ci_high"] - effects["ci_low"]) / (once["ci_high"] - once["ci_low"])
    assert (wider > 1).all()
    assert (effects["p_adjusted"] >= once["p_adjusted"]).all()


CASES = {
    "each cell by itself": study(),
    "cells that share packs": study(cells=3),
    "a budget of trials": study(budget={"trials": 220}),
    "a budget of minutes": study(cells=2, budget={"minutes": 120.0}),
}
UNDISTURBED = {name: essence(run(wanted, measure=outcome)) for name, wanted in CASES.items()}


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=5)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 25), max_size=3))
def test_order_and_interruptions_change_nothing(name: str, seed: int, cuts: list[int]) -> None:
    choice = random.Random(seed)
    results: dict[str, TrialResult] = {}
    for cut in cuts:
        results = run(CASES[name], results, outcome, choice, stop_after=cut).results
    sweep = run(CASES[name], results, outcome, choice)
    assert essence(sweep) == UNDISTURBED[name]
    assert essence(Sweep(CASES[name], sweep.results)) == UNDISTURBED[name]


def test_a_cell_stops_by_its_own_results_alone() -> None:
    sweep = run(study(), measure=outcome)
    for cell in sweep.cells:
        own = {key: r for key, r in sweep.results.items() if sweep.order()[key].cell == cell}
        assert plan_cell(sweep.study, cell, own).trials == sweep.plans[cell.id].trials


def confirmed(sweep: Sweep) -> int:
    return sum(t.stage is Stage.CONFIRM for t in sweep.order().values())


@pytest.mark.parametrize("trials", [96, 100, 130, 10_000])
def test_a_budget_is_kept_and_what_is_freed_goes_to_open_cells(trials: int) -> None:
    sweep = run(study(budget={"trials": trials}), measure=outcome)
    assert confirmed(sweep) <= trials
    whole = confirmed(run(study(), measure=outcome))
    if trials >= whole + 24:  # the placebos that the last cell might have called for
        assert confirmed(sweep) == whole
    looked = draws_of(sweep, 6)["none"]
    assert looked == {96: 4, 100: 6, 130: 9, 10_000: 12}[trials]


def test_minutes_count_what_was_trained() -> None:
    sweep = run(study(budget={"minutes": 45.0}), measure=outcome)
    # Half a minute a trial; the first look at all cells takes 80 of them.
    assert draws_of(sweep, 6)["none"] == 4
    assert confirmed(sweep) * 0.5 <= 45


def test_a_failed_cell_keeps_no_other_from_its_verdict() -> None:
    wanted = study()
    broken = Sweep(wanted).cells[1].id
    sweep = run(wanted, measure=outcome, fails=lambda pack: pack.cells[0].id == broken)
    assert sweep.finished
    states = {cell.id: sweep.state(cell) for cell in sweep.cells}
    assert states.pop(broken) is CellState.FAILED
    assert set(states.values()) == {CellState.DONE}


@pytest.mark.parametrize(
    ("confirm", "message"),
    [
        ({"sequential": [4, 8]}, "the last look is after 8 draws, and there are 12"),
        ({"sequential": [6, 4, 12]}, "expected rising numbers of units"),
        ({"sequential": [2, 12]}, "greater than or equal to 3"),
        ({"sequential": [], "budget": {"trials": 900}}, "a budget is kept by cells that stop"),
        ({"budget": {"trials": 50}}, "the first look at all cells takes up to 96 trials"),
        ({"budget": {}}, "give trials or minutes"),
        ({"budget": {"trials": 500, "minutes": 3.0}}, "give trials or minutes"),
    ],
)
def test_looks_that_cannot_be_are_refused(confirm: dict[str, object], message: str) -> None:
    with pytest.raises((InputError, ValueError), match=message):
        study(**confirm)


def test_looks_may_not_change_once_something_was_seen_but_a_budget_may() -> None:
    before = study(budget={"trials": 220})
    assert extends(before, study(budget={"trials": 400}))
    assert extends(before, study())
    assert not extends(before, study(sequential=[4, 8, 12]))
    assert not extends(before, study(sequential=[]))


def test_a_cell_that_stopped_deviates_from_no_plan() -> None:
    sweep = run(study(), measure=outcome)
    plan = analysis_plan(sweep.study)
    assert "looked at after 4, 6, 9, 12 units" in plan.test
    rows = rows_of(sweep)
    runs = rows.loc[rows["stage"] == "confirm", ["cell", "draw", "seed"]]

    def said(of: pd.DataFrame) -> tuple[str, ...]:
        return check(
            plan,
            plan.digest,
            performance=plan.performance,
            alpha=plan.alpha,
            margin=plan.margin,
            runs=of.itertuples(index=False, name=None),
            looks=LOOKS,
        ).deviations

    assert said(runs) == ()
    assert said(runs[runs["draw"] != 3]) != ()


@pytest.mark.parametrize("cells", [1, 2])
def test_what_is_left_is_at_least_what_is_run(cells: int) -> None:
    sweep = Sweep(study(cells))
    left = [expected(sweep)]
    assert left[0] == sweep.trials_planned()
    gone = [0]
    while (pack := sweep.next_pack()) is not None:
        assert sweep.may_end_early
        sweep.complete(pack, [outcome(trial) for trial in pack.trials])
        gone.append(gone[-1] + len(pack.trials))
        left.append(expected(sweep))
    assert left[-1] == 0
    assert not sweep.may_end_early
    assert all(more >= gone[-1] - so_far for more, so_far in zip(left, gone, strict=True))
    assert left == sorted(left, reverse=True)


def expected(sweep: Sweep) -> int:
    """Trials that are expected yet; a pack of several cells has its own share in each."""
    return sum(pack.trials for chain in sweep.work_left() for step in chain for pack in step)
