"""Which arrays or columns of a file are which modality."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from own_files import WHICH, arrays, table

from raysweep.data import content
from raysweep.data.chosen import Wanted, modalities_of, prefixes
from raysweep.data.files.opened import open_source
from raysweep.data.registry import load
from raysweep.data.views import Views
from raysweep.errors import InputError


def views(folder: Path, of: dict[str, Any], **parameters: Any) -> Views:
    np.savez(folder / "mine.npz", **of)
    return load("arrays", {"path": str(folder / "mine.npz"), **parameters})


def further(*names: str, rows: int = 120) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {name: rng.normal(size=(rows, 2 + k)) for k, name in enumerate(names)}


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_usual_names(tmp_path: Path, count: int) -> None:
    of = {**arrays(), **further("x3", "x4")}
    for name in ("x3", "x4")[max(count - 2, 0) :]:
        del of[name]
    found = views(tmp_path, of)
    assert found.names == ("x1", "x2", "x3", "x4")[:count]
    assert [x.shape[1] for x in found.inputs] == [5, 3, 2, 3][:count]
    assert found.characteristics == {"file": "mine.npz", "resplit": "crossed"}
    assert modalities_of(str(tmp_path / "mine.npz"), Wanted()) == count
    two = views(tmp_path, of, modalities=2)
    assert len(two.inputs) == 2
    for one, other in zip(two.inputs, found.inputs, strict=False):
        np.testing.assert_array_equal(one, other)


def test_x4_without_x3_is_no_modality(tmp_path: Path) -> None:
    assert views(tmp_path, {**arrays(), **further("x4")}).names == ("x1", "x2")


def test_two_to_four_arrays_of_other_names_are_taken_in_their_order(tmp_path: Path) -> None:
    of = {**further("video", "audio", "text"), "label": arrays()["y"], "id": np.arange(120)}
    found = views(tmp_path, of)
    assert found.names == ("video", "audio", "text")
    assert found.characteristics == {
        "file": "mine.npz",
        "modality_1": "video",
        "modality_2": "audio",
        "modality_3": "text",
        "resplit": "crossed",
    }


def test_a_one_hot_label_is_no_modality(tmp_path: Path) -> None:
    of = {**further("image", "text"), "y": np.eye(3)[np.arange(120) % 3]}
    found = views(tmp_path, of)
    assert found.names == ("image", "text")
    assert found.classes == 3


def test_named_arrays_and_features_of_one_axis(tmp_path: Path) -> None:
    of = {**further("image", "text"), "age": np.arange(120.0), "target": np.arange(120) % 2}
    found = views(tmp_path, of, modality_1="text, age", modality_2="image", label="target")
    assert [x.shape for x in found.inputs] == [(120, 4), (120, 2)]
    assert np.corrcoef(found.inputs[0][:, 3], of["age"])[0, 1] == pytest.approx(1)
    assert found.classes == 2
    alone = views(tmp_path, of, modality_1="age", modality_2="image", label="target")
    np.testing.assert_array_equal(alone.inputs[0][:, 0], found.inputs[0][:, 3])


def test_columns_of_a_table(tmp_path: Path) -> None:
    frame = table().rename(columns={"y": "what, then?", "img_1": "a, b"})
    frame["part"] = ["train"] * 60 + ["validation"] * 30 + ["test"] * 30
    frame.to_csv(tmp_path / "mine.csv")
    found = load(
        "arrays",
        {
            "path": str(tmp_path / "mine.csv"),
            "modality_1": "img_[02], img_3",
            "modality_2": "a, b",
            "modality_3": "txt_?",
            "label": "what, then?",
            "split": "part",
        },
    )
    assert [x.shape[1] for x in found.inputs] == [3, 1, 3]
    assert found.names == ("img_[02], img_3", "a, b", "txt_?")
    np.testing.assert_array_equal(found.splits.validation, np.arange(60, 90))


def test_columns_that_pandas_has_numbered(tmp_path: Path) -> None:
    of = arrays()
    whole = np.column_stack([of["x1"], of["x2"], of["y"]])
    pd.DataFrame(whole).to_csv(tmp_path / "mine.csv", index=False)
    pd.DataFrame(whole).to_parquet(tmp_path / "mine.parquet")
    said = {"modality_1": "[0-4]", "modality_2": "5, 6, 7", "label": "8"}
    found = [
        load("arrays", {"path": str(tmp_path / f"mine.{kind}"), **said})
        for kind in ("csv", "parquet")
    ]
    for table_of in found:
        np.testing.assert_array_equal(table_of.y, of["y"])
        assert [x.shape[1] for x in table_of.inputs] == [5, 3]


def test_a_label_in_several_columns_is_one_hot(tmp_path: Path) -> None:
    frame = table(y=None)
    for k in range(3):
        frame[f"is_{k}"] = np.arange(120) % 3 == k
    frame.to_parquet(tmp_path / "mine.parquet")
    found = load("arrays", {"path": str(tmp_path / "mine.parquet"), **WHICH, "label": "is_*"})
    np.testing.assert_array_equal(found.y, np.arange(120) % 3)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"modality_1": "x1"}, "modality_2 is missing; give two to four modalities"),
        ({"modality_2": "x1", "modality_3": "x2"}, "modality_1 is missing; number the modalities"),
        (
            {"modality_1": "x1", "modality_2": "X2"},
            "modality_2: no array is called X2 (did you mean x2? found x1, x2, y)",
        ),
        ({"modality_1": "x1", "modality_2": "x1"}, "array x1 is in more than one modality; give"),
        ({"modality_1": "x1", "modality_2": "x2, x2"}, "modality_2: x2, x2 takes x2 twice; give"),
        ({"modality_1": "x1", "modality_2": "x2,"}, "modality_2: a name is empty"),
        ({"modality_1": "x1", "modality_2": "audio_*"}, "modality_2: no array is called audio_*"),
        (
            {"modality_1": "x1", "modality_2": "y"},
            "modality_2: y takes y, too, which is label, split",
        ),
        ({"label": "target"}, "label: no array is called target"),
        ({"split": "fold"}, "split: no array is called fold"),
        ({"groups": "patient"}, "groups: no array is called patient"),
        ({"modalities": 3}, "modalities is 3, and there are 2: x1, x2"),
        ({"modalities": 5}, "modalities is 5, expected an integer in 2..4"),
        ({"scale": "minmax"}, "scale is 'minmax', expected one of standard, robust, none"),
    ],
)
def test_what_names_nothing(tmp_path: Path, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        views(tmp_path, arrays(), **parameters)
    assert said in str(caught.value)


def test_a_table_proposes_its_prefixes(tmp_path: Path) -> None:
    frame = table().rename(columns={"y": "kind"})
    frame.insert(0, "id", range(120))
    frame.to_csv(tmp_path / "mine.csv", index=False)
    with pytest.raises(InputError) as caught:
        load("arrays", {"path": str(tmp_path / "mine.csv")})
    assert (
        "no column x1, x2, y; found id, img_* (5 columns), txt_* (3 columns), kind, expected that "
        "the data block says which is which, such as modality_1: img_*; modality_2: txt_*; "
        "label: kind"
    ) in str(caught.value)


def test_prefixes_are_what_stands_before_a_number() -> None:
    names = ["a", "f1", "f2", "f10", "0", "1", "lone_7", "b_2_x"]
    assert prefixes(names) == ["a", "f* (3 columns)", "0", "1", "lone_7", "b_2_x"]


def test_five_arrays_cannot_be_told_apart(tmp_path: Path) -> None:
    of = {**further("a", "b", "c", "d", "e"), "y": np.arange(120) % 3}
    with pytest.raises(InputError) as caught:
        views(tmp_path, of)
    assert "no array x1, x2; found a, b, c, d, e, y, expected x1 [n, d1]" in str(caught.value)
    assert "or say in the data block which is which (modality_1: a, modality_2: b" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (
            np.arange(120, dtype=np.float32) // 2 + 2.0**24,
            "patient has dtype float32 and ids above 2**24, which become one another in it",
        ),
        (np.arange(120) // 2 + 2.0**54, "patient has dtype float64 and ids above 2**53"),
        (
            np.arange(120) / 2,
            "patient has ids that are not whole, such as 0.5; save patient.astype",
        ),
        (
            np.where(np.arange(120) == 5, np.nan, 1.0),
            "patient has NaN or infinity in 1 of 120 rows, first in row 5; expected an id",
        ),
    ],
)
def test_ids_that_are_floats_have_to_be_told_apart(
    tmp_path: Path, ids: np.ndarray, said: str
) -> None:
    with pytest.raises(InputError) as caught:
        views(tmp_path, {**arrays(), "patient": ids}, groups="patient")
    assert said in str(caught.value)
    views(tmp_path, {**arrays(), "patient": np.arange(120.0) // 2}, groups="patient")


def test_a_file_is_read_once_for_all_of_its_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    monkeypatch.setattr(content, "open_source", lambda path: opened.append(path) or was(path))
    was = open_source
    table().to_csv(tmp_path / "mine.csv")
    for draw in range(3):
        load("arrays", {"path": str(tmp_path / "mine.csv"), **WHICH}, draw)
    assert len(opened) == 1
    load("arrays", {"path": str(tmp_path / "mine.csv"), **WHICH, "label": "y"})
    table(rows=130).to_csv(tmp_path / "mine.csv")
    assert len(load("arrays", {"path": str(tmp_path / "mine.csv"), **WHICH}, 2).y) == 130
    assert len(opened) == 3


def test_modalities_of_different_lengths(tmp_path: Path) -> None:
    of = {**arrays(), **further("x3", rows=100)}
    with pytest.raises(InputError, match=r"x1 has 120 rows and x3 100, expected as many of all"):
        views(tmp_path, of)
    with pytest.raises(InputError, match=r"x2, x3: x2 has 120 rows and x3 100, expected as many o"):
        views(tmp_path, of, modality_1="x1", modality_2="x2, x3")
