"""One epoch by each engine."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tiny_training import make_members

from raysweep.losses import build_loss
from raysweep.models.shape import MultimodalShape
from raysweep.training.engine import EpochLog, PackEngine
from raysweep.training.inputs import Members, PackData, TrainSettings
from raysweep.training.kernel_cache import compiled_engine
from raysweep.training.passes import HandWritten
from raysweep.training.torch_engine import TorchEngine


def torch_engine(shape: MultimodalShape, *given: object) -> TorchEngine:
    """The engine that needs its passes."""
    settings = given[2]
    return TorchEngine(HandWritten(shape, settings.fusion == "joint"), shape, *given)


ENGINES = pytest.mark.parametrize("make", [torch_engine, compiled_engine], ids=["torch", "kernel"])


def one_epoch(
    make: Callable[..., PackEngine],
    shape: MultimodalShape,
    data: PackData,
    settings: TrainSettings,
    initial: torch.Tensor | None = None,
    members: Members | None = None,
) -> tuple[PackEngine, EpochLog]:
    """Train an epoch in the order of the rows."""
    members = make_members(5, clip_norm=np.inf) if members is None else members
    if initial is None:
        initial = shape.initial_parameters(members.init_seed)
    loss = build_loss(settings.loss, settings.loss_options)
    initial = initial.to(getattr(torch, settings.dtype), copy=True)
    engine = make(shape, members, data, settings, loss, initial)
    rows = data.y_train.shape[1]
    with torch.no_grad():
        log = engine.train_epoch(
            torch.arange(rows, dtype=torch.int32)[None], torch.zeros(len(members), dtype=int)
        )
    return engine, log
