"""Tables whose rows name things: the same of every format."""

from pathlib import Path

import pandas as pd
import pytest

from raysweep.data.files.row_table import read_row_table
from raysweep.errors import InputError

ROWS = [{"model": "007", "size": 7}, {"model": "one,\ntwo", "size": 8}]


@pytest.mark.parametrize("name", ["t.csv", "T.TSV", "t.jsonl", "t.json", "t.parquet"])
def test_named_columns_are_texts_and_others_what_they_hold(tmp_path: Path, name: str) -> None:
    path, frame = tmp_path / name, pd.DataFrame(ROWS)
    match path.suffix.lower():
        case ".parquet":
            frame.to_parquet(path)
        case ".jsonl" | ".json":
            frame.to_json(path, orient="records", lines=True)
        case suffix:
            frame.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    assert read_row_table(path, "models", ["model"]).to_pylist() == ROWS


def test_all_columns_of_a_csv_are_texts_where_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n007,NA\n")
    assert read_row_table(path, "texts").to_pylist() == [{"a": "007", "b": "NA"}]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.txt", "a\n1\n", r"ends with \.txt\); expected a table with models, as \.csv"),
        ("t", "a\n1\n", "ends with nothing"),
        ("t.parquet", "a\n1\n", "cannot be read"),
        ("t.csv", "a\n", "has no rows"),
    ],
)
def test_what_is_no_table_is_told(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=said):
        read_row_table(tmp_path / name, "models", ["a"])
