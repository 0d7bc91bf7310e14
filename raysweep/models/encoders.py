"""A user's own encoders, one a modality, with the same heads as the MLPs; trained by autograd."""

from dataclasses import dataclass

import torch

from raysweep.models.architecture import Architecture
from raysweep.models.custom import CustomEncoder


@dataclass(frozen=True)
class EncoderPair(Architecture):
    """A user's own encoders, however many; `forward` is differentiable by the parameters."""

    encoders: tuple[CustomEncoder, ...]

    @property
    def capturable(self) -> bool:
        """Whether all encoders say that a CUDA graph can hold them."""
        return all(encoder.capturable for encoder in self.encoders)

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
        hidden = encoder.forward(own, x)
        return hidden, head.apply(parameters, hidden[-1])
