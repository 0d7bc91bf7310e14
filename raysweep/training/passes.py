"""Forward and backward passes of a pack in torch: by hand for MLP pairs, by autograd for any."""

from dataclasses import dataclass
from typing import Protocol

import torch

from raysweep.models.architecture import Architecture
from raysweep.models.mlp import backward_tower, forward_tower, hidden_buffers
from raysweep.models.shape import EncoderShape, PairShape


@dataclass(frozen=True)
class Pull:
    """The alignment term's gradients at the layers that it compares, strengths included.

    Attributes:
        rows: int64 [a], the members that have one.
        grad_1, grad_2: [a, width, b].
    """

    rows: torch.Tensor
    grad_1: torch.Tensor
    grad_2: torch.Tensor


def squared_norm(*gradients: torch.Tensor) -> torch.Tensor:
    """Squared norm [m] over gradients [m, width, b]."""
    return sum(
        (g.square().sum(dim=(1, 2)) for g in gradients[1:]), gradients[0].square().sum((1, 2))
    )


class Passes(Protocol):
    """Passes over one batch of every member; `backward` belongs to the latest `forward`."""

    def bind(self, parameters: torch.Tensor, gradients: torch.Tensor) -> None:
        """Work with these buffers [m, P + alignment parameters] from now on."""
        ...

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Logits [heads, m, classes, b]: head 1, head 2, fused head, or the one of an encoder.

        Args:
            *inputs: of each modality, with a column of ones behind, [m, b, d + 1].
        """
        ...

    def compared(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The layers that the alignment loss compares, [m, width, b], without a graph."""
        ...

    def backward(
        self, slopes: torch.Tensor, pull: Pull | None, square: torch.Tensor | None
    ) -> None:
        """Write the gradients of all but the alignment parameters.

        Args:
            slopes: gradients at the logits, [heads, m, classes, b].
            pull: what the alignment term adds at the layers that it compares.
            square: [m], receives the squared norm of the task's gradient at them.
        """
        ...


class _Workspace:
    """Activations of an MLP pair for batches of one size."""

    def __init__(self, shape: PairShape, m: int, rows: int, like: torch.Tensor) -> None:
        self.hidden = [
            hidden_buffers(tower, m, rows, like.dtype, like.device) for tower in shape.towers
        ]
        self.logits = like.new_empty(3, m, shape.classes, rows)


class HandWritten:
    """Passes of MLP pairs, one stacked product a layer.

    Args:
        shape: the members' shape.
        joint: whether the fused head's gradient goes on into the encoders.
        layer: hidden layer of both encoders that the alignment loss compares, from 1 up to the
            shallower one's depth; the representations if None.
    """

    def __init__(self, shape: PairShape, joint: bool, layer: int | None = None) -> None:
        self._shape = shape
        self._joint = joint
        self._compared = [layer or len(tower.hidden) for tower in shape.towers]

    def bind(self, parameters: torch.Tensor, gradients: torch.Tensor) -> None:
        """See `Passes.bind`."""
        self._parameters, self._gradients = parameters, gradients
        self._hidden_weights = [
            [layer.view(parameters) for layer in tower.hidden] for tower in self._shape.towers
        ]
        self._heads = [tower.head.view(parameters) for tower in self._shape.towers]
        self._fused = self._shape.fused_head.view(parameters)
        self._workspaces: dict[int, _Workspace] = {}

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """See `Passes.forward`."""
        x1, x2 = inputs
        m, rows = x1.shape[:2]
        if rows not in self._workspaces:
            self._workspaces[rows] = _Workspace(self._shape, m, rows, self._parameters)
        self._inputs = x1.transpose(1, 2), x2.transpose(1, 2)
        self._space = space = self._workspaces[rows]
        for index in range(2):
            forward_tower(self._hidden_weights[index], self._inputs[index], space.hidden[index])
            torch.bmm(self._heads[index], space.hidden[index][-1], out=space.logits[index])
        width = self._shape.width_1
        h1, h2 = space.hidden[0][-1][:, :-1], space.hidden[1][-1]
        torch.bmm(self._fused[:, :, :width], h1, out=space.logits[2])
        space.logits[2].baddbmm_(self._fused[:, :, width:], h2)
        return space.logits

    def compared(self) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Passes.compared`."""
        first, second = (
            hidden[layer - 1][:, :-1]
            for hidden, layer in zip(self._space.hidden, self._compared, strict=True)
        )
        return first, second

    def backward(
        self, slopes: torch.Tensor, pull: Pull | None, square: torch.Tensor | None
    ) -> None:
        """See `Passes.backward`."""
        gradients = self._head_gradients(slopes)
        for index, compared in enumerate(self._compared):
            gradients[index] = self._backward(index, slice(compared, None), gradients[index])
        if square is not None:
            square.copy_(squared_norm(*gradients))
        if pull is not None:
            gradients[0].index_add_(0, pull.rows, pull.grad_1)
            gradients[1].index_add_(0, pull.rows, pull.grad_2)
        for index, compared in enumerate(self._compared):
            self._backward(index, slice(compared), gradients[index])

    def _backward(self, index: int, part: slice, gradient: torch.Tensor) -> torch.Tensor:
        """Go through some hidden layers of a tower; returns the gradient at what they start from.

        Args:
            index: of the tower.
            part: the layers, the upper or the lower ones.
            gradient: at the last of them.
        """
        hidden, first = self._space.hidden[index], part.start or 0
        return backward_tower(
            self._hidden_weights[index][part],
            hidden[first - 1] if first else self._inputs[index],
            hidden[part],
            gradient,
            self._shape.towers[index].hidden[part],
            self._gradients,
            onward=first > 0,
        )

    def _head_gradients(self, slopes: torch.Tensor) -> list[torch.Tensor]:
        """Write the three heads' gradients; return the task's gradients at h1 and h2."""
        shape, width, space = self._shape, self._shape.width_1, self._space
        at_h = []
        for index, tower in enumerate(shape.towers):
            top = space.hidden[index][-1]
            tower.head.view(self._gradients).copy_(torch.bmm(slopes[index], top.transpose(1, 2)))
            at_h.append(torch.bmm(self._heads[index][:, :, :-1].transpose(1, 2), slopes[index]))
        fused = shape.fused_head.view(self._gradients)
        h1, h2 = space.hidden[0][-1][:, :-1], space.hidden[1][-1]
        fused[:, :, :width] = torch.bmm(slopes[2], h1.transpose(1, 2))
        fused[:, :, width:] = torch.bmm(slopes[2], h2.transpose(1, 2))
        if self._joint:
            at_h[0].baddbmm_(self._fused[:, :, :width].transpose(1, 2), slopes[2])
            at_h[1].baddbmm_(self._fused[:, :, width:-1].transpose(1, 2), slopes[2])
        return at_h


class Alone:
    """Passes of MLP encoders that are trained without a partner.

    Args:
        shape: the encoders' shape.
    """

    def __init__(self, shape: EncoderShape) -> None:
        self._shape = shape
        (self._tower,) = shape.towers

    def bind(self, parameters: torch.Tensor, gradients: torch.Tensor) -> None:
        """See `Passes.bind`."""
        self._parameters, self._gradients = parameters, gradients
        self._weights = [layer.view(parameters) for layer in self._tower.hidden]
        self._head = self._tower.head.view(parameters)
        self._buffers: dict[int, list[torch.Tensor]] = {}

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """See `Passes.forward`."""
        (x,) = inputs
        m, rows = x.shape[:2]
        if rows not in self._buffers:
            self._buffers[rows] = hidden_buffers(self._tower, m, rows, x.dtype, x.device)
        self._inputs, self._hidden = x.transpose(1, 2), self._buffers[rows]
        forward_tower(self._weights, self._inputs, self._hidden)
        return torch.bmm(self._head, self._hidden[-1])[None]

    def compared(self) -> tuple[torch.Tensor, torch.Tensor]:
        """There is no partner to be aligned with."""
        raise NotImplementedError

    def backward(
        self, slopes: torch.Tensor, pull: Pull | None, square: torch.Tensor | None
    ) -> None:
        """See `Passes.backward`."""
        top, head = self._hidden[-1], self._tower.head
        head.view(self._gradients).copy_(torch.bmm(slopes[0], top.transpose(1, 2)))
        at_h = torch.bmm(self._head[:, :, :-1].transpose(1, 2), slopes[0])
        if square is not None:
            square.copy_(squared_norm(at_h))
        backward_tower(
            self._weights, self._inputs, self._hidden, at_h, self._tower.hidden, self._gradients
        )


class ByAutograd:
    """Passes of any architecture whose forward pass torch can differentiate.

    Args:
        shape: the architecture.
        joint: whether the fused head's gradient goes on into the encoders.
        layer: as for `HandWritten`; both encoders' layers must be as wide as the representations.
    """

    def __init__(self, shape: Architecture, joint: bool, layer: int | None = None) -> None:
        self._shape = shape
        self._joint = joint
        self._layer = layer or 0

    def bind(self, parameters: torch.Tensor, gradients: torch.Tensor) -> None:
        """See `Passes.bind`."""
        self._parameters, self._gradients = parameters, gradients

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """See `Passes.forward`."""
        x1, x2 = inputs
        count = self._shape.parameter_count
        with torch.enable_grad():
            self._leaf = self._parameters[:, :count].detach().requires_grad_()
            hidden_1, logits_1 = self._shape.forward(1, self._leaf, x1[:, :, :-1])
            hidden_2, logits_2 = self._shape.forward(2, self._leaf, x2[:, :, :-1])
            self._ends = hidden_1[self._layer - 1], hidden_2[self._layer - 1]
            tops = hidden_1[-1], hidden_2[-1]
            seen = tops if self._joint else tuple(top.detach() for top in tops)
            fused = self._shape.fused(self._leaf, *seen)
            self._logits = torch.stack((logits_1, logits_2, fused))
        return self._logits.detach()

    def compared(self) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Passes.compared`."""
        return self._ends[0].detach(), self._ends[1].detach()

    def backward(
        self, slopes: torch.Tensor, pull: Pull | None, square: torch.Tensor | None
    ) -> None:
        """See `Passes.backward`."""
        if square is not None:
            at_h = torch.autograd.grad(self._logits, self._ends, slopes, retain_graph=True)
            square.copy_(squared_norm(*at_h))
        ends, starts = [self._logits], [slopes]
        if pull is not None:
            ends += self._ends
            for top, grad in zip(self._ends, (pull.grad_1, pull.grad_2), strict=True):
                starts.append(torch.zeros_like(top).index_add_(0, pull.rows, grad))
        (gradient,) = torch.autograd.grad(ends, self._leaf, starts)
        self._gradients[:, : self._shape.parameter_count] = gradient
