"""MM-IMDb as a table: what is taken, under whose name, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from raysweep.cli import app
from raysweep.data.files.row_table import read_row_table
from raysweep.data.published.mm_imdb import GENRES, mm_imdb
from raysweep.errors import InputError

FILMS: dict[str, dict[str, Any]] = {
    "0001": {"plot": ["First, <b>bold</b>.\nTwo lines.", "Second"], "genres": ["Drama", "Sci-Fi"]},
    "0002": {"plot": ["Zwölf"], "genres": ["Reality-TV", "Film-Noir"]},
    "0003": {"plot": "One alone", "genres": []},
    "0004": {"plot": ["None"], "genres": ["Music", "Musical", "Drama"]},
}
SPLIT = {"train": ["0002", "0001"], "dev": ["0003"], "test": ["0004"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "mmimdb"
    (root / "dataset").mkdir(parents=True)
    (root / "split.json").write_text(json.dumps(SPLIT))
    for name, film in FILMS.items():
        (root / "dataset" / f"{name}.json").write_text(json.dumps(film))
        (root / "dataset" / f"{name}.jpeg").write_bytes(b"a picture")
    return root


def test_genres_go_by_their_names(folder: Path) -> None:
    found = mm_imdb(folder)
    table = found.table.set_index("id")
    assert table.index.tolist() == ["0002", "0001", "0003", "0004"]
    assert table["split"].tolist() == ["train", "train", "validation", "test"]
    for name, film in FILMS.items():
        for genre in GENRES:
            assert table.loc[name, genre] == (genre in film["genres"])
    assert table.loc["0001", "plot"] == "First, <b>bold</b>.\nTwo lines."
    assert table.loc["0003", "plot"] == "One alone"
    assert table.loc["0004", "image"] == str(folder.resolve() / "dataset" / "0004.jpeg")
    assert found.told[:3] == ("train: 2 films", "dev: 1 film", "test: 1 film")
    assert "Drama 2" in found.told[3]
    assert found.told[4:] == (
        "genres left out: Reality-TV",
        "1 film of none of the 23 genres kept",
    )


def test_the_order_of_a_binarizer_is_that_of_the_columns_and_no_other() -> None:
    """scikit-learn sorts its classes: columns that are named in another order are misnamed."""
    from sklearn.preprocessing import MultiLabelBinarizer

    fitted = MultiLabelBinarizer().fit([list(GENRES)[::-1]])
    assert tuple(fitted.classes_) == GENRES
    assert len(GENRES) == 23


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_the_command_writes_what_features_are_taken_of(
    folder: Path, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"films{suffix}"
    done = CliRunner().invoke(app, ["convert", str(folder), "--data", "mmimdb", "--out", str(out)])
    assert done.exit_code == 0, done.output
    read = read_row_table(out, "films").to_pandas()
    pd.testing.assert_frame_equal(read, mm_imdb(folder).table, check_dtype=False)


def write(folder: Path, name: str, content: Any) -> None:
    (folder / name).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "split.json",
            {"train": ["0001"], "dev": ["0002"]},
            "lists of ids called train, dev, test",
        ),
        ("split.json", {**SPLIT, "dev": ["0001"]}, "0001 more than once"),
        ("split.json", {**SPLIT, "dev": []}, "dev without ids"),
        ("split.json", {**SPLIT, "dev": ["../0003"]}, r"\.\./0003, expected ids that name files"),
        ("split.json", {**SPLIT, "dev": ["0005"]}, "0005.json: there is no such file"),
        ("dataset/0003.json", {"plot": [], "genres": []}, "0003.json: expected a plot"),
        ("dataset/0003.json", ["plot"], "0003.json: expected a plot"),
        ("dataset/0003.json", {"plot": "p", "genres": "Drama"}, "and a list of genres"),
    ],
)
def test_what_is_no_such_folder(folder: Path, name: str, content: Any, message: str) -> None:
    write(folder, name, content)
    with pytest.raises(InputError, match=message):
        mm_imdb(folder)


def test_a_poster_that_is_not_there_is_named(folder: Path) -> None:
    (folder / "dataset" / "0002.jpeg").unlink()
    with pytest.raises(InputError, match=r"0002\.jpeg: there is no such file"):
        mm_imdb(folder)


def test_another_suffix_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    asked = ["convert", str(tmp_path), "--data", "mmimdb", "--out", str(tmp_path / "films.csv")]
    done = CliRunner().invoke(app, asked)
    assert isinstance(done.exception, InputError)
    assert "ends with .csv, expected .parquet or .jsonl" in str(done.exception)
