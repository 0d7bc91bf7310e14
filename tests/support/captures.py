"""Packs whose step is captured, and the comparison with those whose is not."""

from collections.abc import Callable

import numpy as np
import pytest
from replay import OnDevice
from tiny_modalities import make_data as make_data_of
from tiny_training import make_members

from raysweep.losses import LOSSES, AlignmentLoss, build_loss
from raysweep.models.architecture import Architecture
from raysweep.models.custom import custom_encoder
from raysweep.models.encoders import EncoderPair
from raysweep.models.shape import MultimodalShape
from raysweep.models.trained import TrainedPack
from raysweep.training import torch_engine
from raysweep.training.inputs import Members, TrainSettings
from raysweep.training.train import train_pack

M, ROWS = 8, 40
TWO = MultimodalShape((5, 4), 3, depths=(2, 1), widths=(6, 4))
THREE = MultimodalShape((5, 4, 7), 3, depths=(1, 2, 2), widths=(6, 6, 6))
BY_AUTOGRAD = EncoderPair(
    (
        custom_encoder("own_encoders:capturable", 5, 2, 6, {}),
        custom_encoder("own_encoders:capturable", 4, 1, 4, {}),
    ),
    classes=3,
)
UNASKED = EncoderPair(
    (custom_encoder("own_encoders:mlp", 5, 2, 6, {}), BY_AUTOGRAD.encoders[1]), classes=3
)
SHAPES = {"two": TWO, "three": THREE, "autograd": BY_AUTOGRAD}
CAPTURABLE = [name for name in LOSSES if build_loss(name).capturable]


class Watched:
    """Lets nothing that a capture does not permit happen in a step; stands for `Graphs`."""

    steps = 0

    def warm_up(self, step: Callable[[], None]) -> None:
        with OnDevice("meta"):
            step()
        self.steps += 1

    def capture(self, step: Callable[[], None]) -> Callable[[], None]:
        return lambda: self.warm_up(step)


def settings(**given: object) -> TrainSettings:
    """Batches of 16, 16 and 8 rows."""
    how = {"epochs": 9, "batch_size": 16, "dtype": "float64", "engine": "torch", "patience": 3}
    return TrainSettings(**{**how, **given})


def trained(
    shape: Architecture,
    how: TrainSettings,
    graphs: object,
    monkeypatch: pytest.MonkeyPatch,
    loss: AlignmentLoss | None = None,
    members: Members | None = None,
) -> TrainedPack:
    monkeypatch.setattr(torch_engine, "graphs_on", lambda device: graphs)
    members = make_members(M) if members is None else members
    return train_pack(shape, members, make_data_of(shape, ROWS, M), how, loss)


def assert_same(found: TrainedPack, expected: TrainedPack, tolerance: float = 1e-12) -> None:
    def close(one: object, other: object) -> None:
        np.testing.assert_allclose(one, other, atol=tolerance, rtol=tolerance)

    for name in ("parameters", "best_epoch", "steps", "diverged_step", "gradient_ratio"):
        close(getattr(found, name), getattr(expected, name))
    for name in ("task_loss", "fused_loss", "alignment_loss"):
        close(getattr(found.history, name), getattr(expected.history, name))
    for head, accuracies in expected.history.performance.items():
        close(found.history.performance[head], accuracies)
