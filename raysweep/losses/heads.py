"""Learned projection heads between the representations and any alignment loss.

The heads belong to the loss: they are trained by it alone and dropped afterwards, so alignment is
still measured on the representations themselves.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from raysweep.errors import InputError
from raysweep.losses.base import AlignmentLoss, Formula, LossOutput, formula_of

Projection = Literal["auto", "none", "linear", "mlp"]
LEAK = 0.1


@dataclass(frozen=True)
class Head:
    """One side's projection, d_in -> d_out: linear, or affine, leaky ReLU, linear.

    The last map has no bias (as in CLIP, arXiv 2103.00020, figure 3): with one, a head could give
    every sample the same direction, and so satisfy losses that push nothing apart by itself. The
    hidden layer of an `mlp` is as wide as its input (as in SimCLR, arXiv 2002.05709).
    Parameters: [hidden weight [d_in, d_in] | hidden bias [d_in] |] weight [d_out, d_in].

    Attributes:
        d_in: Features of the representation.
        d_out: Features that the loss sees.
        hidden: Whether there is a hidden layer.
    """

    d_in: int
    d_out: int
    hidden: bool

    @property
    def count(self) -> int:
        """Parameters of one member's head."""
        return self._hidden_count + self.d_in * self.d_out

    def initial(self, generator: torch.Generator) -> Tensor:
        """Uniform in +-1 / sqrt(d_in), as torch initialises its linear layers: [count], float64."""
        uniform = torch.rand(self.count, generator=generator, dtype=torch.float64)
        return (2.0 * uniform - 1.0) / math.sqrt(self.d_in)

    def forward(self, h: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """The input of the last map, [m, d_in, b], and the projection, [m, d_out, b].

        Args:
            h: [m, d_in, b].
            parameters: [m, count].
        """
        entered = h
        if self.hidden:
            weight, bias = self._hidden_layer(parameters)
            entered = leaky_relu(torch.baddbmm(bias, weight, h), LEAK)
        return entered, torch.bmm(self._last_map(parameters), entered)

    def backward(
        self, h: Tensor, entered: Tensor, gradient: Tensor, parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Take the gradient at the projection back to the representation and the parameters.

        Args:
            h: [m, d_in, b].
            entered: As `forward` returned it.
            gradient: [m, d_out, b].
            parameters: [m, count].

        Returns:
            [m, d_in, b] and [m, count].
        """
        by_last = torch.bmm(gradient, entered.mT).flatten(1)
        below = torch.bmm(self._last_map(parameters).mT, gradient)
        if not self.hidden:
            return below, by_last
        # A leaky ReLU keeps the sign, so its output tells which slope applied.
        below = torch.where(entered > 0, below, LEAK * below)
        weight, _ = self._hidden_layer(parameters)
        by_hidden = torch.bmm(below, h.mT).flatten(1)
        by_parameter = torch.cat([by_hidden, below.sum(2), by_last], dim=1)
        return torch.bmm(weight.mT, below), by_parameter

    @property
    def _hidden_count(self) -> int:
        return (self.d_in + 1) * self.d_in if self.hidden else 0

    def _hidden_layer(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        m, d = parameters.shape[0], self.d_in
        weight = parameters[:, : d * d].view(m, d, d)
        return weight, parameters[:, d * d : self._hidden_count].view(m, d, 1)

    def _last_map(self, parameters: Tensor) -> Tensor:
        return parameters[:, self._hidden_count :].view(-1, self.d_out, self.d_in)


@dataclass(frozen=True)
class Projected:
    """A loss that sees projections of the representations.

    `auto` adds one linear head, from the wider side to the width of the narrower one, where the
    loss needs equal widths and they differ, and nothing otherwise. One head, so that the other
    side stays what the task made of it. `linear` and `mlp` put a head on both sides; losses that
    push nothing apart (`mse`, `cosine`, `gram`, `soft_knn`) can then be lowered in part by the
    heads, which may throw away what differs or, under `mse`, shrink to zero.
    Parameters: [loss | head 1 | head 2].

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

    @property
    def capturable(self) -> bool:
        """Whether the loss that sees the projections can be captured."""
        return self.loss.capturable

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

    def formula(self, d1: int, d2: int) -> Formula | None:
        """See `HasFormula`."""
        return None if self.heads(d1, d2) != (None, None) else formula_of(self.loss, d1, d2)

    def value_and_gradients(
        self, h1: Tensor, h2: Tensor, parameters: Tensor, groups: Tensor | None = None
    ) -> LossOutput:
        """See `AlignmentLoss.value_and_gradients`."""
        heads = self.heads(h1.shape[1], h2.shape[1])
        if heads == (None, None):
            return self.loss.value_and_gradients(h1, h2, parameters, groups)
        counts = [head.count if head else 0 for head in heads]
        own, *theirs = parameters.split([parameters.shape[1] - sum(counts), *counts], dim=1)
        sides = list(zip(heads, (h1, h2), theirs, strict=True))
        traces = [head.forward(h, part) if head else (h, h) for head, h, part in sides]
        inner = self.loss.value_and_gradients(traces[0][1], traces[1][1], own, groups)
        gradients = [inner.grad_1, inner.grad_2]
        by_parameter = [inner.grad_parameters]
        for side, (head, h, part) in enumerate(sides):
            if head:
                gradients[side], by_head = head.backward(h, traces[side][0], gradients[side], part)
                by_parameter.append(by_head)
        return LossOutput(inner.value, gradients[0], gradients[1], torch.cat(by_parameter, dim=1))


def _projected_widths(heads: tuple[Head | None, Head | None], d1: int, d2: int) -> tuple[int, int]:
    head_1, head_2 = heads
    return (head_1.d_out if head_1 else d1, head_2.d_out if head_2 else d2)
