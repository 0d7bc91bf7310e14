"""Rows that lack a modality: how a file says so, their splits, what is told and refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from own_files import WHICH, arrays, as_lists, save_dataset, table

from raysweep.advice.look import look
from raysweep.api.own_data import save_data
from raysweep.data.estimable import estimable
from raysweep.data.files.opened import open_source
from raysweep.data.registry import load
from raysweep.data.views import Views
from raysweep.errors import InputError

N = 300
GONE = {"x1": np.arange(N) % 5 == 0, "x2": np.arange(N) % 7 == 3}
"""Rows that lack a modality, of which some would lack both."""
GONE["x2"] &= ~GONE["x1"]


def own(**changes: Any) -> dict[str, Any]:
    return {**arrays(rows=N), **changes}


def holed() -> dict[str, np.ndarray]:
    of = own()
    return {name: np.where(gone[:, None], np.nan, of[name]) for name, gone in GONE.items()}


def views(path: Path, draw: int = 0, **parameters: str) -> Views:
    return load("arrays", {"path": str(path), **parameters}, draw)


def check(found: Views) -> None:
    """The rows that `GONE` says lack a modality, and all others scaled by themselves."""
    of = own()
    np.testing.assert_array_equal(found.present, ~np.stack(list(GONE.values()), axis=1))
    for x, name in zip(found.inputs, GONE, strict=True):
        gone = GONE[name]
        assert not x[gone].any()
        train = found.splits.train[~gone[found.splits.train]]
        scaled = (of[name] - of[name][train].mean(0)) / of[name][train].std(0)
        np.testing.assert_allclose(x[~gone], scaled[~gone], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["npz", "npy", "csv", "parquet", "lists", "datasets"])
def test_rows_of_nan_or_nothing_lack_a_modality(tmp_path: Path, kind: str) -> None:
    of, which, path = own(**holed()), {}, tmp_path / f"own.{kind}"
    if kind == "npz":
        np.savez(path, **of)
    elif kind == "npy":
        path = tmp_path / "own"
        path.mkdir()
        for name, array in of.items():
            np.save(path / f"{name}.npy", array)
    elif kind in ("csv", "parquet"):
        which = WHICH
        rows = table(rows=N, **holed())
        rows.to_csv(path, index=False) if kind == "csv" else rows.to_parquet(path)
    else:
        lists = as_lists(own()).to_pydict()
        for name, gone in GONE.items():
            lists[name] = [None if no else x for no, x in zip(gone, lists[name], strict=True)]
        if kind == "datasets":
            import pyarrow as pa

            path = tmp_path / "folder"
            save_dataset(path, pa.table(lists))
        else:
            path = tmp_path / "own.parquet"
            pd.DataFrame(lists).to_parquet(path)
    found = views(path, **which)
    check(found)
    first = WHICH["modality_1"] if which else "x1"
    assert f"{GONE['x1'].sum()} of 300 rows lack modality {first}" in found.notes
    assert found.characteristics["missing_2"] == pytest.approx(GONE["x2"].mean())


def test_an_array_says_which_rows_have_a_modality(tmp_path: Path) -> None:
    there = {f"{name}_present": (~gone).astype(np.int8) for name, gone in GONE.items()}
    blank = {name: np.where(gone[:, None], 1e6, own()[name]) for name, gone in GONE.items()}
    np.savez(tmp_path / "own.npz", **own(**blank), **there)
    found = views(tmp_path / "own.npz")
    check(found)
    assert not any("not used" in note for note in found.notes)
    sides = {"a": blank["x1"], "b": blank["x2"]}
    path = save_data(
        tmp_path / "saved.npz", sides, y=own()["y"], present={"a": ~GONE["x1"], "b": ~GONE["x2"]}
    )
    check(views(Path(path)))
    frames = {name: pd.DataFrame(x) for name, x in holed().items()}
    check(views(Path(save_data(tmp_path / "frames.npz", frames, y=own()["y"]))))


def test_sequences_may_lack_rows(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(2, 3, size=(N, 4, 3))
    gone = GONE["x1"]
    length = np.where(gone, 4, 1 + np.arange(N) % 4)
    of = own(x1=np.where(gone[:, None, None], np.nan, x), x1_length=length)
    np.savez(tmp_path / "own.npz", **of)
    found = views(tmp_path / "own.npz")
    assert not found.inputs[0][gone].any()
    tokens = found.layouts[0]
    real = tokens.parted(found.inputs[0])[1]
    np.testing.assert_array_equal(real.sum(axis=1), np.where(gone, 0, length))
    train = np.isin(np.arange(N), found.splits.train) & ~gone
    seen = tokens.parted(found.inputs[0])[0][train][real[train]]
    np.testing.assert_allclose(seen.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(seen.std(axis=0), 1)


def test_splits_keep_the_share_of_every_label(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", **own(**holed()))
    for draw in range(6):
        found = views(tmp_path / "own.npz", draw)
        for rows in (found.splits.validation, found.splits.test):
            for lacks in GONE.values():
                assert lacks[rows].mean() == pytest.approx(lacks.mean(), abs=0.03)
            np.testing.assert_allclose(np.bincount(found.y[rows]), len(rows) / 3, atol=1)


def test_rows_that_lack_the_same_do_not_belong_together(tmp_path: Path) -> None:
    twice = own(**holed())
    twice["x2"][4] = twice["x2"][1]
    np.savez(tmp_path / "own.npz", **twice)
    groups = views(tmp_path / "own.npz").groups
    assert groups is not None
    assert len(np.unique(groups)) == N - 1
    assert groups[4] == groups[1]


def test_estimates_and_looks_are_of_rows_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, **own(**holed()))
    found = views(path)
    complete = ~(GONE["x1"] | GONE["x2"])
    assert len(estimable(found).y) == complete.sum()
    told = look(found).notes
    assert f"{complete.sum()} of 300 rows have all modalities" in told
    # What only a part of the rows has gives the label away as ever.
    leak = np.where(GONE["x1"][:, None], np.nan, np.stack([own()["y"] * 1.0] * 2, axis=1))
    np.savez(tmp_path / "leak.npz", **own(x1=leak, **{"x2": holed()["x2"]}))
    assert [one.accuracy for one in look(views(tmp_path / "leak.npz")).leaks] == [1.0, 1.0]


def few(count: int) -> np.ndarray:
    return np.where(np.arange(N)[:, None] < count, own()["x1"], np.nan)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"x1": few(20)},
            "all of x1, x2 are in only . of 45 rows of the validation split, expected at least 8",
        ),
        ({"x1": few(0)}, "x1 is missing in all of 300 rows"),
        (
            {name: np.full((N, 3), np.nan) for name in ("x1",)} | {"x1_present": np.ones(N)},
            "x1 has NaN or infinity in 300 of 300 rows",
        ),
        (
            {**holed(), "x2": np.where(np.arange(N)[:, None] == 5, np.nan, own()["x2"])},
            "has no modality at all in 1 of 300 rows, first in row 5; leave these rows out",
        ),
        ({"x1_present": np.full(N, 2)}, "x1_present holds other values than 0 and 1, expected 1"),
        ({"x1_present": np.ones(7)}, r"x1_present has shape \(7,\), expected \(300,\)"),
        (
            {"x1": np.where(np.arange(N * 5).reshape(N, 5) == 11, np.nan, own()["x1"])},
            "x1 has NaN or infinity in 1 of 300 rows, first in row 2",
        ),
    ],
)
def test_what_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    np.savez(tmp_path / "own.npz", **own(**changes))
    with pytest.raises(InputError, match=said):
        views(tmp_path / "own.npz")


def test_a_part_of_a_row_that_is_missing_is_told_as_ever(tmp_path: Path) -> None:
    rows = table(rows=N, **holed())
    rows.loc[2, "img_3"] = np.nan
    rows.to_parquet(tmp_path / "own.parquet")
    with pytest.raises(InputError, match=r"img_3 has 61 missing values in 300 rows"):
        views(tmp_path / "own.parquet", **WHICH)
    assert open_source(str(tmp_path / "own.parquet")).noun == "column"
