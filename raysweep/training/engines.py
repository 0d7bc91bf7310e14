"""Which engine trains a pack."""

from collections.abc import Callable
from functools import partial

import torch

from raysweep.errors import InputError
from raysweep.models.architecture import Architecture
from raysweep.models.layout import NEGATIVE_SLOPE
from raysweep.models.shape import MultimodalShape
from raysweep.training.engine import PackEngine
from raysweep.training.inputs import TrainSettings
from raysweep.training.passes import ByAutograd, HandWritten
from raysweep.training.torch_engine import TorchEngine
from raysweep.trials.tasks import Task


def engine_for(
    shape: Architecture,
    settings: TrainSettings,
    task: Task = Task.CLASSIFICATION,
    lacking: bool = False,
) -> Callable[..., PackEngine]:
    """The engine that the settings name, or the fastest that applies.

    Args:
        shape: of the members.
        settings: of the pack.
        task: what they learn.
        lacking: whether rows lack a modality.

    Returns:
        What makes it: (shape, members, data, settings, loss, initial parameters) -> engine.

    Raises:
        InputError: the engine that is named cannot train this, or an encoder has no such layer as
            the alignment loss is to compare.
    """
    layer = _compared_layer(shape, settings)
    refusal = kernel_refusal(shape, settings, layer, task, lacking)
    if settings.engine != "torch" and not refusal:
        try:
            from raysweep.training.kernel_cache import compiled_engine

            return compiled_engine
        except ImportError as error:
            refusal = f" but Numba cannot be imported ({error}); install it, or take engine 'torch'"
            refusal += " or 'auto'"
    if settings.engine == "kernel":
        raise InputError(f"engine is 'kernel'{refusal}")
    joint = settings.fusion == "joint"
    if isinstance(shape, MultimodalShape):
        return partial(TorchEngine, HandWritten(shape, joint, layer))
    return partial(TorchEngine, ByAutograd(shape, joint, layer))


def kernel_refusal(
    shape: Architecture,
    settings: TrainSettings,
    layer: int | None,
    task: Task,
    lacking: bool = False,
) -> str:
    """Why the kernel cannot train this, in words for people; empty where it can.

    Args:
        shape: of the members.
        settings: of the pack.
        layer: that the alignment loss compares; None for the last one.
        task: what they learn.
        lacking: whether rows lack a modality.
    """
    if not isinstance(shape, MultimodalShape) or any(
        encoder.slope != NEGATIVE_SLOPE for encoder in shape.encoders
    ):
        return ", which trains mlp encoders only; take 'auto'"
    if task is not Task.CLASSIFICATION:
        why = f" and the task is {task}; the kernel trains classification"
    elif lacking:
        why = " and rows lack a modality; the kernel trains complete rows"
    elif settings.class_weight != "none":
        why = f" and class_weight is {settings.class_weight!r}; the kernel counts rows alike"
    elif len(shape.inputs) > 2:
        why = f" and there are {len(shape.inputs)} modalities; the kernel trains two"
    elif layer is not None:
        why = f" and layer is {layer}; the kernel aligns last layers only"
    elif torch.device(settings.device).type != "cpu":
        why = f" but device is {settings.device!r}; the kernel runs on the CPU"
    else:
        return ""
    return f"{why}, take engine 'torch' or 'auto'"


def _compared_layer(shape: Architecture, settings: TrainSettings) -> int | None:
    """The hidden layer that the alignment loss compares; None for the last of all encoders.

    Raises:
        InputError: an encoder has no such layer.
    """
    layer, depths = settings.layer, shape.depths
    if layer is None or set(depths) == {layer}:
        return None
    if layer > min(depths):
        words = " and ".join(map(str, depths))
        raise InputError(f"layer is {layer}; all encoders need it, and their depths are {words}")
    return layer
