"""Packed vision transformers in training: against torch's own one by one, and in any pack."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from reference_cnns import TorchRows
from reference_transformers import TorchTransformer, train_apart
from tiny_training import make_members, pick
from torch_tower import TorchTower

from raysweep.data.images import Images
from raysweep.data.views import Features
from raysweep.models.named import built_in
from raysweep.models.shape import MLP
from raysweep.models.stacked import StackedEncoders
from raysweep.models.transformer import Transformer
from raysweep.training.inputs import PackData, TrainSettings
from raysweep.training.train import train_pack

TOLERANCE = 1e-10
GRAY, COLOUR = Images(1, 8, 4), Images(3, 6, 10)
ROWS = 48


def vits(depth: int, *sides: Images | None, **options: Any) -> StackedEncoders:
    """A vit of each side that is images, and an mlp of 6 features of one that is none."""
    features = [Features(of.columns, of) if of else Features(6) for of in sides]
    sizes = (features, 3, (depth,) * len(sides), (8,) * len(sides))
    shape = built_in("vit", *sizes, {"patch_size": 2, "heads": 2, **options})
    assert isinstance(shape, StackedEncoders)
    return shape


def tower(encoder: Transformer | MLP, classes: int) -> TorchTower:
    if isinstance(encoder, Transformer):
        return TorchTransformer(encoder, classes)
    return TorchRows(encoder, classes)


def make_data(shape: StackedEncoders, m: int) -> PackData:
    rng = np.random.default_rng(5)

    def split(n: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        y = rng.integers(0, 3, (2, n))
        sides = [rng.normal(size=(2, n, d)) + y[..., None] * 0.4 for d in shape.inputs]
        return tuple(sides), y

    return PackData(*split(ROWS), *split(30), dataset=np.arange(m) % 2)


def settings(**given: object) -> TrainSettings:
    fixed: dict[str, Any] = {
        "epochs": 2,
        "batch_size": 16,
        "dtype": "float64",
        "checkpoint": "last",
    }
    return TrainSettings(**{**fixed, **given})


@pytest.mark.parametrize(
    ("depth", "sides", "options"),
    [
        (1, (GRAY, COLOUR), {}),
        (4, (GRAY, COLOUR), {}),
        (2, (COLOUR, None), {"pooling": "mean", "norm": "post", "activation": "relu"}),
    ],
    ids=["shallow", "deep", "beside_rows"],
)
def test_a_pack_trains_as_torchs_own_one_by_one(
    depth: int, sides: tuple[Images | None, ...], options: dict[str, Any]
) -> None:
    shape, m = vits(depth, *sides, **options), 4
    fixed = {"placebo": False, "clip_norm": [8.0, 0.05, 8.0, 0.5], "learning_rate": 2e-3}
    members, data = make_members(m, **fixed), make_data(shape, m)
    trained = train_pack(shape, members, data, settings(layer=1))
    for i in range(m):
        towers = train_apart(shape, members, data, i, 2, 16, tower)
        spans = shape.spans(0)[: len(shape.encoders)]
        for span, alone in zip(spans, towers, strict=True):
            assert (trained.parameters[i][span] - alone).abs().max() <= TOLERANCE


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_alone_or_in_a_pack_of_eight_is_the_same(dropout: float) -> None:
    shape, m = vits(2, GRAY, COLOUR, dropout=dropout), 8
    members, data = make_members(m), make_data(shape, m)
    together = train_pack(shape, members, data, settings(epochs=3))
    for i in range(0, m, 3):
        one = dataclasses.replace(data, dataset=data.dataset[[i]])
        alone = train_pack(shape, pick(members, [i]), one, settings(epochs=3))
        assert (alone.parameters[0] - together.parameters[i]).abs().max() <= TOLERANCE
    if dropout:
        without = train_pack(vits(2, GRAY, COLOUR), members, data, settings(epochs=3))
        assert (without.parameters - together.parameters).abs().max() > 1e-3


def test_a_patch_is_a_square_of_all_channels() -> None:
    encoder = vits(1, COLOUR).encoders[0]
    assert isinstance(encoder, Transformer)
    assert (encoder.tokens, encoder.token_features) == (3 * 5, 3 * 2 * 2)
    assert encoder.sizes["0.up.weight"] == (32, 8)
    pixels = np.arange(COLOUR.columns).reshape(3, 6, 10)
    expected = [pixels[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2] for i in range(3) for j in range(5)]
    found = encoder._squares(torch.from_numpy(pixels.reshape(1, 1, -1)), COLOUR)
    np.testing.assert_array_equal(found.view(15, 3, 2, 2).numpy(), np.stack(expected))
