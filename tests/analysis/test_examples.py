"""The examples run on the tables that come with them, and these are what they say they are."""

import itertools
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from raysweep_analysis import examples
from raysweep_analysis.examples import published
from raysweep_analysis.load import load_trials

TABLES = (examples.EMERGENCE, examples.DRAWS, examples.FORCING)


PAIRS = {
    "alignment-performance": ("a", "p"),
    "performance-depth": ("p", "d"),
    "alignment-depth": ("a", "d"),
}


def run(name: str, folder: Path, *tables: Path) -> set[str]:
    """Run a walk as a person does; returns the names of what it left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, str(folder), *map(str, tables)])
        runpy.run_module(f"raysweep_analysis.examples.{name}", run_name="__main__")
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("emergence")
    run("emergence", path)
    return path


@pytest.fixture(scope="module")
def large() -> pd.DataFrame:
    trials = load_trials(examples.EMERGENCE)
    return trials[trials["stage"] == "measure"]


@pytest.fixture(scope="module")
def small() -> pd.DataFrame:
    return load_trials(examples.DRAWS)


def direct(rows: pd.DataFrame, correlate: Callable[..., Any]) -> pd.DataFrame:
    """Correlations of each dataset and seed by SciPy and the formula for a partial one."""
    found = []
    for (u, phi, draw, seed), g in rows.groupby(["U", "D_phi", "draw", "seed"]):
        named = {"a": g[published.CKA], "p": g["performance_2_test"], "d": g["depth_2"]}
        r = {pair: correlate(named[x], named[y])[0] for pair, (x, y) in PAIRS.items()}
        ap, pd_, ad = r.values()
        # depth that fixes one side leaves nothing to correlate: 0 / 0
        fixed = max(abs(ad), abs(pd_)) > 1 - 1e-9
        r["given"] = np.nan if fixed else (ap - ad * pd_) / np.sqrt((1 - ad**2) * (1 - pd_**2))
        found.append({"U": u, "D_phi": phi, "draw": draw, "seed": seed} | r)
    return pd.DataFrame(found)


def parsed(text: str, words: str) -> pd.DataFrame:
    """The first Markdown table after some words, as text; the first column is the index."""
    lines = text[text.index(words) :].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|"))
    rows = list(itertools.takewhile(lambda line: line.startswith("|"), lines[start:]))
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    table = pd.DataFrame(cells[2:], columns=cells[0])
    return table.set_index(table.columns[0])


@pytest.mark.slow
def test_emergence(folder: Path, large: pd.DataFrame) -> None:
    found = {path.name for path in folder.iterdir()}
    for name in ("figure_4", "figure_6", "figure_7", "figure_9", "figure_4_corrected"):
        assert {f"{name}.png", f"{name}.svg"} <= found
    beside = pd.read_csv(folder / "figure_4.csv", index_col="U")
    for column in beside.columns[::2]:
        level = int(column.partition(":")[0])
        here = large[large["D_phi"] == level]
        highest = here.groupby(["U", "cell"])[published.CKA].mean().groupby("U").max()
        assert list(beside.index) == list(highest.index)
        np.testing.assert_allclose(beside[column], highest, rtol=1e-12)
    bands = pd.read_csv(folder / "bands.csv")
    assert len(bands) == 12
    exact = bands.set_index("band").loc["exact information within 0.002 nats"]
    assert exact["holds"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pearson", "spearman"])
@pytest.mark.parametrize(("name", "table"), [("figure_7", "large"), ("figure_7_draws", "small")])
def test_figure_7(
    folder: Path, name: str, table: str, kind: str, request: pytest.FixtureRequest
) -> None:
    rows = request.getfixturevalue(table)
    correlate = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}[kind]
    middle = direct(rows, correlate).groupby("U").median()
    found = pd.read_csv(folder / f"{name}.csv", index_col="U")
    for pair in PAIRS:
        np.testing.assert_allclose(found[f"{pair}: {kind}"], middle[pair], atol=1e-9)
    if kind == "pearson":
        np.testing.assert_allclose(found["given depth: pearson"], middle["given"], rtol=1e-6)


@pytest.mark.slow
def test_the_summary_of_draws(folder: Path, small: pd.DataFrame) -> None:
    found = pd.read_csv(folder / "summary_draws.csv").set_index("U")
    for name, column in (
        ("best", published.CKA),
        ("chance", "chance_unbiased_cka_test"),
        ("corrected", "corrected_unbiased_cka_test"),
    ):
        highest = small.groupby(["U", "D_phi", "draw"])[column].max().groupby("U").mean()
        np.testing.assert_allclose(found[name], highest, rtol=1e-9)
    assert set(found["draws"]) == {3}


@pytest.mark.slow
def test_tables_of_the_results(folder: Path, large: pd.DataFrame, small: pd.DataFrame) -> None:
    text = (folder / "tables.md").read_text()
    trend = parsed(text, "Spearman's rho of the highest CKA")
    paper = [printed for printed in trend["paper, U 0-7"] if printed]
    assert paper == ["-0.929", "-0.762", "-0.976", "-0.976", "-1.000"]
    for phi, printed in trend["ours, U 0-8"].items():
        line = large[large["D_phi"] == int(phi)].groupby(["U", "depth_2"])[published.CKA].mean()
        line = line.groupby("U").max()
        assert printed == f"{stats.spearmanr(line.index, line)[0]:.3f}"
    shallow = parsed(text, "up to 6 only")
    middle = direct(large[large["depth_2"] <= 6], stats.pearsonr).groupby("U").median()
    for pair in PAIRS:
        shown = shallow[f"{pair}: depth to 6"].astype(float)
        np.testing.assert_allclose(shown, middle[pair], atol=0.00501)
    given = parsed(text, "Alignment and performance:")["given depth: Spearman, 3 draws"]
    middle = direct(small, stats.spearmanr).groupby("U")["given"].median()
    np.testing.assert_allclose(given.astype(float), middle, atol=0.00501)
    accuracy = parsed(text, "the best over depths (A)")
    means = large[large["D_phi"] == 9].groupby(["U", "depth_2"])["performance_2_population"].mean()
    best = means.groupby("U").max()
    assert accuracy["accuracy 2, D_phi 9"].tolist() == [f"{v:.3f}" for v in best]
    assert accuracy["Bayes 2"].tolist() == [
        f"{large[large['U'] == u]['bayes_2'].iloc[0]:.3f}" for u in range(9)
    ]
    by_depth = parsed(text, "Mean accuracy of modality 2")
    mean = large[large["depth_2"] == 10].groupby("U")["performance_2_population"].mean()
    assert by_depth["depth 10"].tolist() == [f"{v:.3f}" for v in mean]
    rates = large.groupby("U")["learning_rate_2"].first()
    assert by_depth["learning rate 2"].astype(float).tolist() == rates.tolist()
    chance = parsed(text, "what shuffled pairs of rows give")
    knn = small.groupby(["U", "D_phi", "draw"])["alignment_mutual_knn_test"].max()
    assert chance["kNN"].tolist() == [f"{v:.3f}" for v in knn.groupby("U").mean()]
    draws = parsed(text, "Highest corrected CKA of each draw")
    one = small[small["draw"] == 1].groupby(["U", "D_phi"])["corrected_unbiased_cka_test"].max()
    assert draws["draw 1"].tolist() == [f"{v:.3f}" for v in one.groupby("U").mean()]


@pytest.mark.slow
def test_above_chance_is_tested_over_draws(folder: Path, small: pd.DataFrame) -> None:
    text = (folder / "tables.md").read_text()
    found = parsed(text, "only draws are independent")
    here = small[small["U"] == 8]
    means = [
        (g[published.CKA] - g["chance_unbiased_cka_test"]).mean() for _, g in here.groupby("draw")
    ]
    t = np.mean(means) / (np.std(means, ddof=1) / np.sqrt(3))
    assert found.loc["B", "p over draws"] == f"{stats.t.sf(t, 2):.3f}"
    assert found.loc["A", "p over draws"] == ""
    share = (here["chance_p_unbiased_cka_test"] <= 0.05).mean()
    assert found.loc["B", "share with p at most 0.05"] == f"{share:.2f}"


@pytest.mark.slow
def test_other_seeds_heterogeneities_and_depths(tmp_path: Path, large: pd.DataFrame) -> None:
    """The walk takes any part of the full study: medians are over D_phi and seeds."""
    rng = np.random.default_rng(0)
    part = large[
        large["D_phi"].isin([3, 7]) & (large["depth_2"] <= 6) & large["U"].isin([0, 2, 5, 8])
    ]
    frames = []
    for seed in range(3):
        columns = {
            name: part[name] + 0.01 * rng.standard_normal(len(part))
            for name in (published.CKA, "performance_2_test")
        }
        frames.append(part.assign(seed=seed, key=part["key"] + str(seed), **columns))
    more = pd.concat(frames, ignore_index=True)
    more.to_parquet(tmp_path / "more.parquet")
    (tmp_path / "out").mkdir()
    run("emergence", tmp_path / "out", tmp_path / "more.parquet")
    text = (tmp_path / "out" / "tables.md").read_text()
    found = parsed(text, "Alignment and performance:")
    middle = direct(more, stats.spearmanr).groupby("U").median()
    shown = found.loc[["0", "2", "5", "8"], "Spearman"].astype(float)
    np.testing.assert_allclose(shown, middle["alignment-performance"], atol=0.00501)
    highest = more.groupby(["U", "D_phi", "depth_2"])[published.CKA].mean()
    highest = highest.groupby(["U", "D_phi"]).max().xs(7, level="D_phi")
    figure = parsed(text, "Figure 4: the highest")
    assert figure["7: ours"].tolist() == [f"{v:.2f}" for v in highest]


@pytest.mark.slow
def test_forcing(tmp_path: Path) -> None:
    found = run("forcing", tmp_path)
    for name in ("verdict_map", "effects", "boundary", "headline", "dose_response", "search"):
        assert f"{name}.png" in found
    assert len(pd.read_csv(tmp_path / "effects.csv")) >= 4


def test_the_tables_are_small() -> None:
    assert sum(path.stat().st_size for path in TABLES) < 6_000_000
