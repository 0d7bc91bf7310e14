"""What the trainer and the evaluation ask of the encoders of two or more modalities."""

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import torch


class Architecture(Protocol):
    """An encoder a modality, their heads and the fused head; members are rows of one flat buffer.

    Nothing may mix members: what is computed from row i depends on row i alone.
    """

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads in the order of their logits: 1, 2, ..., fused."""
        ...

    @property
    def inputs(self) -> tuple[int, ...]:
        """Inputs of each modality."""
        ...

    @property
    def classes(self) -> int:
        """Number of classes."""
        ...

    @property
    def widths(self) -> tuple[int, ...]:
        """Features of each modality's representation."""
        ...

    @property
    def depths(self) -> tuple[int, ...]:
        """Hidden layers of each encoder."""
        ...

    @property
    def parameter_count(self) -> int:
        """Parameters of one member: all encoders and their heads."""
        ...

    @property
    def frozen_columns(self) -> np.ndarray:
        """Which parameters are never trained: int64 columns, mostly none."""
        ...

    @property
    def activations(self) -> int:
        """Numbers that the encoders' forward passes make of a row."""
        ...

    def spans(self, alignment_parameters: int) -> tuple[slice, ...]:
        """Column ranges clipped together: tower 1, tower 2, ..., fused head, alignment.

        Args:
            alignment_parameters: number of parameters of the alignment loss, behind all others
                in the buffer; with 0 there is no such range.
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
            modality: 1, 2, ...
            parameters: [m, at least P].
            x: inputs [m, n, d].

        Returns:
            The hidden layers, each [m, features, n], the last one the representation, and the
            logits [m, classes, n].
        """
        ...

    def fused(self, parameters: torch.Tensor, *representations: torch.Tensor) -> torch.Tensor:
        """Logits [m, classes, n] of the fused head on all representations [m, width, n]."""
        ...
