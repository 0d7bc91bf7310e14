"""Transformers, one a modality, with the same heads as the MLPs; trained by autograd."""

from dataclasses import dataclass

import torch

from raysweep.models.architecture import Architecture
from raysweep.models.dropout import derived
from raysweep.models.transformer import Transformer


@dataclass(frozen=True)
class Transformers(Architecture):
    """Transformers, however many; `forward` is differentiable by the parameters."""

    encoders: tuple[Transformer, ...]

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
