"""Learned projection heads between the representations and any alignment loss.

The heads belong to the loss: they are trained by it alone and dropped afterwards, so alignment is
still measured on the representations themselves.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from raysweep.errors import InputError
from raysweep.objective.base import AlignmentLoss, LossOutput

Projection = Literal["auto", "none", "linear", "mlp"]
LEAK = 0.1


@dataclass(frozen=True)
class Head:
    """One side's projection, d_in -> d_out: affine, or affine, leaky ReLU, affine.

    The hidden layer of an `mlp` is as wide as its input (as in SimCLR, arXiv 2002.05709).

    Attributes:
        d_in: Features of the representation.
        d_out: Features that the loss sees.
        hidden: Whether there is a hidden layer.
    """

    d_in: int
    d_out: int
    hidden: bool

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(d_in, d_out) of every affine map."""
        first = [(self.d_in, self.d_in)] if self.hidden else []
        return [*first, (self.d_in, self.d_out)]

    @property
    def count(self) -> int:
        """Parameters of one member's head: weights and biases."""
        return sum((d_in + 1) * d_out for d_in, d_out in self.layers)

    def initial(self, generator: torch.Generator) -> Tensor:
        """Uniform in +-1 / sqrt(d_in), as torch initialises its linear layers: [count], float64."""
        parts = [
            (2.0 * torch.rand((d_in + 1) * d_out, generator=generator, dtype=torch.float64) - 1.0)
            / math.sqrt(d_in)
            for d_in, d_out in self.layers
        ]
        return torch.cat(parts)

    def forward(self, h: Tensor, parameters: Tensor) -> list[Tensor]:
        """The input of every affine map and, last, the projection.

        Args:
            h: [m, d_in, b].
            parameters: [m, count].
        """
        trace = [h]
        for index, (weight, bias) in enumerate(self._views(parameters)):
            if index:
                trace[-1] = torch.nn.functional.leaky_relu(trace[-1], LEAK)
            trace.append(torch.baddbmm(bias, weight, trace[-1]))
        return trace

    def backward(
        self, trace: list[Tensor], gradient: Tensor, parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Take the gradient at the projection back to the representation and the parameters.

        Args:
            trace: What `forward` returned.
            gradient: [m, d_out, b].
            parameters: [m, count].

        Returns:
            [m, d_in, b] and [m, count].
        """
        parts: list[Tensor] = []
        views = self._views(parameters)
        for index in reversed(range(len(views))):
            weight, _ = views[index]
            entered = trace[index]
            by_weight = torch.bmm(gradient, entered.mT).flatten(1)
            parts = [by_weight, gradient.sum(2), *parts]
            gradient = torch.bmm(weight.mT, gradient)
            if index:
                # A leaky ReLU keeps the sign, so its output tells which slope applied.
                gradient = torch.where(entered > 0, gradient, LEAK * gradient)
        return gradient, torch.cat(parts, dim=1)

    def _views(self, parameters: Tensor) -> list[tuple[Tensor, Tensor]]:
        m, views, start = parameters.shape[0], [], 0
        for d_in, d_out in self.layers:
            middle, end = start + d_in * d_out, start + (d_in + 1) * d_out
            weight = parameters[:, start:middle].view(m, d_out, d_in)
            views.append((weight, parameters[:, middle:end].view(m, d_out, 1)))
            start = end
        return views


@dataclass(frozen=True)
class Projected:
    """A loss that sees projections of the representations.

    `auto` adds one linear head, from the wider side to the width of the narrower one, where the
    loss needs equal widths and they differ, and nothing otherwise. One head, so that the other
    side stays what the task made of it: two heads under `mse` can both shrink to zero.
    `linear` and `mlp` put a head on both sides. Parameters: [loss | head 1 | head 2].

    Attributes:
        name: Of the loss, for messages.
        loss: The loss that sees the projections.
        equal_widths: Whether that loss needs as many features on both sides.
        projection: `auto`, `none`, `linear` or `mlp`.
        projection_dim: Features of the projections; 0 for the narrower of the two widths.
    """

    name: str
    loss: AlignmentLoss
    equal_widths: bool
    projection: Projection
    projection_dim: int

    def heads(self, d1: int, d2: int) -> tuple[Head | None, Head | None]:
        """The head of each side, or None where a side is taken as it is.

        Raises:
            InputError: The widths differ, the loss needs equal ones, and projections are off.
        """
        mismatch = self.equal_widths and d1 != d2
        if mismatch and self.projection == "none":
            raise InputError(
                f"loss {self.name}: the layers have {d1} and {d2} features and projection is "
                "'none'; this loss needs equal widths, or projection auto, linear or mlp"
            )
        if self.projection in ("linear", "mlp"):
            d_out, hidden = self.projection_dim or min(d1, d2), self.projection == "mlp"
            return Head(d1, d_out, hidden), Head(d2, d_out, hidden)
        if not mismatch:
            return None, None
        return (
            Head(d1, d2, hidden=False) if d1 > d2 else None,
            Head(d2, d1, hidden=False) if d2 > d1 else None,
        )

    def parameter_count(self, d1: int, d2: int) -> int:
        """Those of the loss and of the heads."""
        heads = self.heads(d1, d2)
        own = self.loss.parameter_count(*_projected_widths(heads, d1, d2))
        return own + sum(head.count for head in heads if head)

    def initial_parameters(self, d1: int, d2: int, generator: torch.Generator) -> Tensor:
        """See `AlignmentLoss.initial_parameters`."""
        heads = self.heads(d1, d2)
        widths = _projected_widths(heads, d1, d2)
        parts = [self.loss.initial_parameters(*widths, generator)]
        return torch.cat(parts + [head.initial(generator) for head in heads if head])

    def value_and_gradients(self, h1: Tensor, h2: Tensor, parameters: Tensor) -> LossOutput:
        """See `AlignmentLoss.value_and_gradients`."""
        heads = self.heads(h1.shape[1], h2.shape[1])
        if heads == (None, None):
            return self.loss.value_and_gradients(h1, h2, parameters)
        counts = [head.count if head else 0 for head in heads]
        own, *theirs = parameters.split([parameters.shape[1] - sum(counts), *counts], dim=1)
        traces = [
            head.forward(h, part) if head else [h]
            for head, h, part in zip(heads, (h1, h2), theirs, strict=True)
        ]
        inner = self.loss.value_and_gradients(traces[0][-1], traces[1][-1], own)
        gradients, grad_parameters = [], [inner.grad_parameters]
        for head, trace, gradient, part in zip(
            heads, traces, (inner.grad_1, inner.grad_2), theirs, strict=True
        ):
            if head:
                gradient, by_parameter = head.backward(trace, gradient, part)
                grad_parameters.append(by_parameter)
            gradients.append(gradient)
        return LossOutput(
            inner.value, gradients[0], gradients[1], torch.cat(grad_parameters, dim=1)
        )


def _projected_widths(heads: tuple[Head | None, Head | None], d1: int, d2: int) -> tuple[int, int]:
    head_1, head_2 = heads
    return (head_1.d_out if head_1 else d1, head_2.d_out if head_2 else d2)
