import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from raysweep_analysis.inference import (
    correlation,
    correlation_interval,
    correlation_p,
    crossing,
    jonckheere_terpstra,
    max_t,
    partial_residuals,
    single_peaked,
    spearman_trend,
    two_lines,
)


@given(
    st.floats(-2, 2), st.floats(-2, 2), st.floats(0.01, 1), st.floats(0.01, 1), st.floats(-0.9, 0.9)
)
@settings(max_examples=80, deadline=None)
def test_fieller_is_the_set_of_crossings_that_are_not_rejected(a, b, var_a, var_b, rho):
    cov = rho * np.sqrt(var_a * var_b)
    found = crossing(a, b, var_a, var_b, cov, 1.96)
    x = np.linspace(-30, 30, 1201)
    height, variance = a + b * x, var_a + 2 * x * cov + x**2 * var_b
    slack = np.abs(height**2 - 1.96**2 * variance) > 1e-9 * variance
    kept = height**2 <= 1.96**2 * variance
    inside = np.array([found.contains(v) for v in x])
    np.testing.assert_array_equal(inside[slack], kept[slack])
    assert found.bounded == (b**2 > 1.96**2 * var_b)


def test_max_t_agrees_with_its_definition():
    d = np.random.default_rng(0).normal(0.4, 1, size=(7, 3))
    d[:, 1] += d[:, 0]
    observed = np.abs(stats.ttest_1samp(d, 0).statistic)
    largest = [
        np.abs(stats.ttest_1samp(d * np.array(signs)[:, None], 0).statistic).max()
        for signs in itertools.product([1, -1], repeat=7)
    ]
    expected = [(np.array(largest) >= t - 1e-9).mean() for t in observed]
    found = max_t(d)
    np.testing.assert_allclose(found.p_adjusted, expected)
    assert found.p_any == min(expected)
    np.testing.assert_allclose(np.abs(found.t), observed)


def test_max_t_of_one_unit_is_no_test():
    found = max_t(np.ones((1, 3)))
    assert np.isnan(found.p_any)
    assert np.isnan(found.p_adjusted).all()


def test_jonckheere_counts_by_hand():
    # Three groups of two: of the 12 ordered pairs between groups 10 rise and one is tied.
    x, y = [1, 1, 2, 2, 3, 3], [1, 4, 3, 4, 5, 6]
    assert jonckheere_terpstra(x, y).statistic == pytest.approx(10.5)


def test_jonckheere_is_kendalls_score_and_its_p_is_close():
    rng = np.random.default_rng(1)
    x = np.repeat(np.arange(5.0), 4)
    y = 0.3 * x + rng.normal(size=20)
    pairs = (x[:, None] < x[None, :]).sum()
    # tau-c = 2 S / (n^2 (m - 1) / m), and J = (S + pairs) / 2
    tau = stats.kendalltau(x, y, variant="c")
    score = tau.statistic * 20**2 * (5 - 1) / 5 / 2
    found = jonckheere_terpstra(x, y)
    assert found.statistic == pytest.approx((score + pairs) / 2)
    assert found.p_value == pytest.approx(tau.pvalue, abs=0.01)


def test_spearman_of_one_block_agrees_with_scipy():
    rng = np.random.default_rng(2)
    x, y = np.arange(7.0), rng.normal(size=7) + 0.2 * np.arange(7)

    def rho(z: np.ndarray) -> float:
        return stats.spearmanr(x, z).statistic

    exact = stats.permutation_test((y,), rho, permutation_type="pairings", n_resamples=np.inf)
    found = spearman_trend(x, y)
    assert found.statistic == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found.p_value == pytest.approx(exact.pvalue, abs=0.015)


def test_blocks_take_out_what_a_draw_shifts():
    # Every draw has the same clean trend on a level of its own; across draws it drowns.
    x = np.tile(np.arange(4.0), 4)
    draw = np.repeat(np.arange(4), 4)
    y = x + 100 * np.array([3, 1, 4, 2])[draw]
    assert jonckheere_terpstra(x, y, draw).p_value < 0.001
    assert jonckheere_terpstra(x, y).p_value > 0.2


def test_partial_correlation_agrees_with_the_formula():
    rng = np.random.default_rng(3)
    z = rng.normal(size=(4, 12))
    x, y = z + rng.normal(size=(4, 12)), z + rng.normal(size=(4, 12))
    found = correlation(partial_residuals(x, z), partial_residuals(y, z))
    xy, xz, yz = correlation(x, y), correlation(x, z), correlation(y, z)
    np.testing.assert_allclose(found, (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2)))
    expected = [stats.pearsonr(a, b).statistic for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(xy, expected)


def test_correlation_p_and_interval_agree_with_scipy():
    rng = np.random.default_rng(5)
    x = rng.normal(size=10)
    y = 0.6 * x + rng.normal(size=10)
    expected = stats.pearsonr(x, y)
    assert correlation_p(x, y, 9_999) == pytest.approx(expected.pvalue, abs=0.01)
    low, high = correlation_interval(expected.statistic, 10)
    assert (low, high) == pytest.approx(tuple(expected.confidence_interval()), rel=1e-9)
    assert np.isnan(correlation(x, np.ones(10)))
    assert np.isnan(correlation_p(x, np.ones(10)))


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=6))
@settings(max_examples=25, deadline=None)
def test_no_single_peaked_curve_is_closer(values):
    y = np.array(values)
    fit = single_peaked(y, np.ones(len(y)))
    steps = np.sign(np.diff(np.round(fit, 12)))
    moves = steps[steps != 0]
    assert (np.diff(moves) <= 0).all()
    error = ((y - fit) ** 2).sum()
    for peak in range(len(y)):
        rises = [{"type": "ineq", "fun": lambda f, i=i: f[i + 1] - f[i]} for i in range(peak)]
        falls = [
            {"type": "ineq", "fun": lambda f, i=i: f[i] - f[i + 1]} for i in range(peak, len(y) - 1)
        ]
        other = optimize.minimize(
            lambda f: ((f - y) ** 2).sum(),
            np.full(len(y), y.mean()),
            constraints=rises + falls,
            method="SLSQP",
        )
        assert error <= other.fun + 1e-6


def test_two_lines_finds_a_planted_peak_and_its_side():
    rng = np.random.default_rng(6)
    axis = np.linspace(-2, 1, 10)
    curves = 0.05 - 0.02 * (axis + 0.5) ** 2 + 0.003 * rng.normal(size=(16, 10))
    found = two_lines(axis, curves)
    assert found.p_inverted_u < 0.01
    assert found.peak == pytest.approx(-0.5, abs=0.4)
    assert found.slope_low > 0 > found.slope_high
    assert found.n == 8


def test_two_lines_needs_two_doses_on_each_side():
    rng = np.random.default_rng(7)
    rising = np.arange(5.0) + 0.01 * rng.normal(size=(10, 5))
    assert np.isnan(two_lines(np.arange(5.0), rising).p_inverted_u)
    assert np.isnan(two_lines(np.arange(5.0), rising[:2]).p_inverted_u)
