"""The promises of the tests: error rates and coverage on simulated studies with a known truth."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simulate_trials import simulate_forcing

from raysweep_analysis import forcing_effects
from raysweep_analysis.boundaries import fitted_line, zero_crossing
from raysweep_analysis.inference import (
    jonckheere_terpstra,
    max_t,
    meta_regression,
    power_paired_t,
    two_lines,
)
from raysweep_analysis.sample_size import power, units_needed

STUDIES = 2_000
FOUND = ["helps", "hurts"]


def effects_of(seed: int, unit: str = "auto", **options: object) -> pd.DataFrame:
    trials = simulate_forcing(
        studies=STUDIES, rng=np.random.default_rng(seed), placebo=False, **options
    )
    return forcing_effects(trials, unit=unit)


@pytest.fixture(scope="module")
def null_studies() -> pd.DataFrame:
    return effects_of(0, effects=[0.0, 0.0, 0.0], seeds=12)


@pytest.mark.slow
def test_each_test_errs_as_often_as_it_says(null_studies):
    assert 0.03 <= (null_studies["p_value"] < 0.05).mean() <= 0.07
    assert 0.03 <= (null_studies["p_signflip"] < 0.05).mean() <= 0.07
    covered = (null_studies["ci_low"] <= 0) & (null_studies["ci_high"] >= 0)
    assert 0.93 <= covered.mean() <= 0.97


@pytest.mark.slow
def test_a_study_errs_as_often_as_it_says(null_studies):
    wrong = null_studies["verdict"].isin(FOUND).groupby(null_studies["study"]).any()
    assert 0.03 <= wrong.mean() <= 0.06
    uncorrected = (null_studies["p_value"] < 0.05).groupby(null_studies["study"]).any()
    assert uncorrected.mean() > 0.11


@pytest.mark.slow
def test_equivalence_errs_as_often_as_it_says():
    at_margin = effects_of(1, effects=[0.005], seeds=12, sd_seed=0.003)
    assert 0.03 <= (at_margin["p_equivalence"] < 0.05).mean() <= 0.06
    # as a verdict it is rarer: an effect at the margin is mostly found to help
    assert (at_margin["verdict"] == "equivalent").mean() <= 0.05
    no_effect = effects_of(2, effects=[0.0], seeds=12, sd_seed=0.003)
    assert (no_effect["verdict"] == "equivalent").mean() > 0.9


@pytest.mark.parametrize(("d_z", "one", "worst_of_9"), [(0.8, 15, 25), (1.0, 10, 17), (1.5, 6, 10)])
def test_planned_numbers_of_seeds(d_z, one, worst_of_9):
    assert units_needed(d_z) == one
    assert units_needed(d_z, 0.05 / 9) == worst_of_9


def test_planted_effects_are_found_with_the_planned_power():
    found = effects_of(3, effects=[0.01], seeds=units_needed(1.0), sd_seed=0.01)
    assert (found["verdict"] == "helps").mean() == pytest.approx(0.8, abs=0.035)


@pytest.mark.slow
def test_seeds_are_not_draws():
    options = {"effects": [0.0], "draws": 5, "seeds": 2, "sd_draw": 0.02}
    by_draw = effects_of(4, **options)
    by_seed = effects_of(4, unit="seed", **options)
    assert 0.03 <= (by_draw["p_value"] < 0.05).mean() <= 0.07
    assert (by_seed["p_value"] < 0.05).mean() > 0.1


def test_max_t_over_strengths_errs_as_often_as_it_says():
    rng = np.random.default_rng(5)
    wrong = 0
    for _ in range(STUDIES):
        # all strengths share the baseline of their seed
        curves = rng.normal(size=(10, 6)) - rng.normal(size=(10, 1))
        wrong += max_t(curves).p_any < 0.05
    assert 0.03 <= wrong / STUDIES <= 0.06


def test_saturating_curves_are_not_called_inverted_u():
    rng = np.random.default_rng(6)
    axis = np.linspace(-2, 1, 10)
    truth = 0.03 / (1 + np.exp(-4 * (axis + 1)))
    quadratic = wrong = 0
    for _ in range(500):
        curves = truth + 0.01 * rng.normal(size=(16, 10)) + 0.02 * rng.normal(size=(16, 1))
        wrong += two_lines(axis, curves).p_inverted_u < 0.05
        bends = (curves @ np.linalg.pinv(np.vander(axis, 3)).T)[:, 0]
        quadratic += stats.ttest_1samp(bends, 0, alternative="less").pvalue < 0.05
    assert wrong / 500 <= 0.06
    assert quadratic / 500 > 0.5


def test_trends_over_draws_err_as_often_as_they_say():
    rng = np.random.default_rng(7)
    x, draw = np.tile(np.arange(5.0), 4), np.repeat(np.arange(4), 5)
    p = []
    for _ in range(400):
        y = rng.normal(size=20) + 3 * rng.normal(size=4)[draw]
        p.append(jonckheere_terpstra(x, y, draw, rng, permutations=399).p_value)
    assert 0.02 <= (np.array(p) < 0.05).mean() <= 0.08


def draws_along(
    rng: np.random.Generator, shared: float, slope: float, sd_slope: float = 0.0
) -> pd.DataFrame:
    """Units of 9 values of U x 5 draws x 4 seeds; the line crosses zero at U = 4."""
    u, draw = np.repeat(np.arange(9.0), 5), np.tile(np.arange(5), 9)
    effect = slope * (u - 4) + shared * rng.normal(size=5)[draw]
    if sd_slope:
        effect = effect + sd_slope * rng.normal(size=5)[draw] * (u - 4)
    effect = effect + 0.005 * rng.normal(size=45)
    noise = 0.01 * rng.normal(size=(45, 4))
    return pd.DataFrame(
        {
            "U": u,
            "draw": draw,
            "effect": effect + noise.mean(axis=1),
            "variance": np.mean(noise.var(axis=1, ddof=1)) / 4,
        }
    )


@pytest.mark.slow
@pytest.mark.parametrize("shared", [0.0, 0.01])
def test_the_boundary_is_covered_whether_or_not_draws_share_something(shared):
    rng = np.random.default_rng(8)
    covered, alone = [], []
    for _ in range(200):
        units = draws_along(rng, shared, slope=-0.005)
        fit = fitted_line(units, "U")
        covered.append(zero_crossing(fit, units["U"].to_numpy(), 0.05).contains(4.0))
        design = np.column_stack([np.ones(45), units["U"]])
        fit = meta_regression(units["effect"], units["variance"], design)
        alone.append(zero_crossing(fit, units["U"].to_numpy(), 0.05).contains(4.0))
    assert np.mean(covered) >= 0.93
    if shared:
        # what happens to those who take the datasets of one draw for independent
        assert np.mean(alone) < 0.8


@pytest.mark.slow
@pytest.mark.parametrize("shared", [0.0, 0.01])
def test_a_slope_that_is_not_there_is_rarely_found(shared):
    rng = np.random.default_rng(9)
    p = [
        fitted_line(draws_along(rng, shared, slope=0.0), "U").interval([0, 1])[0]
        for _ in range(200)
    ]
    # Rarer than told: the interval is the wider one of two.
    assert (np.array(p) < 0.05).mean() <= 0.07


@pytest.mark.slow
def test_slopes_that_differ_between_draws_are_not_found_where_their_mean_is_none():
    rng = np.random.default_rng(10)
    ours, alone, joint = [], [], []
    for _ in range(400):
        units = draws_along(rng, 0.005, slope=0.0, sd_slope=0.003)
        fit = fitted_line(units, "U")
        ours.append(fit.interval([0, 1])[0])
        design = np.column_stack([np.ones(45), units["U"]])
        given = units["effect"], units["variance"], design
        alone.append(meta_regression(*given, units["draw"]).interval([0, 1])[0])
        joint.append(meta_regression(*given, None, units["draw"]).interval([0, 1])[0])
    for p in (ours, joint):
        assert 0.01 <= (np.array(p) < 0.05).mean() <= 0.07
    assert (np.array(alone) < 0.05).mean() > 0.15


@pytest.mark.slow
def test_the_boundary_is_covered_where_slopes_differ_between_draws():
    rng = np.random.default_rng(11)
    covered = []
    for _ in range(300):
        units = draws_along(rng, 0.005, slope=-0.005, sd_slope=0.002)
        fit = fitted_line(units, "U")
        covered.append(zero_crossing(fit, units["U"].to_numpy(), 0.05).contains(4.0))
    assert np.mean(covered) >= 0.93


@pytest.mark.parametrize("pilot", [3, 8])
def test_the_safe_number_has_its_power_in_four_of_five_studies(pilot):
    trials = simulate_forcing(
        effects=[0.0], studies=1_000, draws=pilot, seeds=1, sd_seed=0.01,
        rng=np.random.default_rng(12), placebo=False,
    )  # fmt: skip
    needs = power(trials, effect=0.01)
    reached = {n: power_paired_t(1.0, needs[n], 0.05) >= 0.8 for n in ("n_needed", "n_needed_safe")}
    assert reached["n_needed"].mean() < 0.6
    assert 0.77 <= reached["n_needed_safe"].mean() <= 0.9
    assert (needs["n_more"] == np.maximum(0, needs["n_needed_safe"] - pilot)).all()
