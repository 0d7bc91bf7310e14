"""Shapes of MLP encoders, paired or alone, and their layers in the flat parameter buffer."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import torch

from raysweep.errors import InputError
from raysweep.models.initial import draw_linear, draw_members, pack_streams, tower_stream
from raysweep.models.layout import Layer, Tower, clipped_spans, head_names
from raysweep.models.mlp import forward_tower, hidden_buffers, with_ones


@dataclass(frozen=True)
class MultimodalShape:
    """Sizes of two or more MLP encoders with linear heads and a linear head on all of them.

    Every encoder has `depth` hidden layers of `width` leaky-ReLU units (slope 0.1 below zero);
    the last hidden layer is the representation. Members of a pack share one shape. An
    `raysweep.models.architecture.Architecture`; its `forward` keeps no graph for gradients.

    Attributes:
        d1, d2: inputs of modality 1 and 2.
        classes: number of classes, >= 2.
        depth_1, width_1: of encoder 1.
        depth_2, width_2: of encoder 2 and of every further one.
        further: inputs of modality 3, 4, ...

    Raises:
        InputError: a size below 1, or fewer than two classes.
    """

    d1: int
    d2: int
    classes: int
    depth_1: int
    depth_2: int
    width_1: int
    width_2: int
    further: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _check_sizes(self)

    @property
    def inputs(self) -> tuple[int, ...]:
        """Inputs of each modality."""
        return (self.d1, self.d2, *self.further)

    @property
    def depths(self) -> tuple[int, ...]:
        """Hidden layers of each encoder."""
        return (self.depth_1, *[self.depth_2] * (len(self.inputs) - 1))

    @property
    def widths(self) -> tuple[int, ...]:
        """Features of each representation."""
        return (self.width_1, *[self.width_2] * (len(self.inputs) - 1))

    @property
    def heads(self) -> tuple[str, ...]:
        """See `Architecture.heads`."""
        return head_names(len(self.inputs))

    @property
    def activations(self) -> int:
        """See `Architecture.activations`."""
        return sum(depth * width for depth, width in zip(self.depths, self.widths, strict=True))

    @cached_property
    def towers(self) -> tuple[Tower, ...]:
        """Each encoder with its head, one after another."""
        towers: list[Tower] = []
        for inputs, depth, width in zip(self.inputs, self.depths, self.widths, strict=True):
            start = towers[-1].span.stop if towers else 0
            towers.append(_tower(start, inputs, depth, width, self.classes))
        return tuple(towers)

    @cached_property
    def fused_head(self) -> Layer:
        """The linear head on all representations [h1; h2; ...]."""
        return Layer(self.towers[-1].span.stop, self.classes, sum(self.widths))

    @cached_property
    def parameter_count(self) -> int:
        """Parameters of one member: all encoders and their heads."""
        return self.fused_head.offset + self.fused_head.size

    @property
    def frozen_columns(self) -> np.ndarray:
        """See `Architecture.frozen_columns`: all is trained."""
        return np.empty(0, dtype=np.int64)

    def spans(self, alignment_parameters: int) -> tuple[slice, ...]:
        """See `Architecture.spans`."""
        towers = [tower.span for tower in self.towers]
        fused = slice(towers[-1].stop, self.parameter_count)
        return clipped_spans(towers, fused, alignment_parameters)

    def initial_parameters(self, seeds: Iterable[int]) -> torch.Tensor:
        """See `Architecture.initial_parameters`; the distribution is that of `torch.nn.Linear`."""
        groups = [(*tower.hidden, tower.head) for tower in self.towers]
        draws = [draw_linear(group) for group in (*groups, (self.fused_head,))]
        return draw_members(draws, seeds, pack_streams(len(groups)))

    def forward(
        self, modality: int, parameters: torch.Tensor, x: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """See `Architecture.forward`."""
        return _run_tower(self.towers[modality - 1], parameters, x)

    def fused(self, parameters: torch.Tensor, *representations: torch.Tensor) -> torch.Tensor:
        """See `Architecture.fused`."""
        return self.fused_head.apply(parameters, torch.cat(representations, dim=1))


@dataclass(frozen=True)
class EncoderShape:
    """Sizes of one MLP encoder with its linear head, which is trained without a partner.

    Attributes:
        d: inputs.
        classes: number of classes, >= 2.
        depth, width: of the encoder, as in `MultimodalShape`.
        modality: 1 or 2: initial weights are those of that tower of a pair with the same seed.

    Raises:
        InputError: a size below 1, fewer than two classes, or another modality.
    """

    d: int
    classes: int
    depth: int
    width: int
    modality: int = 1

    def __post_init__(self) -> None:
        _check_sizes(self)
        if self.modality > 2:
            raise InputError(f"modality is {self.modality}; it must be 1 or 2")

    @property
    def heads(self) -> tuple[str, ...]:
        """The one head, by the name that it has in a pair."""
        return (str(self.modality),)

    @cached_property
    def towers(self) -> tuple[Tower]:
        """The encoder and its head."""
        return (_tower(0, self.d, self.depth, self.width, self.classes),)

    @cached_property
    def parameter_count(self) -> int:
        """Parameters of one member."""
        return self.towers[0].span.stop

    @property
    def frozen_columns(self) -> np.ndarray:
        """See `Architecture.frozen_columns`: all is trained."""
        return np.empty(0, dtype=np.int64)

    def spans(self, alignment_parameters: int = 0) -> tuple[slice, ...]:
        """Column ranges that are clipped together: all parameters."""
        return (self.towers[0].span,)

    def initial_parameters(self, seeds: Iterable[int]) -> torch.Tensor:
        """See `Architecture.initial_parameters`; those of the tower in a pair."""
        (tower,) = self.towers
        streams = [tower_stream(self.modality)]
        return draw_members([draw_linear((*tower.hidden, tower.head))], seeds, streams)

    def forward(
        self, parameters: torch.Tensor, x: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Hidden layers, each [m, width, n], and logits [m, classes, n] of inputs [m, n, d]."""
        return _run_tower(self.towers[0], parameters, x)


def _check_sizes(shape: MultimodalShape | EncoderShape) -> None:
    for field in fields(shape):
        least = 2 if field.name == "classes" else 1
        given = getattr(shape, field.name)
        for value in given if isinstance(given, tuple) else (given,):
            if value < least:
                raise InputError(f"{field.name} is {value}; it must be at least {least}")


def _run_tower(
    tower: Tower, parameters: torch.Tensor, x: torch.Tensor
) -> tuple[list[torch.Tensor], torch.Tensor]:
    below = with_ones(x).transpose(1, 2)
    hidden = hidden_buffers(tower, x.shape[0], x.shape[1], x.dtype, x.device)
    with torch.no_grad():
        forward_tower([layer.view(parameters) for layer in tower.hidden], below, hidden)
        logits = torch.bmm(tower.head.view(parameters), hidden[-1])
    return [layer[:, :-1] for layer in hidden], logits


def _tower(start: int, inputs: int, depth: int, width: int, classes: int) -> Tower:
    hidden = []
    for _ in range(depth):
        layer = Layer(start, width, inputs)
        hidden.append(layer)
        start, inputs = start + layer.size, width
    return Tower(tuple(hidden), Layer(start, classes, width))
