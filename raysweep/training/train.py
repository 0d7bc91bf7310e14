"""Trains one pack of models; knows no Ray, MLflow or files."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from raysweep.errors import InputError
from raysweep.losses import AlignmentLoss, OverPairs, build_loss
from raysweep.models.architecture import Architecture
from raysweep.models.initial import alignment_generator
from raysweep.models.trained import TrainedPack
from raysweep.training.engines import engine_for
from raysweep.training.inputs import Members, PackData, TrainSettings
from raysweep.training.loop import Observe, run_epochs
from raysweep.training.order import BatchOrder


def train_pack(
    shape: Architecture,
    members: Members,
    data: PackData,
    settings: TrainSettings,
    loss: AlignmentLoss | None = None,
    observe: Observe | None = None,
) -> TrainedPack:
    """Train all members of a pack together.

    Each member minimises CE_1 + CE_2 + strength x L(h1, h2), where h1 and h2 are the
    representations, or for L the hidden layers that the settings name; of more modalities the sum
    of all their CE, and the mean of L over their pairs (`raysweep.losses.OverPairs`). CE is the
    cross-entropy, or of regression the mean squared error. Its fused head minimises the same on
    [h1; h2; ...]: on detached representations ("probe"), so that
    measuring it changes nothing, or with its gradient let through ("joint"). Each tower (encoder
    and head), the fused head and the alignment loss's own parameters are clipped by their own
    norms, so that at strength 0 a tower trains exactly as if it were alone. AdamW as torch's,
    moments per member; weight decay acts on everything but the alignment loss's parameters.

    Where rows lack a modality, its head learns from the rows that have it (the mean over them), the
    fused head from all rows, with zeros in the place of the representation that is not there, and
    L compares the rows of a batch that have both modalities (`raysweep.training.complete_pairs`).

    An encoder may be trained alone (one modality): there is nothing to align and nothing to fuse,
    and its own head chooses the checkpoint.

    A member's result depends on its own entries only. On the CPU the number of threads is the
    caller's business: one thread per worker and one worker per core
    (`torch.set_num_threads(1)`) is fastest for these sizes.

    Args:
        shape: the members' architecture: a `MultimodalShape` of MLPs or linear layers,
            `StackedEncoders`, or an `EncoderPair` of a user's own encoders; of one or more
            modalities.
        members: seeds and hyperparameters, [m] each.
        data: the datasets, inputs already standardised.
        settings: the same for all members.
        loss: the alignment loss; by default the one that the settings name.
        observe: see `raysweep.training.loop.run_epochs`.

    Returns:
        The trained members. One whose loss, gradient or parameters stop being finite is marked
        as diverged and leaves the others untouched.

    Raises:
        InputError: an argument that does not fit the others, or an encoder alone with a strength.
    """
    started = time.perf_counter()
    data.check(shape, len(members))
    if len(shape.inputs) == 1 and members.strength.any():
        raise InputError("members: an encoder that is trained alone has no alignment: strength 0")
    device = _device(settings.device)
    make_engine = engine_for(shape, settings, data.task, data.lacking)
    loss = build_loss(settings.loss, settings.loss_options) if loss is None else loss
    parameters = torch.cat(
        (
            shape.initial_parameters(members.init_seed),
            _alignment_parameters(shape, members, loss),
        ),
        dim=1,
    ).to(device=device, dtype=getattr(torch, settings.dtype))
    order = BatchOrder(members.order_seed, np.shape(data.y_train)[1])
    with torch.no_grad(), precision(settings.tf32):
        engine = make_engine(shape, members, data, settings, loss, parameters)
        outcome = run_epochs(engine, order, settings, shape.spans(0), observe)
    return TrainedPack(
        shape=shape,
        dataset=np.asarray(data.dataset, dtype=np.int64),
        status=np.where(outcome.diverged_step >= 0, "diverged", "ok"),
        train_seconds=time.perf_counter() - started,
        **vars(outcome),
    )


def _alignment_parameters(
    shape: Architecture, members: Members, loss: AlignmentLoss
) -> torch.Tensor:
    """Initial alignment parameters [m, Pa], float64."""
    pairs = OverPairs(loss)
    counts = pairs.parameter_counts(shape.widths)
    rows = torch.zeros(len(members), sum(counts), dtype=torch.float64)
    if sum(counts):
        for index, seed in enumerate(members.init_seed):
            generators = [alignment_generator(int(seed), pair) for pair in range(len(counts))]
            rows[index] = pairs.initial_parameters(shape.widths, generators)
    return rows


@contextmanager
def precision(tf32: bool) -> Iterator[None]:
    """Let a GPU round float32 products to TF32 within the block, or not."""
    # Convolutions and recurrences of other encoders go through cuDNN, whose default is TF32.
    cudnn: Any = torch.backends.cudnn  # torch declares it without its parts
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn)
    before = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "tf32" if tf32 else "ieee"
    try:
        yield
    finally:
        for backend, own in zip(backends, before, strict=True):
            backend.fp32_precision = own


def _device(name: str) -> torch.device:
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device is {name!r}, which torch cannot use here: {error}") from None
