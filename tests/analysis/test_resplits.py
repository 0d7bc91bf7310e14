"""Draws that are splits of the same rows: what is tested, what is left out, and what is said."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simulate_resplits import Setting, crossed, differences, random
from simulate_trials import simulate_emergence, simulate_forcing, simulate_search

from raysweep.errors import InputError
from raysweep_analysis import dose_response, dose_shapes, draw_effects, forcing_effects, moderators
from raysweep_analysis.answers import answer
from raysweep_analysis.boundaries import boundary
from raysweep_analysis.emergence import emergence_trends
from raysweep_analysis.inference import overlap_of, paired_t, shared_variance, tost
from raysweep_analysis.sample_size import power, units_needed

ROWS = {"n_train": 125, "n_validation": 26, "n_test": 27}


def splits_of(trials: pd.DataFrame, **rows: object) -> pd.DataFrame:
    return trials.assign(file="own.npz", resplit="crossed", **{**ROWS, **rows})


def own(draws: int = 10, effects: tuple[float, ...] = (0.01,), **options: object) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    given = {"seeds": 4, "sd_draw": 0.02, **options}
    return splits_of(simulate_forcing(effects=effects, draws=draws, rng=rng, **given))


def test_two_splits_share_what_pairs_of_them_share():
    rng = np.random.default_rng(0)
    for draws in (range(2), range(5), range(7), range(10), (0, 3, 5, 6, 11)):
        # Rows 0..84 are tested, 15 at a time, without one twice in a turn of five.
        tests = {}
        for turn in {draw // 5 for draw in draws}:
            order = rng.permutation(85)
            tests |= {5 * turn + k: set(order[15 * k : 15 * k + 15]) for k in range(5)}
        again = []
        for _ in range(400):
            for turn in {draw // 5 for draw in draws}:
                order = rng.permutation(85)
                tests |= {5 * turn + k: set(order[15 * k : 15 * k + 15]) for k in range(5)}
            pairs = [(a, b) for a in draws for b in draws if a != b]
            again.append(np.mean([len(tests[a] & tests[b]) / 15 for a, b in pairs]))
        assert overlap_of(draws, 5, 15 / 85) == pytest.approx(np.mean(again), abs=0.01)


@pytest.mark.parametrize("draws", [5, 10])
def test_the_variance_knows_what_splits_share(draws):
    trials = own(draws)
    row = forcing_effects(trials).iloc[0]
    wide = trials.pivot(index=["draw", "seed"], columns="arm", values="performance_fused_test")
    d = (wide["forced"] - wide["none"]).groupby("draw").mean()
    rho = {5: 0.03, 10: 25 / 45 * 27 / 152}[draws]
    variance = d.var(ddof=1) * (1 / draws + rho / (1 - rho))
    t = stats.t(draws - 1)
    assert (row["n"], row["unit"], row["n_draws"]) == (draws, "split", draws)
    assert row["p_value"] == pytest.approx(2 * t.sf(abs(d.mean()) / variance**0.5))
    half = t.ppf(0.975) * variance**0.5
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((d.mean() - half, d.mean() + half))
    low, high = (t.sf((s * d.mean() + 0.005) / variance**0.5) for s in (1, -1))
    assert row["p_equivalence"] == pytest.approx(max(low, high))
    assert np.isnan(row["p_signflip"])
    plain = forcing_effects(trials.drop(columns="resplit")).iloc[0]
    assert plain["unit"] == "draw"
    for name in ("p_value", "p_vs_placebo", "smallest_detectable_effect"):
        assert row[name] > plain[name]
    assert row["alignment_ci_low"] < plain["alignment_ci_low"]


def test_one_split_is_tested_over_its_seeds():
    row = forcing_effects(own(draws=1)).iloc[0]
    assert (row["unit"], row["n"]) == ("seed", 4)
    assert np.isfinite(row["p_signflip"])


def test_seeds_over_several_splits_are_refused():
    with pytest.raises(InputError, match="splits of the same rows: its seeds are no independent"):
        forcing_effects(own(), unit="seed")
    forcing_effects(own(draws=1), unit="seed")


def test_a_dataset_is_one_unit_however_often_it_is_split():
    trials = own(effects=(0.0, 0.01, 0.02), characteristics={"n_rows": [1, 2, 3]})
    units = draw_effects(trials, "performance_fused_test")
    assert len(units) == 3
    effects = forcing_effects(trials)
    np.testing.assert_allclose(units["effect"], effects["effect"])
    half = (effects["ci_high"] - effects["ci_low"]) / 2 / stats.t(9).ppf(0.975)
    np.testing.assert_allclose(units["variance"], half**2)
    fitted = moderators(trials, covariates=["n_rows"])
    assert fitted["estimate"].isna().all()
    one = own(
        effects=(0.0,) * 4, characteristics={"width_1": [1, 2, 3, 4], "width_2": [1, 2, 3, 4]}
    )
    [line] = boundary(one, along="width")["statement"]
    assert line == "not fitted: all units are models of one dataset, split anew"


def test_splits_are_no_datasets_that_a_trend_could_be_seen_in():
    rng = np.random.default_rng(0)
    trials = simulate_emergence(U=(0, 4, 8), D_phi=(1,), depths=(1, 2), draws=5, rng=rng)
    plain, found = emergence_trends(trials), emergence_trends(splits_of(trials))
    assert (plain["n_draws"].item(), found["n_draws"].item()) == (5, 1)
    assert found["n_units"].item() == 3
    assert found["rho"].item() == pytest.approx(plain["rho"].item())
    assert found["p_J"].item() > 0.1 > plain["p_J"].item()
    assert "nothing is known of other datasets" in found["note"].item()


def test_tests_by_flipped_signs_are_left_out_of_doses():
    curves = [np.array([0.01, 0.02, 0.0])]
    strengths = [0.1, 1.0, 10.0]
    search = simulate_search(
        curves=curves, strengths=strengths, draws=10, rng=np.random.default_rng(1)
    )
    found, plain = dose_response(splits_of(search)), dose_response(search)
    assert set(found["unit"]) == {"split"}
    assert found["p_maxt"].isna().all()
    assert (found["p_value"] > plain["p_value"]).all()
    [shape] = dose_shapes(splits_of(search)).to_dict("records")
    assert shape["shape"] == "unknown"
    assert "splits of the same rows" in shape["note"]
    assert np.isnan(shape["p_any"])


def test_more_splits_do_not_take_the_place_of_rows():
    trials = own(draws=10, effects=(0.0,), sd_draw=0.03)
    needs = power(trials).iloc[0]
    assert needs["unit"] == "split"
    assert np.isnan(needs["n_more"])
    assert np.isnan(needs["n_needed"])
    effects = forcing_effects(trials)
    said = answer(effects, power(trials), pd.DataFrame(), pd.DataFrame(), 0.005, 0.05).lines()
    assert any("no number of splits of these rows" in line for line in said)
    easy = power(trials, effect=0.05).iloc[0]
    assert easy["n_needed"] == units_needed(0.05 / easy["sd"], shared=shared_variance(27 / 152))
    assert easy["n_needed"] >= units_needed(0.05 / easy["sd"])


@pytest.mark.parametrize(
    ("trials", "said"),
    [
        (own(), "own.npz: the verdict is over 10 splits of the same 178 rows, 27 tested in each"),
        (
            own(draws=1),
            "own.npz: the verdict holds for the one split of these rows, 27 of 178 rows tested; "
            "its units are seeds; draws: 5 would tell",
        ),
        (
            own(draws=1).assign(resplit=None),
            "own.npz: the verdict holds for the one split that the file gives, 27 of 178 rows",
        ),
    ],
)
def test_the_answer_says_what_it_is_over(trials, said):
    effects = forcing_effects(trials)
    lines = answer(effects, power(trials), pd.DataFrame(), pd.DataFrame(), 0.005, 0.05).lines()
    assert any(line.startswith(f"- {said}") for line in lines)
    elsewhere = effects.drop(columns="file")
    lines = answer(elsewhere, power(trials), pd.DataFrame(), pd.DataFrame(), 0.005, 0.05).lines()
    assert not any("split" in line and "tested in each" in line for line in lines)


def test_false_verdicts_over_splits_are_as_rare_as_they_say():
    measured, _ = differences(Setting(rows=150, draws=10), 300, crossed)
    shared = shared_variance(overlap_of(range(10), 5, 22 / 128))
    assert (paired_t(measured, shared=shared).p_value < 0.05).mean() <= 0.06
    assert (paired_t(measured).p_value < 0.05).mean() > 0.08
    at_margin = measured + 0.1
    assert (tost(at_margin, 0.1, shared) < 0.05).mean() <= 0.06
    found = paired_t(measured + 0.1, shared=shared).p_value < 0.05
    assert found.mean() > 0.6


@pytest.mark.slow
def test_rows_that_choose_a_strength_do_not_test_it():
    setting = Setting(rows=150, draws=10, strengths=6, seeds=1)
    for splitter, is_biased in ((crossed, False), (random, True)):
        measured, expected = differences(setting, 250, splitter)
        error = (measured - expected).mean(axis=1)
        t = stats.ttest_1samp(error, 0).statistic
        assert t > 3 if is_biased else abs(t) < 2
