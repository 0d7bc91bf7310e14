"""The examples run on the tables that come with them, and these are what they say they are."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import examples
from analysis.examples import published
from analysis.load import load_trials

TABLES = (examples.EMERGENCE, examples.DRAWS, examples.FORCING)


def run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    monkeypatch.setattr(sys, "argv", [name, str(folder)])
    runpy.run_module(f"analysis.examples.{name}", run_name="__main__")
    return {path.name for path in folder.iterdir()}


def test_emergence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run("emergence", tmp_path, monkeypatch)
    for name in ("figure_4", "figure_6", "figure_7", "figure_9", "figure_4_corrected"):
        assert {f"{name}.png", f"{name}.svg"} <= found
    trials = load_trials(examples.EMERGENCE)
    beside = pd.read_csv(tmp_path / "figure_4.csv", index_col="U")
    column = beside.columns[0]
    level = int(column.partition(":")[0])
    here = trials[(trials["stage"] == "measure") & (trials["D_phi"] == level)]
    highest = here.groupby(["U", "cell"])[published.CKA].mean().groupby("U").max()
    assert list(beside.index) == list(highest.index)
    np.testing.assert_allclose(beside[column], highest, rtol=1e-12)
    bands = pd.read_csv(tmp_path / "bands.csv")
    assert len(bands) == 12
    exact = bands.set_index("band").loc["exact information within 0.002 nats"]
    assert exact["holds"]


def test_forcing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run("forcing", tmp_path, monkeypatch)
    for name in ("verdict_map", "effects", "boundary", "dose_response", "search"):
        assert f"{name}.png" in found
    assert len(pd.read_csv(tmp_path / "effects.csv")) >= 4


def test_the_tables_are_small() -> None:
    assert sum(path.stat().st_size for path in TABLES) < 2_000_000
