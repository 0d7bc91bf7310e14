"""The follow-up's shapes, planted in a table of its design and found again."""

import itertools
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simulate_trials import simulate_forcing, simulate_search

from raysweep_analysis.examples import FOLLOWUP_TUNED, strengths
from raysweep_analysis.load import load_trials

GRID = list(itertools.product([8, 6, 4, 2, 0], [512, 4096], [12, 64]))
STRENGTHS = np.arange(1, 11) * 0.2


def planted(r: int) -> np.ndarray:
    """Rises and saturates at R = 8 and 6, peaks at 0.6 at R = 4, falls below."""
    if r >= 6:
        return 0.03 * (1 - np.exp(-STRENGTHS / 0.5))
    if r == 4:
        return 0.04 - 0.05 * np.abs(STRENGTHS - 0.6)
    return -0.02 * STRENGTHS


@pytest.fixture(scope="module")
def trials() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    r, n, width = (list(values) for values in zip(*GRID, strict=True))
    named = {
        **{"R": r, "U": [8 - v for v in r], "n_train": n},
        **{"width_1": width, "width_2": width},
    }
    search = simulate_search(
        curves=[planted(v) for v in r],
        strengths=STRENGTHS,
        seeds=2,
        draws=10,
        sd=0.004,
        rng=rng,
        characteristics=named,
    )
    best = [float(planted(v).max()) for v in r]
    confirm = simulate_forcing(
        effects=best,
        draws=10,
        seeds=2,
        sd_seed=0.004,
        rng=rng,
        characteristics=named,
        criteria=("performance",),
    )
    table = pd.concat([search, confirm], ignore_index=True)
    names = {
        "performance_fused_test": strengths.PERFORMANCE,
        "alignment_cka_test": strengths.ALIGNMENT,
    }
    return table.rename(columns=names)


def test_shapes_are_found(trials: pd.DataFrame) -> None:
    found = strengths.shapes_by_redundancy(trials)
    assert len(found) == 20
    expected = {8: "rises", 6: "rises", 4: "inverted U", 2: "falls", 0: "falls"}
    share = (found["shape"] == found["R"].map(expected)).groupby(found["R"]).mean()
    assert (share >= 0.75).all(), found[["R", "shape"]]
    assert (found.loc[found["R"] == 4, "paper"] == "inverted U, best at 0.4 to 0.6").all()
    # as confirmed on fresh seeds, not as the search saw it
    confirm = trials[trials["stage"] == "confirm"]
    for row in found.to_dict("records"):
        here = confirm[
            (confirm["R"] == row["R"])
            & (confirm["width_1"] == row["width_1"])
            & (confirm["n_train"] == row["n_train"])
        ]
        wide = here.pivot_table(
            index="draw", columns="arm", values=strengths.PERFORMANCE, aggfunc="mean"
        )
        d = (wide["forced"] - wide["none"]) * 100
        assert row["confirmed effect"] == pytest.approx(d.mean())
        half = stats.t.ppf(0.975, 9) * d.std() / np.sqrt(10)
        assert row["high"] - row["confirmed effect"] == pytest.approx(half)


def test_slopes_are_those_of_lines_through_each_draw(trials: pd.DataFrame) -> None:
    found = strengths.slopes(trials).set_index("cell")
    here = trials[(trials["stage"] == "search") & (trials["cell"] == "c7")]
    lines = [
        stats.linregress(g["strength"], g[strengths.PERFORMANCE]).slope
        for _, g in here.groupby("draw")
    ]
    assert found.loc["c7", "slope"] == pytest.approx(np.mean(lines))
    assert found.loc["c7", "p_slope"] == pytest.approx(stats.ttest_1samp(lines, 0).pvalue)


def test_the_walk(trials: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trials.to_parquet(tmp_path / "followup.parquet")
    monkeypatch.setattr(
        sys, "argv", ["followup", str(tmp_path / "out"), str(tmp_path / "followup.parquet")]
    )
    runpy.run_module("raysweep_analysis.examples.followup", run_name="__main__")
    found = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"strength_by_redundancy.png", "tables.md", "curves.csv", "effects.csv"} <= found
    text = (tmp_path / "out" / "tables.md").read_text()
    assert text.count("## Means against strength: ") == 4
    part = text[text.index("width 64, 512 rows") :]
    lines = [line for line in part.splitlines() if line.startswith("| 0.6 |")]
    loaded = load_trials(trials)
    for line, column in zip(lines, (strengths.PERFORMANCE, strengths.ALIGNMENT), strict=False):
        means = [
            loaded.query("stage == 'search' and R == @r and width_1 == 64 and n_train == 512")
            .loc[lambda t: t["strength"].round(6) == 0.6, column]
            .mean()
            for r in (0, 2, 4, 6, 8)
        ]
        assert line == f"| 0.6 | {' | '.join(f'{m:.3f}' for m in means)} |"


def test_trained_to_the_end_it_helps_with_few_rows_where_much_is_shared() -> None:
    trials = load_trials(FOLLOWUP_TUNED)
    found = strengths.shapes_by_redundancy(trials)
    assert not found.duplicated(["width_1", "n_train", "R"]).any()
    helped = found[found["verdict"] == "helps"]
    assert set(zip(helped["width_1"], helped["n_train"], helped["R"], strict=True)) == {
        (12, 512, 8),
        (12, 512, 6),
        (64, 512, 8),
        (64, 512, 6),
        (64, 512, 4),
    }
    # The largest effect once more, by pandas alone.
    rows = trials[(trials["stage"] == "confirm") & (trials["U"] == 0) & (trials["width_1"] == 64)]
    rows = rows[(rows["n_train"] == 512) & (rows["arm"] != "placebo")]
    rows = rows[rows["arm"].eq("none") | np.isclose(rows["strength"], 1.2)]
    wide = rows.pivot_table(strengths.PERFORMANCE, "draw", ["arm"], aggfunc="first")
    best = found[(found["width_1"] == 64) & (found["n_train"] == 512) & (found["R"] == 8)]
    gained = 100 * (wide["forced"] - wide["none"]).mean()
    assert best["confirmed effect"].item() == pytest.approx(gained, abs=1e-9)
