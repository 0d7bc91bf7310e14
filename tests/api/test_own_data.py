"""Data from Python as a file that a study can name."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from own_files import arrays, table

import raysweep
from raysweep.data.registry import load
from raysweep.data.views import Views


def reference(folder: Path, **changes: Any) -> Views:
    np.savez(folder / "reference.npz", **arrays(**changes))
    return load("arrays", {"path": str(folder / "reference.npz")})


def assert_same(path: Path, other: Views) -> Views:
    views = load("arrays", {"path": str(path)})
    for a, b in zip(views.inputs, other.inputs, strict=True):
        assert a.tobytes() == b.tobytes()
    np.testing.assert_array_equal(views.y, other.y)
    np.testing.assert_array_equal(views.splits.test, other.splits.test)
    return views


def frames() -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    whole = table()
    return whole.filter(like="img"), whole.filter(like="txt"), whole["y"]


@pytest.mark.parametrize("kind", ["arrays", "tensors", "frames", "arrow", "lists", "columns"])
def test_all_kinds_of_data_are_the_same_data(tmp_path: Path, kind: str) -> None:
    of = arrays()
    x1, x2, y = of["x1"], of["x2"], of["y"]
    if kind == "tensors":
        x1, x2, y = (torch.tensor(v, requires_grad=v.dtype == float) for v in (x1, x2, y))
        x1 = x1.T.contiguous().T  # column-major
    elif kind == "frames":
        x1, x2, y = frames()
    elif kind == "arrow":
        x1, x2 = (pa.Table.from_pandas(frame, preserve_index=False) for frame in frames()[:2])
        y = pa.table({"label": y})
    elif kind == "lists":
        x1, x2, y = x1.tolist(), x2.tolist(), y.tolist()
    elif kind == "columns":
        x1, y = np.asfortranarray(x1), y[:, None]
    path = raysweep.save_data(tmp_path / "new" / "mine.npz", {"image": x1, "text": x2}, y=y)
    views = assert_same(path, reference(tmp_path))
    assert views.names == ("image", "text")
    assert [p.name for p in path.parent.iterdir()] == ["mine.npz"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.float16])
def test_small_floats_are_widened(tmp_path: Path, dtype: torch.dtype) -> None:
    x1 = torch.tensor(arrays()["x1"]).to(dtype)
    path = raysweep.save_data(
        tmp_path / "mine.npz", {"x1": x1, "x2": arrays()["x2"]}, arrays()["y"]
    )
    exact = np.array(x1.to(torch.float64).tolist())
    assert_same(path, reference(tmp_path, x1=exact))


def test_nullable_categorical_and_text_columns(tmp_path: Path) -> None:
    one, two, y = frames()
    words = y.map({0: "a", 1: "b", 2: "c"})
    split = np.repeat(["train", "validation", "test"], [60, 30, 30])
    expected = reference(tmp_path, split=split)
    for label in (words, words.astype("category"), y.astype("Int64"), y.astype(float)):
        path = raysweep.save_data(
            tmp_path / "mine.npz",
            {"one": one.convert_dtypes(), "two": two.astype("Float64")},
            label,
            split=pd.Series(split, dtype="category"),
            groups=np.arange(120) // 2,
        )
        assert_same(path, expected)


def test_equal_data_are_equal_files(tmp_path: Path) -> None:
    of = arrays()
    modalities = {"a": of["x1"], "b": of["x2"], "c": of["x1"] ** 2}
    first, second = (
        raysweep.save_data(tmp_path / f"{name}.npz", modalities, of["y"]) for name in "pq"
    )
    assert first.read_bytes() == second.read_bytes()
    assert len(load("arrays", {"path": str(first)}).inputs) == 3


def test_all_faults_are_told_and_nothing_is_written(tmp_path: Path) -> None:
    one, two, y = frames()
    one = one.assign(img_1="word")
    one["img_2"] = one["img_2"].astype("Float64")
    one.loc[5, "img_2"] = pd.NA
    two = two.iloc[::-1]
    with pytest.raises(raysweep.InputError) as caught:
        raysweep.save_data(tmp_path / "mine.pt", {"one": one, "two": two}, y.astype(object))
    message = str(caught.value)
    for fault in (
        "the name ends with .pt, expected .npz",
        "one.img_1 is text in 120 of 120 rows, first 'word' in row 0",
        "one.img_2 has 1 missing value in 120 rows, first in row 5",
        "two has another index than one, so that their rows may be in another order",
    ):
        assert fault in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"modalities": {"a": np.ones((120, 2))}}, "1 modalities, expected 2 to 4"),
        ({"modalities": {"y": 0, "b": 1}}, "a modality is called y, which means something else"),
        ({"modalities": {"a/../b": 0, "b": 1}}, "a modality is called 'a/../b', expected a name"),
        (
            {"modalities": {"x1": 0, "b": 1}},
            "modalities are called x1, b, expected x1, x2 or no x1",
        ),
        ({"x1": [[1.0], [2.0, 3.0]]}, "one is no array ("),
        ({"x1": np.full((120, 2), np.nan)}, "one is missing in all of 120 rows"),
        ({"x1": np.full((120, 2), None)}, "one is an object array, expected real numbers; give"),
        ({"x1": np.ones((100, 2))}, "one has 100 rows and two 120, expected as many of both"),
        ({"y": np.arange(7)}, "y has shape (7,), expected (120,), one label for each row of one"),
        ({"split": ["dev"] * 120}, "split is dev in row 0, expected one of train"),
    ],
)
def test_what_cannot_be_saved(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    of = arrays() | {"split": None} | changes
    modalities = of.get("modalities", {"one": of["x1"], "two": of["x2"]})
    with pytest.raises(raysweep.InputError) as caught:
        raysweep.save_data(tmp_path / "mine.npz", modalities, of["y"], split=of["split"])
    assert said in str(caught.value)
    assert not list(tmp_path.iterdir())
