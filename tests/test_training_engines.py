"""One step of each engine against automatic differentiation, in float64."""

import numpy as np
import pytest
import torch
from reference_training import LOSSES, Pair
from test_train import make_data, make_members
from torch.nn import functional

from raysweep.models.initial import initial_parameters
from raysweep.models.shape import PairShape
from raysweep.objective import build_loss
from raysweep.training.inputs import TrainSettings
from raysweep.training.kernel_engine import KernelEngine
from raysweep.training.torch_engine import TorchEngine

SHAPES = [
    PairShape(5, 4, 3, depth_1=1, depth_2=1, width_1=6, width_2=6),
    PairShape(3, 7, 2, depth_1=4, depth_2=2, width_1=5, width_2=5),
    PairShape(12, 12, 4, depth_1=6, depth_2=3, width_1=12, width_2=12),
]


@pytest.mark.parametrize("make", [TorchEngine, KernelEngine])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("loss", ["infonce", "cka", "unbiased_cka"])
@pytest.mark.parametrize("fusion", ["probe", "joint"])
@pytest.mark.parametrize("rows", [32, 11, 1])
def test_gradients_of_a_step(
    make: type, shape: PairShape, loss: str, fusion: str, rows: int
) -> None:
    members = make_members(5, clip_norm=np.inf)
    data = make_data(5, shape, rows=rows)
    settings = TrainSettings(1, batch_size=32, loss=loss, fusion=fusion, dtype="float64")
    initial = initial_parameters(shape, members.init_seed)
    engine = make(shape, members, data, settings, build_loss(loss), initial.clone())
    with torch.no_grad():
        engine.train_epoch(
            torch.arange(rows, dtype=torch.int32)[None], torch.zeros(5, dtype=torch.int64)
        )
    for index in range(5):
        pair = Pair(shape)
        pair.load(initial[index])
        which = data.dataset[index]
        h1, logits_1 = pair.tower_1(torch.as_tensor(data.x1_train[which]))
        h2, logits_2 = pair.tower_2(torch.as_tensor(data.x2_train[which]))
        both = torch.cat((h1, h2), dim=1)
        fused = pair.fused(both if fusion == "joint" else both.detach())
        y = torch.as_tensor(data.y_train[which])
        total = sum(functional.cross_entropy(logits, y) for logits in (logits_1, logits_2, fused))
        if members.strength[index] and rows > 3:
            seen = h2.roll(1, dims=0) if members.placebo[index] else h2
            total = total + float(members.strength[index]) * LOSSES[loss](h1, seen)
        total.backward()
        torch.testing.assert_close(
            engine.gradients[index], pair.flat(gradient=True), atol=1e-11, rtol=1e-10
        )
