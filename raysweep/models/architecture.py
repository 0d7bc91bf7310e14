"""Encoders, one a modality, with their heads: what the trainer and the evaluation ask of them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Protocol

import numpy as np
import torch

from raysweep.models.initial import FUSED_STREAM, Draw, draw_linear, draw_members, tower_stream
from raysweep.models.layout import Layer


class Encoder(Protocol):
    """One modality's encoder."""

    @property
    def inputs(self) -> int:
        """Features of the modality."""
        ...

    @property
    def width(self) -> int:
        """Features of the representation."""
        ...

    @property
    def layers(self) -> int:
        """Hidden layers that it shows, the last one the representation."""
        ...

    @property
    def parameter_count(self) -> int:
        """Parameters of one member."""
        ...

    @property
    def frozen_columns(self) -> np.ndarray:
        """Which of them are never trained: int64, mostly none."""
        ...

    @property
    def activations(self) -> int:
        """Numbers that the forward pass makes of a row."""
        ...

    def initial_parameters(self, stream: np.random.Generator) -> np.ndarray:
        """One member's initial parameters, [parameter_count], float64."""
        ...


@dataclass(frozen=True)
class Architecture(ABC):
    """An encoder a modality, each with a linear head, and a linear head on all representations.

    An encoder that is trained alone has no fused head. Members are rows of one flat buffer: encoder
    1, its head, encoder 2, its head, ..., the fused head. Nothing may mix members: what is computed
    from row i depends on row i alone.

    Attributes:
        encoders: of modality 1, 2, ...; one or more.
        classes: number of classes, or 1 where heads predict a number.
        first: number of the first modality in the names of heads and in the streams of initial
            weights: encoder 2 of a pair starts from the same weights if it is trained alone.
    """

    encoders: tuple[Encoder, ...]
    classes: int
    first: int = field(default=1, kw_only=True)

    @property
    def numbers(self) -> range:
        """Numbers of the modalities."""
        return range(self.first, self.first + len(self.encoders))

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads in the order of their logits: 1, 2, ..., fused; the last decides."""
        own = tuple(map(str, self.numbers))
        return own if self.fused_head is None else (*own, "fused")

    @property
    def inputs(self) -> tuple[int, ...]:
        """Inputs of each modality."""
        return tuple(encoder.inputs for encoder in self.encoders)

    @property
    def widths(self) -> tuple[int, ...]:
        """Features of each representation."""
        return tuple(encoder.width for encoder in self.encoders)

    @property
    def depths(self) -> tuple[int, ...]:
        """Hidden layers of each encoder."""
        return tuple(encoder.layers for encoder in self.encoders)

    @cached_property
    def activations(self) -> int:
        """Numbers that the encoders' forward passes make of a row."""
        return sum(encoder.activations for encoder in self.encoders)

    @cached_property
    def head_layers(self) -> tuple[Layer, ...]:
        """The layers of all heads, in their order; each encoder lies before its own."""
        layers, end = [], 0
        for encoder in self.encoders:
            layers.append(Layer(end + encoder.parameter_count, self.classes, encoder.width))
            end = layers[-1].end
        if len(layers) > 1:
            layers.append(Layer(end, self.classes, sum(self.widths)))
        return tuple(layers)

    @property
    def fused_head(self) -> Layer | None:
        """The linear head on all representations [h1; h2; ...]; None for an encoder alone."""
        return self.head_layers[-1] if len(self.encoders) > 1 else None

    @cached_property
    def fused_parts(self) -> tuple[slice, ...]:
        """Columns of the fused head that act on each representation; the bias is behind them."""
        ends = accumulate(self.widths, initial=0)
        return () if self.fused_head is None else tuple(slice(*part) for part in pairwise(ends))

    @property
    def parameter_count(self) -> int:
        """Parameters of one member: all encoders and their heads."""
        return self.head_layers[-1].end

    @cached_property
    def frozen_columns(self) -> np.ndarray:
        """Which parameters are never trained: int64 columns, mostly none."""
        return np.concatenate(
            [
                encoder.frozen_columns + head.offset - encoder.parameter_count
                for encoder, head in zip(self.encoders, self.head_layers, strict=False)
            ]
        )

    def spans(self, alignment_parameters: int) -> tuple[slice, ...]:
        """Column ranges clipped together: tower 1, tower 2, ..., fused head, alignment.

        Args:
            alignment_parameters: number of parameters of the alignment loss, behind all others
                in the buffer; with 0 there is no such range.
        """
        ends = [0, *(head.end for head in self.head_layers)]
        if alignment_parameters:
            ends.append(ends[-1] + alignment_parameters)
        return tuple(slice(*span) for span in pairwise(ends))

    def initial_parameters(self, seeds: Iterable[int]) -> torch.Tensor:
        """Initial parameters [m, P], float64 on the CPU, each row from its own seed (>= 0)."""
        groups = {
            tower_stream(number): _draw_tower(encoder, head)
            for number, encoder, head in zip(
                self.numbers, self.encoders, self.head_layers, strict=False
            )
        }
        if self.fused_head is not None:
            groups[FUSED_STREAM] = draw_linear((self.fused_head,))
        return draw_members(groups, seeds)

    @property
    def drops(self) -> bool:
        """Whether a step of training drops something (`raysweep.models.dropout`)."""
        return False

    @property
    def in_parts(self) -> bool:
        """Whether `forward` bounds its memory by itself where no graph is kept."""
        return False

    @abstractmethod
    def forward(
        self,
        modality: int,
        parameters: torch.Tensor,
        x: torch.Tensor,
        keys: torch.Tensor | None = None,
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Run one encoder and its head.

        Args:
            modality: 1, 2, ..., in the order of the encoders.
            parameters: [m, at least P].
            x: inputs [m, n, d].
            keys: [m] of the dropout of a step of training; None where nothing is dropped.

        Returns:
            The hidden layers, each [m, features, n], the last one the representation, and the
            logits [m, classes, n].
        """

    def fused(self, parameters: torch.Tensor, *representations: torch.Tensor) -> torch.Tensor:
        """Logits [m, classes, n] of the fused head on all representations [m, width, n]."""
        return self.head_layers[-1].apply(parameters, torch.cat(representations, dim=1))


def _draw_tower(encoder: Encoder, head: Layer) -> Draw:
    """Draws an encoder and its head."""

    def draw(stream: np.random.Generator) -> np.ndarray:
        return np.concatenate((encoder.initial_parameters(stream), draw_linear((head,))(stream)))

    return draw
