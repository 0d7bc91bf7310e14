"""What the trainer and the evaluation ask of a pair of encoders with three heads."""

from collections.abc import Iterable
from typing import Protocol

import torch


class Architecture(Protocol):
    """A pair of encoders, their heads and the fused head; members are rows of one flat buffer.

    Nothing may mix members: what is computed from row i depends on row i alone.
    """

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads in the order of their logits: 1, 2, fused."""
        ...

    @property
    def d1(self) -> int:
        """Inputs of modality 1."""
        ...

    @property
    def d2(self) -> int:
        """Inputs of modality 2."""
        ...

    @property
    def classes(self) -> int:
        """Number of classes."""
        ...

    @property
    def width_1(self) -> int:
        """Features of modality 1's representation."""
        ...

    @property
    def width_2(self) -> int:
        """Features of modality 2's representation."""
        ...

    @property
    def depth_1(self) -> int:
        """Hidden layers of encoder 1."""
        ...

    @property
    def depth_2(self) -> int:
        """Hidden layers of encoder 2."""
        ...

    @property
    def parameter_count(self) -> int:
        """Parameters of one member: both encoders and the three heads."""
        ...

    def spans(self, alignment_parameters: int) -> tuple[slice, ...]:
        """Column ranges that are clipped together: tower 1, tower 2, fused head, alignment.

        Args:
            alignment_parameters: number of parameters of the alignment loss, behind all others
                in the buffer; with 0 there is no fourth range.
        """
        ...

    def initial_parameters(self, seeds: Iterable[int]) -> torch.Tensor:
        """Initial parameters [m, P], float64 on the CPU, each row from its own seed (>= 0)."""
        ...

    def forward(
        self, modality: int, parameters: torch.Tensor, x: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Run one encoder and its head.

        Args:
            modality: 1 or 2.
            parameters: [m, at least P].
            x: inputs [m, n, d].

        Returns:
            The hidden layers, each [m, features, n], the last one the representation, and the
            logits [m, classes, n].
        """
        ...

    def fused(self, parameters: torch.Tensor, h1: torch.Tensor, h2: torch.Tensor) -> torch.Tensor:
        """Logits [m, classes, n] of the fused head on representations [m, width, n]."""
        ...
