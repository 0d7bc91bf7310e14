"""A user's texts in figures, the page and the tables: as they are, whatever they hold."""

import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from simulate_trials import simulate_forcing, simulate_search

from raysweep.text import visible
from raysweep_analysis import figures, forcing_effects
from raysweep_analysis.figures.style import render
from raysweep_analysis.report import find, write_report
from raysweep_analysis.report.pictures import pictures

TEXTS = [
    *("$x$", r"$\frac{", r"a\$b$c$", "_x", "x^2", "<b>bold</b>", "<script>alert(1)</script>"),
    *("&amp;", "]]>", "-->", "--!>", "[bold]x[/]", "a|b", "`a`", "%s %d", "{x} {0}", "=1+1", '"'),
    *("'", "😀", "中文", "שלום", "e\u0301", "x\ny", "a\r\nb", "a,b", " ", "\x1b[31m", "a\x00b"),
    *("\u202e", "#ffffff", "nan", "010"),
]
IN_FIGURES = [text for text in TEXTS if text != " "]


class Words(HTMLParser):
    """The texts and tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def trials_of(texts: list[str]) -> pd.DataFrame:
    """A study whose cells differ in a text."""
    shape = {"kind": texts}
    rng = np.random.default_rng(0)
    confirm = simulate_forcing(effects=[0.02] * len(texts), seeds=3, rng=rng, characteristics=shape)
    search = simulate_search(
        curves=[np.zeros(3)] * len(texts),
        strengths=np.array([0.01, 0.1, 10.0]),
        seeds=2,
        rng=rng,
        characteristics=shape,
    )
    return pd.concat([confirm, search], ignore_index=True)


def flat(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("texts", [IN_FIGURES[at::6] for at in range(6)])
def test_a_text_in_a_figure_is_no_formula_and_no_markup(texts: list[str]) -> None:
    trials = trials_of([f"v{text}v" for text in texts])
    effects = forcing_effects(trials)
    for figure in (figures.effect_forest(effects), figures.search_figure(trials)):
        drawn = render(figure, "one")
        ET.fromstring(drawn.svg)
        for text in texts:
            name = flat(visible(f"v{text}v"))
            seen = [t for t in figure.findobj(Text) if name in flat(t.get_text())]
            assert seen, text
            assert not any(t.get_parse_math() for t in seen), text
            inline = drawn.inline(f"{text} described")
            label = f"{visible(text)} described".replace("\n", " ")
            assert ET.fromstring(inline).get("aria-label") == label


def test_dollars_are_drawn_as_letters_are() -> None:
    # Of a formula the same letters are drawn in another font, and without the dollars.
    effects = forcing_effects(trials_of(["one", "two"])).assign(label=["$ab$", "ab"])
    figure = figures.effect_forest(effects)
    render(figure, "one")
    names = figure.axes[0].get_yticklabels()
    width = {t.get_text(): t.get_window_extent().width for t in names}
    assert width["$ab$"] > 1.5 * width["ab"]


def test_a_logarithmic_axis_has_plain_numbers() -> None:
    trials = trials_of(["one", "two"])
    figure = next(p.figure for p in pictures(find(trials)) if p.name == "dose_response")
    render(figure, "one")
    ticks = {t.get_text() for axis in figure.axes for t in axis.get_xticklabels()}
    assert {"0.01", "0.1", "1", "10"} <= ticks
    assert not any("$" in tick for tick in ticks)


@pytest.mark.slow
def test_a_report_holds_every_text_as_it_is(tmp_path: Path) -> None:
    trials = trials_of(TEXTS)
    files = write_report(trials.assign(study="<i>$x$</i>"), tmp_path / "out")
    page = files.html.read_text()
    read = Words()
    read.feed(page)
    assert not read.tags & {"b0", "i0"}
    assert page.count("<script") == 2  # the page's own
    shown = "\n".join(read.words)
    for text in TEXTS:
        assert f"kind={visible(text)}".strip() in shown.replace("\r", ""), text
    assert "<i>$x$</i>: does forcing" in shown
    table = pd.read_csv(tmp_path / "out" / "tables" / "effects.csv", keep_default_na=False)
    assert table["kind"].tolist() == TEXTS
    for svg in files.figures:
        if svg.suffix == ".svg":
            ET.fromstring(svg.read_text())


def test_a_text_without_end_is_cut_in_figures_and_whole_in_tables(tmp_path: Path) -> None:
    long = ["wort " * 400, "w" * 5000]
    files = write_report(trials_of(long), tmp_path)
    assert pd.read_csv(tmp_path / "tables" / "effects.csv")["kind"].tolist() == long
    assert all(path.stat().st_size > 1000 for path in files.figures)
