"""Where the linear layers of a member lie in its row of the flat parameter buffer."""

from dataclasses import dataclass

import torch

NEGATIVE_SLOPE = 0.1
"""Slope of the leaky ReLU below zero (arXiv 2502.16282, released code)."""


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

    @property
    def end(self) -> int:
        """The column behind it."""
        return self.offset + self.size

    def view(self, buffer: torch.Tensor) -> torch.Tensor:
        """The layer's block of a flat buffer [m, P], as a view [m, rows, columns + 1]."""
        block = buffer[:, self.offset : self.end]
        return block.view(buffer.shape[0], self.rows, self.columns + 1)

    def apply(self, buffer: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The layer on x [m, columns, n]: [m, rows, n], differentiable by both."""
        weight = self.view(buffer)
        return torch.baddbmm(weight[:, :, -1:], weight[:, :, :-1], x)


@dataclass(frozen=True)
class Tower:
    """An encoder's hidden layers and its linear head.

    Attributes:
        hidden: from the inputs on.
        head: on the last of them.
        slope: of the hidden layers' leaky ReLU below zero; 1 where they are linear.
    """

    hidden: tuple[Layer, ...]
    head: Layer
    slope: float = NEGATIVE_SLOPE

    @property
    def span(self) -> slice:
        """The tower's columns of the flat buffer (one contiguous range)."""
        return slice(self.hidden[0].offset, self.head.end)
