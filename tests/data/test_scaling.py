"""Scaling of a user's own features, against scikit-learn."""

from pathlib import Path

import numpy as np
import pytest
from own_files import arrays
from sklearn.preprocessing import RobustScaler, StandardScaler

from raysweep.data.registry import load


def features() -> np.ndarray:
    rng = np.random.default_rng(3)
    x = rng.standard_t(2, size=(120, 6)) * [1, 100, 1e-3, 1, 1, 1] + [0, 5, -2, 0, 1e6, 0]
    x[:, 3] = 0.1  # constant
    x[:, 5] = rng.random(120) < 0.1  # varies, and its quartiles are equal
    return x


@pytest.mark.parametrize(
    ("scale", "scaler"),
    [
        (None, StandardScaler()),
        ("standard", StandardScaler()),
        ("robust", RobustScaler()),
        ("none", None),
    ],
)
def test_scaling_is_that_of_scikit_learn(tmp_path: Path, scale: str | None, scaler: object) -> None:
    np.savez(tmp_path / "mine.npz", **arrays(x1=features()))
    parameters = {"path": str(tmp_path / "mine.npz")} | ({"scale": scale} if scale else {})
    views = load("arrays", parameters)
    expected = features()
    if scaler is not None:
        expected = scaler.fit(expected[views.splits.train]).transform(expected)
        expected[:, 3] = 0.0
    np.testing.assert_allclose(views.inputs[0], expected, rtol=1e-9, atol=1e-9)


def test_what_varies_outside_the_training_split_alone_becomes_0(tmp_path: Path) -> None:
    x1 = features()
    np.savez(tmp_path / "plain.npz", **arrays(x1=x1))
    rows = load("arrays", {"path": str(tmp_path / "plain.npz")}).splits.test
    x1[rows, 3] = 7.0
    np.savez(tmp_path / "mine.npz", **arrays(x1=x1))
    for scale in ("standard", "robust"):
        views = load("arrays", {"path": str(tmp_path / "mine.npz"), "scale": scale})
        np.testing.assert_array_equal(views.inputs[0][:, 3], 0.0)


@pytest.mark.parametrize("size", [1e-160, 1e-200, 1e-300, 1e-310])
def test_features_of_any_small_size_vary(tmp_path: Path, size: float) -> None:
    x1 = np.random.default_rng(4).normal(size=(120, 3))
    for name, factors in (("plain", [1, 1, 1]), ("small", [size, 1, size])):
        np.savez(tmp_path / f"{name}.npz", **arrays(x1=x1 * factors))
    plain, small = (
        load("arrays", {"path": str(tmp_path / f"{name}.npz")}).inputs[0]
        for name in ("plain", "small")
    )
    # 1e-310 is a denormal number, of 13 digits.
    np.testing.assert_allclose(small, plain, rtol=0, atol=1e-10)
