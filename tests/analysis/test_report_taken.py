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
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright
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


CLIPBOARD = """async () => {
    const [item] = await navigator.clipboard.read();
    const bytes = new Uint8Array(await (await item.getType("image/png")).arrayBuffer());
    return Array.from(bytes);
}"""


def pressed(page: Page, name: str, folder: Path) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """What the buttons below a figure save, and what they put on the clipboard, by kind."""
    figure = page.locator(f"#figure-{name}")
    saved, copied = {}, {}
    for kind in ("png", "svg", "csv"):
        with page.expect_download() as download:
            figure.locator(f"[data-save={kind}]").click()
        assert download.value.suggested_filename == f"{name}.{kind}"
        download.value.save_as(folder / f"{name}.{kind}")
        saved[kind] = (folder / f"{name}.{kind}").read_bytes()
        button = figure.locator(f"[data-copy={kind}]")
        button.click()
        expect(button).to_have_text("copied")
        if kind == "png":
            copied[kind] = bytes(page.evaluate(CLIPBOARD))
        else:
            copied[kind] = page.evaluate("navigator.clipboard.readText()").encode()
    return saved, copied


def pixels(png: bytes, size: tuple[int, int]) -> np.ndarray:
    """A picture on white paper, in grey, 0..255, at that size."""
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    paper = Image.new("RGBA", picture.size, "white")
    flat = Image.alpha_composite(paper, picture).convert("L")
    return np.asarray(flat.resize(size, Image.Resampling.BOX), dtype=float)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs chromium")
def test_every_figure_is_saved_and_copied_in_a_browser(report, tmp_path):
    """Dark paper: what is taken has the colours of light paper, as the files in `figures/` do."""
    names = re.findall(r"<figure id=figure-(\w+)", report.html.read_text())
    assert set(names) >= {"verdict_map", "dose_response", "effects", "search"}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context(accept_downloads=True, color_scheme="dark")
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.goto(report.html.as_uri())
        taken = {name: pressed(page, name, tmp_path) for name in names}
        data = {name: page.locator(f"#figure-{name} pre.csv").text_content() for name in names}
        browser.close()
    figures = report.html.parent / "figures"
    drawn = {name: (figures / f"{name}.png").read_bytes() for name in names}
    for name, (saved, copied) in taken.items():
        drawing = ET.fromstring(saved["svg"])
        assert drawing.tag.endswith("svg")
        assert b"var(--" not in saved["svg"]
        own = ET.parse(figures / f"{name}.svg").getroot()
        assert drawing.attrib["viewBox"] == own.attrib["viewBox"]
        assert len(list(drawing.iter())) >= len(list(own.iter("{http://www.w3.org/2000/svg}path")))
        assert copied["svg"] == saved["svg"]
        width, height = (float(side) * 96 / 72 for side in own.attrib["viewBox"].split()[2:])
        for png in (saved["png"], copied["png"]):
            size = Image.open(io.BytesIO(png)).size
            np.testing.assert_allclose(size, (3 * width, 3 * height), atol=3)
            # The browser's drawing is the file's, and no other figure's.
            small = round(width / 4), round(height / 4)
            away = {n: np.abs(pixels(png, small) - pixels(drawn[n], small)).mean() for n in names}
            assert min(away, key=away.get) == name
            assert away[name] < 6
        assert saved["csv"].decode() == copied["csv"].decode() == data[name]
    effects = pd.read_csv(io.BytesIO(taken["effects"][0]["csv"]))
    pd.testing.assert_frame_equal(
        effects[["cell", "strength", "effect"]],
        report.findings.effects[["cell", "strength", "effect"]],
        check_dtype=False,
    )
    curves = pd.read_csv(io.BytesIO(taken["dose_response"][0]["csv"]))
    assert len(curves) == len(report.findings.curves)


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
