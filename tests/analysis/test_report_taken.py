"""What is taken from a report: figures and data from the page, a paragraph, a PDF."""

import html
import io
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import expect, sync_playwright
from simulate_trials import simulate_forcing, simulate_search

from raysweep.errors import InputError
from raysweep.folder.printed import find_browser, print_report
from raysweep.trials.storage import Output
from raysweep_analysis.report import write_report
from raysweep_analysis.report.methods import methods, references

STRENGTHS = np.geomspace(0.01, 10, 6)
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Of three cells: forcing helps, does nothing, hurts."""
    rng, axes = np.random.default_rng(0), {"U": [0, 4, 8]}
    effects = [0.03, 0.0, -0.03]
    confirm = simulate_forcing(effects=effects, sd_seed=0.004, rng=rng, characteristics=axes)
    curves = [effect * STRENGTHS / (1 + STRENGTHS) for effect in effects]
    search = simulate_search(curves=curves, strengths=STRENGTHS, rng=rng, characteristics=axes)
    trials = pd.concat([search, confirm], ignore_index=True)
    return write_report(trials, tmp_path_factory.mktemp("report"))


def test_every_figure_brings_its_data(report):
    text = report.html.read_text()
    figures = re.findall(r"<figure id=figure-(\w+) data-name=\w+>(.*?)</figure>", text, re.DOTALL)
    assert {name for name, _ in figures} >= {"verdict_map", "dose_response", "effects", "search"}
    tables = {"verdict_map": "effects", "effects": "effects", "dose_response": "curves"}
    for name, figure in figures:
        data = pd.read_csv(
            io.StringIO(
                html.unescape(re.search(r"<pre class=csv hidden>(.*?)</pre>", figure, re.DOTALL)[1])
            )
        )
        wanted = getattr(report.findings, tables[name]) if name in tables else None
        if wanted is not None:
            assert list(data.columns) == list(wanted.columns)
            effect = "effect" if "effect" in data else data.select_dtypes("number").columns[-1]
            np.testing.assert_allclose(data[effect], wanted[effect])
        assert len(data)


def test_links_lead_somewhere_and_the_paragraph_has_the_studys_numbers(report):
    text = report.html.read_text()
    ids = set(re.findall(r"\bid=[\"']?([\w-]+)", text))
    assert set(re.findall(r"<a href='#([\w-]+)'", text)) <= ids
    said = methods(report.findings)
    assert "In each of 3 cells" in said
    assert "tried 6 strengths" in said
    assert "over 3 comparisons" in said
    assert "helped in 1" in said
    cited = set(re.findall(r"\\cite\{(\w+)\}", said))
    entries = set(re.findall(r"^@\w+\{(\w+),", references(report.findings), re.MULTILINE))
    assert cited
    assert cited <= entries


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs chromium")
def test_a_figure_is_saved_and_copied_in_a_browser(report, tmp_path):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context(accept_downloads=True, color_scheme="dark")
        page = context.new_page()
        page.goto(report.html.as_uri())
        figure = page.locator("#figure-dose_response")
        saved = {}
        for kind in ("png", "svg", "csv"):
            with page.expect_download() as download:
                figure.locator(f"[data-save={kind}]").click()
            assert download.value.suggested_filename == f"dose_response.{kind}"
            download.value.save_as(tmp_path / kind)
            saved[kind] = (tmp_path / kind).read_bytes()
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        figure.locator("[data-copy=csv]").click()
        expect(figure.locator("[data-copy=csv]")).to_have_text("copied")
        copied = page.evaluate("navigator.clipboard.readText()")
        browser.close()
    assert saved["png"].startswith(b"\x89PNG")
    # On dark paper, too, what is saved has the colours of light paper, and none of the page's.
    assert b"var(--" not in saved["svg"]
    assert ET.fromstring(saved["svg"]).tag.endswith("svg")
    assert copied == saved["csv"].decode()
    assert len(pd.read_csv(io.StringIO(copied))) == len(report.findings.curves)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs chromium")
def test_a_browser_prints_the_report(report):
    output = Output(report.html.parent)
    place = print_report(output, "report.html", find_browser())
    content = Path(place).read_bytes()
    assert content.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) >= 3


def test_without_a_browser_nothing_is_printed(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="no browser that prints without a window is installed"):
        find_browser()
    output = Output(tmp_path)
    output.write("report.html", b"<p>hello")
    with pytest.raises(InputError, match="false printed nothing"):
        print_report(output, "report.html", "/bin/false")
