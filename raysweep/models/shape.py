"""Shapes of MLP encoders, paired or alone, and their layers in the flat parameter buffer."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import ClassVar

import torch

from raysweep.errors import InputError
from raysweep.models.initial import draw_linear, draw_members
from raysweep.models.layout import PAIR_HEADS, Layer, Tower, four_spans
from raysweep.models.mlp import forward_tower, hidden_buffers, with_ones


@dataclass(frozen=True)
class PairShape:
    """Sizes of a pair of MLP encoders with linear heads and a linear head on both.

    Every encoder has `depth` hidden layers of `width` leaky-ReLU units (slope 0.1 below zero);
    the last hidden layer is the representation. Members of a pack share one shape. An
    `raysweep.models.architecture.Architecture`; its `forward` keeps no graph for gradients.

    Raises:
        InputError: a size below 1, or fewer than two classes.
    """

    heads: ClassVar[tuple[str, ...]] = PAIR_HEADS

    d1: int
    d2: int
    classes: int
    depth_1: int
    depth_2: int
    width_1: int
    width_2: int

    def __post_init__(self) -> None:
        _check_sizes(self)

    @cached_property
    def towers(self) -> tuple[Tower, Tower]:
        """Encoder 1 with head 1, then encoder 2 with head 2."""
        first = _tower(0, self.d1, self.depth_1, self.width_1, self.classes)
        start = first.span.stop
        return first, _tower(start, self.d2, self.depth_2, self.width_2, self.classes)

    @cached_property
    def fused_head(self) -> Layer:
        """The linear head on both representations [h1; h2]."""
        return Layer(self.towers[1].span.stop, self.classes, self.width_1 + self.width_2)

    @cached_property
    def parameter_count(self) -> int:
        """Parameters of one member: both encoders and the three heads."""
        return self.fused_head.offset + self.fused_head.size

    def spans(self, alignment_parameters: int) -> tuple[slice, ...]:
        """See `Architecture.spans`."""
        first, second = (tower.span for tower in self.towers)
        fused = slice(second.stop, self.parameter_count)
        return four_spans(first, second, fused, alignment_parameters)

    def initial_parameters(self, seeds: Iterable[int]) -> torch.Tensor:
        """See `Architecture.initial_parameters`; the distribution is that of `torch.nn.Linear`."""
        groups = [(*tower.hidden, tower.head) for tower in self.towers]
        return draw_members([draw_linear(g) for g in (*groups, (self.fused_head,))], seeds)

    def forward(
        self, modality: int, parameters: torch.Tensor, x: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """See `Architecture.forward`."""
        return _run_tower(self.towers[modality - 1], parameters, x)

    def fused(self, parameters: torch.Tensor, h1: torch.Tensor, h2: torch.Tensor) -> torch.Tensor:
        """See `Architecture.fused`."""
        return self.fused_head.apply(parameters, torch.cat((h1, h2), dim=1))


@dataclass(frozen=True)
class EncoderShape:
    """Sizes of one MLP encoder with its linear head, which is trained without a partner.

    Attributes:
        d: inputs.
        classes: number of classes, >= 2.
        depth, width: of the encoder, as in `PairShape`.
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

    def spans(self, alignment_parameters: int = 0) -> tuple[slice, ...]:
        """Column ranges that are clipped together: all parameters."""
        return (self.towers[0].span,)

    def initial_parameters(self, seeds: Iterable[int]) -> torch.Tensor:
        """See `Architecture.initial_parameters`; those of the tower in a pair."""
        (tower,) = self.towers
        return draw_members([draw_linear((*tower.hidden, tower.head))], seeds, self.modality - 1)

    def forward(
        self, parameters: torch.Tensor, x: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Hidden layers, each [m, width, n], and logits [m, classes, n] of inputs [m, n, d]."""
        return _run_tower(self.towers[0], parameters, x)


def _check_sizes(shape: PairShape | EncoderShape) -> None:
    for field in fields(shape):
        least = 2 if field.name == "classes" else 1
        value = getattr(shape, field.name)
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
