"""The alignment loss at a hidden layer, against the slow trainer."""

import numpy as np
import pytest
import torch
from reference_training import LOSSES, train_one
from tiny_training import BATCH, EPOCHS, SHAPE, TOLERANCE, make_data, make_members, train

from raysweep.errors import InputError
from raysweep.models.shape import MultimodalShape
from raysweep.training.inputs import TrainSettings
from raysweep.training.train import train_pack


@pytest.mark.parametrize("layer", [1, 2])
@pytest.mark.parametrize("fusion", ["probe", "joint"])
def test_a_loss_at_a_hidden_layer_follows_the_slow_trainer(layer: int, fusion: str) -> None:
    # Layer 2 is the last of encoder 1 and the middle one of encoder 2.
    members = make_members(9)
    data = make_data(9)
    settings = TrainSettings(
        EPOCHS, BATCH, loss="cka", fusion=fusion, layer=layer, dtype="float64", checkpoint="last"
    )
    trained = train_pack(SHAPE, members, data, settings)
    initial = SHAPE.initial_parameters(members.init_seed)
    for index in (0, 1, 2, 7):
        slow = train_one(SHAPE, members, index, initial[index], data, settings, LOSSES["cka"])
        torch.testing.assert_close(trained.parameters[index], slow.last, atol=TOLERANCE, rtol=0)
        assert trained.gradient_ratio[index] == pytest.approx(slow.gradient_ratio, rel=1e-8)
        if members.strength[index] > 0:
            found = trained.history.alignment_loss[index]
            np.testing.assert_allclose(found, slow.alignment_loss, atol=1e-9)


def test_a_hidden_layer_must_be_there_and_the_last_one_is_the_default() -> None:
    shape = MultimodalShape(SHAPE.inputs, SHAPE.classes, depths=(2, 2), widths=SHAPE.widths)
    members, data = make_members(3), make_data(3, shape)
    last, named = (train(members, shape, data, layer=layer) for layer in (None, 2))
    torch.testing.assert_close(last.parameters, named.parameters, atol=0, rtol=0)
    with pytest.raises(InputError, match="layer is 3; all encoders need it, and their depths"):
        train(members, shape, data, layer=3)
    with pytest.raises(InputError, match="kernel aligns last layers only"):
        train(members, shape, data, layer=1, engine="kernel")
    with pytest.raises(InputError, match="layer is 0; it must be at least 1"):
        train(members, shape, data, layer=0)
