import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

from raysweep_analysis.inference import (
    detectable_effect,
    hedges_dz,
    holm,
    paired_t,
    power_paired_t,
    sign_flip,
    tost,
)


def enumerated_sign_flip(d: np.ndarray) -> float:
    sums = [abs(np.dot(signs, d)) for signs in itertools.product([1, -1], repeat=len(d))]
    return float(np.mean(np.array(sums) >= abs(d.sum()) - 1e-12))


@pytest.fixture
def ragged() -> np.ndarray:
    rng = np.random.default_rng(1)
    d = rng.normal(0.01, 0.02, size=(6, 9))
    for row, missing in enumerate([0, 1, 2, 3, 5, 6]):
        d[row, rng.permutation(9)[:missing]] = np.nan
    return d


def test_paired_t_agrees_with_scipy_row_by_row(ragged):
    result = paired_t(ragged, alpha=0.1)
    for i, row in enumerate(ragged):
        d = row[~np.isnan(row)]
        expected = stats.ttest_1samp(d, 0.0)
        interval = expected.confidence_interval(0.9)
        assert result.n[i] == len(d)
        assert result.p_value[i] == pytest.approx(expected.pvalue, rel=1e-10)
        assert (result.ci_low[i], result.ci_high[i]) == pytest.approx(tuple(interval), rel=1e-9)


def test_tost_agrees_with_statsmodels(ragged):
    for row, p in zip(ragged, tost(ragged, 0.02), strict=True):
        d = row[~np.isnan(row)]
        assert p == pytest.approx(ttost_paired(d, np.zeros_like(d), -0.02, 0.02)[0], rel=1e-9)


def test_a_row_without_spread_is_tested_by_its_signs():
    d = np.array([[0.1, 0.1, 0.1 + 1e-17], [0.0, 0.0, 0.0], [0.1, np.nan, np.nan]])
    result = paired_t(d)
    assert result.p_value[:2].tolist() == [0.25, 1.0]
    assert np.isnan(result.ci_low[0])
    assert result.ci_low[1] == result.ci_high[1] == 0.0
    assert np.isnan(result.p_value[2])
    assert tost(d, 0.2)[:2].tolist() == [0.125, 0.125]
    assert tost(d, 0.05)[0] == 1.0


@given(
    st.lists(st.integers(-4, 4), min_size=1, max_size=9).map(lambda v: np.array(v, dtype=float)),
)
@settings(max_examples=60, deadline=None)
def test_sign_flip_counts_all_patterns(d):
    # whole numbers make many ties, which rounding must not break
    assert sign_flip(d / 10) == pytest.approx(enumerated_sign_flip(d), abs=1e-12)
    assert sign_flip(np.append(d, np.nan)) == pytest.approx(enumerated_sign_flip(d), abs=1e-12)


def test_sign_flip_in_the_middle_range_agrees_with_the_dense_one():
    d = np.random.default_rng(2).normal(0.3, 1, size=14)
    dense = sign_flip(d)
    # two zeros more: the same share, but found by meeting in the middle
    assert sign_flip(np.append(d, [0.0, 0.0])) == pytest.approx(dense, rel=1e-12)


def test_sign_flip_of_many_units_is_close_to_t_and_never_zero():
    d = np.random.default_rng(3).normal(0.25, 1, size=60)
    assert sign_flip(d) == pytest.approx(stats.ttest_1samp(d, 0).pvalue, abs=0.01)
    assert sign_flip(np.ones(60)) == pytest.approx(1 / 100_001)


def test_sign_flip_cannot_reach_the_level_below_six_units():
    assert sign_flip(np.arange(1.0, 6.0)) == 2 / 32 > 0.05
    assert sign_flip(np.arange(1.0, 7.0)) == 2 / 64 < 0.05


@pytest.mark.parametrize("seed", range(6))
def test_holm_agrees_with_statsmodels(seed):
    rng = np.random.default_rng(seed)
    p = np.round(rng.random(8) ** 3, 2)  # rounded: some are equal
    p[rng.random(8) < 0.3] = np.nan
    tested = ~np.isnan(p)
    adjusted = holm(p)
    assert np.isnan(adjusted[~tested]).all()
    np.testing.assert_allclose(adjusted[tested], multipletests(p[tested], method="holm")[1])


def test_hedges_factor_in_closed_form():
    # gamma((n - 1) / 2) for n = 3 and 5 in closed form: J = sqrt(1/pi) * ..., tabulated by Hedges
    d = np.array([0.1, 0.3, 0.2])
    assert hedges_dz(d) == pytest.approx(d.mean() / d.std(ddof=1) * 0.5641895835, rel=1e-9)
    d = np.array([0.1, 0.3, 0.2, 0.4, 0.0])
    assert hedges_dz(d) == pytest.approx(d.mean() / d.std(ddof=1) * 0.7978845608, rel=1e-9)
    assert np.isnan(hedges_dz(np.array([0.1, 0.2])))


@pytest.mark.parametrize(("n", "alpha"), [(5, 0.05), (12, 0.05), (12, 0.05 / 9), (40, 0.01)])
def test_power_agrees_with_statsmodels(n, alpha):
    expected = TTestPower().power(0.8, n, alpha)
    assert power_paired_t(0.8, n, alpha) == pytest.approx(expected, rel=1e-6)
    d = detectable_effect(n, alpha)
    assert TTestPower().power(d, n, alpha) == pytest.approx(0.8, abs=1e-6)


def test_detectable_effect_of_tiny_samples():
    assert np.isnan(detectable_effect(1))
    assert detectable_effect(2) > 10
    assert np.isfinite(detectable_effect(2, alpha=0.05 / 100))
