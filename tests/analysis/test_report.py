import base64
import hashlib
import html
import re
import shutil
import subprocess
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from simulate_trials import simulate_emergence, simulate_forcing, simulate_search

from raysweep.trials.verdict_words import VERDICT_WORDS
from raysweep_analysis.__main__ import main
from raysweep_analysis.preregistration import AnalysisPlan, register
from raysweep_analysis.report import find, write_report
from raysweep_analysis.report.methods import methods
from raysweep_analysis.report.page import page
from raysweep_analysis.report.tables import verdict_table
from raysweep_analysis.settings import Settings

U = [0, 4, 8]
STRENGTHS = np.geomspace(0.01, 10, 6)
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


def study(**options: object) -> pd.DataFrame:
    """Search and confirm rows of three cells: forcing helps, does nothing, hurts."""
    rng = np.random.default_rng(0)
    settings = {"effects": [0.03, 0.0, -0.03], "sd_seed": 0.004, "characteristics": {"U": U}}
    confirm = simulate_forcing(rng=rng, **(settings | options))
    search = simulate_search(
        curves=[c * STRENGTHS / (1 + STRENGTHS) for c in (0.03, 0.0, -0.03)],
        strengths=STRENGTHS,
        rng=rng,
        characteristics={"U": U},
    )
    return pd.concat([search, confirm], ignore_index=True)


class Outside(HTMLParser):
    """Collects everything on a page that would fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("link", "img", "iframe", "object") or (
            tag == "script" and dict(attrs).get("src")
        ):
            self.found.append(tag)
        self.found += [
            f"{name}={value}"
            for name, value in attrs
            if name in ("src", "href", "xlink:href") and not (value or "").startswith("#")
        ]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write_report(study(), tmp_path_factory.mktemp("report"))


def test_the_report_opens_with_the_answer(report):
    text = report.html.read_text()
    lead = re.search(r'class="lead"[^>]*>([^<]+)<', text)[1]
    assert lead.startswith("It depends whether to force alignment: at strength 1 it gains ")
    counts = "Of 3 cells, forcing alignment helps in 1, hurts in 1 and makes no difference in 1."
    assert counts in text
    assert text.index(lead) < text.index("<figure") < text.index("<table>")
    for sentence in ("It helps in 1 of 3 cells: simulated U=0", "It hurts in 1 of 3 cells"):
        assert sentence in text


def test_what_limits_all_verdicts_is_said_once():
    effects = find(study()).effects
    words = [
        "odd; the rates were not tuned",
        "the rates were not tuned",
        "the rates were not tuned",
    ]
    table = verdict_table(effects.assign(reason=words))
    assert table.note == "Of all rows: the rates were not tuned."
    assert ["odd" in row[-1] for row in table.rows] == [True, False, False]
    assert not any("tuned" in row[-1] for row in table.rows)
    assert table.head.index("strength") < table.head.index("effect (points)")
    alone = verdict_table(effects.assign(reason=words[1]))
    assert "remark" not in alone.head
    assert {len(row) for row in alone.rows} == {len(alone.head)}


@pytest.mark.parametrize(
    ("effects", "sd", "words"),
    [
        ([0.03, 0.0, -0.03], 0.004, {"helps", "no difference", "hurts"}),
        ([0.0, 0.004, 0.0], 0.02, {"not known"}),
    ],
)
def test_a_reader_meets_one_phrase_for_each_verdict(effects, sd, words):
    found = find(study(effects=effects, sd_seed=sd))
    assert {VERDICT_WORDS[v] for v in found.effects["verdict"]} == words
    hidden = re.compile("<(pre class=csv|script|style).*?</(pre|script|style)>", re.DOTALL)
    shown = re.sub(r"<[^>]*>", " ", hidden.sub(" ", page(found, [])))
    assert all(word in shown for word in words)
    said = [shown, methods(found), *found.answer.lines()]
    for value in set(VERDICT_WORDS) - set(VERDICT_WORDS.values()):
        assert not any(value in text for text in said), value


def test_the_page_fetches_nothing(report):
    text = report.html.read_text()
    outside = Outside()
    outside.feed(text)
    assert outside.found == []
    assert "url(" not in re.sub(r"url\(#[^)]+\)", "", text)
    assert "default-src 'none'" in text


def test_only_its_own_script_runs(report):
    text = report.html.read_text()
    [own] = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    hashed = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
    assert f"script-src 'sha256-{hashed}'" in html.unescape(policy)
    assert text.count("<script") == 2  # the other one holds colours
    assert "unsafe-inline" not in policy.partition("script-src")[2]


def test_figures_and_tables_are_written(report):
    names = {p.name for p in report.figures}
    assert {"verdict_map.png", "verdict_map.svg", "effects.png", "dose_response.svg"} <= names
    assert all(p.stat().st_size > 1000 for p in report.figures)
    effects = pd.read_csv(report.html.parent / "tables" / "effects.csv")
    assert effects["verdict"].tolist() == ["helps", "equivalent", "hurts"]
    np.testing.assert_allclose(effects["effect"], report.findings.effects["effect"])


def test_what_a_name_holds_is_text_and_not_html():
    trials = study().assign(study="<script>alert(1)</script>", data="a&b<c>")
    text = page(find(trials), [])
    assert text.count("<script") == 2  # those of the page
    assert "a&amp;b&lt;c&gt;" in text


def test_own_data_are_said_as_they_were_read():
    trials = study()
    assert "Your own data" not in page(find(trials), [])
    trials["file"], trials["modality_1"], trials["scale"] = "mine.csv", "<b>img_*</b>", "robust"
    trials["modalities"] = np.where(trials["U"] > 0, 3.0, np.nan)
    text = page(find(trials), [])
    table = text[text.index(">Your own data</h3>") :]
    table = table[: table.index("</table>")]
    assert table.count("<tr") == 4  # a row for each U
    for words in ("mine.csv", "modality 1", "&lt;b&gt;img_*&lt;/b&gt;", "robust"):
        assert words in table


def test_lost_runs_are_counted_on_the_page():
    trials = study()
    lost = (trials["arm"] == "forced") & (trials["seed"] == 1003)
    trials.loc[lost, "status"] = "diverged"
    empty = (trials["arm"] == "none") & (trials["seed"] == 1005)
    trials.loc[empty, "performance_fused_test"] = np.nan
    text = page(find(trials), [])
    assert "3 diverged, 3 without outcome" in text
    assert "6 pairs of runs are missing from the tests (3 runs diverged, 0 failed)" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda t: t[t["stage"] == "search"],
            "is not known: 0 of 3 cells tested so far: no confirm stage",
        ),
        (
            lambda t: t[t["arm"] != "none"],
            "is not known: 0 of 3 cells tested so far: no runs of strength 0",
        ),
        (lambda t: t[(t["stage"] == "search") | (t["seed"] == 1000)], "one seed only"),
        (lambda t: t[t["cell"] == "c0"], "Forcing alignment helps in the one cell tested."),
        (lambda t: t[t["arm"] != "placebo"], "There is no placebo arm"),
    ],
)
def test_thin_tables_get_an_answer_that_says_what_is_missing(change, said, tmp_path):
    found = find(change(study()))
    assert said in "\n".join(found.answer.lines())
    assert set(found.tables) >= {"effects", "counts"}


def test_an_emergence_table_gets_its_own_report(tmp_path):
    trials = simulate_emergence(
        U=(0, 3, 5, 8), D_phi=(1, 5), depths=(1, 2, 3, 5, 8), rng=np.random.default_rng(1)
    )
    files = write_report(trials, tmp_path)
    text = files.html.read_text()
    assert "Nothing was forced in this study" in text
    assert "emergent alignment falls with U in" in text
    assert {p.stem for p in files.figures} == {
        "alignment_trend",
        "depth_maps",
        "correlations",
        "alignment_performance",
    }


def plan(trials: pd.DataFrame) -> AnalysisPlan:
    confirm = trials[trials["stage"] == "confirm"]
    return AnalysisPlan(
        study="s0",
        cells=tuple(confirm["cell"].unique()),
        draws={cell: (0,) for cell in confirm["cell"].unique()},
        seeds=tuple(int(s) for s in confirm["seed"].unique()),
        search_seeds=tuple(range(8)),
    )


def test_only_a_kept_plan_makes_a_report_confirmatory(tmp_path):
    trials = study()
    trials.to_parquet(tmp_path / "trials.parquet")
    assert find(tmp_path).plan.deviations == ("no plan was registered before the first trial",)
    (tmp_path / "plan.json").write_text(register(plan(trials)))
    assert find(tmp_path).plan.confirmatory
    text = page(find(tmp_path), [])
    assert "confirmatory</span>" in text
    assert plan(trials).digest in text
    other = find(tmp_path, Settings(margin=0.01))
    assert other.plan.deviations == ("margin is 1 point, planned was 0.5 points",)
    trials[trials["seed"] != 1002].to_parquet(tmp_path / "trials.parquet")
    assert "3 of 36 planned confirm runs are missing" in find(tmp_path).plan.deviations


def test_the_study_beside_the_table_says_what_to_test(tmp_path):
    study().assign(performance_1_test=0.5).to_parquet(tmp_path / "trials.parquet")
    (tmp_path / "study.yaml").write_text(
        "name: s0\ndata: {dataset: synthetic, U: [0, 4, 8]}\n"
        "verdict: {performance: performance_1_test, alpha: 0.01, margin: 0.02}\n"
    )
    found = find(tmp_path)
    assert (found.settings.performance, found.settings.alpha) == ("performance_1_test", 0.01)
    assert found.settings.margin == 0.02
    assert "alpha: 0.01" in page(found, [])


def test_the_command_prints_the_answer_and_writes_the_report(tmp_path, capsys):
    study().to_parquet(tmp_path / "table.parquet")
    out = tmp_path / "out"
    code = main([str(tmp_path / "table.parquet"), "--out", str(out), "--margin", "0.004"])
    printed = capsys.readouterr().out
    assert code == 0
    assert printed.startswith("It depends whether to force alignment: at strength 1 it gains ")
    assert f"report: {out / 'report.html'}" in printed
    assert (out / "report.html").is_file()


def test_a_users_mistake_is_one_line_and_code_2(tmp_path, capsys):
    assert main([str(tmp_path / "nothing"), "--out", str(tmp_path)]) == 2
    assert "no trial table there" in capsys.readouterr().err


def test_a_large_table_is_analysed_in_seconds():
    rng = np.random.default_rng(3)
    u = [v for v in range(9) for _ in range(12)]
    width = [2 ** (4 + i % 4) for i in range(108)]
    shape = {"U": u, "width_1": width, "width_2": width, "D_phi": [1 + i % 3 for i in range(108)]}
    trials = pd.concat(
        [
            simulate_forcing(
                effects=[0.005 * (4 - v) for v in u],
                draws=5,
                seeds=12,
                rng=rng,
                characteristics=shape,
                criteria=["alignment", "performance"],
            ),
            simulate_search(
                curves=[0 * np.ones(24)] * 108,
                strengths=np.geomspace(0.01, 10, 24),
                draws=5,
                seeds=5,
                rng=rng,
                characteristics=shape,
            ),
        ],
        ignore_index=True,
    )
    assert len(trials) > 99_000
    started = time.process_time()
    found = find(trials)
    assert time.process_time() - started < 10
    assert len(found.effects) == 216


needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium is installed")


def browse(file: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    quiet = ("--no-first-run", "--disable-background-networking", "--disable-component-update")
    return subprocess.run(
        [
            str(BROWSER),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-sync",
            *quiet,
            f"--user-data-dir={folder / 'profile'}",
            "--hide-scrollbars",
            *options,
            file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


@needs_browser
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_cuts_no_figure_and_no_column(width, report, tmp_path):
    # The page itself allows no script; a copy measures how wide it gets.
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", report.html.read_text())
    probe = (
        "<script>const d=document.documentElement,f=document.querySelector('figure svg');"
        "document.title=['width',d.scrollWidth,d.clientWidth,f.getBoundingClientRect().height,"
        "document.querySelectorAll('figure svg path').length,"
        "[...document.querySelectorAll('.scroll')].filter(e=>e.scrollWidth>e.clientWidth).length]"
        ".join(' ')</script>"
    )
    copy = tmp_path / "copy.html"
    copy.write_text(text.replace("</body>", f"{probe}</body>"))
    seen = browse(copy, tmp_path, f"--window-size={width},800", "--dump-dom").stdout
    found = re.search(r"<title>width (\d+) (\d+) ([\d.]+) (\d+) (\d+)</title>", seen)
    wide, screen, height, shapes, cut = (float(v) for v in found.groups())
    assert wide <= screen
    assert height > 100
    assert shapes > 100
    assert cut == 0


@needs_browser
def test_a_browser_shows_it_light_and_dark(report, tmp_path):
    from PIL import Image

    corner = {}
    for theme, option in (("light", "1"), ("dark", "0")):
        shot = tmp_path / f"{theme}.png"
        browse(
            report.html,
            tmp_path,
            "--window-size=900,1400",
            f"--screenshot={shot}",
            f"--blink-settings=preferredColorScheme={option}",
        )
        pixels = np.asarray(Image.open(shot).convert("L"), dtype=float)
        corner[theme] = pixels[3, 3]
        assert pixels.std() > 5
    assert corner["light"] > 240
    assert corner["dark"] < 40
