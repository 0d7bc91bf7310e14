"""The picture of the README: everything of the headline study, readable at 900 pixels."""

import numpy as np
import pytest
from harmful_trials import harmful, study
from matplotlib.text import Text

import raysweep_analysis as analysis
from raysweep_analysis import figures
from raysweep_analysis.boundaries import lines_by
from raysweep_analysis.figures import style
from raysweep_analysis.figures.headline import headline_words
from raysweep_analysis.report import find
from raysweep_analysis.report.pictures import pictures


def parts(trials):
    effects = analysis.forcing_effects(trials)
    crossings = analysis.boundary(trials, by=lines_by(trials))
    return effects, figures.headline(trials, effects, crossings)


@pytest.fixture(scope="module")
def drawn():
    return parts(study(lambda u, width: 0.01 * ((2 if width == 12 else 6) - u)))


def texts(figure) -> list[Text]:
    return [t for t in figure.findobj(Text) if t.get_text() and t.get_visible()]


def test_every_effect_and_every_line_is_there(drawn):
    effects, figure = drawn
    said = [t.get_text() for t in texts(figure)]
    for value in effects["effect"] * 100:
        assert style.signed(value, 0 if abs(value) >= 9.95 else 1) in said
    assert sum(text.startswith("turns at") for text in said) == 16
    titles = [f"width {w}, {n} rows" for w in (12, 64) for n in (512, 4096)]
    assert [text for text in said if text in titles] == titles


def test_it_reads_at_900_pixels_and_nothing_is_cut_off(drawn):
    _, figure = drawn
    figures.render(figure, "headline")
    page, scale = figure.bbox, 900 / figure.bbox.width
    assert figure.bbox.height * scale <= 900
    axes = {
        label
        for axis in figure.findobj(lambda a: hasattr(a, "xaxis"))
        for label in (*axis.get_xticklabels(), *axis.get_yticklabels())
    }
    for text in set(texts(figure)) - axes:
        box = text.get_window_extent()
        assert min(box.height, box.width) * scale >= 9
        assert page.x0 <= box.x0 <= box.x1 <= page.x1, text.get_text()
        assert page.y0 <= box.y0 <= box.y1 <= page.y1, text.get_text()
    numbers = [t for t in texts(figure) if t.get_text()[0] in f"+{style.MINUS}" and t not in axes]
    boxes = [t.get_window_extent() for t in numbers]
    assert len(boxes) == 80
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_the_title_counts_verdicts_and_says_where(drawn):
    effects, figure = drawn
    count = effects["verdict"].value_counts()
    hurts, helps = effects[effects["verdict"] == "hurts"], effects[effects["verdict"] == "helps"]
    title = headline_words(effects, "U")
    assert figure.get_suptitle() == title
    assert f"{count['hurts']} of 80" in title or f"{count['helps']} of 80" in title
    assert f"U ≥ {hurts['U'].min()}" in title
    assert f"U ≤ {helps['U'].max()}" in title


def test_other_titles():
    effects, _ = parts(study(harmful))
    assert headline_words(effects, "U") == "Forcing alignment hurts in all 80 comparisons"
    none = effects.assign(verdict="inconclusive")
    assert "not shown to help or hurt in any of 80" in headline_words(none, "U")
    one = effects.assign(verdict=np.where(effects["U"] == 0, "helps", "equivalent"))
    title = "Forcing alignment helps in 16 of 80 comparisons (at U = 0), hurts in none"
    assert headline_words(one, "U") == title


@pytest.mark.slow
def test_the_report_opens_with_it_where_a_characteristic_varies():
    found = find(study(harmful, criteria=("alignment",)))
    assert pictures(found)[0].name == "headline"
    one = find(study(harmful, criteria=("alignment",)).query("U == 0"))
    assert "headline" not in [picture.name for picture in pictures(one)]
