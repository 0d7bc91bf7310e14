"""MultiBench's affect data: the steps row by row, what is told, what is refused."""

from pathlib import Path
from typing import Any

import affect_files
import numpy as np
import pytest
from checked import load as load_study_file
from typer.testing import CliRunner

from raysweep.cli import app
from raysweep.data.published.affect import KINDS, affect
from raysweep.data.registry import load
from raysweep.errors import InputError

WIDE = {"vision": 371, "audio": 81, "text": 300}


def test_every_row_is_what_the_slow_loader_makes_of_it() -> None:
    content = affect_files.content()
    found, slow = affect(content, "mosi"), affect_files.slowly(content)
    rows = [row for split in ("train", "valid", "test") for row in slow[split]]
    assert len(found.y) == len(rows) == sum(affect_files.ROWS.values()) - 3
    assert found.lengths.tolist() == [len(row[0]) for row in rows]
    assert {1, 50} <= {int(found.lengths.min()), int(found.lengths.max())} | {1}
    for at, name in enumerate(("vision", "audio", "text")):
        x = found.modalities[name]
        assert (x.shape[1:], x.dtype) == ((50, affect_files.WIDTHS[name]), np.float32)
        for i, row in enumerate(rows):
            length = found.lengths[i]
            np.testing.assert_allclose(x[i, :length], row[at], atol=1e-5)
            assert not x[i, length:].any()
    assert (found.modalities["vision"][:, :, 7] == 0).all()
    assert np.unique(found.split, return_counts=True)[1].tolist() == [13, 29, 11]
    kept = [i for i in range(30) if i != 3]
    assert found.y[:29].tolist() == content["train"]["labels"][kept, 0, 0].tolist()


def test_what_was_done_is_told() -> None:
    assert affect(affect_files.content(), "mosi").told == (
        "train: 29 rows, 1 without text left out; others report 1,284",
        "valid: 11 rows, 1 without text left out; others report 229",
        "test: 13 rows, 1 without text left out; others report 686",
        "vision: 1 feature constant in train, set to 0",
        affect(affect_files.content(), "mosi").told[-1],
    )
    assert affect(affect_files.content(), "mosi").told[-1].startswith("steps of a row: ")


@pytest.mark.parametrize(("name", "labels"), [("urfunny", "binary"), ("mustard", "signed")])
def test_classes(name: str, labels: str) -> None:
    content = affect_files.content(WIDE, labels)
    found = affect(content, name)
    given = np.concatenate([np.delete(p["labels"][:, 0], 3) for p in content.values()])
    assert found.y.dtype == np.int64
    assert found.y.tolist() == (given > 0).astype(int).tolist()


def changed(**changes: Any) -> dict[str, Any]:
    found = affect_files.content()
    for name, value in changes.items():
        found["valid"][name] = value
    return found


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (affect_files.content(), "mosey", "no data called 'mosey', valid are mosi, mosei, urfunny"),
        ([1], "mosi", "has list, expected train, valid, test"),
        ({"train": {}}, "mosi", "has train, expected train, valid, test"),
        (
            affect_files.content(),
            "mosei",
            r"vision has shape \(30, 60, 20\), expected \[n, T, 35\]",
        ),
        (changed(labels=np.zeros((12, 2))), "mosi", r"labels has shape \(12, 2\), expected one"),
        (changed(labels=np.full((12, 1), np.nan)), "mosi", "valid: labels has NaN or infinity"),
        (changed(text=np.zeros((12, 60, 300))), "mosi", "valid has no row with text"),
        (changed(text=np.ones((12, 50, 300))), "mosi", "valid: modalities have .* not alike"),
        (changed(audio=np.full((12, 60, 5), "a")), "mosi", "audio has dtype <U1, expected real"),
        (affect_files.content(WIDE), "urfunny", "train: labels has .*, expected 0 and 1"),
        (affect_files.content(WIDE), "mustard", "train: labels has .*, expected -1 or 0, and 1"),
    ],
)
def test_what_is_no_such_file(content: Any, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        affect(content, name)


def test_all_faults_of_all_splits_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        affect(affect_files.content(WIDE), "mosi")
    for part in ("train: vision", "valid: audio", "test: vision"):
        assert part in str(caught.value)


def test_the_command_writes_what_a_study_takes(tmp_path: Path) -> None:
    path = affect_files.write(tmp_path / "sarcasm.pkl", affect_files.content(WIDE, "signed"))
    out = tmp_path / "mustard.npz"
    done = CliRunner().invoke(app, ["convert", str(path), "--data", "mustard", "--out", str(out)])
    assert done.exit_code == 0, done.output
    (tmp_path / "study.yaml").write_text(
        "name: mustard\n"
        "data: {dataset: arrays, path: mustard.npz, modality_1: vision, modality_2: text, "
        "scale: none}\n"
        "model: {encoder: transformer, options: {pooling: class, equal_layers: true}}\n"
        "training: {batch_size: 8}\n"
        "evaluation: {metrics: {unbiased_cka: {}}}\n"
    )
    study = load_study_file(tmp_path / "study.yaml")
    view = load("arrays", {k: v[0] for k, v in study.data[0].axes.items()})
    assert [of.words for of in view.features] == [
        "50 tokens of 371 features",
        "50 tokens of 300 features",
    ]
    expected = affect(affect_files.content(WIDE, "signed"), "mustard")
    x, real = view.layouts[0].parted(view.inputs[0])
    np.testing.assert_array_equal(x.astype(np.float32), expected.modalities["vision"])
    np.testing.assert_array_equal(real.sum(axis=1), expected.lengths)


def test_a_fault_names_the_file(tmp_path: Path) -> None:
    path = affect_files.write(tmp_path / "some.pkl", affect_files.content())
    asked = ["convert", str(path), "--data", "mosei", "--out", str(tmp_path / "o.npz")]
    done = CliRunner().invoke(app, asked)
    assert isinstance(done.exception, InputError)
    assert str(done.exception).startswith(f"{path}: train: vision has shape")
    assert list(tmp_path.iterdir()) == [path]


def test_widths_tell_the_data_apart_but_for_two() -> None:
    assert len({kind.widths for kind in KINDS.values()}) == 3
