"""Tables of texts and images, in every format the same."""

import json
from pathlib import Path

import pandas as pd
import pytest

from raysweep.errors import InputError
from raysweep.features.table import Table

TEXTS = ["NA", "007", "one,\ntwo", "", "é"]


def saved(folder: Path, suffix: str) -> Path:
    path = folder / f"t{suffix}"
    frame = pd.DataFrame({"caption": TEXTS, "picture": ["a.png"] * 5})
    if suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in frame.to_dict("records")))
    else:
        frame.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".jsonl"])
def test_texts_are_as_they_were_written(tmp_path: Path, suffix: str) -> None:
    table = Table(saved(tmp_path, suffix))
    assert table.rows == 5
    assert table.texts("caption") == TEXTS


def test_a_text_that_is_missing_or_none_is_named(tmp_path: Path) -> None:
    pd.DataFrame({"a": ["x", None], "b": [1, 2]}).to_parquet(tmp_path / "t.parquet")
    table = Table(tmp_path / "t.parquet")
    with pytest.raises(InputError, match="a in row 1 is missing, expected a text"):
        table.texts("a")
    with pytest.raises(InputError, match="b in row 0 is 1, expected a text"):
        table.texts("b")
    with pytest.raises(InputError, match="has no column 'c'; it has a, b"):
        table.texts("c")


def test_images_lie_beside_the_table(tmp_path: Path) -> None:
    path = saved(tmp_path, ".csv")
    with pytest.raises(
        InputError, match=r"picture in row 0 names .*a.png, which is no file \(5 of"
    ):
        Table(path).images("picture")
    (tmp_path / "a.png").write_bytes(b"")
    assert Table(path).images("picture") == [tmp_path / "a.png"] * 5


def test_what_is_no_table_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("caption\na\n")
    (tmp_path / "t.parquet").write_text("caption\na\n")
    (tmp_path / "t.csv").write_text("caption\n")
    with pytest.raises(InputError, match=r"ends with \.txt"):
        Table(tmp_path / "t.txt")
    with pytest.raises(InputError, match="expected a table with names of columns"):
        Table(tmp_path / "t.parquet")
    with pytest.raises(InputError, match="has no rows"):
        Table(tmp_path / "t.csv")
