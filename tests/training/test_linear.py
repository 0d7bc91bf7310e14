"""Packs of linear encoders against modules without activation, one by one."""

import dataclasses

import pytest
import torch
from reference_training import train_one
from tiny_training import BATCH, make_data, make_members, pick

from raysweep.errors import InputError
from raysweep.models.shape import MultimodalShape
from raysweep.training.engines import engine_for
from raysweep.training.inputs import TrainSettings
from raysweep.training.passes import HandWritten
from raysweep.training.train import train_pack

TOLERANCE = 1e-10


def linear(depth: int) -> MultimodalShape:
    return MultimodalShape((5, 4), 3, (depth, depth), (6, 7), slope=1.0)


def settings(**given: object) -> TrainSettings:
    fixed = {"epochs": 2, "batch_size": BATCH, "dtype": "float64", "checkpoint": "last"}
    return TrainSettings(**{**fixed, **given})


@pytest.mark.parametrize(("depth", "layer"), [(1, None), (4, None), (4, 2)])
def test_a_pack_trains_as_torchs_own_layers_one_by_one(depth: int, layer: int | None) -> None:
    shape, m = linear(depth), 5
    members, data = make_members(m), make_data(m)
    how = settings(layer=layer, loss="cka")  # of representations of different widths
    trained = train_pack(shape, members, data, how)
    initial = shape.initial_parameters(members.init_seed)
    for index in range(m):
        alone = train_one(shape, members, index, initial[index], data, how, cka)
        difference = (trained.parameters[index] - alone.last).abs().max()
        assert difference <= TOLERANCE


def cka(h1: torch.Tensor, h2: torch.Tensor) -> torch.Tensor:
    """One minus linear CKA, by its feature form."""
    h1, h2 = h1 - h1.mean(0), h2 - h2.mean(0)
    cross = (h1.T @ h2).square().sum()
    return 1 - cross / ((h1.T @ h1).norm() * (h2.T @ h2).norm())


def test_alone_or_in_a_pack_of_eight_is_the_same() -> None:
    shape, m = linear(3), 8
    members, data = make_members(m), make_data(m)
    together = train_pack(shape, members, data, settings(loss="cka", epochs=6))
    for index in range(0, m, 3):
        one = dataclasses.replace(data, dataset=data.dataset[[index]])
        alone = train_pack(shape, pick(members, [index]), one, settings(loss="cka", epochs=6))
        difference = (alone.parameters[0] - together.parameters[index]).abs().max()
        assert difference <= TOLERANCE


def test_every_layer_is_affine_in_the_features() -> None:
    shape = linear(4)
    parameters = shape.initial_parameters([3])
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 1, 20, 5, generator=generator, dtype=torch.float64)
    one, other, mean = (shape.forward(1, parameters, x)[0] for x in (a, b, 0.3 * a + 0.7 * b))
    for layers in zip(one, other, mean, strict=True):
        torch.testing.assert_close(0.3 * layers[0] + 0.7 * layers[1], layers[2])
        assert layers[0].min() < 0 < layers[0].max()


def test_the_kernel_leaves_them_to_torch() -> None:
    assert engine_for(linear(1), settings()).args[0].__class__ is HandWritten
    with pytest.raises(InputError, match="which trains mlp encoders only; take 'auto'"):
        engine_for(linear(1), settings(engine="kernel"))
