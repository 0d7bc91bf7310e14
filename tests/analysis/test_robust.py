"""Verdicts under draws that are not normal, and what is said where t alone would err."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simulate_trials import simulate_forcing
from simulate_verdicts import (
    AT_MARGIN,
    SCENARIOS,
    effects_of,
    false_equivalence,
    false_verdicts,
    power,
)

from raysweep_analysis import forcing_effects
from raysweep_analysis.inference import outlying, own_units, paired_t

OUTCOME = "performance_fused_test"
HIGHEST = 0.07
STUDIES = 30
SLACK = 2 * (HIGHEST * (1 - HIGHEST) / STUDIES) ** 0.5
"""Of so few studies: the large table is tests/benchmarks/bench_verdicts.py."""


def of_gains(gains: np.ndarray, **changes: object) -> pd.DataFrame:
    """Trials whose differences are given, [cells, draws], in units of accuracy."""
    cells, draws = gains.shape
    table = simulate_forcing(
        effects=[0.0] * cells, draws=draws, seeds=1, sd_seed=0.0, rng=np.random.default_rng(0)
    )
    gain = gains[table["cell"].str.removeprefix("c").astype(int), table["draw"]]
    table[OUTCOME] = 0.7 + np.where(table["arm"] == "forced", gain, 0.0)
    return table.assign(**changes)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["exponential", "a tenth collapses", "the worst fifth diverges"])
def test_no_draws_make_false_verdicts_more_often_than_told(name):
    by_t, told = false_verdicts(effects_of(SCENARIOS[name], 15, STUDIES, np.random.default_rng(1)))
    assert by_t > HIGHEST + SLACK
    assert told <= HIGHEST + SLACK


@pytest.mark.parametrize("name", ["exponential", "a tenth collapses"])
def test_of_five_draws_the_study_knows_what_no_cell_does(name):
    by_t, told = false_verdicts(effects_of(SCENARIOS[name], 5, STUDIES, np.random.default_rng(1)))
    assert by_t > 0.2
    assert told <= HIGHEST + SLACK


@pytest.mark.slow
@pytest.mark.parametrize("name", ["accuracy near 1", "ties", "no spread in half", "unequal n"])
def test_controls_err_as_rarely(name):
    _, told = false_verdicts(effects_of(SCENARIOS[name], 5, STUDIES, np.random.default_rng(1)))
    assert told <= HIGHEST + SLACK


@pytest.mark.parametrize("draws", [5, 15])
def test_rare_large_effects_are_not_equivalent(draws):
    scenario = AT_MARGIN["a tenth gains 5 points"]
    by_t, told = false_equivalence(effects_of(scenario, draws, 15, np.random.default_rng(2)))
    assert by_t > 0.15
    assert told <= HIGHEST + 0.02


def test_normal_effects_are_found_as_before():
    by_t, told = power(15, 10, np.random.default_rng(3))
    assert by_t == pytest.approx(0.8, abs=0.06)
    assert told >= by_t - 0.02


def test_own_units_are_asked_where_they_are_lopsided_only():
    rng = np.random.default_rng(4)
    lopsided = [own_units(rng.normal(size=(10, 8))) is not None for _ in range(300)]
    assert 0.05 < np.mean(lopsided) < 0.3
    exponential = [own_units(rng.exponential(size=(20, 8))) is not None for _ in range(100)]
    assert np.mean(exponential) > 0.95
    assert own_units(rng.exponential(size=(3, 8))) is None
    assert own_units(np.full((40, 8), np.nan)) is None
    assert own_units(np.zeros((40, 8))) is None


def test_their_t_is_that_of_samples_from_the_pool():
    rng = np.random.default_rng(5)
    own = own_units(rng.exponential(size=(40, 10)))
    drawn = rng.choice(own.pool, size=(200_000, 10))
    t = stats.ttest_1samp(drawn, 0.0, axis=1).statistic
    for at in (-4.0, -2.0, 1.0, 2.0):
        assert own.above(at, 10) == pytest.approx((t >= at).mean(), abs=0.01)
        assert own.below(at, 10) == pytest.approx((t <= at).mean(), abs=0.01)
    tail = own.below([-6.0, -8.0, -12.0, -np.inf], 10)
    assert (np.diff(tail) <= 0).all()
    assert tail[1] == pytest.approx((t <= -8).mean(), rel=0.5)


def test_the_order_of_cells_and_rows_changes_nothing():
    gains = 0.01 * np.random.default_rng(6).exponential(size=(12, 6)) - 0.004
    trials = of_gains(gains)
    there = forcing_effects(trials)
    assert there["p_own_units"].notna().all()
    back = forcing_effects(trials.sample(frac=1, random_state=0)).set_index("cell")
    back = back.loc[there["cell"]]
    for name in ("p_own_units", "p_adjusted", "p_equivalence"):
        np.testing.assert_allclose(there[name], back[name], rtol=1e-10)
    assert there["verdict"].tolist() == back["verdict"].tolist()


def test_draws_that_stand_out_are_few_where_all_are_alike():
    rng = np.random.default_rng(7)
    for n in (5, 12, 30):
        normal = rng.normal(size=(2_000, n))
        assert outlying(normal[:1]).shape == (1, n)
        alone = np.concatenate([outlying(row[None]) for row in normal])
        assert alone.any(axis=1).mean() == pytest.approx(0.01, abs=0.007)
    assert not outlying(np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 50.0]])).any()


def test_a_draw_that_stands_out_is_named_and_takes_the_verdict_if_it_is_against_it():
    rng = np.random.default_rng(8)
    gains = 0.02 + 0.002 * rng.normal(size=(1, 12))
    gains[0, 7] = -0.03
    row = forcing_effects(of_gains(gains)).iloc[0]
    assert (row["verdict"], row["outlying"]) == ("inconclusive", "7")
    assert row["doubt"] == "helps holds without draw 7 (-3 points) only, which stands out"
    assert row["reason"].startswith(row["doubt"])
    gains[0, 7] = 0.06
    row = forcing_effects(of_gains(gains)).iloc[0]
    assert (row["verdict"], row["outlying"]) == ("helps", "7")
    assert row["doubt"] == "draw 7 (+6 points) stands out; the verdict is the same without it"


def test_a_draw_that_hides_a_verdict_is_named():
    gains = 0.004 + 0.0005 * np.random.default_rng(9).normal(size=(1, 12))
    gains[0, 3] = -0.06
    row = forcing_effects(of_gains(gains)).iloc[0]
    assert (row["verdict"], row["outlying"]) == ("inconclusive", "3")
    assert "without it the verdict would be helps" in row["doubt"]


def test_tests_that_disagree_take_the_verdict():
    rows = 0.01 * (np.random.default_rng(10).exponential(size=(20_000, 6)) - 1)
    near = np.argsort(np.abs(paired_t(rows).p_value - 0.04))[:8]
    alone = pd.concat([forcing_effects(of_gains(row[None])) for row in rows[near]])
    differ = (alone["p_value"] < 0.05) & (alone["p_signflip"] > 0.05)
    assert differ.any()
    assert (alone.loc[differ, "verdict"] == "inconclusive").all()
    assert alone.loc[differ, "doubt"].str.contains("and the sign-flip test does not").all()


def diverged(trials: pd.DataFrame, where: pd.Series) -> pd.DataFrame:
    return trials.assign(
        status=trials["status"].where(~where, "diverged"), **{OUTCOME: trials[OUTCOME].mask(where)}
    )


def test_forced_runs_that_diverge_count_as_the_worst_for_the_claim():
    rng = np.random.default_rng(11)
    gains = np.stack([0.02 + 0.002 * rng.normal(size=12), -0.02 + 0.002 * rng.normal(size=12)])
    trials = of_gains(gains)
    assert forcing_effects(trials)["verdict"].tolist() == ["helps", "hurts"]
    lost = diverged(trials, (trials["arm"] == "forced") & (trials["draw"] == 4))
    helps, hurts = forcing_effects(lost).to_dict("records")
    kept = np.delete(gains, 4, axis=1)
    assert (helps["verdict"], hurts["verdict"]) == ("inconclusive", "hurts")
    assert helps["effect"] == pytest.approx(kept[0].mean())
    assert helps["effect_low"] == pytest.approx((kept[0].sum() - 0.7) / 12)
    assert helps["effect_high"] == pytest.approx(kept[0].sum() / 12)
    assert hurts["effect_high"] == pytest.approx(kept[1].sum() / 12)
    assert "with these at their worst the effect is -4 points" in helps["reason"]
    assert "1 run diverged" in helps["reason"]


def test_runs_without_forcing_that_diverge_count_for_it():
    gains = -0.02 + 0.002 * np.random.default_rng(12).normal(size=(1, 12))
    trials = of_gains(gains)
    row = forcing_effects(diverged(trials, (trials["arm"] == "none") & (trials["draw"] == 2))).iloc[
        0
    ]
    assert row["verdict"] == "inconclusive"
    assert row["effect_high"] > 0 > row["effect"]


def test_an_outcome_without_a_worst_value_has_no_bound():
    gains = -(0.02 + 0.002 * np.random.default_rng(13).normal(size=(1, 12)))
    trials = of_gains(gains).rename(columns={OUTCOME: "loss_fused_test"})
    assert forcing_effects(trials, "loss_fused_test")["verdict"].item() == "helps"
    where = (trials["arm"] == "forced") & (trials["draw"] == 2)
    trials = trials.assign(
        status=trials["status"].where(~where, "diverged"),
        loss_fused_test=trials["loss_fused_test"].mask(where),
    )
    row = forcing_effects(trials, "loss_fused_test").iloc[0]
    assert row["verdict"] == "inconclusive"
    assert np.isnan(row["effect_high"])
    assert "no worst value" in row["reason"]


def test_runs_that_are_not_there_yet_say_nothing():
    gains = 0.02 + 0.002 * np.random.default_rng(14).normal(size=(1, 12))
    trials = of_gains(gains)
    row = forcing_effects(trials[(trials["arm"] != "forced") | (trials["draw"] != 2)]).iloc[0]
    assert (row["verdict"], row["doubt"]) == ("helps", "")
