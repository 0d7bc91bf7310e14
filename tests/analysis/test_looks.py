"""Tests that look several times: their levels, what they err and what they save."""

import numpy as np
import pytest
from scipy import stats
from simulate_looks import ALPHA, all_alike, fixed, found_by_forcing, sequential, told, units_of
from simulate_resplits import Setting, crossed, differences
from simulate_trials import simulate_forcing

from raysweep.data.resplits import HELD_OUT, TURN
from raysweep.errors import InputError
from raysweep_analysis import forcing_effects
from raysweep_analysis.inference import (
    look_levels,
    over_looks,
    overlap_of,
    paired_t,
    shared_variance,
)
from raysweep_analysis.stopping import PairedRun, Rule, standing

LOOKS = (4, 6, 9, 12)
OUTCOME = "performance_fused_test"


def crossings(looks: tuple[int, ...], alpha: float, studies: int, sd: float = 1.0) -> np.ndarray:
    """[looks] how often units of a bell curve cross first at each, both sides, by brute force."""
    levels = look_levels(looks, alpha / 2)
    units = sd * np.random.default_rng(3).standard_normal((studies, looks[-1]))
    there, first = np.zeros(studies, dtype=bool), []
    for n, level in zip(looks, levels, strict=True):
        p = stats.ttest_1samp(units[:, :n], 0, axis=1).pvalue
        crosses = (p <= 2 * level) & ~there
        first.append(crosses.mean())
        there |= crosses
    return np.array(first)


@pytest.mark.parametrize(("looks", "alpha"), [(LOOKS, 0.05), ((3, 5, 8), 0.05), (LOOKS, 0.002)])
def test_each_look_spends_its_share_of_the_level(looks: tuple[int, ...], alpha: float) -> None:
    studies = 200_000
    share = np.diff(looks, prepend=0) / looks[-1] * alpha
    error = np.sqrt(share / studies)
    assert (np.abs(crossings(looks, alpha, studies) - share) < 4 * error).all()


def test_one_look_is_one_test() -> None:
    np.testing.assert_allclose(look_levels([12], 0.025), [0.025], rtol=1e-3)
    p = np.array([1e-6, 1e-3, 0.02, 0.4])
    np.testing.assert_allclose(over_looks(p, [12], 0), p, rtol=1e-3)


def test_bounds_of_many_units_are_those_of_normal_statistics() -> None:
    looks = np.array([20, 40, 60])
    z = stats.norm.isf(look_levels(looks, 0.025))
    shared = np.sqrt(np.minimum.outer(looks, looks) / np.maximum.outer(looks, looks))
    none = stats.multivariate_normal(np.zeros(3), shared).cdf(z, rng=np.random.default_rng(0))
    assert 1 - none == pytest.approx(0.025, rel=0.05)


@pytest.mark.parametrize("alpha", [0.2, 0.025, 1e-4, 1e-7])
def test_p_values_over_looks_are_the_level_at_which_a_look_stops(alpha: float) -> None:
    levels = look_levels(LOOKS, alpha)
    np.testing.assert_allclose(over_looks(levels, LOOKS, np.arange(4)), alpha, rtol=1e-6)
    assert (levels < alpha).all()
    p = np.geomspace(1e-9, 1, 50)
    for k in range(4):
        found = over_looks(p, LOOKS, k)
        assert (np.diff(found) >= 0).all()
        assert ((found >= p) & (found <= 1)).all()


@pytest.mark.parametrize("looks", [(), (2, 5), (4, 4), (6, 4)])
def test_looks_that_do_not_rise_are_refused(looks: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="expected rising numbers of units"):
        look_levels(looks, 0.025)


@pytest.mark.slow
def test_no_effect_is_found_and_none_at_the_margin_is_called_none() -> None:
    studies = 800
    rng = np.random.default_rng(5)
    truth = all_alike(20, 0.0)
    none = sequential(units_of(truth, 12, studies, rng), truth, LOOKS)
    assert none.differs.any(axis=1).mean() < 0.05 + 2 * np.sqrt(0.05 * 0.95 / studies)
    assert ((none.low <= 0) & (none.high >= 0)).mean() > 0.93
    truth = all_alike(20, 0.005, spread=0.003)
    units = units_of(truth, 12, studies, rng)
    margin = sequential(units, truth, LOOKS)
    assert 0.01 < margin.equal.mean() < 0.05
    assert ((margin.low <= 0.005) & (margin.high >= 0.005)).mean() > 0.93
    table = told(units[:60], LOOKS, margin.units[:60])
    assert (table["verdict"] == "equivalent").mean() < 0.06


def test_splits_of_the_same_rows_cross_no_more_often() -> None:
    looks = (5, 7, 10, 15)
    d, _ = differences(Setting(rows=200, draws=15), 80, crossed, seed=3)
    crosses = np.zeros(len(d), dtype=bool)
    for k, n in enumerate(looks):
        shared = shared_variance(overlap_of(range(n), TURN, HELD_OUT / (1 - HELD_OUT)))
        p = paired_t(d[:, :n], shared=shared).p_value
        crosses |= 2 * over_looks(p / 2, looks, k) < ALPHA
    assert crosses.mean() <= ALPHA


@pytest.mark.parametrize(
    ("criteria", "most"), [(("best",), 0.5), (("best", "performance", "alignment"), 0.65)]
)
def test_it_takes_fewer_trials_at_equal_power(criteria: tuple[str, ...], most: float) -> None:
    truth = found_by_forcing(criteria)
    units = units_of(truth, 15, 80, np.random.default_rng(7))
    once = fixed(units[..., :12], truth)
    looks = sequential(units, truth, (5, 6, 7, 8, 10, 12, 15))
    assert (looks.differs | looks.equal).mean() > (once.differs | once.equal).mean() - 0.01
    assert looks.trials < most * once.trials


def table(effect: float, draws: int, **changes: object):
    trials = simulate_forcing(
        effects=[effect] * 5, draws=draws, seeds=2, sd_seed=0.001, rng=np.random.default_rng(1)
    )
    return trials.assign(**changes)


def test_units_beyond_the_last_whole_look_wait_for_the_next() -> None:
    trials = table(0.01, 8)
    at_six = forcing_effects(trials[trials["draw"] < 6], OUTCOME, looks=LOOKS)
    assert (at_six["n"] == 6).all()
    assert (at_six["look"] == 2).all()
    found = forcing_effects(trials, OUTCOME, looks=LOOKS)
    for name in ("effect", "ci_low", "p_adjusted", "p_vs_placebo_adjusted", "alignment_ci_low"):
        np.testing.assert_allclose(found[name], at_six[name])
    half = trials[(trials["draw"] < 5) | (trials["seed"] == 1000)]
    assert (forcing_effects(half, OUTCOME, looks=LOOKS)["n"] == 4).all()


def test_before_the_first_look_nothing_is_tested() -> None:
    trials = table(0.01, 3)
    found = forcing_effects(trials, OUTCOME, looks=LOOKS)
    assert (found["verdict"] == "untested").all()
    assert (found["look"] == 0).all()
    assert found["reason"].str.contains("the first look is after 4 units of 12").all()


def test_cells_still_to_be_looked_at_count_for_holm() -> None:
    trials = table(0.01, 6)
    early = trials[(trials["cell"] == "c0") | (trials["draw"] < 2)]
    p = [forcing_effects(t, OUTCOME, looks=LOOKS).loc[0, "p_adjusted"] for t in (early, trials)]
    assert 1 < p[0] / p[1] < 5.01 or p[0] == pytest.approx(p[1])
    alone = forcing_effects(trials[trials["cell"] == "c0"], OUTCOME, looks=LOOKS)
    assert p[0] == pytest.approx(5 * alone.loc[0, "p_adjusted"])


@pytest.mark.parametrize("effect", [0.0, -0.02, 0.004])
def test_a_cell_stops_for_the_verdict_that_it_is_given(effect: float) -> None:
    trials = table(effect, 6)
    rule = Rule(OUTCOME, ALPHA, 0.005, LOOKS, tests=5)
    found = forcing_effects(trials, OUTCOME, looks=LOOKS)
    for cell, verdict in zip(found["cell"], found["verdict"], strict=True):
        of_cell = trials[trials["cell"] == cell].set_index(["arm", "draw", "seed"])[OUTCOME]
        runs = [
            PairedRun(draw, seed, value, of_cell["none", draw, seed], "ok", "ok")
            for (draw, seed), value in of_cell["forced"].items()
        ]
        alone = standing(tuple(runs), rule)
        assert alone.verdict in (verdict, "inconclusive")
        if effect in (0.0, -0.02):
            assert alone.verdict == verdict
            assert alone.p_value < ALPHA
