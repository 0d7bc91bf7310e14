import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from simulate_trials import simulate_emergence, simulate_forcing, simulate_search

import raysweep_analysis as analysis
from raysweep_analysis import figures
from raysweep_analysis.figures import style
from raysweep_analysis.figures.verdict_map import count_words


def forced(**options: object) -> pd.DataFrame:
    u = [0, 2, 4, 6, 8]
    settings: dict[str, object] = {
        "effects": [0.005 * (4 - v) for v in u],
        "draws": 3,
        "seeds": 4,
        "characteristics": {"U": u, "D_phi": [1] * 5},
    }
    return simulate_forcing(rng=np.random.default_rng(0), **(settings | options))


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))


def test_the_verdict_map_shows_every_cell_with_its_numbers():
    effects = analysis.forcing_effects(forced())
    figure = figures.verdict_map(effects)
    said = words(figure)
    for row in effects.to_dict("records"):
        half = (row["ci_high"] - row["ci_low"]) / 2 * 100
        assert f"{style.signed(row['effect'] * 100)} ± {half:.1f}" in said
    assert "U: unique task features (of 8)" in said
    assert "n = 3 draws per cell" in said


def test_an_effect_that_was_not_found_has_no_shade():
    effects = analysis.forcing_effects(forced(effects=[0.0] * 5, sd_seed=0.05))
    assert (effects["verdict"] == "inconclusive").all()
    tiles = [p for p in figures.verdict_map(effects).axes[0].patches if p.get_width() > 0.9]
    assert len(tiles) == 5
    assert {style.mpl.colors.to_hex(p.get_facecolor()) for p in tiles} == {style.colour("paper")}


def test_the_forest_has_a_row_per_cell_and_draws_intervals():
    effects = analysis.forcing_effects(forced(criteria=["alignment", "performance"]))
    figure = figures.effect_forest(effects)
    said = words(figure)
    assert said.count("3 draws") == 10
    assert "accuracy of all modalities fused, test" in said
    low, high = (effects[["ci_low", "ci_high"]].iloc[0] * 100).tolist()
    drawn = [line.get_xdata() for line in figure.axes[0].lines if len(line.get_xdata()) == 2]
    assert any(np.allclose(x, [low, high]) for x in drawn)


def test_large_tables_are_thinned_evenly_and_the_figure_says_so():
    n = 60
    effects = analysis.forcing_effects(
        forced(effects=[0.0] * n, draws=1, characteristics={"U": list(range(n))})
    )
    figure = figures.effect_forest(effects, most=20)
    assert "40 more rows in between are not drawn" in words(figure)
    ticks = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert ticks[0].endswith("U=0")
    assert ticks[-1].endswith("U=59")


def test_dose_response_shows_performance_beside_alignment():
    strengths = np.geomspace(0.01, 10, 8)
    trials = simulate_search(
        curves=[0.02 * strengths / (1 + strengths)] * 2,
        strengths=strengths,
        rng=np.random.default_rng(1),
        characteristics={"U": [0, 8]},
    )
    figure = figures.dose_response_figure(analysis.dose_response(trials))
    said = words(figure)
    for part in ("simulated U=0", "simulated U=8", "n = 8 seeds", "gain in\nalignment", "points"):
        assert part in said
    assert len([axis for axis in figure.axes if axis.get_visible()]) == 4
    assert "best so far" in words(figures.search_figure(trials))


@pytest.mark.filterwarnings("error")
def test_dose_response_has_room_for_one_strength_and_a_long_name_of_a_metric(tmp_path):
    """As after a search that halved: one proposal of each cell was trained to its end."""
    trials = simulate_search(
        curves=[np.array([0.01])] * 2,
        strengths=np.array([0.02]),
        rng=np.random.default_rng(1),
        characteristics={"U": [0, 8]},
    ).rename(columns=lambda name: name.replace("performance_", "loss_of_all_"))
    curves = analysis.dose_response(trials, "loss_of_all_fused_test")
    curves.loc[curves["cell"] == curves["cell"].iloc[-1], "strength"] *= 1 + 1e-15
    figure = figures.dose_response_figure(curves)
    figure.canvas.draw()
    low, high = figure.axes[0].get_xlim()
    assert low < 0.02 < high
    height = figure.bbox.height
    tops = [axis.yaxis.label.get_window_extent() for axis in figure.axes]
    assert all(box.y0 >= 0 and box.y1 <= height for box in tops if box.height)


def test_the_boundary_figure_says_where_or_that_it_cannot():
    trials = forced()
    found = analysis.boundary(trials)
    said = words(figures.boundary_figure(trials, found))
    assert f"crosses 0 at {found['boundary'][0]:.2g}" in said
    flat = forced(effects=[0.0] * 5)
    assert "no crossing can be located" in words(
        figures.boundary_figure(flat, analysis.boundary(flat))
    )


def test_the_papers_figures_draw():
    trials = simulate_emergence(rng=np.random.default_rng(2))
    assert "p = 0.0001" in words(figures.alignment_trend_figure(trials))
    assert "U = 8" in words(figures.depth_map_figure(trials))
    correlations = analysis.alignment_performance(trials, permutations=19)
    assert "(n = 9 per box)" in words(figures.correlation_boxes_figure(correlations))
    assert "r = " in words(figures.alignment_performance_figure(trials))


def test_nothing_to_draw_is_said():
    trials = forced().assign(stage="search")
    effects = analysis.forcing_effects(trials)
    assert "nothing to map" in words(figures.verdict_map(effects))
    assert "no effects to draw" in words(figures.effect_forest(effects))
    confirm = forced()
    assert "no search" in words(figures.search_figure(confirm))
    assert "no dose-response" in words(
        figures.dose_response_figure(analysis.dose_response(confirm))
    )


def test_figures_are_the_same_bytes_every_time(tmp_path):
    effects = analysis.forcing_effects(forced())
    first = figures.render(figures.verdict_map(effects), "map")
    second = figures.render(figures.verdict_map(effects), "map")
    assert first == second
    paths = first.save(tmp_path, "map")
    assert [p.name for p in paths] == ["map.png", "map.svg"]
    assert paths[0].read_bytes()[:4] == b"\x89PNG"


def test_inline_figures_follow_the_colours_of_the_page():
    svg = figures.render(figures.verdict_map(analysis.forcing_effects(forced())), "map")
    inline = svg.inline('A "map" <of> cells')
    assert inline.startswith('<svg role="img" aria-label="A &quot;map&quot; &lt;of> cells"')
    assert set(re.findall(r"#[0-9a-f]{6}\b", inline)) == set()
    assert "var(--helps" in inline
    used = set(re.findall(r"var\(--([a-z_0-9]+)\)", inline))
    assert all(f"--{name}:" in style.css() for name in used)


def test_every_colour_is_distinct_so_that_themes_can_tell_them_apart():
    shades = [light for light, _ in (style.COLOURS | style.SHADES).values()]
    assert len(set(shades)) == len(shades)


@pytest.mark.parametrize("theme", [0, 1])
def test_words_and_verdicts_stand_out_from_the_paper(theme):
    def luminance(shade: str) -> float:
        c = np.array(style.mpl.colors.to_rgb(shade))
        linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    def contrast(a: str, b: str) -> float:
        high, low = sorted([luminance(a), luminance(b)], reverse=True)
        return (high + 0.05) / (low + 0.05)

    paper = style.COLOURS["paper"][theme]
    # WCAG 2: 4.5 for text, 3 for marks
    for name in ("ink", "muted", "helps", "hurts", "alignment"):
        assert contrast(style.COLOURS[name][theme], paper) >= (3 if name == "alignment" else 4)
    for name in ("helps", "hurts"):
        on = style.COLOURS["on_strong"][theme]
        assert contrast(style.SHADES[f"{name}_16"][theme], on) >= 3.5


def test_drawing_leaves_matplotlibs_settings_alone():
    before = dict(style.mpl.rcParams)
    figures.render(figures.effect_forest(analysis.forcing_effects(forced())), "forest")
    assert dict(style.mpl.rcParams) == before


@pytest.mark.parametrize(
    ("counts", "words"),
    [([1, 1], "n = 1 seed per cell"), ([1, 3], f"n = 1{style.DASH}3 seeds per cell")],
)
def test_a_count_of_one_is_said_in_the_singular(counts, words):
    assert count_words(pd.DataFrame({"unit": "seed", "n": counts})) == words


def test_counts_stand_in_the_legend_and_not_on_titles_or_lines():
    trials = simulate_search(
        curves=[np.linspace(0.0, 0.02, 4)] * 3,
        strengths=np.geomspace(0.1, 10, 4),
        rng=np.random.default_rng(4),
        characteristics={"U": [0, 4, 8], "width_1": [12] * 3, "width_2": [12] * 3},
    )
    figure = figures.dose_response_figure(analysis.dose_response(trials))
    assert figure.legends[0].get_title().get_text() == "n = 8 seeds per cell"
    assert not any(axis.get_title(loc="right") for axis in figure.axes)
    figure = figures.search_figure(trials)
    assert figure.legends[0].get_title().get_text() == "n = 8 runs of each proposal"
    assert not [text for axis in figure.axes for text in axis.texts]


@pytest.mark.parametrize(("seeds", "runs"), [(1, "one run each"), (3, "mean of n = 3 runs, ±")])
def test_the_depth_map_says_what_its_colours_are(seeds, runs):
    trials = simulate_emergence(rng=np.random.default_rng(2), seeds=seeds, U=[0, 8])
    trials["alignment_cka_test"] = trials["alignment_cka_test"].clip(lower=-0.001)
    legend = figures.depth_map_figure(trials).legends[0]
    assert runs in legend.get_title().get_text()
    assert ("±" in legend.get_title().get_text()) == (seeds > 1)
    assert legend.get_texts()[0].get_text() == "0.00"


def test_the_legend_of_the_trend_covers_no_interval():
    trials = simulate_emergence(rng=np.random.default_rng(2), draws=3, D_phi=range(1, 11))
    figure = figures.alignment_trend_figure(trials)
    figure.draw_without_rendering()
    axis = figure.axes[0]
    assert not axis.get_legend().get_window_extent().overlaps(axis.bbox)
    assert len(axis.get_legend().get_texts()) == 10


def test_all_strengths_of_all_redundancies_in_one_figure():
    strengths = np.arange(1, 6) * 0.4
    named = {"R": [0, 8] * 2, "width_1": [12, 12, 64, 64], "width_2": [12, 12, 64, 64]}
    search = simulate_search(
        curves=[0.01 * strengths] * 4,
        strengths=strengths,
        draws=3,
        rng=np.random.default_rng(5),
        characteristics=named,
    )
    trials = pd.concat([search, forced(effects=[0.01] * 4, characteristics=named)])
    curves = analysis.dose_response(trials)
    figure = figures.dose_overlay_figure(curves, analysis.forcing_effects(trials))
    assert [axis.get_title(loc="left") for axis in figure.axes[:2]] == ["width 12", "width 64"]
    cell = curves[curves["cell"] == "c1"].sort_values("strength")
    drawn = [line.get_ydata() for line in figure.axes[0].lines if line.get_label() == "R = 8"]
    np.testing.assert_allclose(drawn[0], [0.0, *cell["effect"] * 100])
