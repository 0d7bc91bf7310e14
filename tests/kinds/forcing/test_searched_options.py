"""Options of the loss that are searched beside the strength, from the study file to the verdict."""

import io
import itertools
import math
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from pyarrow.parquet import read_table
from rich.console import Console
from simulate_packs import diverged, essence, run
from tiny_runs import assert_same_table, opened, study, table
from tiny_two_cells import StudyFactory

from raysweep.folder.run_folder import extends
from raysweep.kinds.answer_tables import verdict_table
from raysweep.kinds.forcing.plan import ForcingSweep as Sweep
from raysweep.kinds.forcing.run_pack import run_pack
from raysweep.kinds.forcing.search import Outcome, choose, propose
from raysweep.kinds.forcing.study import ForcingStudy as Study
from raysweep.kinds.kind import study_size
from raysweep.runners import local
from raysweep.seeds import derive_seed
from raysweep.study.spec import Search
from raysweep.tracking.facts import study_facts
from raysweep.tracking.runs import runs_of_cell
from raysweep.trials.packing import Pack
from raysweep.trials.table import results_of, write_part
from raysweep.trials.trial import Arm, Proposal, Stage, Status, Trial, TrialResult
from raysweep_analysis import forcing_effects
from raysweep_analysis.doses import dose_response

OPTIONS = {
    "temperature": {"low": 0.05, "high": 1.0, "scale": "log"},
    "sharpness": {"low": -1, "high": 1.5},
    "components": {"low": 1, "high": 9},
    "projection": ["none", "linear", "mlp"],
}


def search_of(sampler: str = "tpe", trials: int = 12, **more: object) -> Search:
    return Search.model_validate({"sampler": sampler, "trials": trials, "options": OPTIONS, **more})


def measured(proposal: Proposal) -> Outcome:
    """Best at strength 1 with temperature 0.2, five components and the linear projection."""
    options = dict(proposal.options)
    value = -abs(math.log10(proposal.strength)) - abs(math.log10(options["temperature"] / 0.2))
    value -= abs(options["components"] - 5) / 4 + (options["projection"] != "linear")
    return Outcome(proposal, value, -value)


def found_by(search: Search, seed: int, trials: int) -> list[Outcome]:
    outcomes: list[Outcome] = []
    while len(outcomes) < trials:
        proposed = propose(search, seed, outcomes, search.generation)
        outcomes += [measured(p) for p in proposed[: trials - len(outcomes)]]
    return outcomes


# The search


@pytest.mark.parametrize(
    ("sampler", "trials"), [("tpe", 20), ("random", 20), ("qmc", 20), ("gp", 6)]
)
def test_every_sampler_proposes_within_all_ranges_and_keeps_what_it_proposed(
    sampler: str, trials: int
) -> None:
    long = [o.proposal for o in found_by(search_of(sampler, trials), 3, trials)]
    assert len(set(long)) == trials
    for proposal in long:
        options = dict(proposal.options)
        assert list(options) == sorted(OPTIONS)
        assert 0.01 <= proposal.strength <= 10
        assert 0.05 <= options["temperature"] <= 1
        assert -1 <= options["sharpness"] <= 1.5
        assert type(options["components"]) is int
        assert 1 <= options["components"] <= 9
        assert options["projection"] in OPTIONS["projection"]
        assert options["temperature"] == float(f"{options['temperature']:.6g}")
    if trials == 20:
        assert len({dict(p.options)["projection"] for p in long}) >= 2
        assert min(dict(p.options)["temperature"] for p in long) < 0.22  # the log scale's middle
    # Fewer trials, and the options in another order in the file, propose the same.
    shuffled = dict(reversed(OPTIONS.items()))
    short = found_by(search_of(sampler, trials - 3, options=shuffled), 3, trials - 3)
    assert [o.proposal for o in short] == long[: trials - 3]


@pytest.mark.parametrize("objective", ["alignment", "both"])
def test_a_rebuilt_search_of_options_proposes_what_an_undisturbed_one_does(objective: str) -> None:
    """Against Optuna itself: one study that lives on, its trials asked and told.

    With two objectives its default would be to draw one parameter at a time.
    """
    search, seed, live = search_of("tpe", 16, objective=objective), 11, []
    drawn = {
        "strength": FloatDistribution(0.01, 10, log=True),
        "option_components": IntDistribution(1, 9),
        "option_projection": CategoricalDistribution(("none", "linear", "mlp")),
        "option_sharpness": FloatDistribution(-1, 1.5),
        "option_temperature": FloatDistribution(0.05, 1, log=True),
    }
    optuna_study = optuna.create_study(directions=["maximize"] * (1 + (objective == "both")))
    for asked in range(0, 16, search.generation):
        optuna_study.sampler = optuna.samplers.TPESampler(
            seed=derive_seed(seed, "sampler", asked) % 2**32,
            n_startup_trials=4,
            multivariate=True,
            constant_liar=True,
        )
        for trial in [optuna_study.ask(drawn) for _ in range(search.generation)]:
            strength, *options = (trial.params[name] for name in drawn)
            live.append((strength, *options))
            named = tuple(zip(sorted(OPTIONS), options, strict=True))
            found = measured(Proposal(strength, named))
            values = [found.alignment, found.performance]
            optuna_study.tell(trial, values if objective == "both" else values[0])
    for rebuilt, undisturbed in zip(found_by(search, seed, 16), live, strict=True):
        values = [rebuilt.strength, *(value for _, value in rebuilt.proposal.options)]
        is_text = [isinstance(value, str) for value in values]
        assert list(itertools.compress(values, is_text)) == list(
            itertools.compress(undisturbed, is_text)
        )
        # The live study keeps unrounded numbers, so the two drift apart by the rounding only.
        numbers = [not text for text in is_text]
        np.testing.assert_allclose(
            list(itertools.compress(values, numbers)),
            list(itertools.compress(undisturbed, numbers)),
            rtol=1e-3,
        )


def test_the_search_finds_the_best_option() -> None:
    search = search_of("tpe", 60)
    outcomes = found_by(search, 0, 60)
    late = [dict(o.proposal.options)["projection"] for o in outcomes[30:]]
    assert late.count("linear") > 20  # at random: 10
    [best] = choose(search, outcomes).values()
    assert dict(best.options)["projection"] == "linear"
    assert abs(dict(best.options)["components"] - 5) <= 2


def test_a_grid_is_the_product_of_strengths_and_listed_options() -> None:
    listed = {"b": [True, False], "a": [0.1, 0.2, 0.4]}
    search = search_of("grid", 18, options=listed)
    proposals = propose(search, 0, [], 100)
    pairs = [(dict(p.options)["a"], dict(p.options)["b"]) for p in proposals]
    assert set(pairs) == set(itertools.product(listed["a"], listed["b"]))
    for pair in set(pairs):
        strengths = [p.strength for p, of in zip(proposals, pairs, strict=True) if of == pair]
        np.testing.assert_allclose(strengths, np.geomspace(0.01, 10, 3), rtol=1e-5)


# The sweep


def simulated(**search: object) -> Study:
    return Study.model_validate(
        {
            "name": "simulated",
            "data": {"dataset": "synthetic", "U": [0, 4], "draws": 2},
            "search": {"trials": 5, "generation": 2, "seeds": 2, "options": OPTIONS, **search},
            "confirm": {"seeds": 3},
            "resources": {"members_per_pack": 4},
        }
    )


def by_formula(trial: Trial) -> TrialResult:
    if trial.strength == 0:
        alignment = -9.0
    else:
        alignment = measured(Proposal(trial.strength, trial.options)).alignment
    values = {
        "alignment_unbiased_cka_validation": alignment,
        "performance_fused_validation": -alignment,
    }
    return TrialResult(trial.key, Status.OK, values)


@pytest.mark.parametrize("objective", ["alignment", "both"])
def test_a_pack_has_one_loss_and_the_arms_share_the_chosen_options(objective: str) -> None:
    wanted = simulated(objective=objective)
    packs: list[Pack] = []
    sweep = run(wanted, measure=by_formula, fails=lambda pack: packs.append(pack) or False)
    for pack in packs:
        assert len({t.options for t in pack.trials if t.strength > 0}) <= 1
        assert {t.options for t in pack.trials if t.strength > 0} <= {pack.options}
        assert len(pack.trials) <= 4
    for plan in sweep.plans.values():
        assert plan.chosen == choose(wanted.search, plan.outcomes)
        for draw, seed in itertools.product(plan.cell.draws, wanted.confirm.seeds):
            arms = [
                t for t in plan.trials if (t.draw, t.seed, t.stage) == (draw, seed, Stage.CONFIRM)
            ]
            assert [t.options for t in arms if t.arm is Arm.NONE] == [()]
            for arm in (Arm.FORCED, Arm.PLACEBO):
                forced = {Proposal(t.strength, t.options) for t in arms if t.arm is arm}
                assert forced == set(plan.chosen.values())
    assert study_size(wanted, measure_time=False).packs >= len(packs)
    # Cut off anywhere and gone on, or extended: the same trials.
    part = run(wanted, measure=by_formula, stop_after=5)
    assert essence(run(wanted, part.results, measure=by_formula)) == essence(sweep)
    longer = run(simulated(objective=objective, trials=9), sweep.results, measure=by_formula)
    searched = {t.key for t in sweep.order().values() if t.stage is Stage.SEARCH}
    assert searched <= longer.order().keys()


def test_nothing_is_confirmed_where_all_diverge() -> None:
    assert all(not plan.chosen for plan in run(simulated(), measure=diverged).plans.values())


def test_a_study_may_not_change_what_it_searches() -> None:
    before = study(search__options={"temperature": {"low": 0.05, "high": 1.0}})
    assert extends(before, study(search__options=OPTIONS_OF_TINY[0], search__trials=6))
    for other in OPTIONS_OF_TINY[1:]:
        assert not extends(before, study(search__options=other))
    grid = {"search__sampler": "grid", "search__options": {"learned": [True, False]}}
    coarse = study(search__trials=4, **grid)
    assert extends(coarse, study(search__trials=6, **grid))  # 2 strengths each, then 3
    assert not extends(study(search__trials=6, **grid), study(search__trials=8, **grid))


OPTIONS_OF_TINY: list[dict[str, object]] = [
    {"temperature": {"low": 0.05, "high": 1.0}},
    {"temperature": {"low": 0.05, "high": 0.9}},
    {"temperature": {"low": 0.05, "high": 1.0, "scale": "log"}},
    {"temperature": [0.05, 1.0]},
    {},
]


# The whole way


def test_a_trial_with_searched_options_has_the_numbers_of_fixed_ones(
    study_of: StudyFactory,
) -> None:
    searching = study_of("search.options={temperature: [0.1, 0.5]}", "training.dtype=float64")
    fixed = study_of("alignment.options.temperature=0.5", "training.dtype=float64")
    [cell, *_] = Sweep(fixed).cells
    trial = Trial(cell, 0, 0, 2.0, Arm.FORCED, Stage.SEARCH, "s")
    [expected] = run_pack(fixed, Pack((trial,)))
    proposed = Trial(
        cell, 0, 0, 2.0, Arm.FORCED, Stage.SEARCH, "s", options=(("temperature", 0.5),)
    )
    [row] = run_pack(searching, Pack((proposed,)))
    other = Trial(cell, 0, 0, 2.0, Arm.FORCED, Stage.SEARCH, "s", options=(("temperature", 0.1),))
    [different] = run_pack(searching, Pack((other,)))
    measured_columns = [n for n in expected if n.startswith(("alignment_", "loss_"))]
    assert [row[n] for n in measured_columns] == [expected[n] for n in measured_columns]
    assert [row[n] for n in measured_columns] != [different[n] for n in measured_columns]
    assert row["option_temperature"] == 0.5
    # The same column, whoever chose the value.
    assert expected["option_temperature"] == 0.5


def test_a_study_that_searches_options_runs_to_its_verdict(tmp_path: Path) -> None:
    wanted = study(
        search__options={
            "temperature": {"low": 0.05, "high": 1.0, "scale": "log"},
            "projection": ["none", "linear"],
            "learned": [True, False],
        },
        search__objective="both",
        confirm__seeds=3,
        seed=1,  # one of which the two ends have other options: those that are alike are not shown
    )
    whole = tmp_path / "whole"
    sweep = local.run(wanted, opened(whole, wanted))
    rows = table(whole)
    names = ["option_learned", "option_projection", "option_temperature"]
    fixed = ["option_max_scale", "option_projection_dim", "option_stop_gradient"]
    every = sorted([*names, *fixed])
    assert [n for n in rows.columns if n.startswith("option_")] == every
    assert rows.loc[rows["strength"] == 0, every].isna().all(axis=None)
    forced = rows[rows["strength"] > 0]
    assert (forced[fixed].nunique() == 1).all()
    assert forced["option_temperature"].between(0.05, 1).all()
    assert set(forced["option_projection"]) <= {"none", "linear"}
    assert set(forced["option_learned"]) <= {True, False}
    [plan] = sweep.plans.values()
    effects = forcing_effects(rows).set_index("chosen_by")
    for criterion, proposal in plan.chosen.items():
        assert effects.loc[criterion, "strength"] == proposal.strength
        options = dict(proposal.options)
        shown = effects.loc[criterion, "options"]
        assert f"projection={options['projection']}" in shown
        assert f"learned={str(options['learned']).lower()}" in shown
        assert f"temperature={options['temperature']:.3g}" in shown
    screen = Console(width=100, file=io.StringIO())
    screen.print(verdict_table(forcing_effects(rows), "performance_fused_test"))
    assert "projection=" in screen.file.getvalue()
    # In MLflow: a run for every proposal, named by what was proposed.
    facts = study_facts(wanted, sweep.cells).cells[plan.cell.id]
    runs = runs_of_cell(wanted, plan, facts, "s", "d", read_table(whole / "trials.parquet"))
    assert len({run.name for run in runs}) == len({run.identity for run in runs}) == len(runs)
    tried = {run.params["option_temperature"] for run in runs if "option_temperature" in run.params}
    assert tried == {f"{t:.6g}" for t in forced["option_temperature"]}
    assert "effect_by_alignment_performance_fused_test" in runs[0].metrics
    # Cut off in the middle and resumed: the same table.
    resumed = tmp_path / "resumed"
    folder = opened(resumed, wanted)
    part = Sweep(wanted)
    for _ in range(3):
        pack = part.next_pack()
        assert pack is not None
        done = run_pack(wanted, pack)
        write_part(folder.output, pack.key, done)
        part.complete(pack, results_of(done))
    local.run(wanted, folder)
    assert_same_table(table(resumed), rows)


def test_a_dose_is_averaged_over_the_options_tried_with_it() -> None:
    """One strength tried with two options: its effect is the mean of both."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "study": "s",
            "cell": "c",
            "draw": 0,
            "seed": seed,
            "strength": strength,
            "arm": "forced" if strength else "none",
            "stage": "search",
            "status": "ok",
            "data": "d",
            "option_learned": option,
            "performance_fused_test": 0.5 + 0.1 * bool(option) + rng.normal(0, 0.001),
        }
        for seed in range(4)
        for strength, option in ((0.0, None), (1.0, True), (1.0, False))
    ]
    trials = pd.DataFrame(rows).assign(key=lambda t: [f"k{i}" for i in range(len(t))])
    [effect] = dose_response(trials)["effect"]
    wide = trials.groupby("strength")["performance_fused_test"].mean()
    assert effect == pytest.approx(wide[1.0] - wide[0.0])
