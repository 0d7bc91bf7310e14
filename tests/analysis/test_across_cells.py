import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simulate_trials import simulate_emergence, simulate_forcing, simulate_search
from statsmodels.stats.power import TTestPower

import raysweep_analysis as analysis
from raysweep.errors import InputError
from raysweep_analysis.emergence import medians
from raysweep_analysis.inference import partial_residuals
from raysweep_analysis.sample_size import units_for_equivalence

U = [0, 2, 4, 6, 8]


def grid(slope: float = -0.005, draws: int = 5, **options: object) -> pd.DataFrame:
    """Ten cells: U x width; the effect crosses zero at U = 4, whatever the width."""
    u = U * 2
    return simulate_forcing(
        effects=[slope * (v - 4) for v in u],
        draws=draws,
        seeds=4,
        sd_draw=0.003,
        rng=np.random.default_rng(0),
        characteristics={
            "U": u,
            "I_shared": [1.15 - 0.14 * v for v in u],
            "pid_S": [0.07 * v for v in u],
            "width_1": [16] * 5 + [64] * 5,
            "width_2": [16] * 5 + [64] * 5,
        },
        **options,
    )


def test_draw_effects_are_means_of_pairs():
    trials = grid()
    units = analysis.draw_effects(trials, "performance_fused_test")
    assert len(units) == 50
    assert units["dataset"].nunique() == 25
    wide = trials.pivot(
        index=["cell", "draw", "seed"], columns="arm", values="performance_fused_test"
    )
    expected = (wide["forced"] - wide["none"]).groupby(["cell", "draw"]).mean()
    found = units.set_index(["cell", "draw"])["effect"].reindex(expected.index)
    np.testing.assert_allclose(found, expected)


def test_moderators_find_the_planted_slope_and_nothing_else():
    table = analysis.moderators(grid()).set_index(["model", "term"])
    row = table.loc[("joint", "I_shared")]
    # -0.005 per U is 0.005 / 0.14 per nat
    assert row["ci_low"] < 0.005 / 0.14 < row["ci_high"]
    assert row["p_value"] < 1e-3
    assert row["mixed_estimate"] == pytest.approx(row["estimate"], rel=0.05)
    assert table.loc[("joint", "log2 width"), "p_value"] > 0.05
    assert table.loc[("joint", "I_shared x log2 width"), "p_value"] > 0.05


def test_moderators_say_what_cannot_be_told_apart():
    table = analysis.moderators(grid()).set_index(["model", "term"])
    row = table.loc[("joint", "pid_S")]
    assert np.isnan(row["estimate"])
    assert row["note"] == "cannot be told apart from I_shared in these cells"
    # alone it has an estimate: the data cannot say which of the two it is
    assert table.loc[("single", "pid_S"), "p_value"] < 1e-3


def test_moderators_of_an_unknown_covariate():
    with pytest.raises(InputError, match="no number 'depth_9' describes the cells"):
        analysis.moderators(grid(), covariates=["depth_9"])


def test_the_boundary_is_found_with_its_side():
    row = analysis.boundary(grid()).iloc[0]
    assert (row["along"], row["set"], row["helps_side"]) == ("U", "interval", "below")
    assert row["low"] < 4 < row["high"]
    assert row["boot_low"] < 4 < row["boot_high"]
    assert "forcing helps below U = " in row["statement"]
    loss = grid().assign(loss_fused_test=lambda t: -t["performance_fused_test"])
    assert analysis.boundary(loss, "loss_fused_test").iloc[0]["helps_side"] == "below"


def test_a_boundary_that_is_not_there_is_unbounded():
    row = analysis.boundary(grid(slope=0.0)).iloc[0]
    assert row["set"] in ("rays", "everywhere")
    assert row["statement"].startswith("unbounded")
    assert row["helps_side"] == ""


def test_boundary_by_levels_and_with_one_draw():
    table = analysis.boundary(grid(draws=1), by=["width_1"])
    assert table["width_1"].tolist() == [16, 64]
    assert table["boot_low"].isna().all()
    few = analysis.boundary(grid()[lambda t: t["U"] <= 2], along="U").iloc[0]
    assert few["set"] == "none"
    assert "20 units at 2 values of U" in few["statement"]
    with pytest.raises(InputError, match="by = colour"):
        analysis.boundary(grid(), by=["colour"])


@pytest.fixture(scope="module")
def searched() -> pd.DataFrame:
    strengths = np.geomspace(0.01, 10, 10)
    peak = 0.04 * np.exp(-((np.log10(strengths) + 0.5) ** 2) / 0.3)
    saturating = 0.04 * strengths / (strengths + 0.1)
    return simulate_search(
        curves=[peak, saturating, 0 * strengths],
        strengths=strengths,
        seeds=12,
        rng=np.random.default_rng(1),
        characteristics={"U": [0, 4, 8]},
    )


def test_dose_response_numbers(searched):
    curve = analysis.dose_response(searched)
    assert len(curve) == 30
    wide = searched[searched["cell"] == "c1"].pivot(
        index="seed", columns="strength", values="performance_fused_test"
    )
    row = curve[(curve["cell"] == "c1") & (curve["strength"] == wide.columns[5])].iloc[0]
    expected = stats.ttest_rel(wide.iloc[:, 5], wide[0.0])
    assert row["p_value"] == pytest.approx(expected.pvalue)
    assert row["effect"] == pytest.approx((wide.iloc[:, 5] - wide[0.0]).mean())
    assert row["p_value"] <= row["p_maxt"]
    for _, cell in curve.groupby("cell"):
        assert (np.diff(cell["alignment_fit"]) >= 0).all()
        assert cell["best_for"].str.contains("performance").sum() == 1


def test_dose_shapes_are_told_apart(searched):
    shapes = analysis.dose_shapes(searched).set_index("cell")
    assert shapes["shape"].tolist() == ["inverted U", "some effect", "no effect shown"]
    assert shapes.loc["c0", "best_for_performance"] == pytest.approx(0.3, abs=0.25)


def test_dose_response_without_a_baseline_or_with_one_seed(searched):
    no_zero = searched[searched["strength"] > 0]
    assert analysis.dose_response(no_zero).empty
    assert (
        analysis.dose_shapes(no_zero)["note"].eq("no finished runs of strength 0 to compare").all()
    )
    one = analysis.dose_shapes(searched[searched["seed"] == 0])
    assert (one["shape"] == "unknown").all()


@pytest.fixture(scope="module")
def emergence() -> pd.DataFrame:
    return simulate_emergence(draws=2, rng=np.random.default_rng(2))


def test_alignment_performance_agrees_with_scipy(emergence):
    table = analysis.alignment_performance(emergence, permutations=199)
    assert len(table) == 9 * 3 * 2 * 3 * 4
    pick = {"U": 1, "D_phi": 3, "draw": 1, "seed": 2}
    models = emergence[(emergence[list(pick)] == pd.Series(pick)).all(axis=1)]
    found = table[(table[list(pick)] == pd.Series(pick)).all(axis=1)].set_index("pair")
    a, p, d = (models[c] for c in ("alignment_cka_test", "performance_2_test", "depth_2"))
    for pair, x, y in (
        ("alignment-performance", a, p),
        ("performance-depth", p, d),
        ("alignment-depth", a, d),
    ):
        assert found.loc[pair, "pearson"] == pytest.approx(stats.pearsonr(x, y).statistic)
        assert found.loc[pair, "spearman"] == pytest.approx(stats.spearmanr(x, y).statistic)
    given = stats.pearsonr(partial_residuals(a, d), partial_residuals(p, d)).statistic
    assert found.loc["alignment-performance given depth", "pearson"] == pytest.approx(given)


def test_the_planted_pattern_of_figure_7_shows(emergence):
    table = analysis.alignment_performance(emergence, permutations=19)
    middle = medians(table).pivot(index="U", columns="pair", values="median")
    assert middle.loc[0, "alignment-performance"] > 0.7
    assert abs(middle.loc[8, "alignment-performance"]) < 0.3
    assert middle["performance-depth"].min() > 0.5


def test_emergence_trends_count_draws(emergence):
    table = analysis.emergence_trends(emergence)
    assert table["D_phi"].tolist() == [1, 3, 5]
    assert (table["rho"] < -0.9).all()
    assert (table["p_rho"] < 0.01).all()
    assert (table[["n_levels", "n_draws", "n_units"]] == [9, 2, 18]).all(axis=None)
    one = analysis.emergence_trends(emergence[emergence["draw"] == 0], reduce="mean")
    assert one["note"].str.contains("one draw").all()
    with pytest.raises(InputError, match="reduce = 'median'"):
        analysis.emergence_trends(emergence, reduce="median")


def test_power_says_how_many_more():
    trials = simulate_forcing(effects=[0.0] * 4, seeds=8, rng=np.random.default_rng(3))
    table = analysis.power(trials, effect=0.01)
    row = table.iloc[0]
    d = 0.01 / row["sd"]
    assert TTestPower().power(d, row["n_needed"], 0.05) >= 0.8
    assert TTestPower().power(d, row["n_needed"] - 1, 0.05) < 0.8
    assert TTestPower().power(d, row["n_needed_family"], 0.05 / 4) >= 0.8
    assert row["n_needed_safe"] > row["n_needed_family"]
    assert row["n_more"] == row["n_needed_safe"] - 8
    assert (table["source"] == "confirm").all()


def test_power_before_the_confirm_stage_uses_the_search(searched):
    table = analysis.power(searched)
    assert (table["source"] == "search").all()
    # two independent runs of spread 0.01
    assert table["sd"].to_numpy() == pytest.approx(0.01 * np.sqrt(2), rel=0.3)
    assert (table["n_more"] > 0).all()


def test_equivalence_is_shown_with_the_planned_power():
    n = units_for_equivalence(margin=0.005, sd=0.01)
    rng = np.random.default_rng(4)
    d = 0.01 * rng.normal(size=(4_000, n))
    assert (analysis.inference.tost(d, 0.005) < 0.05).mean() == pytest.approx(0.8, abs=0.04)
