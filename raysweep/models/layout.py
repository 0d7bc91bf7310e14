"""Where the linear layers of a member lie in its row of the flat parameter buffer."""

from dataclasses import dataclass

import torch

NEGATIVE_SLOPE = 0.1
"""Slope of the leaky ReLU below zero (arXiv 2502.16282, released code)."""

PAIR_HEADS = ("1", "2", "fused")
"""The heads of a pair in the order of their logits."""


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


def four_spans(first: slice, second: slice, fused: slice, alignment: int) -> tuple[slice, ...]:
    """Column ranges that are clipped together; none for the alignment loss without parameters."""
    spans = (first, second, fused)
    return (*spans, slice(fused.stop, fused.stop + alignment)) if alignment else spans
