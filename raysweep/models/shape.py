"""Shape of a pair of encoders, and where each of its layers lies in the flat parameter buffer."""

from dataclasses import dataclass, fields
from functools import cached_property

import torch

from raysweep.errors import InputError

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

    def view(self, buffer: torch.Tensor) -> torch.Tensor:
        """The layer's block of a flat buffer [m, P], as a view [m, rows, columns + 1]."""
        block = buffer[:, self.offset : self.offset + self.size]
        return block.view(buffer.shape[0], self.rows, self.columns + 1)


@dataclass(frozen=True)
class Tower:
    """An encoder's hidden layers and its linear head."""

    hidden: tuple[Layer, ...]
    head: Layer

    @property
    def span(self) -> slice:
        """The tower's columns of the flat buffer (one contiguous range)."""
        return slice(self.hidden[0].offset, self.head.offset + self.head.size)


@dataclass(frozen=True)
class PairShape:
    """Sizes of a pair of MLP encoders with linear heads and a linear head on both.

    Every encoder has `depth` hidden layers of `width` leaky-ReLU units (slope 0.1 below zero);
    the last hidden layer is the representation. Members of a pack share one shape.

    Raises:
        InputError: a size below 1, or fewer than two classes.
    """

    d1: int
    d2: int
    classes: int
    depth_1: int
    depth_2: int
    width_1: int
    width_2: int

    def __post_init__(self) -> None:
        for field in fields(self):
            least = 2 if field.name == "classes" else 1
            value = getattr(self, field.name)
            if value < least:
                raise InputError(f"{field.name} is {value}; it must be at least {least}")

    @cached_property
    def towers(self) -> tuple[Tower, Tower]:
        """Encoder 1 with head 1, then encoder 2 with head 2."""
        first = _tower(0, self.d1, self.depth_1, self.width_1, self.classes)
        start = first.span.stop
        return first, _tower(start, self.d2, self.depth_2, self.width_2, self.classes)

    @cached_property
    def fused(self) -> Layer:
        """The linear head on both representations [h1; h2]."""
        return Layer(self.towers[1].span.stop, self.classes, self.width_1 + self.width_2)

    @cached_property
    def parameter_count(self) -> int:
        """Parameters of one member: both encoders and the three heads."""
        return self.fused.offset + self.fused.size

    def spans(self, alignment_parameters: int) -> tuple[slice, ...]:
        """Column ranges that are clipped together: tower 1, tower 2, fused head, alignment.

        Args:
            alignment_parameters: number of parameters of the alignment loss, behind all others
                in the buffer; with 0 there is no fourth range.
        """
        first, second = self.towers
        end = self.parameter_count
        spans: tuple[slice, ...] = (first.span, second.span, slice(second.span.stop, end))
        if alignment_parameters:
            spans += (slice(end, end + alignment_parameters),)
        return spans


def _tower(start: int, inputs: int, depth: int, width: int, classes: int) -> Tower:
    hidden = []
    for _ in range(depth):
        layer = Layer(start, width, inputs)
        hidden.append(layer)
        start, inputs = start + layer.size, width
    return Tower(tuple(hidden), Layer(start, classes, width))
