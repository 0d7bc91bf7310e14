import numpy as np
import pytest
from statsmodels.regression.mixed_linear_model import MixedLM

from raysweep_analysis.inference import Units, meta_regression, meta_regressions

# Thirteen trials of the BCG vaccine (Colditz et al. 1994, `dat.bcg` of R's metadat): vaccinated
# with and without tuberculosis, controls with and without, latitude.
BCG = np.array(
    [
        [4, 119, 11, 128, 44], [6, 300, 29, 274, 55], [3, 228, 11, 209, 42],
        [62, 13536, 248, 12619, 52], [33, 5036, 47, 5761, 13], [180, 1361, 372, 1079, 44],
        [8, 2537, 10, 619, 19], [505, 87886, 499, 87892, 13], [29, 7470, 45, 7232, 27],
        [17, 1699, 65, 1600, 42], [186, 50448, 141, 27197, 18], [5, 2493, 3, 2338, 33],
        [27, 16886, 29, 17825, 33],
    ],
    dtype=float,
)  # fmt: skip


@pytest.fixture
def bcg() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a, b, c, d, latitude = BCG.T
    log_risk_ratio = np.log(a / (a + b)) - np.log(c / (c + d))
    return log_risk_ratio, 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d), latitude


def test_a_mean_agrees_with_metafor(bcg):
    # R: rma(yi, vi, test = "knha"): tau^2 0.3132, estimate -0.7145, se 0.1808, df 12
    y, v, _ = bcg
    fit = meta_regression(y, v, np.ones(13))
    estimate, se, df = fit.combination([1])
    assert fit.tau2 == pytest.approx(0.3132, abs=5e-5)
    assert (estimate, se, df) == pytest.approx((-0.7145, 0.1808, 12), abs=5e-5)


def test_a_slope_agrees_with_metafor(bcg):
    # R: rma(yi, vi, mods = ~ ablat): tau^2 0.0764, 0.2515 - 0.0291 x, z-test se 0.2491 and 0.0072
    y, v, latitude = bcg
    design = np.column_stack([np.ones(13), latitude])
    fit = meta_regression(y, v, design)
    assert fit.tau2 == pytest.approx(0.0764, abs=1e-4)
    assert fit.coefficients == pytest.approx([0.2515, -0.0291], abs=5e-5)
    w = 1 / (v + fit.tau2)
    r = y - design @ fit.coefficients
    knapp_hartung = np.sqrt((w * r**2).sum() / 11)
    unscaled = np.sqrt(np.diag(fit.covariance)) / knapp_hartung
    assert unscaled == pytest.approx([0.2491, 0.0072], abs=5e-5)


def grouped_data(shared: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(8), 6)
    x = np.column_stack([np.ones(48), rng.normal(size=48)])
    y = x @ [1, 0.5] + shared * rng.normal(size=8)[groups] + 0.7 * rng.normal(size=48)
    return y, x, groups


def test_without_sampling_error_groups_are_a_mixed_model():
    y, x, groups = grouped_data(shared=1.0)
    fit = meta_regression(y, np.zeros(48), x, groups)
    expected = MixedLM(y, x, groups).fit(reml=True)
    assert fit.tau2_group == pytest.approx(float(np.asarray(expected.cov_re)[0, 0]), rel=1e-3)
    assert fit.tau2 == pytest.approx(expected.scale, rel=1e-3)
    assert fit.coefficients == pytest.approx(expected.fe_params, rel=1e-4)
    assert np.sqrt(fit.covariance[0, 0]) == pytest.approx(expected.bse_fe[0], rel=1e-3)


def test_degrees_of_freedom_follow_what_a_coefficient_compares():
    y, x, groups = grouped_data(shared=2.0)
    fit = meta_regression(y, np.zeros(48), x, groups)
    # the mean is known from 8 groups, the slope from 48 units less 8 group means and itself
    assert fit.combination([1, 0])[2] == pytest.approx(7, abs=0.3)
    assert fit.combination([0, 1])[2] == pytest.approx(39, abs=3)


def minus_two_loglik(y, v, x, groups, tau2: float, tau2_group: float) -> float:
    """The textbook form, with the whole matrix."""
    big = np.diag(v + tau2) + tau2_group * (groups[:, None] == groups[None, :])
    inverse = np.linalg.inv(big)
    information = x.T @ inverse @ x
    r = y - x @ np.linalg.solve(information, x.T @ inverse @ y)
    return np.linalg.slogdet(big)[1] + np.linalg.slogdet(information)[1] + r @ inverse @ r


def test_the_found_components_are_a_maximum():
    y, x, groups = grouped_data(shared=0.5)
    v = np.full(48, 0.1)
    fit = meta_regression(y, v, x, groups)

    best = minus_two_loglik(y, v, x, groups, fit.tau2, fit.tau2_group)
    for change in (0.98, 1.02):
        assert minus_two_loglik(y, v, x, groups, fit.tau2 * change, fit.tau2_group) >= best
        assert minus_two_loglik(y, v, x, groups, fit.tau2, fit.tau2_group * change) >= best


def test_too_few_units_and_collinear_covariates_are_errors():
    with pytest.raises(ValueError, match="2 units cannot fit 2 coefficients"):
        meta_regression([1, 2], [1, 1], np.ones((2, 2)))
    with pytest.raises(ValueError, match="cannot be told apart"):
        meta_regression([1, 2, 3], [1, 1, 1], np.ones((3, 2)))


def problem(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(8, 60))
    groups = rng.integers(0, rng.integers(2, 15), n)
    x = np.column_stack([np.ones(n), rng.normal(size=n)])
    unit, group, error = rng.choice([0.0, 0.1, 1.0], 3)
    v = (0.02 + error**2) * rng.uniform(0.5, 2, n)
    y = x @ [0, 0.3] + group * rng.normal(size=20)[groups] + unit * rng.normal(size=n)
    return y + np.sqrt(v) * rng.normal(size=n), v, x, groups


@pytest.mark.parametrize("seed", range(30))
def test_no_point_of_a_grid_is_likelier_than_what_is_found(seed):
    # A search in standard deviations starts downhill and stays at 0, where its slope is 0 always.
    y, v, x, groups = problem(seed)
    fit = meta_regression(y, v, x, groups)
    best = minus_two_loglik(y, v, x, groups, fit.tau2, fit.tau2_group)
    grid = np.var(y) * np.array([0, 1e-3, 1e-2, 0.03, 0.1, 0.3, 0.6, 1, 2])
    assert best <= min(minus_two_loglik(y, v, x, groups, a, b) for a in grid for b in grid) + 1e-9


def test_many_fits_at_once_are_those_of_each_alone():
    units = [Units(*problem(seed)) for seed in range(40)]
    units += [Units(one.effects, one.variances, one.design) for one in units]
    for one, together in zip(units, meta_regressions(units), strict=True):
        alone = meta_regression(one.effects, one.variances, one.design, one.groups)
        assert together.interval([1, 1]) == pytest.approx(alone.interval([1, 1]), rel=1e-6)
        assert (together.n, together.groups) == (alone.n, alone.groups)


def test_effects_without_any_error_have_an_interval_of_one_point():
    x = np.column_stack([np.ones(12), np.arange(12.0)])
    p, low, high = meta_regression(x @ [1, 2], np.zeros(12), x, np.arange(12) // 3).interval([0, 1])
    assert p < 1e-6
    assert (low, high) == pytest.approx((2, 2), abs=1e-6)
