"""Where the linear layers of a member lie in its row of the flat parameter buffer."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

NEGATIVE_SLOPE = 0.1
"""Slope of the leaky ReLU below zero (arXiv 2502.16282, released code)."""


def head_names(modalities: int) -> tuple[str, ...]:
    """The heads in the order of their logits: 1, 2, ..., fused."""
    return (*(str(number) for number in range(1, modalities + 1)), "fused")


@dataclass(frozen=True)
class Layer:
    """One linear layer: the block [rows, columns + 1] at `offset`, its last column the bias."""

    offset: int
    rows: int
    columns: int

    @property
    def size(self) -> int:
        """Number of parameters, bias included."""
        return self.rows * (self.columns + 1)

    def view(self, buffer: torch.Tensor) -> torch.Tensor:
        """The layer's block of a flat buffer [m, P], as a view [m, rows, columns + 1]."""
        block = buffer[:, self.offset : self.offset + self.size]
        return block.view(buffer.shape[0], self.rows, self.columns + 1)

    def apply(self, buffer: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The layer on x [m, columns, n]: [m, rows, n], differentiable by both."""
        weight = self.view(buffer)
        return torch.baddbmm(weight[:, :, -1:], weight[:, :, :-1], x)


@dataclass(frozen=True)
class Tower:
    """An encoder's hidden layers and its linear head."""

    hidden: tuple[Layer, ...]
    head: Layer

    @property
    def span(self) -> slice:
        """The tower's columns of the flat buffer (one contiguous range)."""
        return slice(self.hidden[0].offset, self.head.offset + self.head.size)


def clipped_spans(towers: Sequence[slice], fused: slice, alignment: int) -> tuple[slice, ...]:
    """Column ranges that are clipped together; none for the alignment loss without parameters."""
    spans = (*towers, fused)
    return (*spans, slice(fused.stop, fused.stop + alignment)) if alignment else spans
