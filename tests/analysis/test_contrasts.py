import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simulate_trials import simulate_forcing
from statsmodels.stats.multitest import multipletests

from raysweep.errors import InputError
from raysweep_analysis import forcing_effects, load_trials, power
from raysweep_analysis.answers import answer


def table(seed: int = 0, **options: object) -> pd.DataFrame:
    return simulate_forcing(rng=np.random.default_rng(seed), **options)


def three_cells(**options: object) -> pd.DataFrame:
    return table(effects=[0.03, 0.0, -0.03], characteristics={"U": [0, 4, 8]}, **options)


def test_the_four_verdicts_come_out():
    trials = pd.concat(
        [
            table(effects=[0.03, -0.03], sd_seed=0.01).assign(study="s", cell=lambda t: t.cell),
            table(effects=[0.0], sd_seed=0.001).assign(study="s", cell="same"),
            table(effects=[0.0], sd_seed=0.05).assign(study="s", cell="noisy"),
        ]
    ).assign(key=lambda t: range(len(t)))
    effects = forcing_effects(trials).set_index("cell")
    assert effects["verdict"].to_dict() == {
        "c0": "helps",
        "c1": "hurts",
        "same": "equivalent",
        "noisy": "inconclusive",
    }
    assert "would have found an effect of" in effects.loc["noisy", "reason"]
    assert (effects["reason"].drop("noisy") == "the rates of the baseline were not tuned").all()


def test_the_numbers_are_those_of_scipy():
    trials = three_cells()
    effects = forcing_effects(trials)
    wide = trials.pivot(index=["cell", "seed"], columns="arm", values="performance_fused_test")
    p_values = []
    for _, row in effects.iterrows():
        cell = wide.loc[row["cell"]]
        expected = stats.ttest_rel(cell["forced"], cell["none"])
        low, high = expected.confidence_interval()
        p_values.append(expected.pvalue)
        assert row["effect"] == pytest.approx((cell["forced"] - cell["none"]).mean())
        assert row["p_value"] == pytest.approx(expected.pvalue)
        assert (row["ci_low"], row["ci_high"]) == pytest.approx((low, high))
        placebo = stats.ttest_rel(cell["forced"], cell["placebo"])
        assert row["p_vs_placebo"] == pytest.approx(placebo.pvalue)
    expected = multipletests(p_values, method="holm")[1]
    np.testing.assert_allclose(effects["p_adjusted"], expected)


def test_losses_and_regrets_are_to_be_small():
    trials = three_cells().assign(bayes_fused=0.9)
    trials["loss_fused_test"] = -trials["performance_fused_test"]
    accuracy = forcing_effects(trials)
    for other in ("loss_fused_test", "regret_fused_test"):
        effects = forcing_effects(trials, performance=other)
        assert effects["verdict"].tolist() == accuracy["verdict"].tolist()
        np.testing.assert_allclose(effects["effect"], -accuracy["effect"])


def test_with_several_draws_the_draw_is_the_unit():
    trials = table(effects=[0.01], draws=5, seeds=6, sd_draw=0.02)
    row = forcing_effects(trials).iloc[0]
    wide = trials.pivot(index=["draw", "seed"], columns="arm", values="performance_fused_test")
    means = (wide["forced"] - wide["none"]).groupby("draw").mean()
    assert (row["n"], row["unit"], row["n_pairs"], row["n_draws"]) == (5, "draw", 30, 5)
    assert row["p_value"] == pytest.approx(stats.ttest_1samp(means, 0).pvalue)
    by_seed = forcing_effects(trials, unit="seed").iloc[0]
    assert (by_seed["n"], by_seed["unit"]) == (30, "seed")
    # seeds of one draw are not independent: counting them as such claims too much
    assert by_seed["sd"] / np.sqrt(30) < row["sd"] / np.sqrt(5)


def test_search_rows_never_enter():
    trials = three_cells()
    search = trials.assign(
        stage="search",
        seed=trials["seed"] - 1000,
        key=trials["key"] + "s",
        performance_fused_test=0.0,
        chosen_by="",
    )
    pd.testing.assert_frame_equal(
        forcing_effects(pd.concat([search, trials])), forcing_effects(trials)
    )


def test_seeds_of_search_and_confirmation_must_differ():
    trials = three_cells()
    search = trials.assign(stage="search", key=trials["key"] + "s")
    both = pd.concat([search, trials])
    for refuse in (load_trials, forcing_effects):
        with pytest.raises(InputError, match=r"uses seed 10\d\d both to search and to confirm"):
            refuse(both)


def test_lost_runs_are_counted_and_only_their_pairs_are_left_out():
    trials = three_cells()
    lost = (trials["cell"] == "c0") & (trials["arm"] == "forced") & (trials["seed"] < 1003)
    trials.loc[lost, ["status", "performance_fused_test"]] = ["diverged", np.nan]
    failed = (trials["cell"] == "c0") & (trials["arm"] == "none") & (trials["seed"] == 1005)
    trials.loc[failed, "status"] = "failed"
    gone = (trials["cell"] == "c0") & (trials["arm"] == "none") & (trials["seed"] == 1011)
    row = forcing_effects(trials[~gone]).iloc[0]
    assert (row["n"], row["n_dropped"], row["n_diverged"], row["n_failed"]) == (7, 5, 3, 1)
    assert "5 of 12 pairs are missing (3 runs diverged, 1 failed)" in row["reason"]


def test_what_a_part_of_the_runs_lacks_is_said():
    trials = three_cells().assign(steps=100, unforced_steps=0)
    trials.loc[trials["arm"] == "none", "unforced_steps"] = 100

    def of(arm: str, seeds: list[int]) -> pd.Series:
        return (trials["arm"] == arm) & (trials["cell"] == "c0") & trials["seed"].isin(seeds)

    measured = forcing_effects(trials)["alignment"].iloc[0]
    trials["undefined_test"] = ""
    constant = "representations of modality 2 are constant"
    trials.loc[of("forced", [1000, 1004]), ["undefined_test", measured]] = [constant, np.nan]
    trials.loc[of("forced", [1001, 1002, 1003]), "unforced_steps"] = 100
    trials.loc[of("placebo", [1007]), ["status", "diverged_step"]] = ["diverged", 7]
    effects = forcing_effects(trials)
    row = effects.iloc[0]
    assert (row["n"], row["n_dropped"], row["n_diverged"], row["n_unforced"]) == (9, 3, 1, 3)
    for said in (
        "3 of 12 pairs are missing (1 run diverged, 0 failed, in 3 nothing was forced)",
        f"alignment undefined in 2 of 12 forced trials: {constant}",
        "fewer placebo trials to compare with: 1 of 12 placebo trials diverged, from step 7",
    ):
        assert said in row["reason"]
    assert "undefined" not in " ".join(effects["reason"].iloc[1:])
    lines = answer(effects, power(trials), pd.DataFrame(), pd.DataFrame(), 0.005, 0.05).lines()
    said = f"In simulated U=0 alignment undefined in 2 of 12 forced trials: {constant}."
    assert said in " ".join(lines)


def without(trials: pd.DataFrame, arm: str) -> pd.DataFrame:
    return trials[trials["arm"] != arm]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: without(t, "none"), "no runs of strength 0"),
        (lambda t: without(without(t, "forced"), "placebo"), "nothing was forced here"),
        (lambda t: t.assign(stage="search"), "no confirm stage"),
        (lambda t: t[t["seed"] == 1000], "one seed only"),
        (lambda t: t.assign(status="diverged"), "forced trials diverged"),
    ],
)
def test_what_cannot_be_concluded_is_said(change, said):
    effects = forcing_effects(change(three_cells()))
    assert len(effects) == 3
    assert (effects["verdict"] == "untested").all()
    assert effects["reason"].str.contains(said).all()
    assert effects[["p_value", "ci_low", "p_adjusted"]].isna().all(axis=None)


def test_without_a_placebo_arm_the_verdict_stands_with_a_caveat():
    effects = forcing_effects(without(three_cells(), "placebo"))
    assert effects["verdict"].tolist() == forcing_effects(three_cells())["verdict"].tolist()
    assert effects["reason"].str.contains("no placebo arm").all()
    assert (effects["verdict_vs_placebo"] == "").all()


def test_an_effect_that_a_placebo_has_too_is_told_apart():
    row = forcing_effects(table(effects=[0.03], placebo_effect=0.03)).iloc[0]
    assert row["verdict"] == "helps"
    assert row["verdict_vs_placebo"] in ("equivalent", "inconclusive")


def test_each_criterion_gets_its_row_and_a_shared_strength_serves_both():
    trials = three_cells(criteria=["alignment", "performance"])
    effects = forcing_effects(trials)
    assert list(zip(effects["cell"], effects["chosen_by"], strict=True))[:2] == [
        ("c0", "alignment"),
        ("c0", "performance"),
    ]
    shared = three_cells(criteria=["alignment+performance"])
    effects = forcing_effects(shared)
    assert len(effects) == 6
    pairs = effects.groupby("cell")["effect"].nunique()
    assert (pairs == 1).all()


def test_two_strengths_of_one_criterion_are_refused():
    trials = three_cells()
    again = trials[trials["arm"] == "forced"].assign(strength=2.0, key=lambda t: t["key"] + "b")
    with pytest.raises(InputError, match="several confirm rows of arm 'forced'"):
        forcing_effects(pd.concat([trials, again]))


def test_studies_are_separate_families():
    trials = table(effects=[0.01, 0.0, 0.0], studies=2)
    both = forcing_effects(trials)
    for study in ("s0", "s1"):
        alone = forcing_effects(trials[trials["study"] == study])
        np.testing.assert_allclose(
            both.loc[both["study"] == study, "p_adjusted"], alone["p_adjusted"]
        )


def test_labels_name_what_differs():
    effects = forcing_effects(three_cells())
    assert effects["label"].tolist() == ["simulated U=0", "simulated U=4", "simulated U=8"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns=["seed", "arm"]), "lacks the columns seed, arm"),
        (lambda t: t.assign(key="k"), "keys of the trial table occur more than once, first 'k'"),
        (lambda t: t.assign(arm="forcd"), "holds 'forcd'; expected none, forced, placebo"),
        (lambda t: t.assign(study=t["cell"]), "mix 3 studies"),
        (lambda t: t.iloc[:0], "no rows"),
    ],
)
def test_bad_tables_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        load_trials(change(three_cells()))


def test_a_file_a_folder_and_a_list_are_read(tmp_path):
    trials = three_cells()
    trials.to_parquet(tmp_path / "trials.parquet")
    first, second = trials.iloc[:50], trials.iloc[50:]
    for source in (tmp_path, tmp_path / "trials.parquet", [first, second]):
        assert len(load_trials(source)) == len(trials)
    with pytest.raises(InputError, match="no trial table"):
        load_trials(tmp_path / "nothing")


@pytest.mark.parametrize("option", [{"alpha": 0.0}, {"alpha": 1.0}, {"margin": -0.1}])
def test_bad_settings_are_refused(option):
    with pytest.raises(InputError, match=next(iter(option))):
        forcing_effects(three_cells(), **option)


@pytest.mark.parametrize("value", ["x", None, True, [0.05]])
def test_settings_of_the_wrong_kind_are_named(value):
    for name in ("alpha", "margin"):
        with pytest.raises(InputError, match=f"{name} is .*; expected"):
            forcing_effects(three_cells(), **{name: value})


def test_equal_differences_have_no_effect_that_would_be_found():
    trials = table(effects=[0.02], seeds=4).assign(performance_fused_test=0.5)
    trials.loc[trials["arm"] == "forced", "performance_fused_test"] = 0.52
    [row] = forcing_effects(trials).to_dict("records")
    assert (row["n"], row["verdict"], row["sd"]) == (4, "inconclusive", 0)
    assert "4 equal differences: too few" in row["reason"]
    assert np.isnan(row["smallest_detectable_effect"])


def test_an_unknown_outcome_names_those_there_are():
    with pytest.raises(InputError, match="no column 'performance_3_test'; it has: performance_fus"):
        forcing_effects(three_cells(), performance="performance_3_test")


def test_analysis_needs_no_training_stack(tmp_path: Path):
    code = (
        "import sys, importlib, pkgutil, raysweep_analysis\n"
        "for m in pkgutil.walk_packages(raysweep_analysis.__path__, 'raysweep_analysis.'):\n"
        "    if not m.name.endswith('__main__') and '.examples.' not in m.name:\n"
        "        importlib.import_module(m.name)\n"
        "heavy = {'torch', 'ray', 'mlflow', 'optuna'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    # The walks of examples run as they are imported: test_analysis_examples.py.
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_the_analysis_is_found_where_a_user_looks_first():
    code = (
        "import sys, raysweep\n"
        "assert 'raysweep_analysis' not in sys.modules\n"
        "found = raysweep.analysis.forcing_effects\n"
        "import raysweep.analysis, raysweep_analysis\n"
        "assert raysweep.analysis is raysweep_analysis\n"
        "assert found is raysweep_analysis.forcing_effects\n"
        "assert not {'torch', 'ray', 'mlflow', 'optuna'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
