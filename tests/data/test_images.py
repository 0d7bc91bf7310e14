"""Modalities that are images: how they are read, scaled and told of; what cannot be right."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checked import load as load_study_file
from numpy.typing import NDArray
from sklearn.preprocessing import RobustScaler, StandardScaler

import raysweep
from raysweep.advice.look import look
from raysweep.advice.proposal import propose
from raysweep.data.estimable import estimable
from raysweep.data.files.safetensors_writer import written
from raysweep.data.images import Images
from raysweep.data.registry import load
from raysweep.errors import InputError
from raysweep.models.named import named_architecture
from raysweep.study.cells import expand
from raysweep.study.reader import StudyFileError

N, C, H, W = 120, 3, 9, 11


def contents(**changes: Any) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(0)
    levels = np.array([40, 120, 200])[:, None, None]
    good = {
        "x1": np.clip(rng.normal(levels, 30, size=(N, C, H, W)), 0, 255).astype(np.uint8),
        "x2": rng.normal(size=(N, 4)),
        "y": rng.integers(0, 2, N),
    }
    return {name: array for name, array in {**good, **changes}.items() if array is not None}


def saved(folder: Path, **changes: Any) -> dict[str, str]:
    path = folder / "own.npz"
    np.savez(path, **contents(**changes))
    return {"path": str(path)}


def by_channel(x: NDArray[Any]) -> NDArray[Any]:
    return np.moveaxis(x, 1, -1).reshape(-1, C)


@pytest.mark.parametrize("scale", ["standard", "robust", "none"])
def test_pixels_are_scaled_channel_by_channel_by_the_training_rows(
    tmp_path: Path, scale: str
) -> None:
    x = contents()["x1"].astype(float)
    views = load("arrays", saved(tmp_path) | {"scale": scale})
    assert views.layouts == (Images(C, H, W), None)
    pixels = by_channel(x[views.splits.train])
    scaler = {"standard": StandardScaler(), "robust": RobustScaler()}.get(scale)
    expected = by_channel(x) if scaler is None else scaler.fit(pixels).transform(by_channel(x))
    expected = np.moveaxis(expected.reshape(N, H, W, C), -1, 1).reshape(N, -1)
    np.testing.assert_allclose(views.inputs[0], expected, atol=1e-12)


def test_rows_without_an_image_count_for_nothing(tmp_path: Path) -> None:
    x = contents()["x1"].astype(float)
    x[::6] = np.nan
    views = load("arrays", saved(tmp_path, x1=x))
    assert views.present is not None
    np.testing.assert_array_equal(np.flatnonzero(~views.present[:, 0]), np.arange(0, N, 6))
    train = views.splits.train[views.splits.train % 6 != 0]
    expected = StandardScaler().fit(by_channel(x[train])).transform(by_channel(x))
    expected = np.moveaxis(expected.reshape(N, H, W, C), -1, 1).reshape(N, -1)
    np.testing.assert_allclose(views.inputs[0], np.nan_to_num(expected), atol=1e-12)


def test_every_format_and_dtype_gives_the_same(tmp_path: Path) -> None:
    expected = load("arrays", saved(tmp_path))
    arrays = contents()
    (tmp_path / "folder").mkdir()
    for name, array in arrays.items():
        np.save(tmp_path / "folder" / f"{name}.npy", array)
    with written(tmp_path / "own.safetensors", {}, len(arrays)) as file:
        for name, array in arrays.items():
            file.add(name, array)
    sides = {"x1": arrays["x1"].astype(np.float32), "x2": arrays["x2"]}
    raysweep.save_data(tmp_path / "saved.npz", sides, y=arrays["y"])
    named = {"picture": arrays["x1"], "words": arrays["x2"]}
    raysweep.save_data(tmp_path / "named.npz", named, y=arrays["y"])
    for name in ("folder", "own.safetensors", "saved.npz", "named.npz"):
        found = load("arrays", {"path": str(tmp_path / name)})
        assert found.layouts == expected.layouts
        np.testing.assert_array_equal(found.inputs[0], expected.inputs[0])


@pytest.mark.parametrize(
    ("shape", "good"),
    [
        ((32, 32, 3), False),
        ((28, 28, 1), False),
        ((9, 12, 4), False),
        ((1, 8, 4), True),
        ((3, 8, 4), True),
        ((512, 4, 4), True),
        ((64, 8, 4), True),
        ((16, 3, 3), True),
    ],
)
def test_channels_last_are_told_apart(tmp_path: Path, shape: tuple[int, ...], good: bool) -> None:
    x = np.random.default_rng(0).normal(size=(N, *shape))
    if good:
        assert load("arrays", saved(tmp_path, x1=x)).layouts[0] == Images(*shape)
        return
    message = rf"x1 has shape \(120, {shape[0]}, .* looks like channels last, .* save x1\.transpose"
    with pytest.raises(InputError, match=message):
        load("arrays", saved(tmp_path, x1=x))
    sides = {"picture": x, "words": contents()["x2"]}
    with pytest.raises(InputError, match=message.replace("x1", "picture")):
        raysweep.save_data(tmp_path / "saved.npz", sides, y=contents()["y"])
    # Both ways out lead out.
    first = np.transpose(x, (0, 3, 1, 2))
    assert load("arrays", saved(tmp_path, x1=first)).layouts[0] == Images(*first.shape[1:])
    turned = np.transpose(x, (0, 1, 3, 2))
    assert load("arrays", saved(tmp_path, x1=turned)).layouts[0] == Images(*turned.shape[1:])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x1": np.zeros((N, 0, 4, 4))}, "expected [rows, channels, height, width], no 0"),
        ({"x1": np.full((N, 1, 5, 5), np.inf)}, "x1 has NaN or infinity in 120 of 120 rows"),
        ({"x1": np.zeros((N, 1, 5, 5), dtype="U3")}, "x1 has dtype <U3, expected real numbers"),
        ({"x1": np.zeros((N, 1, 2, 5, 5))}, "or 4-D [rows, channels, height, width] for images"),
        ({"x1": np.zeros((N, 1, 5, 5))}, "x1 does not vary in the training split"),
    ],
)
def test_what_is_wrong_with_images(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        load("arrays", saved(tmp_path, **changes))
    assert words in str(caught.value)


def test_a_summary_is_the_means_of_a_grid() -> None:
    images = Images(2, 11, 3)
    x = np.random.default_rng(1).normal(size=(5, 2, 11, 3))
    found = images.summary(x.reshape(5, -1)).reshape(5, 2, 8, 3)
    edges = np.arange(9) * 11 // 8
    for cell in range(8):
        expected = x[:, :, edges[cell] : edges[cell + 1]].mean(axis=2)
        np.testing.assert_allclose(found[:, :, cell], expected, atol=1e-12)
    small = np.random.default_rng(2).normal(size=(4, 32))
    np.testing.assert_array_equal(Images(1, 8, 4).summary(small), small)


def test_what_is_looked_at_and_proposed(tmp_path: Path) -> None:
    views = load("arrays", saved(tmp_path))
    assert estimable(views).x1.shape[1] == C * 8 * 8
    seen = look(views)
    assert seen.modalities[0].words == "images of 3 x 9 x 11"
    encoder = propose(seen).encoder
    assert encoder is not None
    assert encoder.value == "cnn"


STUDY = """
name: s
data: {dataset: arrays, path: own.npz}
training: {batch_size: 16}
model: {encoder: [mlp, linear, cnn], depth: 2, width: 8}
"""


def test_who_takes_images(tmp_path: Path) -> None:
    saved(tmp_path)
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    study = load_study_file(path)
    cells = {cell.encoder: cell for cell in expand(study)}
    views = load("arrays", {"path": str(tmp_path / "own.npz")})
    for name, first in (("mlp", C * H * W * 8 + 8), ("cnn", C * 9 * 8 + 8)):
        shape = named_architecture(study.model, cells[name], views.features, 2)
        second = 8 * 9 if name == "mlp" else 8 * 8 * 9 + 8
        assert shape.encoders[0].parameter_count == first + second
    for override, words in (
        (
            "model.encoder=transformer",
            "has images of 3 x 9 x 11 and no tokens; patches says into how many tokens a row is "
            "cut, in order; or take encoder vit or cnn",
        ),
        ("model.options.kernel_size=2", "kernel_size is 2; expected an odd number, 3, say"),
        (
            "model.encoder=[mlp, vit]",
            "model.encoder.1: patch_size is 4, which does not divide both sides of images of "
            "3 x 9 x 11; expected one of 1",
        ),
        ("model.options.pool=median", "expected one of max, mean, none, found 'median'"),
    ):
        with pytest.raises(StudyFileError) as caught:
            load_study_file(path, override)
        assert words in str(caught.value)


def test_encoders_of_images_need_images(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.replace("[mlp, linear, cnn]", "cnn"))
    flat = np.random.default_rng(0).normal(size=(N, 12))
    for encoder, x1, words in (
        ("cnn", flat, "cnn takes images, arrays [n, channels, height, width], and x1 has 12 feat"),
        ("vit", flat, "vit takes images, arrays [n, channels, height, width], and x1 has 12 feat"),
        ("cnn", flat.reshape(N, 3, 4), "cnn takes images and rows of features, and x1 has 3 tok"),
    ):
        saved(tmp_path, x1=x1)
        with pytest.raises(StudyFileError) as caught:
            load_study_file(path, f"model.encoder={encoder}")
        assert words in str(caught.value)
        assert "model.encoder" in str(caught.value)
