"""MLP encoders and their layers in the flat parameter buffer."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch.nn.functional import leaky_relu

from raysweep.errors import InputError
from raysweep.models.architecture import Architecture
from raysweep.models.initial import draw_linear
from raysweep.models.layout import NEGATIVE_SLOPE, Layer, Tower
from raysweep.models.mlp import forward_tower, hidden_buffers, with_ones


@dataclass(frozen=True)
class MLP:
    """An `Encoder` of leaky-ReLU layers, the last one the representation.

    Attributes:
        inputs: features of the modality.
        layers: number of hidden layers.
        width: units of each.
        slope: of the leaky ReLU below zero; 1 for linear layers.
    """

    inputs: int
    layers: int
    width: int
    slope: float = NEGATIVE_SLOPE
    dropout: ClassVar[float] = 0.0

    def hidden(self, start: int) -> tuple[Layer, ...]:
        """The layers, in a buffer in which they begin at `start`."""
        found: list[Layer] = []
        for index in range(self.layers):
            columns = self.width if index else self.inputs
            found.append(Layer(found[-1].end if index else start, self.width, columns))
        return tuple(found)

    @property
    def parameter_count(self) -> int:
        """Parameters of one member."""
        return self.hidden(0)[-1].end

    @property
    def frozen_columns(self) -> np.ndarray:
        """See `Encoder.frozen_columns`: all is trained."""
        return np.empty(0, dtype=np.int64)

    @property
    def activations(self) -> int:
        """See `Encoder.activations`."""
        return self.layers * self.width

    def initial_parameters(self, stream: np.random.Generator) -> np.ndarray:
        """See `Encoder.initial_parameters`; the distribution is that of `torch.nn.Linear`."""
        return draw_linear(self.hidden(0))(stream)

    def forward(
        self, parameters: torch.Tensor, x: torch.Tensor, keys: torch.Tensor | None = None
    ) -> list[torch.Tensor]:
        """See `StackedEncoder.forward`."""
        layers: list[torch.Tensor] = []
        for layer in self.hidden(0):
            weight = layer.view(parameters)
            x = leaky_relu(
                torch.baddbmm(weight[:, None, :, -1], x, weight[:, :, :-1].mT), self.slope
            )
            layers.append(x.mT)
        return layers


class MultimodalShape(Architecture):
    """MLPs of one or more modalities; `forward` keeps no graph for gradients.

    Args:
        inputs: features of each modality.
        classes: number of classes, or 1 where heads predict a number.
        depths: hidden layers of each encoder.
        widths: units of each layer of each encoder.
        first: see `Architecture`.
        slope: of the leaky ReLU below zero; 1 for linear layers.

    Raises:
        InputError: a size below 1.
    """

    encoders: tuple[MLP, ...]

    def __init__(
        self,
        inputs: Sequence[int],
        classes: int,
        depths: Sequence[int],
        widths: Sequence[int],
        first: int = 1,
        slope: float = NEGATIVE_SLOPE,
    ) -> None:
        sizes = zip(inputs, depths, widths, strict=True)
        super().__init__(tuple(MLP(*size, slope) for size in sizes), classes, first=first)
        checked = [("classes", classes, 1), ("modalities", len(inputs), 1), ("first", first, 1)]
        for name, values in (("inputs", inputs), ("depth", depths), ("width", widths)):
            checked += [(f"{name}_{n}", v, 1) for n, v in zip(self.numbers, values, strict=True)]
        for name, value, least in checked:
            if value < least:
                raise InputError(f"{name} is {value}; it must be at least {least}")

    @cached_property
    def towers(self) -> tuple[Tower, ...]:
        """Each encoder with its head, one after another."""
        return tuple(
            Tower(encoder.hidden(head.offset - encoder.parameter_count), head, encoder.slope)
            for encoder, head in zip(self.encoders, self.head_layers, strict=False)
        )

    def forward(
        self,
        modality: int,
        parameters: torch.Tensor,
        x: torch.Tensor,
        keys: torch.Tensor | None = None,
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """See `Architecture.forward`."""
        tower = self.towers[modality - 1]
        below = with_ones(x).transpose(1, 2)
        hidden = hidden_buffers(tower, x.shape[0], x.shape[1], x.dtype, x.device)
        with torch.no_grad():
            weights = [layer.view(parameters) for layer in tower.hidden]
            forward_tower(weights, below, hidden, tower.slope)
            logits = torch.bmm(tower.head.view(parameters), hidden[-1])
        return [layer[:, :-1] for layer in hidden], logits
