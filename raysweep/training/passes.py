"""Forward and backward passes of a pack in torch: by hand for MLPs, by autograd for any."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch.autograd.graph import GradientEdge

from raysweep.models.architecture import Architecture
from raysweep.models.mlp import backward_tower, forward_tower, hidden_buffers
from raysweep.models.shape import MultimodalShape


@dataclass(frozen=True)
class Pull:
    """The alignment term's gradients at the layers that it compares, strengths included.

    Attributes:
        rows: int64 [a], the members that have one.
        gradients: for each modality [a, width, b].
    """

    rows: torch.Tensor
    gradients: tuple[torch.Tensor, ...]


def squared_norm(*gradients: torch.Tensor) -> torch.Tensor:
    """Squared norm [m] over gradients [m, width, b]."""
    return sum(
        (g.square().sum(dim=(1, 2)) for g in gradients[1:]), gradients[0].square().sum((1, 2))
    )


class Passes(Protocol):
    """Passes over one batch of every member; `backward` belongs to the latest `forward`."""

    @property
    def capturable(self) -> bool:
        """Whether a CUDA graph can hold them (see `raysweep.training.captured`)."""
        ...

    def bind(self, parameters: torch.Tensor, gradients: torch.Tensor) -> None:
        """Work with these buffers [m, P + alignment parameters] from now on."""
        ...

    def forward(
        self,
        *inputs: torch.Tensor,
        keys: torch.Tensor | None = None,
        present: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Logits [heads, m, classes, b], in the order of `Architecture.heads`.

        Args:
            *inputs: of each modality, with a column of ones behind, [m, b, d + 1].
            keys: [m] of the dropout of this step; None where nothing is dropped.
            present: [modalities, m, b], 1 where a row has a modality, else 0: the fused head sees
                zeros in the place of its representation; None where every row has all.
        """
        ...

    def logits(self, *inputs: torch.Tensor, present: torch.Tensor | None = None) -> torch.Tensor:
        """The same, without dropout, where no `backward` follows."""
        ...

    def compared(self) -> tuple[torch.Tensor, ...]:
        """The layers that the alignment loss compares, [m, width, b] each, without a graph."""
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
    """Activations of MLPs for batches of one size."""

    def __init__(self, shape: MultimodalShape, m: int, rows: int, like: torch.Tensor) -> None:
        self.hidden = [
            hidden_buffers(tower, m, rows, like.dtype, like.device) for tower in shape.towers
        ]
        self.logits = like.new_empty(len(shape.heads), m, shape.classes, rows)
        self.by_head = self.logits.unbind()


class HandWritten:
    """Passes of MLPs of one or more modalities, one stacked product a layer.

    Args:
        shape: the members' shape.
        joint: whether the fused head's gradient goes on into the encoders.
        layer: hidden layer of all encoders that the alignment loss compares, from 1 up to the
            shallowest one's depth; the representations if None.
    """

    capturable = True

    def __init__(self, shape: MultimodalShape, joint: bool, layer: int | None = None) -> None:
        self._shape = shape
        self._joint = joint
        self._compared = [layer or len(tower.hidden) for tower in shape.towers]

    def bind(self, parameters: torch.Tensor, gradients: torch.Tensor) -> None:
        """See `Passes.bind`."""
        self._parameters, self._gradients = parameters, gradients
        self._hidden_weights = [
            [layer.view(parameters) for layer in tower.hidden] for tower in self._shape.towers
        ]
        self._heads = [head.view(parameters) for head in self._shape.head_layers]
        self._at_heads = [head.view(gradients) for head in self._shape.head_layers]
        self._workspaces: dict[int, _Workspace] = {}

    def forward(
        self,
        *inputs: torch.Tensor,
        keys: torch.Tensor | None = None,
        present: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """See `Passes.forward`."""
        m, rows = inputs[0].shape[:2]
        self._present = None if present is None else present[:, :, None]
        if rows not in self._workspaces:
            self._workspaces[rows] = _Workspace(self._shape, m, rows, self._parameters)
        self._inputs = [x.transpose(1, 2) for x in inputs]
        self._space = space = self._workspaces[rows]
        for index, weights in enumerate(self._hidden_weights):
            slope = self._shape.towers[index].slope
            forward_tower(weights, self._inputs[index], space.hidden[index], slope)
            torch.bmm(self._heads[index], space.hidden[index][-1], out=space.by_head[index])
        for index, (columns, h) in enumerate(self._fused_terms()):
            if index == 0:
                torch.bmm(self._heads[-1][:, :, columns], h, out=space.by_head[-1])
            else:
                space.by_head[-1].baddbmm_(self._heads[-1][:, :, columns], h)
        return space.logits

    def logits(self, *inputs: torch.Tensor, present: torch.Tensor | None = None) -> torch.Tensor:
        """See `Passes.logits`."""
        return self.forward(*inputs, present=present)

    def _fused_terms(self) -> list[tuple[slice, torch.Tensor]]:
        """Columns of the fused head and what they act on; the last modality brings the bias."""
        parts, hidden = self._shape.fused_parts, self._space.hidden
        terms = [(part, of[-1][:, :-1]) for part, of in zip(parts, hidden, strict=False)]
        if self._present is not None:
            terms = [(part, h * p) for (part, h), p in zip(terms, self._present, strict=False)]
        if terms:
            last, whole = terms[-1][1], hidden[-1][-1]
            if self._present is not None:
                whole = torch.cat((last, whole[:, -1:]), dim=1)
            terms[-1] = slice(parts[-1].start, None), whole
        return terms

    def compared(self) -> tuple[torch.Tensor, ...]:
        """See `Passes.compared`."""
        return tuple(
            hidden[layer - 1][:, :-1]
            for hidden, layer in zip(self._space.hidden, self._compared, strict=True)
        )

    def backward(
        self, slopes: torch.Tensor, pull: Pull | None, square: torch.Tensor | None
    ) -> None:
        """See `Passes.backward`."""
        gradients = self._head_gradients(slopes)
        for index, compared in enumerate(self._compared):
            if compared < len(self._hidden_weights[index]):
                gradients[index] = self._backward(index, slice(compared, None), gradients[index])
        if square is not None:
            square.copy_(squared_norm(*gradients))
        if pull is not None:
            for gradient, pulled in zip(gradients, pull.gradients, strict=True):
                gradient.index_add_(0, pull.rows, pulled)
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
            self._shape.towers[index].slope,
            onward=first > 0,
        )

    def _head_gradients(self, slopes: torch.Tensor) -> list[torch.Tensor]:
        """Write the heads' gradients; return the task's gradients at the representations."""
        at_h = []
        for index, hidden in enumerate(self._space.hidden):
            self._at_heads[index].copy_(torch.bmm(slopes[index], hidden[-1].transpose(1, 2)))
            at_h.append(torch.bmm(self._heads[index][:, :, :-1].transpose(1, 2), slopes[index]))
        for columns, h in self._fused_terms():
            self._at_heads[-1][:, :, columns] = torch.bmm(slopes[-1], h.transpose(1, 2))
        if self._joint:
            for index, part in enumerate(self._shape.fused_parts):
                seen = slopes[-1] if self._present is None else slopes[-1] * self._present[index]
                at_h[index].baddbmm_(self._heads[-1][:, :, part].transpose(1, 2), seen)
        return at_h


def _origin(layer: torch.Tensor) -> GradientEdge:
    """Where the graph goes through a layer: at what its module returned, before the transpose."""
    assert layer.grad_fn is not None
    node, output = layer.grad_fn.next_functions[0]
    assert node is not None
    return GradientEdge(node, output)


class ByAutograd:
    """Passes of any architecture whose forward pass torch can differentiate.

    Its layers are [m, n, features] in the graph and are returned transposed.

    Args:
        shape: the architecture.
        joint: whether the fused head's gradient goes on into the encoders.
        layer: as for `HandWritten`.
    """

    def __init__(self, shape: Architecture, joint: bool, layer: int | None = None) -> None:
        self._shape = shape
        self._joint = joint
        self._layer = layer or 0
        # Encoders of a user's own may do anything, so that they have to say it.
        self.capturable = bool(getattr(shape, "capturable", False))

    def bind(self, parameters: torch.Tensor, gradients: torch.Tensor) -> None:
        """See `Passes.bind`."""
        self._parameters, self._gradients = parameters, gradients
        self._logits = parameters
        self._ends: tuple[torch.Tensor, ...] = ()

    def forward(
        self,
        *inputs: torch.Tensor,
        keys: torch.Tensor | None = None,
        present: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """See `Passes.forward`."""
        count = self._shape.parameter_count
        # The graph of a pass that was not gone back through would be held beside the new one.
        self.bind(self._parameters, self._gradients)
        with torch.enable_grad():
            self._leaf = self._parameters[:, :count].detach().requires_grad_()
            ran, self._logits = self._run(self._leaf, inputs, keys, present)
            self._ends = tuple(hidden[self._layer - 1] for hidden in ran)
        return self._logits.detach()

    def logits(self, *inputs: torch.Tensor, present: torch.Tensor | None = None) -> torch.Tensor:
        """See `Passes.logits`."""
        with torch.no_grad():
            return self._run(self._parameters, inputs, None, present)[1]

    def _run(
        self,
        parameters: torch.Tensor,
        inputs: tuple[torch.Tensor, ...],
        keys: torch.Tensor | None,
        present: torch.Tensor | None,
    ) -> tuple[list[list[torch.Tensor]], torch.Tensor]:
        """The hidden layers of each encoder, and the logits of all heads."""
        ran = [
            self._shape.forward(modality, parameters, x[:, :, :-1], keys)
            for modality, x in enumerate(inputs, start=1)
        ]
        logits = [of_head for _, of_head in ran]
        if self._shape.fused_head is not None:
            tops = [hidden[-1] for hidden, _ in ran]
            seen = tops if self._joint else [top.detach() for top in tops]
            if present is not None:
                seen = [top * there[:, None] for top, there in zip(seen, present, strict=True)]
            logits.append(self._shape.fused(parameters, *seen))
        return [hidden for hidden, _ in ran], torch.stack(logits)

    def compared(self) -> tuple[torch.Tensor, ...]:
        """See `Passes.compared`."""
        return tuple(end.detach() for end in self._ends)

    def backward(
        self, slopes: torch.Tensor, pull: Pull | None, square: torch.Tensor | None
    ) -> None:
        """See `Passes.backward`."""
        if square is not None:
            at_h = torch.autograd.grad(
                self._logits,
                [_origin(end) for end in self._ends],
                slopes,
                retain_graph=True,
                allow_unused=True,
            )
            # A module may return a hidden layer and go on from something else, a copy of it, say.
            known = [gradient for gradient in at_h if gradient is not None]
            if len(known) == len(at_h):
                square.copy_(squared_norm(*known))
            else:
                square.fill_(torch.nan)
        ends, starts = [self._logits], [slopes]
        if pull is not None:
            ends += self._ends
            for top, grad in zip(self._ends, pull.gradients, strict=True):
                starts.append(torch.zeros_like(top).index_add_(0, pull.rows, grad))
        (gradient,) = torch.autograd.grad(ends, self._leaf, starts)
        self._gradients[:, : self._shape.parameter_count] = gradient
