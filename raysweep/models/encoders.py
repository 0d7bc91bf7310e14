"""A user's own encoders, one a modality, with the same heads as the MLPs; trained by autograd."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch

from raysweep.models.custom import CustomEncoder
from raysweep.models.initial import Draw, draw_linear, draw_members, pack_streams
from raysweep.models.layout import Layer, clipped_spans, head_names


@dataclass(frozen=True)
class EncoderPair:
    """Encoders with a linear head each and a fused head: an `Architecture` for autograd.

    Attributes:
        encoders: of modality 1, 2, ...
        classes: number of classes, >= 2.
    """

    encoders: tuple[CustomEncoder, ...]
    classes: int

    @property
    def capturable(self) -> bool:
        """Whether all encoders say that a CUDA graph can hold them."""
        return all(encoder.capturable for encoder in self.encoders)

    @property
    def heads(self) -> tuple[str, ...]:
        """See `Architecture.heads`."""
        return head_names(len(self.encoders))

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
        """See `Architecture.activations`."""
        return sum(encoder.activations for encoder in self.encoders)

    @cached_property
    def head_layers(self) -> tuple[Layer, ...]:
        """The head of each modality and the fused head; each encoder lies before its head."""
        heads, end = [], 0
        for encoder in self.encoders:
            heads.append(Layer(end + encoder.parameter_count, self.classes, encoder.width))
            end = heads[-1].offset + heads[-1].size
        return (*heads, Layer(end, self.classes, sum(self.widths)))

    @property
    def parameter_count(self) -> int:
        """Parameters of one member: all encoders and their heads."""
        return self.head_layers[-1].offset + self.head_layers[-1].size

    @cached_property
    def frozen_columns(self) -> np.ndarray:
        """See `Architecture.frozen_columns`."""
        *heads, _ = self.head_layers
        return np.concatenate(
            [
                encoder.frozen_columns + head.offset - encoder.parameter_count
                for encoder, head in zip(self.encoders, heads, strict=True)
            ]
        )

    def spans(self, alignment_parameters: int) -> tuple[slice, ...]:
        """See `Architecture.spans`."""
        ends = [head.offset + head.size for head in self.head_layers]
        *towers, fused = (slice(*ends_of) for ends_of in pairwise([0, *ends]))
        return clipped_spans(towers, fused, alignment_parameters)

    def initial_parameters(self, seeds: Iterable[int]) -> torch.Tensor:
        """See `Architecture.initial_parameters`."""
        *heads, fused = self.head_layers
        towers = [_draw_tower(e, head) for e, head in zip(self.encoders, heads, strict=True)]
        return draw_members([*towers, draw_linear((fused,))], seeds, pack_streams(len(towers)))

    def forward(
        self, modality: int, parameters: torch.Tensor, x: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """See `Architecture.forward`; differentiable by the parameters."""
        encoder, head = self.encoders[modality - 1], self.head_layers[modality - 1]
        own = parameters[:, head.offset - encoder.parameter_count : head.offset]
        hidden = encoder.forward(own, x)
        return hidden, head.apply(parameters, hidden[-1])

    def fused(self, parameters: torch.Tensor, *representations: torch.Tensor) -> torch.Tensor:
        """See `Architecture.fused`."""
        return self.head_layers[-1].apply(parameters, torch.cat(representations, dim=1))


def _draw_tower(encoder: CustomEncoder, head: Layer) -> Draw:
    """Draws an encoder and its head."""

    def draw(stream: np.random.Generator) -> np.ndarray:
        return np.concatenate((encoder.initial_parameters(stream), draw_linear((head,))(stream)))

    return draw
