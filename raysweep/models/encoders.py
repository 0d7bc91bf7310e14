"""A pair of any two encoders, with the same heads as the MLP pair; trained by autograd."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol

import numpy as np
import torch

from raysweep.models.initial import draw_linear, draw_members
from raysweep.models.layout import PAIR_HEADS, Layer, four_spans


class Encoder(Protocol):
    """One modality's encoder, for all members of a pack at once."""

    @property
    def inputs(self) -> int:
        """Features of the modality."""
        ...

    @property
    def width(self) -> int:
        """Features of the representation."""
        ...

    @property
    def depth(self) -> int:
        """Number of layers that `forward` returns."""
        ...

    @property
    def parameter_count(self) -> int:
        """Parameters of one member."""
        ...

    def initial_parameters(self, stream: np.random.Generator) -> np.ndarray:
        """One member's initial parameters, [parameter_count]."""
        ...

    def forward(self, parameters: torch.Tensor, x: torch.Tensor) -> list[torch.Tensor]:
        """The layers that alignment may be measured on, the representation last.

        Args:
            parameters: [m, parameter_count].
            x: [m, n, inputs].

        Returns:
            Each [m, features, n], differentiable by the parameters; member i's part depends on
            row i of both alone.
        """
        ...


@dataclass(frozen=True)
class EncoderPair:
    """Two encoders with a linear head each and a fused head: an `Architecture` for autograd.

    Attributes:
        encoder_1, encoder_2: of the two modalities.
        classes: number of classes, >= 2.
    """

    heads: ClassVar[tuple[str, ...]] = PAIR_HEADS

    encoder_1: Encoder
    encoder_2: Encoder
    classes: int

    @property
    def d1(self) -> int:
        """Inputs of modality 1."""
        return self.encoder_1.inputs

    @property
    def d2(self) -> int:
        """Inputs of modality 2."""
        return self.encoder_2.inputs

    @property
    def width_1(self) -> int:
        """Features of modality 1's representation."""
        return self.encoder_1.width

    @property
    def width_2(self) -> int:
        """Features of modality 2's representation."""
        return self.encoder_2.width

    @property
    def depth_1(self) -> int:
        """Hidden layers of encoder 1."""
        return self.encoder_1.depth

    @property
    def depth_2(self) -> int:
        """Hidden layers of encoder 2."""
        return self.encoder_2.depth

    @cached_property
    def head_layers(self) -> tuple[Layer, Layer, Layer]:
        """Head 1, head 2 and the fused head; each encoder lies before its head."""
        first = Layer(self.encoder_1.parameter_count, self.classes, self.width_1)
        start = first.offset + first.size + self.encoder_2.parameter_count
        second = Layer(start, self.classes, self.width_2)
        fused = Layer(start + second.size, self.classes, self.width_1 + self.width_2)
        return first, second, fused

    @property
    def parameter_count(self) -> int:
        """Parameters of one member: both encoders and the three heads."""
        return self.head_layers[2].offset + self.head_layers[2].size

    def spans(self, alignment_parameters: int) -> tuple[slice, ...]:
        """See `Architecture.spans`."""
        ends = [head.offset + head.size for head in self.head_layers]
        groups = slice(0, ends[0]), slice(ends[0], ends[1]), slice(ends[1], ends[2])
        return four_spans(*groups, alignment_parameters)

    def initial_parameters(self, seeds: Iterable[int]) -> torch.Tensor:
        """See `Architecture.initial_parameters`."""

        def tower(encoder: Encoder, head: Layer, stream: np.random.Generator) -> np.ndarray:
            return np.concatenate(
                (encoder.initial_parameters(stream), draw_linear((head,))(stream))
            )

        first, second, fused = self.head_layers
        groups = [
            lambda stream: tower(self.encoder_1, first, stream),
            lambda stream: tower(self.encoder_2, second, stream),
            draw_linear((fused,)),
        ]
        return draw_members(groups, seeds)

    def forward(
        self, modality: int, parameters: torch.Tensor, x: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """See `Architecture.forward`; differentiable by the parameters."""
        encoder = (self.encoder_1, self.encoder_2)[modality - 1]
        head = self.head_layers[modality - 1]
        own = parameters[:, head.offset - encoder.parameter_count : head.offset]
        hidden = encoder.forward(own, x)
        return hidden, head.apply(parameters, hidden[-1])

    def fused(self, parameters: torch.Tensor, h1: torch.Tensor, h2: torch.Tensor) -> torch.Tensor:
        """See `Architecture.fused`."""
        return self.head_layers[2].apply(parameters, torch.cat((h1, h2), dim=1))
