"""The search of how to train: what is proposed, what is compared with what, and that it is fair."""

import math
import random
from collections import Counter

import numpy as np
import pytest
from simulate_packs import essence, measured, run

from raysweep.errors import InputError
from raysweep.kinds.forcing.plan import ForcingSweep, trials_of_cell
from raysweep.kinds.forcing.remarks import remarks, steps_planned
from raysweep.kinds.forcing.study import ForcingStudy
from raysweep.kinds.forcing.tuning import propose_for_none
from raysweep.seeds import derive_seed
from raysweep.study.cells import expand
from raysweep.study.spec import Search, StrengthRange, TrainingSearch
from raysweep.trials.packing import Pack
from raysweep.trials.trial import Arm, Stage, Status, Trial, TrialResult


def study(**training: object) -> ForcingStudy:
    """Two cells; nothing is ever loaded or trained."""
    return ForcingStudy.model_validate(
        {
            "name": "tuned",
            "data": [{"dataset": "synthetic", "U": [0, 4], "draws": 2}],
            "search": {
                "trials": 5,
                "generation": 2,
                "seeds": 1,
                "draws": 2,
                "objective": "both",
                "training": {"learning_rate": [0.001, 0.01], "trials": 3, **training},
            },
            "confirm": {"seeds": 2},
            "resources": {"members_per_pack": 4},
        }
    )


def settings(trial: Trial) -> dict[str, object]:
    return dict(trial.training)


def trained(sweep: ForcingSweep, cell: str, stage: Stage, arm: Arm) -> list[Trial]:
    return [
        t for t in sweep.order().values() if t.cell.id == cell and t.stage is stage and t.arm is arm
    ]


def scored(trial: Trial, best: dict[str, object], of_forced: dict[str, object]) -> TrialResult:
    """Performance that is highest at one training for none, and at another one when forced."""
    wanted = best if trial.arm is Arm.NONE else of_forced
    given = settings(trial)
    score = 0.5 + 0.1 * sum(given[name] == value for name, value in wanted.items())
    score -= 0.01 * abs(math.log10(trial.strength) + 1) if trial.strength else 0.0
    values = {
        "performance_fused_validation": score,
        "alignment_unbiased_cka_validation": trial.strength,
    }
    return TrialResult(trial.key, Status.OK, values)


NONE_BEST = {"learning_rate": 0.001, "weight_decay": 0.1, "fusion": "joint"}
FORCED_BEST = {"learning_rate": 0.01, "weight_decay": 0.1, "fusion": "probe"}


def finished(wanted: ForcingStudy, sign: float = 1.0) -> ForcingSweep:
    sweep = ForcingSweep(wanted)
    while not sweep.finished:
        pack = sweep.next_pack()
        assert pack is not None
        sweep.complete(pack, [scored(t, NONE_BEST, FORCED_BEST) for t in pack.trials])
    return sweep


def test_none_is_tried_with_every_combination_where_these_are_few() -> None:
    sweep = finished(study())
    for cell in sweep.cells:
        tried = trained(sweep, cell.id, Stage.TUNE, Arm.NONE)
        combinations = Counter(t.training for t in tried)
        assert len(combinations) == 2 * 2 * 2
        # The way to train that was best with forcing is among them, and is not trained again.
        assert set(combinations.values()) == {2}
        assert len({t.key for t in tried}) == len(tried)


def test_every_arm_is_confirmed_as_its_search_found_best() -> None:
    sweep = finished(study(trials=40))
    for cell in sweep.cells:
        none = trained(sweep, cell.id, Stage.CONFIRM, Arm.NONE)
        assert all(settings(t) == NONE_BEST for t in none)
        for arm in (Arm.FORCED, Arm.PLACEBO):
            for trial in trained(sweep, cell.id, Stage.CONFIRM, arm):
                own = "best" in trial.chosen_by.split("+")
                assert settings(trial) == (FORCED_BEST if own else NONE_BEST)
        search = trained(sweep, cell.id, Stage.SEARCH, Arm.FORCED)
        assert {t.training for t in search} == {none[0].training}
        assert len({t.number for t in search}) == 5
        best = trained(sweep, cell.id, Stage.CONFIRM, Arm.FORCED)
        pairs = {(t.draw, t.seed) for t in best if "best" in t.chosen_by}
        assert pairs == {(t.draw, t.seed) for t in none}


def test_each_cell_searches_with_its_own_fused_head_where_that_is_an_axis() -> None:
    given = {**study().model_dump(), "training": {"fusion": ["probe", "joint"]}}
    sweep = finished(ForcingStudy.model_validate(given))
    assert Counter(cell.fusion for cell in sweep.cells) == {"probe": 2, "joint": 2}
    for cell in sweep.cells:
        tried = trained(sweep, cell.id, Stage.TUNE, Arm.NONE)
        assert len({t.training for t in tried}) == 2 * 2
        every = [settings(t)["fusion"] for t in sweep.order().values() if t.cell.id == cell.id]
        assert set(every) == {cell.fusion}


@pytest.mark.parametrize("fusion", ["probe", "joint"])
def test_one_fused_head_is_no_axis_and_changes_no_key(fusion: str) -> None:
    alone = ForcingStudy.model_validate(
        {**study().model_dump(), "training": {"fusion": fusion}, "search": {}}
    )
    assert alone.science()["training"]["fusion"] == fusion
    assert {cell.fusion for cell in expand(alone)} == {""}
    assert {c.id for c in expand(alone)} == {c.id for c in expand(study())}


def test_an_axis_of_fused_heads_that_the_search_lacks_is_told() -> None:
    given = {**study(fusion=["joint"]).model_dump(), "training": {"fusion": ["probe", "joint"]}}
    with pytest.raises(ValueError, match=r"search\.training\.fusion lacks .?probe"):
        ForcingStudy.model_validate(given)


def test_both_arms_have_the_same_number_of_proposals() -> None:
    sweep = finished(study(weight_decay={"low": 1e-4, "high": 1.0}, learning_rate=[0.001, 0.01]))
    for cell in sweep.cells:
        none = trained(sweep, cell.id, Stage.TUNE, Arm.NONE)
        tuned = trained(sweep, cell.id, Stage.TUNE, Arm.FORCED)
        search = trained(sweep, cell.id, Stage.SEARCH, Arm.FORCED)
        forced = {t.number for t in tuned}, {t.number for t in search}
        # And none is tried once more, at what was best with forcing.
        assert len({t.number for t in none}) == len(forced[0]) + len(forced[1]) + 1
        winner = min(
            {t.training for t in tuned},
            key=lambda of: -max(scored(t, {}, FORCED_BEST).values["performance_fused_validation"]
                                for t in tuned if t.training == of),
        )  # fmt: skip
        assert winner in {t.training for t in none}


def test_a_luckier_search_with_forcing_is_no_gain() -> None:
    """Performance that depends on the training alone: best against best must be the same."""
    wanted = study(weight_decay={"low": 1e-4, "high": 1.0})
    sweep = ForcingSweep(wanted)

    def of(trial: Trial) -> TrialResult:
        score = 0.5 - 0.01 * abs(math.log10(float(str(settings(trial)["weight_decay"]))) + 2.2)
        values = {
            "performance_fused_validation": score,
            "alignment_unbiased_cka_validation": trial.strength,
        }
        return TrialResult(trial.key, Status.OK, values)

    while not sweep.finished:
        pack = sweep.next_pack()
        assert pack is not None
        sweep.complete(pack, list(map(of, pack.trials)))
    for cell in sweep.cells:
        [none] = {t.training for t in trained(sweep, cell.id, Stage.CONFIRM, Arm.NONE)}
        chosen = sweep.plans[cell.id].chosen["best"]
        assert chosen.training == none


@pytest.mark.parametrize("seed", range(5))
def test_a_plan_hangs_on_results_alone(seed: int) -> None:
    wanted = study(epochs=[3, 6])
    straight = run(wanted)
    choice = random.Random(seed)
    cut = run(wanted, choice=choice, stop_after=choice.randint(1, 12))
    resumed = run(wanted, results=cut.results, choice=choice)
    assert essence(resumed) == essence(straight)
    assert len(resumed.results) == len({t.key for t in straight.order().values()})
    assert straight.trials_planned() <= sum(trials_of_cell(wanted, c) for c in straight.cells)


def test_a_cell_without_a_usable_baseline_says_so() -> None:
    wanted = study()
    sweep = run(wanted, measure=lambda t: _diverged(t) if t.arm is Arm.NONE else measured(t))
    for cell in sweep.cells:
        none = trained(sweep, cell.id, Stage.CONFIRM, Arm.NONE)
        assert {t.training for t in none} == {()}  # as the study says


def _diverged(trial: Trial) -> TrialResult:
    return TrialResult(trial.key, Status.DIVERGED, {})


def test_proposals_of_none_are_those_of_the_grid_in_order() -> None:
    search = Search(training=TrainingSearch(epochs=(5, 10)))
    proposed = propose_for_none(search, derive_seed(0, "x"), (), 100)
    assert len(proposed) == len(set(proposed)) == 3 * 2 * 2 * 2
    assert [dict(p.training)["epochs"] for p in proposed[:2]] == [5, 5]
    assert all(p.strength == 0 for p in proposed)


def test_a_trial_is_trained_as_its_row_says(tmp_path: object) -> None:
    from raysweep.kinds.forcing.run_pack import run_pack

    small = ForcingStudy.model_validate(
        {
            "name": "rows",
            "data": [
                {"dataset": "synthetic", "U": 4, "train": 64, "validation": 64, "test": 64}
            ],
            "model": {"width": 8},
            "training": {"epochs": 2, "batch_size": 32, "dtype": "float64"},
        }
    )  # fmt: skip
    [cell] = expand(small)
    given = (("epochs", 4), ("fusion", "joint"), ("learning_rate", 0.02), ("weight_decay", 0.3))
    plain, other = (
        Trial(cell, 0, 1000, 0.1, Arm.FORCED, Stage.CONFIRM, "", training=of) for of in ((), given)
    )
    together = run_pack(small, Pack((plain, other)))
    changed = small.model_copy(
        update={"training": small.training.model_copy(update={**dict(given), "fusion": ("joint",)})}
    )
    [alone] = run_pack(changed, Pack((plain,)))
    for name in ("performance_fused_test", "loss_1_test", "alignment_unbiased_cka_test"):
        np.testing.assert_allclose(together[1][name], alone[name], rtol=1e-10)
        assert together[0][name] != together[1][name]
    assert [row["epochs"] for row in together] == [2, 4]
    assert [row["fusion"] for row in together] == ["probe", "joint"]
    assert [row["learning_rate"] for row in together] == [0.001, 0.02]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"learning_rate": []}, "at least 1 item"),
        ({"learning_rate": {"low": 1, "high": 0.1}}, "upside down"),
        ({"fusion": ["probe", "late"]}, "fusion"),
        ({"epochs": [0]}, "epochs"),
        ({"momentum": [0.9]}, "momentum"),
    ],
)
def test_bad_choices_are_told(wrong: dict[str, object], said: str) -> None:
    with pytest.raises((InputError, ValueError), match=said):
        study(**wrong)


def test_what_is_best_at_an_end_is_told() -> None:
    middle = finished(study(learning_rate=[1e-4, 1e-3, 1e-2], trials=40))
    assert list(remarks(middle)) == []
    wanted = study(learning_rate=[1e-3, 1e-2, 1e-1], trials=40)
    narrow = StrengthRange(low=0.09, high=10)
    wanted = wanted.model_copy(
        update={"search": wanted.search.model_copy(update={"strength": narrow})}
    )
    strengths, rates = remarks(finished(wanted))
    assert "low end of its range, 0.09" in strengths
    assert "search.strength.low" in strengths
    assert "learning_rate 0.001 (the least) in 2 of 2 cells" in rates
    assert "weight_decay" not in rates  # of two choices either is an end


def test_plan_says_where_steps_are_few() -> None:
    def planned(epochs: int) -> str:
        given = study().model_dump() | {"training": {"epochs": epochs, "batch_size": 128}}
        given["data"] = [{"dataset": "synthetic", "U": [0, 4], "train": 512, "draws": 2}]
        return steps_planned(ForcingStudy.model_validate(given))

    assert planned(125) == ""  # 4 steps an epoch
    assert "496 steps (124 epochs)" in planned(124)
