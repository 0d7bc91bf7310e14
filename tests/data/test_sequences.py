"""Modalities that are sequences: how they are read, scaled and told of; what cannot be right."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checked import load as load_study_file
from numpy.typing import NDArray

import raysweep
from raysweep.data.estimable import estimable
from raysweep.data.registry import load
from raysweep.errors import InputError
from raysweep.study.reader import StudyFileError

N, T, D = 120, 6, 3
LENGTHS = np.arange(N) % (T + 1)


def contents(**changes: Any) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(0)
    good = {
        "x1": rng.normal(3, 2, size=(N, T, D)),
        "x1_length": LENGTHS,
        "x2": rng.normal(size=(N, 4)),
        "y": rng.integers(0, 2, N),
    }
    return {name: array for name, array in {**good, **changes}.items() if array is not None}


def saved(folder: Path, **changes: Any) -> dict[str, str]:
    path = folder / "own.npz"
    np.savez(path, **contents(**changes))
    return {"path": str(path)}


def real(lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.arange(T) < lengths[:, None]


def test_tokens_are_scaled_by_the_real_ones_of_the_training_rows(tmp_path: Path) -> None:
    x = contents()["x1"]
    x[~real(LENGTHS)] = np.nan  # what stands in padding counts for nothing
    views = load("arrays", saved(tmp_path, x1=x))
    tokens = views.layouts[0]
    assert (tokens.count, tokens.features, views.layouts[1]) == (T, D, None)
    rows = views.inputs[0]
    assert rows.shape == (N, T * D + 1)
    np.testing.assert_array_equal(rows[:, -1], LENGTHS)
    train = views.splits.train
    of_train = np.concatenate([x[i, : LENGTHS[i]] for i in train])
    expected = (x - of_train.mean(axis=0)) / of_train.std(axis=0)
    expected[~real(LENGTHS)] = 0.0
    found, is_real = tokens.parted(rows)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_array_equal(is_real, real(LENGTHS))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32])
def test_a_mask_says_what_lengths_say(tmp_path: Path, dtype: type) -> None:
    by_length = load("arrays", saved(tmp_path)).inputs[0]
    mask = real(LENGTHS).astype(dtype)
    by_mask = load("arrays", saved(tmp_path, x1_length=None, x1_mask=mask)).inputs[0]
    np.testing.assert_array_equal(by_mask, by_length)


def test_without_lengths_all_tokens_are_real_and_padding_is_suspected(tmp_path: Path) -> None:
    x = contents()["x1"]
    x[:7, 4:] = 0.0
    views = load("arrays", saved(tmp_path, x1=x, x1_length=None))
    assert (views.inputs[0][:, -1] == T).all()
    [note] = [note for note in views.notes if "x1" in note]
    assert "those of 7 rows end in zeros; if that is padding, give x1_length [n]" in note


def test_rows_without_a_token_are_told_and_tie_no_rows_together(tmp_path: Path) -> None:
    views = load("arrays", saved(tmp_path))
    assert f"x1: {(LENGTHS == 0).sum()} rows without any token" in views.notes
    assert views.groups is None


def test_what_is_estimated_sees_the_mean_token_and_their_number(tmp_path: Path) -> None:
    views = load("arrays", saved(tmp_path))
    x, is_real = views.layouts[0].parted(views.inputs[0])
    summary = views.summaries[0]
    for i in range(N):
        mean = x[i][is_real[i]].mean(axis=0) if LENGTHS[i] else np.zeros(D)
        np.testing.assert_allclose(summary[i], [*mean, LENGTHS[i]], atol=1e-12)
    assert estimable(views).x1.shape == (N, D + 1)
    assert views.alone(1).layouts == views.layouts[:1]


def test_two_sequences_need_not_be_called_x1_and_x2(tmp_path: Path) -> None:
    of = contents()
    path = tmp_path / "own.npz"
    rng = np.random.default_rng(1)
    audio = {"audio": rng.normal(size=(N, 5, 2)), "audio_mask": np.ones((N, 5), dtype=bool)}
    np.savez(path, **audio, text=of["x1"], text_length=LENGTHS, y=of["y"])
    views = load("arrays", {"path": str(path)})
    assert views.names == ("audio", "text")
    assert not any("not used" in note for note in views.notes)
    assert (views.inputs[1][:, -1] == LENGTHS).all()


def falling(at: int) -> NDArray[np.bool_]:
    mask = real(LENGTHS)
    mask[at] = np.arange(T) >= 2
    return mask


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"x1_length": LENGTHS + 1}, "x1_length is 7 in row 6, and outside 0..6 in 17 rows"),
    ({"x1_length": LENGTHS - 1.0}, "x1_length is -1 in row 0, and outside 0..6 in 18 rows"),
    ({"x1_length": LENGTHS / 2}, "x1_length has dtype float64, expected whole numbers in 0..6"),
    ({"x1_length": LENGTHS.astype(str)}, "x1_length has dtype <U21, expected whole numbers"),
    ({"x1_length": LENGTHS[:-1]}, r"x1_length has shape \(119,\), expected \(120,\)"),
    ({"x1_length": None, "x1_mask": np.ones((N, T + 1))}, r"x1_mask has shape \(120, 7\)"),
    ({"x1_length": None, "x1_mask": np.full((N, T), 2)}, "x1_mask is 2 in row 0, and outside 0..1"),
    (
        {"x1_length": None, "x1_mask": falling(9)},
        r"x1_mask has a real token \(1\) behind padding \(0\) in 1 row, first in row 9",
    ),
    ({"x1_mask": real(LENGTHS)}, "x1 has both x1_length and x1_mask, expected one of them"),
    ({"x1": np.zeros((N, 0, D))}, r"x1 has shape \(120, 0, 3\), expected \[rows, tokens"),
    ({"x1": np.full((N, T, D), np.inf)}, "x1 has NaN or infinity in 102 of 120 rows, first in row"),
    ({"x1": np.full((N, T, D), "a")}, "x1 has dtype <U1, expected real numbers"),
    ({"x1_length": np.zeros(N, int)}, "x1 does not vary in the training split"),
]


@pytest.mark.parametrize(("changes", "message"), FAULTS)
def test_what_cannot_be_right(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load("arrays", saved(tmp_path, **changes))


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    wrong = {"x1_length": LENGTHS + 9, "x2": np.full((N, 4), np.inf), "y": np.zeros(N, int)}
    with pytest.raises(InputError) as caught:
        load("arrays", saved(tmp_path, **wrong))
    assert all(word in str(caught.value) for word in ("x1_length is 9", "x2 has NaN", "y has one"))


def test_from_python(tmp_path: Path) -> None:
    of = contents()
    text, image = of["x1"], of["x2"]
    path = tmp_path / "mine.npz"
    both = {"text": text, "image": image}
    raysweep.save_data(path, both, y=of["y"], lengths={"text": LENGTHS.tolist()})
    other = load("arrays", saved(tmp_path)).inputs
    for mine, expected in zip(load("arrays", {"path": str(path)}).inputs, other, strict=True):
        np.testing.assert_array_equal(mine, expected)
    with pytest.raises(InputError, match="lengths of image, expected names of modalities"):
        raysweep.save_data(path, both, y=of["y"], lengths={"image": LENGTHS})
    with pytest.raises(InputError, match="text_length is 7 in row 6"):
        raysweep.save_data(path, both, y=of["y"], lengths={"text": LENGTHS + 1})


@pytest.mark.parametrize("encoder", ["mlp", "own_encoders:residual"])
def test_encoders_of_rows_refuse_sequences(tmp_path: Path, encoder: str) -> None:
    saved(tmp_path)
    study = tmp_path / "study.yaml"
    study.write_text(
        "name: s\ndata: {dataset: arrays, path: own.npz}\ntraining: {batch_size: 16}\n"
    )
    with pytest.raises(StudyFileError) as caught:
        load_study_file(study, f"model.encoder={encoder}")
    [fault] = caught.value.faults
    assert f"{encoder} takes a row of features, and x1 has 6 tokens of 3 features" in fault
