"""Encoders of stacked weights, one a modality, with the same heads; trained by autograd."""

from dataclasses import dataclass
from typing import Protocol

import torch

from raysweep.models.architecture import Architecture, Encoder
from raysweep.models.dropout import derived


class StackedEncoder(Encoder, Protocol):
    """One modality's encoder, which runs all members of a pack at once."""

    @property
    def dropout(self) -> float:
        """Probability in training."""
        ...

    def forward(
        self, parameters: torch.Tensor, x: torch.Tensor, keys: torch.Tensor | None = None
    ) -> list[torch.Tensor]:
        """The layers, the representation last.

        Args:
            parameters: [m, parameter_count].
            x: [m, n, inputs].
            keys: [m] of `raysweep.models.dropout`, of this step; None where nothing is dropped.

        Returns:
            Each [m, width, n], differentiable by the parameters.
        """
        ...


@dataclass(frozen=True)
class StackedEncoders(Architecture):
    """Transformers, convolutions and MLPs; `forward` is differentiable by the parameters."""

    encoders: tuple[StackedEncoder, ...]

    @property
    def drops(self) -> bool:
        """See `Architecture.drops`."""
        return any(encoder.dropout for encoder in self.encoders)

    @property
    def in_parts(self) -> bool:
        """See `Architecture.in_parts`."""
        return True

    def forward(
        self,
        modality: int,
        parameters: torch.Tensor,
        x: torch.Tensor,
        keys: torch.Tensor | None = None,
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """See `Architecture.forward`."""
        encoder, head = self.encoders[modality - 1], self.head_layers[modality - 1]
        own = parameters[:, head.offset - encoder.parameter_count : head.offset]
        # By the number of the modality in its study: alone an encoder drops as in a pair.
        keys = None if keys is None else derived(keys, self.numbers[modality - 1])
        hidden = encoder.forward(own, x, keys)
        return hidden, head.apply(parameters, hidden[-1])
