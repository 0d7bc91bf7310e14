"""AV-MNIST: the steps one row at a time, what is told, what is refused."""

from pathlib import Path

import numpy as np
import pytest
from checked import load as load_study_file
from typer.testing import CliRunner

from raysweep.cli import app
from raysweep.data.published.av_mnist import av_mnist
from raysweep.data.registry import load
from raysweep.errors import InputError

TRAIN, TEST = 108, 9
TRAINED = 99


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files as the paper's code reads them; one MFCC is constant in the training rows."""
    root, rng = tmp_path / "avmnist", np.random.default_rng(0)
    for part, rows in (("train", TRAIN), ("test", TEST)):
        sounds = rng.normal(3, 2, (rows, 20, 36)) * np.arange(1, 21)[:, None]
        if part == "train":
            sounds[:TRAINED, 4] = 1.5
        save(root / "image" / f"{part}_data.npy", rng.integers(0, 256, (rows, 784), np.uint8))
        save(root / "audio" / f"{part}_data.npy", sounds)
        save(root / f"{part}_labels.npy", rng.integers(0, 10, rows))
    return root


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def test_a_row_is_what_its_picture_and_sound_are(folder: Path) -> None:
    found = av_mnist(folder)
    assert found.modalities["image"].shape == (TRAIN + TEST, 49, 16)
    assert found.modalities["audio"].shape == (TRAIN + TEST, 20, 36)
    assert {x.dtype for x in found.modalities.values()} == {np.dtype(np.float32)}
    assert found.split.tolist() == ["train"] * TRAINED + ["validation"] * 9 + ["test"] * TEST
    assert found.told == (
        "99 rows for training, 9 for validation, 9 for testing",
        "audio: 1 MFCC constant in train, set to 0",
    )
    files = {
        name: np.load(folder / f"{name}.npy")
        for name in (
            *("image/train_data", "image/test_data", "audio/train_data", "audio/test_data"),
            *("train_labels", "test_labels"),
        )
    }
    for row in range(TRAIN + TEST):
        part, at = ("train", row) if row < TRAIN else ("test", row - TRAIN)
        picture = files[f"image/{part}_data"][at].reshape(28, 28)
        for token in range(49):
            top, left = 4 * (token // 7), 4 * (token % 7)
            patch = picture[top : top + 4, left : left + 4].reshape(-1) / 255
            np.testing.assert_allclose(found.modalities["image"][row, token], patch, atol=1e-7)
        for mfcc in range(20):
            known = files["audio/train_data"][:TRAINED, mfcc]
            right = (files[f"audio/{part}_data"][at, mfcc] - known.mean()) / (known.std() or np.inf)
            sound = found.modalities["audio"][row, mfcc]
            np.testing.assert_allclose(sound, 0 * right if mfcc == 4 else right, atol=1e-5)
        assert found.y[row] == files[f"{part}_labels"][at]


def test_frames_are_the_same_numbers_with_time_as_the_sequence(folder: Path) -> None:
    as_published, frames = av_mnist(folder), av_mnist(folder, "frames")
    np.testing.assert_array_equal(
        frames.modalities["audio"], as_published.modalities["audio"].transpose(0, 2, 1)
    )
    np.testing.assert_array_equal(frames.modalities["image"], as_published.modalities["image"])


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("audio/train_data", np.zeros((TRAIN, 112, 112)), "which are MultiBench's AV-MNIST"),
        ("audio/test_data", np.zeros((TEST, 36, 20)), r"shape \(9, 36, 20\), expected \[n, 20, 36"),
        ("audio/test_data", np.full((TEST, 20, 36), np.nan), "has NaN or infinity"),
        ("image/train_data", np.zeros((TRAIN, 783)), r"shape \(108, 783\), expected \[n, 784\]"),
        ("image/train_data", np.full((TRAIN, 784), 0.5), "values from 0.5 to 0.5, expected 0 to 2"),
        ("image/test_data", np.full((TEST, 784), "a"), "has <U1, expected numbers"),
        ("train_labels", np.zeros(TRAIN - 1), "train: 108 pictures, 108 sounds and 107 labels"),
        ("test_labels", np.full(TEST, 10), "expected .n. of the digits 0 to 9"),
    ],
)
def test_what_is_no_such_folder(folder: Path, name: str, array: np.ndarray, message: str) -> None:
    save(folder / f"{name}.npy", array)
    with pytest.raises(InputError, match=message):
        av_mnist(folder)


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_unpickled(folder: Path) -> None:
    (folder / "test_labels.npy").unlink()
    save(folder / "audio" / "test_data.npy", np.zeros((TEST, 112, 112)))
    np.save(folder / "train_labels.npy", np.array([{}] * TRAIN), allow_pickle=True)
    with pytest.raises(InputError) as caught:
        av_mnist(folder)
    for words in ("there is no such file", "MultiBench's", "cannot be read as an .npy file"):
        assert words in str(caught.value)
    with pytest.raises(InputError, match="no layout called 'time', valid are coefficients, frames"):
        av_mnist(folder, "time")


@pytest.mark.parametrize(
    ("layout", "words"), [("coefficients", "20 tokens of 36"), ("frames", "36 tokens of 20")]
)
def test_the_command_writes_what_a_study_takes(
    folder: Path, tmp_path: Path, layout: str, words: str
) -> None:
    out = tmp_path / "avmnist.npz"
    asked = ["convert", str(folder), "--data", "avmnist", "--layout", layout, "--out", str(out)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    (tmp_path / "study.yaml").write_text(
        "name: avmnist\n"
        "data: {dataset: arrays, path: avmnist.npz, modality_1: image, modality_2: audio, "
        "scale: none}\n"
        "model: {encoder: transformer, options: {pooling: class, equal_layers: true}}\n"
        "training: {batch_size: 8}\n"
        "evaluation: {metrics: {unbiased_cka: {}}}\n"
    )
    study = load_study_file(tmp_path / "study.yaml")
    view = load("arrays", {k: v[0] for k, v in study.data[0].axes.items()})
    assert [of.words for of in view.features] == ["49 tokens of 16 features", f"{words} features"]
