"""Packed convolutional encoders in training: against torch's own one by one, and in any pack."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from reference_cnns import torch_tower
from reference_transformers import train_apart
from tiny_training import make_members, pick

from raysweep.data.images import Images
from raysweep.models.cnn import Cnn
from raysweep.models.shape import MLP
from raysweep.models.stacked import StackedEncoders
from raysweep.training.inputs import PackData, TrainSettings
from raysweep.training.train import train_pack

TOLERANCE = 1e-10
SMALL, LARGE = Images(1, 8, 4), Images(3, 13, 10)
ROWS = 48


def cnns(depth: int, *sides: Images | None, width: int = 5, **options: Any) -> StackedEncoders:
    """A cnn of each side that is images, and an mlp of 6 features of one that is none."""
    made = [Cnn(of, depth, width, **options) if of else MLP(6, depth, width) for of in sides]
    return StackedEncoders(tuple(made), 3)


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
        (1, (SMALL, LARGE), {}),
        (4, (SMALL, LARGE), {}),
        (2, (LARGE, None), {"kernel_size": 5, "pool": "mean"}),
        (2, (None, SMALL), {"pool": "none", "kernel_size": 1}),
    ],
    ids=["shallow", "deep", "beside_rows", "without_pooling"],
)
def test_a_pack_trains_as_torchs_own_one_by_one(
    depth: int, sides: tuple[Images | None, ...], options: dict[str, Any]
) -> None:
    shape, m = cnns(depth, *sides, **options), 4
    fixed = {"placebo": False, "clip_norm": [8.0, 0.05, 8.0, 0.5], "learning_rate": 2e-3}
    members, data = make_members(m, **fixed), make_data(shape, m)
    trained = train_pack(shape, members, data, settings(layer=1))
    for i in range(m):
        towers = train_apart(shape, members, data, i, 2, 16, torch_tower)
        spans = shape.spans(0)[: len(shape.encoders)]
        for span, alone in zip(spans, towers, strict=True):
            assert (trained.parameters[i][span] - alone).abs().max() <= TOLERANCE


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_alone_or_in_a_pack_of_eight_is_the_same(dropout: float) -> None:
    shape, m = cnns(2, SMALL, LARGE, dropout=dropout), 8
    members, data = make_members(m), make_data(shape, m)
    together = train_pack(shape, members, data, settings(epochs=3))
    for i in range(0, m, 3):
        one = dataclasses.replace(data, dataset=data.dataset[[i]])
        alone = train_pack(shape, pick(members, [i]), one, settings(epochs=3))
        assert (alone.parameters[0] - together.parameters[i]).abs().max() <= TOLERANCE
    if dropout:
        without = train_pack(cnns(2, SMALL, LARGE), members, data, settings(epochs=3))
        assert (without.parameters - together.parameters).abs().max() > 1e-3


def test_one_encoder_alone_drops_and_starts_as_in_the_pair() -> None:
    pair, m = cnns(2, SMALL, LARGE, dropout=0.2), 3
    members, data = make_members(m, strength=0.0), make_data(pair, m)
    both = train_pack(pair, members, data, settings())
    for index in (0, 1):
        shape = StackedEncoders(pair.encoders[index : index + 1], 3, first=index + 1)
        sides = [(x[index],) for x in (data.x_train, data.x_validation)]
        own = dataclasses.replace(data, x_train=sides[0], x_validation=sides[1])
        alone = train_pack(shape, members, own, settings())
        expected = both.parameters[:, pair.spans(0)[index]]
        assert (alone.parameters - expected).abs().max() <= TOLERANCE


def test_who_goes_on_drops_as_if_nobody_had_stopped() -> None:
    shape, m = cnns(1, SMALL, SMALL, dropout=0.3), 8
    members, data = make_members(m), make_data(shape, m)
    given = {"epochs": 20, "patience": 2}
    together = train_pack(shape, members, data, settings(**given))
    assert len(set(together.steps)) > 1
    last = int(together.steps.argmax())
    one = dataclasses.replace(data, dataset=data.dataset[[last]])
    alone = train_pack(shape, pick(members, [last]), one, settings(**given))
    assert (alone.parameters[0] - together.parameters[last]).abs().max() <= TOLERANCE
