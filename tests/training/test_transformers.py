"""Packed transformers in training: against torch's own one by one, in any pack, and cut short."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from reference_transformers import train_apart
from tiny_training import make_members, pick
from torch import Tensor

from raysweep.data.tokens import Tokens
from raysweep.data.views import Features
from raysweep.models.stacked import StackedEncoders
from raysweep.models.transformer import Transformer
from raysweep.training.inputs import PackData, TrainSettings
from raysweep.training.train import train_pack

TOLERANCE = 1e-10
TOKENS = Tokens(count=7, features=3)
ROWS = 48


def transformers(depth: int = 2, width: int = 8, **options: Any) -> StackedEncoders:
    """A sequence of 7 tokens of 3 features, and a row of 6 features in 2 tokens."""
    kinds = (Features(TOKENS.columns, TOKENS), Features(6))
    encoders = [Transformer(of, depth, width, patches=2, **options) for of in kinds]
    return StackedEncoders(tuple(encoders), 3)


def make_data(m: int) -> PackData:
    rng = np.random.default_rng(5)

    def split(n: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        y = rng.integers(0, 3, (2, n))
        x = rng.normal(size=(2, n, 7, 3)) + y[..., None, None] * 0.4
        lengths = rng.integers(0, 8, (2, n))
        lengths[:, 0] = 0
        rows = np.stack([TOKENS.rows(*of) for of in zip(x, lengths, strict=True)])
        return (rows, rng.normal(size=(2, n, 6)) - y[..., None] * 0.3), y

    return PackData(*split(ROWS), *split(30), dataset=np.arange(m) % 2)


def settings(**given: object) -> TrainSettings:
    fixed: dict[str, Any] = {
        "epochs": 2,
        "batch_size": 16,
        "dtype": "float64",
        "checkpoint": "last",
    }
    return TrainSettings(**{**fixed, **given})


def parted(shape: StackedEncoders, row: Tensor) -> list[Tensor]:
    """The towers in a row of the packed buffer."""
    return [row[span] for span in shape.spans(0)[: len(shape.encoders)]]


@pytest.mark.parametrize("pooling", ["mean", "class", "mean_padded"])
@pytest.mark.parametrize(
    ("depth", "options"),
    [
        (1, {}),
        (4, {}),
        (2, {"heads": 4, "feedforward": 20, "norm": "pre"}),
        (3, {"heads": 2, "equal_layers": True}),
    ],
    ids=["shallow", "deep", "heads_pre", "equal_layers"],
)
def test_a_pack_trains_as_torchs_own_one_by_one(
    pooling: str, depth: int, options: dict[str, Any]
) -> None:
    shape, m = transformers(depth, pooling=pooling, **options), 4
    fixed = {"placebo": False, "clip_norm": [8.0, 0.05, 8.0, 0.5], "learning_rate": 2e-3}
    members, data = make_members(m, **fixed), make_data(m)
    trained = train_pack(shape, members, data, settings(layer=1))
    for i in range(m):
        towers = train_apart(shape, members, data, i, 2, 16)
        for own, alone in zip(parted(shape, trained.parameters[i]), towers, strict=True):
            torch.testing.assert_close(own, alone, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("pooling", ["mean", "class", "mean_padded"])
def test_alone_or_in_a_pack_of_eight_is_the_same(pooling: str, dropout: float) -> None:
    shape, m = transformers(pooling=pooling, dropout=dropout, heads=2), 8
    members, data = make_members(m), make_data(m)
    together = train_pack(shape, members, data, settings(epochs=4))
    for i in range(0, m, 3):
        one = dataclasses.replace(data, dataset=data.dataset[[i]])
        alone = train_pack(shape, pick(members, [i]), one, settings(epochs=4))
        difference = (alone.parameters[0] - together.parameters[i]).abs().max()
        assert difference <= TOLERANCE
    if dropout:
        without = train_pack(transformers(pooling=pooling, heads=2), members, data, settings())
        assert (without.parameters - together.parameters).abs().max() > 1e-3


def test_who_goes_on_drops_as_if_nobody_had_stopped() -> None:
    shape, m = transformers(dropout=0.3), 8
    members, data = make_members(m), make_data(m)
    given = {"epochs": 20, "patience": 2}
    # Those who stop leave the pack, once a quarter of it has.
    together = train_pack(shape, members, data, settings(**given))
    assert len(set(together.steps)) > 1
    last = int(together.steps.argmax())
    one = dataclasses.replace(data, dataset=data.dataset[[last]])
    alone = train_pack(shape, pick(members, [last]), one, settings(**given))
    torch.testing.assert_close(
        alone.parameters[0], together.parameters[last], atol=TOLERANCE, rtol=0
    )


def test_one_encoder_alone_drops_and_starts_as_in_the_pair() -> None:
    pair, m = transformers(dropout=0.2), 3
    members, data = make_members(m, strength=0.0), make_data(m)
    both = train_pack(pair, members, data, settings())
    for index in (0, 1):
        shape = StackedEncoders(pair.encoders[index : index + 1], 3, first=index + 1)
        sides = [(x[index],) for x in (data.x_train, data.x_validation)]
        own = dataclasses.replace(data, x_train=sides[0], x_validation=sides[1])
        alone = train_pack(shape, members, own, settings())
        for i in range(m):
            expected = parted(pair, both.parameters[i])[index]
            torch.testing.assert_close(alone.parameters[i], expected, atol=TOLERANCE, rtol=0)
