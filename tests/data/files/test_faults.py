"""What can be wrong with a file: what was found, what is right, and the line that would help."""

import json
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from own_files import WHICH, arrays, as_lists, save_dataset, save_safetensors, table

from raysweep.data.registry import load
from raysweep.errors import InputError


def told(path: Path, **parameters: Any) -> str:
    """The message about a file that cannot be used."""
    with pytest.raises(InputError) as caught:
        load("arrays", {"path": str(path), **parameters})
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.count(str(path)) == 1
    assert "\n" not in message
    return message


def with_values(column: str, values: dict[int, Any]) -> pd.DataFrame:
    """The table with other values in some rows of a column."""
    frame = table().astype({column: object})
    for row, value in values.items():
        frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        (
            "img_3",
            {7: "high", 9: "low"},
            "img_3 is text in 2 of 120 rows, first 'high' in row 7; expected real numbers; repair",
        ),
        ("img_3", {7: None}, "img_3 has 1 empty or NA value in 120 rows, first in row 7; "),
        (
            "img_3",
            {7: "NA", 8: "nan"},
            "img_3 has 2 empty or NA values in 120 rows, first in row 7",
        ),
        (
            "img_3",
            {7: "inf"},
            "img_* has NaN or infinity in 1 of 120 rows, first in row 7; expected",
        ),
        ("img_3", {7: "inf"}, "finite numbers (in column img_3)"),
        ("img_3", {7: "1e200"}, "img_* has magnitudes above 1e+150"),
        ("y", {3: None}, "y has 1 empty or NA value in 120 rows, first in row 3; expected a label"),
        ("y", {3: "NA"}, "save table.dropna(subset=['y'])"),
        ("y", {k: k * 7 for k in range(120)}, "y has 120 different whole numbers, 0 to 833, which"),
    ],
)
def test_values_of_a_csv(tmp_path: Path, column: str, values: dict[int, Any], said: str) -> None:
    with_values(column, values).to_csv(tmp_path / "mine.csv", index=False)
    assert said in told(tmp_path / "mine.csv", **WHICH)


def test_decimal_commas_are_told(tmp_path: Path) -> None:
    table().to_csv(tmp_path / "mine.csv", index=False, sep=";", decimal=",")
    assert "read it with pandas.read_csv(..., decimal=',')" in told(tmp_path / "mine.csv", **WHICH)


def test_thousands_are_not_taken_for_decimals(tmp_path: Path) -> None:
    frame = table()
    frame["img_0"] = [f"{1000 + 7 * row:,}" for row in range(len(frame))]
    frame.to_csv(tmp_path / "mine.csv", index=False)
    said = told(tmp_path / "mine.csv", **WHICH)
    assert "img_0 is text in 120 of 120 rows, first '1,000' in row 0" in said
    assert "thousands=',') or, where these are decimals, with decimal=','" in said


def test_an_archive_with_a_name_twice_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", x1=np.ones((4, 2)), x2=np.ones((4, 2)), y=np.arange(4) % 2)
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(tmp_path / "mine.npz", "a") as archive,
        archive.open("x1.npy", "w") as member,
    ):
        np.save(member, np.zeros((4, 2)))
    assert "has more than one array of the name x1" in told(tmp_path / "mine.npz")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty, expected a CSV file whose first line names the columns"),
        (b"1.5,2,0\n2,3,1\n", "its first line holds numbers (1.5, 2, 0), expected the names"),
        (b"a,a,y\n1,2,0\n", "has more than one column of the name a"),
        ("a,b,y\n1,2,0\n".encode("utf-16"), "is text in UTF-16, expected UTF-8"),
        (
            b"a,b,y\n1,2,0\n3,4\n",
            "is no CSV table (CSV parse error: Expected 3 columns, got 2: 3,4)",
        ),
        ("a,b,y\n1,2,é\n3,4,f\n".encode("latin-1"), "y has bytes that are no text in UTF-8"),
        (b"\x89PNG\r\n\x1a\n", "no column x1, x2, y"),
        (b"a,b,y\n", "mine.csv: has no rows, expected one for each sample"),
    ],
)
def test_what_is_no_table(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "mine.csv").write_bytes(content)
    parameters = {} if b"PNG" in content else {"modality_1": "a", "modality_2": "b"}
    assert said in told(tmp_path / "mine.csv", **parameters)


def test_a_table_that_is_not_compressed_as_it_says(tmp_path: Path) -> None:
    table().to_csv(tmp_path / "mine.csv")
    (tmp_path / "mine.csv").rename(tmp_path / "mine.csv.gz")
    assert "cannot be read (" in told(tmp_path / "mine.csv.gz", **WHICH)


def parquet(folder: Path, **columns: Any) -> Path:
    """A Parquet file of lists with other columns; None leaves one out."""
    whole = {name: pa.array(list(v)) for name, v in arrays().items()} | columns
    of = {name: column for name, column in whole.items() if column is not None}
    pa.parquet.write_table(pa.table(of), folder / "mine.parquet")
    return folder / "mine.parquet"


ROWS = range(120)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            {"x1": pa.array([[1.0] * (2 + k % 2) for k in ROWS])},
            "x1 has lists of 2 to 3 values, expected as many in every row",
        ),
        (
            {"x1": pa.array([[1.0, None if k == 5 else 2.0] for k in ROWS])},
            "x1 has 1 missing value within its lists, expected real numbers",
        ),
        ({"x1": pa.array([["a", "b"]] * 120)}, "x1 has lists of type string, expected real"),
        ({"x1": pa.array([[[[[1.0]]]] * 2] * 120)}, "x1 has shape (120, 2, 1, 1, 1), expected 2-D"),
        (
            {"x1": pa.array([{"bytes": b"png"}] * 120)},
            "x1 has type struct<bytes: binary>, expected",
        ),
        (
            {"x1": pa.array([None] * 119 + [[1.0]])},
            "all of x1, x2 are in only 1 of 84 rows of the train split, expected at least 8",
        ),
        (
            {"x1": pa.array([str(k) for k in ROWS])},
            "x1 is text that holds numbers ('0' in row 0); save table['x1'].astype(float)",
        ),
        (
            {"x1": pa.array([b"\x80\x02"] * 120)},
            "x1 is text in 120 of 120 rows, first b'\\x80\\x02' in row 0; expected real numbers; "
            "leave the column out",
        ),
        (
            {"x1": pa.array(["red", "blue"] * 60).dictionary_encode()},
            "x1 is categorical ('red' in row 0), expected real numbers; "
            "save pandas.get_dummies(table['x1'], dtype=float)",
        ),
        (
            {"y": pa.array([None if k == 4 else k % 3 for k in ROWS])},
            "y has 1 missing value in 120 rows, first in row 4; expected a label in every row",
        ),
        ({"y": pa.array([None] * 120)}, "y has 120 missing values in 120 rows, first in row 0"),
        (
            {"y": pa.array(np.arange(120), pa.timestamp("ms"))},
            "y has type timestamp[ms], expected int",
        ),
        (
            {"y": pa.array(np.arange(120) * 7)},
            "y has 120 different whole numbers, 0 to 833, which may be classes or amounts; say",
        ),
        (
            {"y": pa.array([[k % 2, 1] for k in ROWS])},
            "y: label 1 (from 0) is 1 in every row, expected rows with and without it; leave",
        ),
        (
            {"y": None},
            "no column y or label; found x* (2 columns), expected label: NAME",
        ),
    ],
)
def test_columns_of_a_parquet_file(tmp_path: Path, columns: dict[str, Any], said: str) -> None:
    parameters = {"modality_1": "x1", "modality_2": "x2"} if columns.get("y") is None else {}
    if "y" in columns and columns["y"] is None:
        parameters = {}
    assert said in told(parquet(tmp_path, **columns), **parameters)


def test_all_faults_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    frame = table()
    frame["img_1"] = frame["img_1"].astype(object)
    frame.loc[3, "img_1"] = "?"
    frame.loc[8, "img_4"] = np.nan
    frame["txt_0"] = "word"
    frame["y"] = frame["y"].astype("Int64")
    frame.loc[11, "y"] = pd.NA
    frame["split"] = "dev"
    frame.to_csv(tmp_path / "mine.csv", index=False)
    message = told(tmp_path / "mine.csv", **WHICH)
    for fault in (
        "img_1 is text in 1 of 120 rows, first '?' in row 3",
        "img_4 has 1 empty or NA value in 120 rows, first in row 8",
        "txt_0 is text in 120 of 120 rows, first 'word' in row 0",
        "y has 1 empty or NA value in 120 rows, first in row 11",
        "split is dev in row 0",
    ):
        assert fault in message


def test_many_faulty_columns_do_not_flood(tmp_path: Path) -> None:
    frame = pd.DataFrame({f"img_{k}": ["a"] * 120 for k in range(400)})
    frame = pd.concat([frame, table()[["txt_0", "y"]]], axis=1)
    frame.to_csv(tmp_path / "mine.csv", index=False)
    message = told(tmp_path / "mine.csv", modality_1="img_*", modality_2="txt_0")
    assert "img_0 is text" in message
    assert "and 395 more columns of img_*" in message
    assert len(message) < 1500


@pytest.mark.parametrize("code", ["F8_E4M3", "F8_E5M2", "F4"])
def test_small_floats_of_safetensors(tmp_path: Path, code: str) -> None:
    of = arrays(x1=np.ones((120, 4), np.uint8))
    save_safetensors(tmp_path / "mine.safetensors", of, x1=code)
    message = told(tmp_path / "mine.safetensors")
    assert f"x1 has dtype {code}, expected real numbers of 16 bits or more; save x1.to(torch.f" in (
        message
    )


@pytest.mark.parametrize(
    "harm", ["cut", "empty", "a huge header", "no JSON", "a list", "deep", "outside", "a shape"]
)
def test_damaged_safetensors(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "mine.safetensors"
    save_safetensors(path, arrays())
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header, body = content[8 : 8 + length], content[8 + length :]
    if harm == "cut":
        path.write_bytes(content[:-8])
    elif harm == "empty":
        path.write_bytes(b"")
    elif harm == "a huge header":
        path.write_bytes(struct.pack("<Q", 2**62) + content[8:])
    else:
        other = {
            "no JSON": header.replace(b"{", b"(", 1),
            "a list": b"[1, 2]",
            "deep": b"[" * 200_000,
            "outside": header.replace(b'"data_offsets": [0', b'"data_offsets": [-8'),
            "a shape": header.replace(b"[120, 5]", b"[120, 9]"),
        }[harm]
        path.write_bytes(struct.pack("<Q", len(other)) + other + body)
    expected = {"a shape": "x1 is unreadable: 4800 bytes for the shape (120, 9) of F64"}
    assert expected.get(harm, "not a safetensors file, expected one written by") in told(path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "mine.pkl",
            b"\x80\x04",
            "pickles are refused, as reading one runs its code: save it with",
        ),
        ("mine.pt", b"PK\x03\x04", "an unknown kind of file (.pt), expected"),
        ("mine.npy", b"\x93NUMPY", "or put the .npy files into a folder"),
        ("mine.xlsx", b"PK\x03\x04", "save it with pandas.read_excel(...).to_parquet(...)"),
        (
            "mine",
            b"hello",
            "an unknown kind of file, expected an .npz file, a folder of .npy files",
        ),
        ("mine.parquet", b"PAR1 but not", "not a Parquet file, expected one"),
        ("folder", None, "a folder without .npy files, expected"),
        ("gone.csv", None, "no such file, expected"),
    ],
)
def test_what_no_reader_is_for(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    elif name == "folder":
        (tmp_path / name).mkdir()
    assert said in told(tmp_path / name)


def test_a_file_without_a_suffix_is_known_by_its_content(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **arrays())
    (tmp_path / "mine.npz").rename(tmp_path / "archive")
    parquet(tmp_path).rename(tmp_path / "columns")
    for name in ("archive", "columns"):
        assert load("arrays", {"path": str(tmp_path / name)}).classes == 3


def test_arrays_of_a_folder_are_checked_as_those_of_an_archive(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    np.save(folder / "x1.npy", np.full((120, 2), None), allow_pickle=True)
    np.save(folder / "x2.npy", np.zeros((120, 2), "V2"))
    (folder / "y.npy").write_bytes(b"\x93NUMPY\x01\x00")
    message = told(folder)
    assert "x1 is an object array (pickles are refused), expected plain numbers; save" in message
    assert "x2 has dtype |V2, bytes whose meaning the file does not say" in message
    assert "y is unreadable, expected plain numbers or strings" in message


def test_faults_of_saved_datasets(tmp_path: Path) -> None:
    label = {"y": {"_type": "ClassLabel", "names": ["a", "b", "c"]}}
    y = np.arange(120) % 3
    y[7] = -1
    save_dataset(tmp_path / "unlabelled", as_lists(arrays(y=y)), label)
    assert "y is -1, which stands for no label, in 1 rows, first in row 7" in told(
        tmp_path / "unlabelled"
    )
    save_dataset(tmp_path / "cut", as_lists(arrays()))
    part = tmp_path / "cut" / "data-00001-of-00002.arrow"
    part.write_bytes(part.read_bytes()[:300])
    assert "not a whole folder of a dataset (" in told(tmp_path / "cut")
    save_dataset(tmp_path / "ordered", as_lists(arrays()))
    state = tmp_path / "ordered" / "state.json"
    of = json.loads(state.read_text()) | {"_indices_data_files": [{"filename": "indices.arrow"}]}
    state.write_text(json.dumps(of))
    assert "save dataset.flatten_indices()" in told(tmp_path / "ordered")
    for name in ("train", "extra"):
        save_dataset(tmp_path / "several" / name, as_lists(arrays()))
    (tmp_path / "several" / "dataset_dict.json").write_text('{"splits": ["train", "extra"]}')
    assert "holds datasets named train, extra, expected train, validation and test; give one" in (
        told(tmp_path / "several")
    )


def test_without_h5py_it_is_said_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    (tmp_path / "mine.h5ad").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(InputError, match=r"needs the package h5py: pip install 'raysweep\[h5ad\]'"):
        load("arrays", {"path": str(tmp_path / "mine.h5ad")})
