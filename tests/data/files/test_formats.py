"""Every format gives what the .npz file gives, bit for bit."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from own_files import WHICH, arrays, as_lists, save_dataset, save_safetensors, table

from raysweep.data.dtypes import Role
from raysweep.data.files.arrow import read_columns
from raysweep.data.files.opened import open_source
from raysweep.data.registry import load
from raysweep.data.views import Views
from raysweep.errors import InputError


def npz(folder: Path, **changes: Any) -> Views:
    path = folder / "reference.npz"
    np.savez(path, **arrays(**changes))
    return load("arrays", {"path": str(path)})


def assert_same(one: Views, other: Views) -> None:
    for a, b in zip(one.inputs, other.inputs, strict=True):
        assert a.dtype == b.dtype == np.float64
        assert a.tobytes() == b.tobytes()
    np.testing.assert_array_equal(one.y, other.y)
    for split in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(one.splits, split), getattr(other.splits, split))


def npy_folder(at: Path, of: dict[str, Any]) -> Path:
    at.mkdir()
    for name, array in of.items():
        np.save(at / f"{name}.npy", array)
    (at / "README.txt").write_text("not an array")
    return at


def safetensors(at: Path, of: dict[str, Any]) -> Path:
    save_safetensors(at, of)
    return at


def parquet_of_lists(at: Path, of: dict[str, Any]) -> Path:
    pa.parquet.write_table(as_lists(of), at, row_group_size=17)
    return at


def dataset_folder(at: Path, of: dict[str, Any]) -> Path:
    save_dataset(at, as_lists(of))
    return at


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (npy_folder, "mine"),
        (safetensors, "mine.safetensors"),
        (parquet_of_lists, "mine.parquet"),
        (parquet_of_lists, "mine.PQ"),
        (dataset_folder, "saved"),
    ],
)
def test_files_of_arrays(
    tmp_path: Path, write: Callable[[Path, dict[str, Any]], Path], name: str
) -> None:
    path = write(tmp_path / name, arrays())
    views = load("arrays", {"path": str(path)})
    assert_same(views, npz(tmp_path))
    assert views.characteristics == {"file": name, "resplit": "crossed"}


@pytest.mark.parametrize(
    "name",
    ["mine.csv", "mine.tsv", "mine.csv.gz", "mine.tsv.bz2", "mine.csv.zst", "semicolons.csv"],
)
def test_tables_of_text(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    separator = "\t" if ".tsv" in name else ";" if name == "semicolons.csv" else ","
    text = table().to_csv(sep=separator)  # with an index, which has no name
    if name.endswith(".zst"):
        with pa.output_stream(str(path), compression="zstd") as stream:
            stream.write(text.encode())
    else:
        table().to_csv(path, sep=separator)
    views = load("arrays", {"path": str(path), **WHICH})
    assert_same(views, npz(tmp_path))
    assert views.names == ("img_*", "txt_*")


@pytest.mark.parametrize("indexed", [False, True])
def test_parquet_of_a_data_frame(tmp_path: Path, indexed: bool) -> None:
    frame = table()
    if indexed:
        frame.index = frame.index.astype(str)
    frame.to_parquet(tmp_path / "mine.parquet")
    views = load("arrays", {"path": str(tmp_path / "mine.parquet"), **WHICH})
    assert_same(views, npz(tmp_path))
    assert len(open_source(str(tmp_path / "mine.parquet")).names) == 9


def test_an_index_with_a_name_is_a_column(tmp_path: Path) -> None:
    """It was left out without a word, though a pattern of the study took it in."""
    table().set_index("img_0").to_parquet(tmp_path / "mine.parquet")
    views = load("arrays", {"path": str(tmp_path / "mine.parquet"), **WHICH})
    assert views.inputs[0].shape == npz(tmp_path).inputs[0].shape
    frame = table()
    frame.index = [f"p{row}" for row in range(len(frame))]
    frame.index.name = "person"
    frame.to_parquet(tmp_path / "mine.parquet")
    views = load("arrays", {"path": str(tmp_path / "mine.parquet"), **WHICH})
    assert views.notes == ("not used: person",)


def test_a_missing_value_among_categories_is_no_class(tmp_path: Path) -> None:
    """Arrow may keep it in the dictionary, where it does not count as null."""
    kind = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), pa.array(["cat", "dog", None]))
    faults: list[str] = []
    assert read_columns(pa.table({"y": kind}), ["y"], Role.LABEL, faults) == {}
    [fault] = faults
    assert fault.startswith("y has 1 missing value in 3 rows, first in row 2")


def test_fixed_lists_tensors_and_names_with_dots(tmp_path: Path) -> None:
    of = arrays()
    kind = pa.fixed_shape_tensor(pa.float64(), [5])
    storage = pa.FixedSizeListArray.from_arrays(of["x1"].ravel(), 5)
    columns = {
        "image.features": pa.ExtensionArray.from_storage(kind, storage),
        "text.features": pa.FixedSizeListArray.from_arrays(of["x2"].ravel(), 3),
        "y": of["y"],
    }
    pa.parquet.write_table(pa.table(columns), tmp_path / "mine.parquet")
    views = load("arrays", {"path": str(tmp_path / "mine.parquet")})
    assert_same(views, npz(tmp_path))
    assert views.names == ("image.features", "text.features")


def test_splits_of_a_dict_of_datasets(tmp_path: Path) -> None:
    of = arrays()
    whole = as_lists(of)
    sizes = {"train": (0, 60), "val": (60, 30), "test": (90, 30)}
    for name, (start, rows) in sizes.items():
        save_dataset(tmp_path / "saved" / name, whole.slice(start, rows))
    (tmp_path / "saved" / "dataset_dict.json").write_text('{"splits": ["train", "val", "test"]}')
    split = np.repeat(["train", "validation", "test"], [60, 30, 30])
    views = load("arrays", {"path": str(tmp_path / "saved")})
    assert_same(views, npz(tmp_path, split=split))


@pytest.mark.parametrize("layout", ["F", "reversed", "strided"])
def test_order_in_memory_makes_no_difference(tmp_path: Path, layout: str) -> None:
    of = arrays()
    x1 = of["x1"]
    if layout == "F":
        x1 = np.asfortranarray(x1)
    elif layout == "reversed":
        x1 = x1[::-1].copy()[::-1]
    else:
        x1 = np.repeat(x1, 2, axis=1)[:, ::2]
    npy_folder(tmp_path / "mine", {**of, "x1": x1})
    assert_same(load("arrays", {"path": str(tmp_path / "mine")}), npz(tmp_path))
    assert_same(npz(tmp_path), npz(tmp_path, x1=x1))


def test_text_and_bytes_and_categories_are_the_same_label(tmp_path: Path) -> None:
    words = np.array(["zoë", "cat", "NA"])[np.arange(120) % 3]
    reference = npz(tmp_path, y=words)
    frame = table(y=words)
    frame.astype({"y": "category"}).to_parquet(tmp_path / "categories.parquet")
    frame.assign(y=[word.encode() for word in words]).to_parquet(tmp_path / "bytes.parquet")
    frame.to_parquet(tmp_path / "text.parquet")
    for name in ("categories", "bytes", "text"):
        views = load("arrays", {"path": str(tmp_path / f"{name}.parquet"), **WHICH})
        assert_same(views, reference)
    frame.to_csv(tmp_path / "quoted.csv", quoting=2, index=False)
    assert_same(load("arrays", {"path": str(tmp_path / "quoted.csv"), **WHICH}), reference)


def test_nullable_columns_without_missing_values_are_plain_ones(tmp_path: Path) -> None:
    frame = table(y=np.arange(120) % 2 == 0)
    nullable = frame.convert_dtypes(dtype_backend="numpy_nullable")
    assert str(nullable["y"].dtype) == "boolean"
    nullable.to_parquet(tmp_path / "mine.parquet")
    views = load("arrays", {"path": str(tmp_path / "mine.parquet"), **WHICH})
    assert_same(views, npz(tmp_path, y=np.arange(120) % 2 == 0))


def test_types_of_a_csv_are_inferred_from_all_rows(tmp_path: Path) -> None:
    # The first megabyte of a column has whole numbers only.
    late = np.arange(200_000) % 3 + 0.0
    late[-1] = 0.5
    lines = "\n".join(f"{value:g},1.5,{k % 2}" for k, value in enumerate(late))
    (tmp_path / "mine.csv").write_text(f"a,b,y\n{lines}\n")
    source = open_source(str(tmp_path / "mine.csv"))
    np.testing.assert_array_equal(source.read(["a"], Role.FEATURES, [])["a"], late)


# safetensors.numpy.save of safetensors 0.8.0: a = arange(6, float32) [3, 2], b = a bfloat16 [1.5,
# -2, 3e38] (by ml_dtypes), c = [True, False].
FROM_THE_LIBRARY = (
    "sAAAAAAAAAB7ImEiOnsiZHR5cGUiOiJGMzIiLCJzaGFwZSI6WzMsMl0sImRhdGFfb2Zmc2V0cyI6WzAsMjRdfSwi"
    "YiI6eyJkdHlwZSI6IkJGMTYiLCJzaGFwZSI6WzNdLCJkYXRhX29mZnNldHMiOlsyNCwzMF19LCJjIjp7ImR0eXBl"
    "IjoiQk9PTCIsInNoYXBlIjpbMl0sImRhdGFfb2Zmc2V0cyI6WzMwLDMyXX19ICAgICAgIAAAAAAAAIA/AAAAQAAA"
    "QEAAAIBAAACgQMA/AMBifwEA"
)


def test_what_the_library_of_safetensors_writes(tmp_path: Path) -> None:
    (tmp_path / "theirs.safetensors").write_bytes(base64.b64decode(FROM_THE_LIBRARY))
    source = open_source(str(tmp_path / "theirs.safetensors"))
    found = source.read(sorted(source.names), Role.FEATURES, [])
    np.testing.assert_array_equal(found["a"], np.arange(6, dtype=np.float32).reshape(3, 2))
    assert found["b"].dtype == np.float32
    # 3e38 rounded to bfloat16's 8 bits.
    np.testing.assert_array_equal(found["b"], [1.5, -2.0, 226 * 2.0**120])
    assert found["c"].tolist() == [True, False]


def test_bfloat16_is_read_exactly(tmp_path: Path) -> None:
    of = arrays()
    halves = (of["x1"].astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    exact = (halves.astype(np.uint32) << 16).view(np.float32)
    save_safetensors(tmp_path / "mine.safetensors", {**of, "x1": halves}, x1="BF16")
    views = load("arrays", {"path": str(tmp_path / "mine.safetensors")})
    assert_same(views, npz(tmp_path, x1=exact))


def test_nothing_outside_a_saved_dataset_is_read(tmp_path: Path) -> None:
    save_dataset(tmp_path / "saved", as_lists(arrays()))
    state = tmp_path / "saved" / "state.json"
    state.write_text(state.read_text().replace("data-00000", "../data-00000"))
    with pytest.raises(InputError, match=r"not a whole folder of a dataset .*is no name of a file"):
        load("arrays", {"path": str(tmp_path / "saved")})
