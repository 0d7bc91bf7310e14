"""Correlations over models that share families, against slow versions and simulations."""

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simulate_families import coverage, false_positives

from raysweep_analysis import axis_trends, model_correlations, model_pairs
from raysweep_analysis.figures.models import (
    axis_figure,
    layer_map_figure,
    layer_maps,
    performance_figure,
)
from raysweep_analysis.inference.families import (
    correlation_within,
    drawn_within,
    p_of_orders,
    rank_correlation,
)
from raysweep_analysis.models import Grid, drawn_again
from raysweep_analysis.report import find
from raysweep_analysis.report.model_findings import ModelFindings
from raysweep_analysis.report.page import page
from raysweep_analysis.report.pictures import pictures

FAMILIES = ["bloom", "llama", "open"]
LEVELS = (10, 30, 50)
ALIGNMENT = "alignment_cka_test"


def row(text: int, image: int, **values: Any) -> dict[str, Any]:
    key = f"{text}-{image}-{values.get('caption')}"
    place = {"key": key, "study": "s", "cell": key, "draw": 0, "seed": 0, "strength": 0.0}
    place |= {"arm": "none", "stage": "measure", "status": "ok", "data": "models"}
    place |= {"side_1": "text", "model_1": f"t{text:02d}", "family_1": FAMILIES[text % 3]}
    place |= {"side_2": "image", "model_2": f"v{image}", "family_2": "vit" if image < 2 else "mae"}
    return place | values


@pytest.fixture(scope="module")
def trials() -> pd.DataFrame:
    """Nine models of text with four of images; alignment falls along the captions."""
    draw = np.random.default_rng(0)
    performance = draw.normal(size=9)
    return pd.DataFrame(
        [
            row(
                text,
                image,
                caption=level,
                model_performance_1=performance[text] - level / 100,
                alignment_cka_test=0.3 + 0.1 * performance[text] - level / 500 + noise,
                chance_cka_test=0.05,
                chance_high_cka_test=0.09,
                chance_p_cka_test=(1 + text + image) / 50,
                alignment_layers_cka_test="1-0",
                layer_map_cka_test=[0.1, 0.2, 0.3, 0.4, 0.5, noise],
                layers_1=3,
                layers_2=2,
            )
            for text, image, level in itertools.product(range(9), range(4), LEVELS)
            for noise in [0.05 * draw.normal()]
        ]
    )


def test_correlations_are_those_of_the_slow_way(trials: pd.DataFrame) -> None:
    found = model_correlations(trials, permutations=199)
    assert found["caption"].tolist() == list(LEVELS)
    assert (found[["models", "families", "others"]] == [9, 3, 4]).all().all()
    for known in found.to_dict("records"):
        here = trials[trials["caption"] == known["caption"]]
        models = here.groupby("model_1").agg(
            a=(ALIGNMENT, "mean"), p=("model_performance_1", "first"), f=("family_1", "first")
        )
        assert known["rho"] == pytest.approx(stats.spearmanr(models["a"], models["p"]).statistic)
        ranks = models[["a", "p"]].rank()
        within = ranks - ranks.groupby(models["f"]).transform("mean")
        expected = np.corrcoef(within["a"], within["p"])[0, 1]
        assert known["rho_within"] == pytest.approx(expected)
        assert known["low"] < known["rho"] < known["high"]


def test_a_draw_of_models_is_what_loops_make_of_it() -> None:
    draw = np.random.default_rng(1)
    values = draw.normal(size=(5, 4))
    values[2, 1] = np.nan
    grid = Grid(values, draw.normal(size=5), ["a", "a", "b", "b", "b"], ["c", "c", "c", "d"])
    models = drawn_within(grid.families, 40, draw)
    others = drawn_within(grid.other_families, 40, draw)
    assert (models[:, :2] < 2).all()
    assert (models[:, 2:] >= 2).all()
    assert (others[:, 3] == 3).all()
    assert len(np.unique(models[:, 0])) == 2
    found = drawn_again(grid, models, others)
    for at, (rows, columns) in enumerate(zip(models, others, strict=True)):
        score = [np.nanmean([values[i, j] for j in columns]) for i in rows]
        of = [grid.performance[i] for i in rows]
        expected = stats.spearmanr(score, of).statistic if len(set(rows)) > 1 else np.nan
        assert found[at] == pytest.approx(expected, nan_ok=True)


def test_p_within_families_is_that_of_all_orders_within_them() -> None:
    draw = np.random.default_rng(2)
    score, performance = draw.normal(size=7), draw.normal(size=7)
    families = ["a", "a", "a", "b", "b", "b", "c"]
    rho, p = correlation_within(score, performance, families, 20_000, draw)
    left, right = (pd.Series(stats.rankdata(v)) for v in (score, performance))
    left, right = (v - v.groupby(families).transform("mean") for v in (left, right))
    orders = itertools.product(*(itertools.permutations(of) for of in ((0, 1, 2), (3, 4, 5))))
    all_of = [abs(float(left @ right.to_numpy()[[*a, *b, 6]])) for a, b in orders]
    exact = np.mean(np.array(all_of) >= abs(float(left @ right)) - 1e-12)
    assert p == pytest.approx(exact, abs=0.01)
    assert rho == pytest.approx(np.corrcoef(left, right)[0, 1])
    alone = correlation_within(score, performance, list("abcdefg"), 99, draw)
    assert np.isnan(alone).all()


def test_permuting_within_families_keeps_its_level_where_over_all_models_does_not() -> None:
    within, over = false_positives(1000, seed=3, permutations=99)
    assert 0.03 <= within <= 0.07
    assert over > 0.4


def test_intervals_hold_the_correlation_of_all_models_of_the_families() -> None:
    assert 0.89 <= coverage(8, 300, seed=4) <= 0.97


def test_trends_along_an_axis(trials: pd.DataFrame) -> None:
    (found,) = axis_trends(trials, permutations=199).to_dict("records")
    assert (found["along"], found["levels"], found["pairs"]) == ("caption", 3, 36)
    assert found["rho"] == pytest.approx(-1)
    assert found["p"] == pytest.approx(2 / 6)
    assert -1 <= found["low"] <= found["high"] <= 1
    missing = trials[~((trials["model_1"] == "t00") & (trials["caption"] == 30))]
    assert axis_trends(missing, permutations=9)["pairs"].tolist() == [32]
    levels = np.arange(9.0)
    means = np.random.default_rng(5).normal(size=9)
    p = p_of_orders(means, levels, 9_999, np.random.default_rng(0))
    rho = abs(stats.spearmanr(means, levels).statistic)
    draw = np.random.default_rng(6)
    known = [abs(stats.spearmanr(draw.permutation(means), levels).statistic) for _ in range(2000)]
    assert p == pytest.approx(np.mean(np.array(known) >= rho - 1e-12), abs=0.04)
    assert np.isnan(rank_correlation(np.ones((1, 3)), np.arange(3.0))).all()


def test_pairs_are_ordered_and_their_p_adjusted(trials: pd.DataFrame) -> None:
    pairs = model_pairs(trials)
    assert (np.diff(pairs["value"]) <= 0).all()
    np.testing.assert_allclose(pairs["p_bh"], stats.false_discovery_control(pairs["p"]))
    assert set(pairs["layers"]) == {"1-0"}
    assert list(pairs)[:5] == ["side_1", "model_1", "side_2", "model_2", "caption"]


def test_of_distances_less_is_more_alike(trials: pd.DataFrame) -> None:
    distance = {
        "alignment_procrustes_distance_test": 1 - trials[ALIGNMENT],
        "corrected_procrustes_distance_test": trials[ALIGNMENT] / 2,
    }
    pairs = model_pairs(trials.assign(**distance), "alignment_procrustes_distance_test")
    assert (np.diff(pairs["value"]) >= 0).all()
    found = find(trials.assign(**distance)).models
    assert found is not None
    assert found.alignments == (ALIGNMENT, "alignment_procrustes_distance_test")
    first = ModelFindings.of(trials.assign(**distance), "alignment_procrustes_distance_test")
    assert first is not None
    assert first.pairs["alignment"].iloc[0] == "alignment_procrustes_distance_test"
    assert len(first.pairs) == 2 * len(trials)


def test_figures_show_all_of_it(trials: pd.DataFrame) -> None:
    panels = performance_figure(trials, ALIGNMENT).axes
    assert len(panels) == 3
    drawn = [line for line in panels[0].lines if line.get_label() in FAMILIES]
    assert sum(len(line.get_xdata()) for line in drawn) == 9
    assert panels[0].patches  # the band of chance
    lines = axis_figure(trials, "caption", ALIGNMENT).axes[0].lines
    assert len(lines) == 9 + 1
    maps = layer_maps(trials, ALIGNMENT)
    assert len(maps) == 108
    np.testing.assert_allclose(maps[0][1][:2], [[0.1, 0.2], [0.3, 0.4]])
    frame = layer_map_figure(trials, ALIGNMENT).axes[0].patches[0]
    assert frame.get_xy() == (-0.5, 0.5)  # layers 1-0, as the table says
    assert len(layer_map_figure(trials, ALIGNMENT).axes) == 12 + 1
    each = pd.DataFrame(
        [
            row(0, 0, layer_1=i, layer_2=j, layers_1=3, layers_2=2, alignment_cka_test=i + j / 10)
            | {"key": f"{i}{j}"}
            for i, j in itertools.product(range(3), range(2))
        ]
    )
    np.testing.assert_allclose(layer_maps(each, ALIGNMENT)[0][1], [[0, 0.1], [1, 1.1], [2, 2.1]])


def test_the_report_has_pairs_performance_layers_and_axes(trials: pd.DataFrame) -> None:
    found = find(trials)
    assert found.models is not None
    drawn = pictures(found)
    assert [p.name for p in drawn] == ["model_performance", "layer_maps", "along_caption"]
    assert {"pairs", "model_correlations", "axis_trends"} <= found.tables.keys()
    text = page(found, drawn)
    for said in ("Pairs of models", "Performance and alignment", "Which layers are alike?"):
        assert said in text
    assert "108 pairs of models align beyond chance" in " ".join(found.emergence)
    assert any(s.startswith("Along caption alignment of text") for s in found.emergence)
    (said,) = [s for s in found.emergence if s.startswith("Performance of text")]
    assert f"rho +{found.models.correlations['rho'].median():.2f}, the median of 3 points" in said
