"""What people see of a study in MLflow: real pages of a real server, in a real browser.

One Chromium, driven over its DevTools protocol: every page is asserted on once what it is about is
there, and photographed in that state. ``PICTURES=DIR`` keeps the photographs.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow_server import running_server
from playwright.sync_api import Locator, Page, expect, sync_playwright
from tiny_runs import raysweep, write_study

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

PATIENCE_MS = 240_000  # a page takes seconds, and minutes at a load of 30
MACHINE_LEARNING = "workflowType=machine_learning"
expect.set_options(timeout=PATIENCE_MS)
Photograph = Callable[[str], None]

# Rows of MLflow's table as {column: text}, from top to bottom; a row lies in two parts of the page.
TABLE = """() => {
    const rows = {};
    for (const cell of document.querySelectorAll('.ag-row [col-id]')) {
        const row = cell.closest('.ag-row').getAttribute('row-index');
        const shown = cell.querySelector('a') ?? cell;
        (rows[row] ??= {})[cell.getAttribute('col-id')] = shown.innerText.trim();
    }
    return Object.keys(rows).map(Number).sort((a, b) => a - b).map((row) => rows[row]);
}"""
# How many pixels of the canvas that a parallel-coordinates chart draws its lines on are not empty.
INKED = """(chart) => {
    const canvas = chart.querySelector('canvas.foreground');
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    return pixels.filter((value, i) => i % 4 === 3 && value > 0).length;
}"""


@dataclass(frozen=True)
class Shown:
    """A study in MLflow: the address of its experiment, and its runs by name."""

    page: str
    runs: dict[str, Run]

    def of(self, name: str, tab: str = "") -> str:
        """The page of a run."""
        return f"{self.page}/runs/{self.runs[name].info.run_id}{tab}?{MACHINE_LEARNING}"

    def view(self, name: str, how: str = "") -> str:
        """A view that the copy made, as a table or as charts."""
        return f"{self.page}/runs?{MACHINE_LEARNING}&viewStateShareKey=raysweep-{name}{how}"

    def stage(self, name: str) -> list[Run]:
        return [run for run in self.runs.values() if run.data.tags.get("stage") == name]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """A study of three cells that was run against a server."""
    folder = tmp_path_factory.mktemp("browser")
    with running_server(folder) as server:
        write_study(
            folder / "tiny.yaml",
            data__U=[0, 4, 8],
            training__epochs=12,
            search__objective="both",
            description="Three cells to look at.",
        )
        done = raysweep(
            folder,
            *("run", "tiny.yaml", "--out", "out", "--runner", "local"),
            *("--tracking-uri", server.uri),
        )
        assert done.returncode == 0, done.stderr
        client = MlflowClient(server.uri)
        experiment = client.get_experiment_by_name("tiny")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id])
        yield Shown(
            f"{server.uri}/#/experiments/{experiment.experiment_id}",
            {str(run.info.run_name): run for run in runs},
        )


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """The browser's only page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        # Charts are drawn where they are in view only: all of a view's are, in so high a window.
        opened = browser.new_page(viewport={"width": 1900, "height": 2000}, reduced_motion="reduce")
        opened.set_default_timeout(PATIENCE_MS)
        yield opened
        browser.close()


@pytest.fixture
def photograph(page: Page, tmp_path: Path) -> Photograph:
    """Keeps a picture of the page as it is."""
    folder = Path(os.environ.get("PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)

    def take(name: str) -> None:
        page.screenshot(path=folder / f"{name}.png")

    return take


def go(page: Page, address: str) -> None:
    # Addresses differ behind the # only, which does not load a page anew.
    page.goto("about:blank")
    page.goto(address)


def table(page: Page, count: int) -> list[dict[str, str]]:
    """The rows of the table of runs, once there are so many."""
    expect(page.locator(".ag-pinned-left-cols-container .ag-row")).to_have_count(count)
    rows: list[dict[str, str]] = page.evaluate(TABLE)
    return rows


def names(rows: list[dict[str, str]]) -> list[str]:
    return [row["attributes.`Run Name`"] for row in rows]


def card(page: Page, title: str) -> Locator:
    """A chart of the chart view."""
    cards = page.get_by_test_id("experiment-view-compare-runs-card")
    return cards.filter(has=page.get_by_role("heading", name=title, exact=True)).first


def assert_drawn(chart: Locator, axes: int) -> None:
    """A parallel-coordinates chart has its axes, and lines between them."""
    expect(chart.locator(".dimension")).to_have_count(axes)
    chart.page.wait_for_function(f"(chart) => ({INKED})(chart) > 300", arg=chart.element_handle())


def test_experiment_lists_cells_in_order(study: Shown, page: Page, photograph: Photograph) -> None:
    go(page, f"{study.page}/runs?{MACHINE_LEARNING}")
    expect(page.get_by_text("Three cells to look at.")).to_be_visible()
    # The strengths of a cell are folded into it.
    cells = [f"synthetic U={u}" for u in (0, 4, 8)]
    assert names(table(page, 4)) == ["study tiny", *cells]
    photograph("experiment")


def test_cell_says_what_forcing_did(study: Shown, page: Page, photograph: Photograph) -> None:
    go(page, study.of("synthetic U=4"))
    expect(page.get_by_role("heading", name="synthetic U=4")).to_be_visible()
    expect(page.get_by_text("Verdicts are in the report, not here").first).to_be_visible()
    metrics = study.runs["synthetic U=4"].data.metrics
    for name in ("chosen_strength_by_performance", "effect_by_alignment_performance_fused_test"):
        row = page.get_by_role("row").filter(has=page.get_by_text(name, exact=True))
        expect(row).to_contain_text(f"{metrics[name]:.6g}"[:8])
    expect(page.get_by_text("depth_1", exact=True)).to_be_visible()
    photograph("cell")


def test_learning_curves_have_a_point_per_epoch(
    study: Shown, page: Page, photograph: Photograph
) -> None:
    name = next(name for name in study.runs if name.startswith("confirm forced"))
    go(page, study.of(name, "/model-metrics"))
    for curve in ("curve_alignment_loss", "curve_performance_1"):
        expect(card(page, curve).locator(".scatterlayer .point")).to_have_count(12)
    expect(card(page, "curve_alignment_loss")).to_contain_text("Step")
    photograph("curves")


def test_confirm_table_is_sorted_by_cell(study: Shown, page: Page, photograph: Photograph) -> None:
    confirm = study.stage("confirm")
    go(page, study.view("confirm"))
    expect(page.get_by_test_id("sort-header-performance_fused_test")).to_be_visible()
    rows = table(page, len(confirm))
    cells = [(row["params.`U`"], row["params.`arm`"]) for row in rows]
    order = ["none", "forced", "placebo"]
    assert cells == sorted(cells, key=lambda cell: (cell[0], order.index(cell[1])))
    assert {u for u, _ in cells} == {"0", "4", "8"}
    for name, row in zip(names(rows), rows, strict=True):
        metrics = study.runs[name].data.metrics
        for metric in ("strength", "performance_fused_test"):
            assert float(row[f"metrics.`{metric}`"]) == pytest.approx(metrics[metric], rel=1e-5)
    photograph("confirm_table")


def test_charts_of_a_stage_are_drawn(study: Shown, page: Page, photograph: Photograph) -> None:
    confirm = study.stage("confirm")
    go(page, study.view("confirm", "&compareRunsMode=CHART"))
    expect(card(page, "performance_fused_test").locator(".bars .point")).to_have_count(len(confirm))
    scatter = card(page, "alignment_unbiased_cka_test vs. performance_fused_test")
    expect(scatter.locator(".scatterlayer .point")).to_have_count(len(confirm))
    assert_drawn(card(page, "Parallel Coordinates").locator(".parcoords"), axes=4)
    curves = card(page, "curve_performance_fused")
    # One line per run at least: MLflow draws some in two parts.
    expect(curves.locator(".scatterlayer .js-line").nth(len(confirm) - 1)).to_be_attached()
    photograph("confirm_charts")


def test_strengths_of_a_search_compare(study: Shown, page: Page, photograph: Photograph) -> None:
    search = study.stage("search")
    go(page, study.view("search", "&compareRunsMode=CHART"))
    assert_drawn(card(page, "Parallel Coordinates").locator(".parcoords"), axes=4)
    validated = card(page, "log10_strength vs. performance_fused_validation")
    above = [run for run in search if run.data.metrics["strength"] > 0]
    expect(validated.locator(".scatterlayer .point")).to_have_count(len(above))
    photograph("search_charts")


def test_selected_runs_are_compared(study: Shown, page: Page, photograph: Photograph) -> None:
    go(page, study.view("confirm"))
    chosen = names(table(page, len(study.stage("confirm"))))[:3]
    for row in range(3):
        page.locator(f".ag-row[row-index='{row}']").get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Compare", exact=True).click()
    page.wait_for_url("**/compare-runs**")
    for name in chosen:
        expect(page.get_by_text(name).first).to_be_visible()
    expect(page.locator(".parcoords .y-axis").first).to_be_visible()
    photograph("compared")


def test_report_is_shown_whole(study: Shown, page: Page, photograph: Photograph) -> None:
    go(page, study.of("study tiny", "/artifacts/report.html"))
    for file in ("study.yaml", "figures"):
        expect(page.get_by_text(file, exact=True).first).to_be_visible()
    report = page.frame_locator("iframe")
    expect(report.get_by_text("tiny: does forcing alignment help?")).to_be_visible()
    expect(report.get_by_role("heading", name="Figures")).to_be_visible()
    photograph("report")
    figure = report.locator("figure svg, figure img").first
    figure.scroll_into_view_if_needed()
    expect(figure).to_be_in_viewport()
    photograph("report_figure")
