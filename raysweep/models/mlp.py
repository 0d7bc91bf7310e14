"""Forward and backward pass of packed leaky-ReLU towers, features-first and written by hand.

Activations are [m, features, n] with a last row of ones, so that a layer's block [rows,
columns + 1] applies weights and bias in one batched product, and its gradient falls out of one
product too.
"""

from collections.abc import Sequence

import torch

from raysweep.models.layout import Layer, Tower

leaky_relu = torch.ops.aten.leaky_relu
leaky_relu_backward = torch.ops.aten.leaky_relu_backward


def with_ones(x: torch.Tensor) -> torch.Tensor:
    """Append a column of ones: [..., d] -> [..., d + 1]."""
    return torch.cat((x, torch.ones_like(x[..., :1])), dim=-1)


def hidden_buffers(
    tower: Tower, m: int, n: int, dtype: torch.dtype, device: torch.device
) -> list[torch.Tensor]:
    """Activations [m, width + 1, n] of each hidden layer, the last row set to one."""
    return [torch.ones(m, layer.rows + 1, n, dtype=dtype, device=device) for layer in tower.hidden]


def forward_tower(
    weights: Sequence[torch.Tensor],
    inputs: torch.Tensor,
    hidden: Sequence[torch.Tensor],
    slope: float,
) -> None:
    """Fill the hidden layers of a tower.

    Args:
        weights: the hidden layers' blocks, each [m, rows, columns + 1].
        inputs: [m, d + 1, n], the last row ones.
        hidden: the buffers to fill (see `hidden_buffers`).
        slope: of the leaky ReLU below zero.
    """
    below = inputs
    for weight, activation in zip(weights, hidden, strict=True):
        leaky_relu.out(torch.bmm(weight, below), slope, out=activation[:, :-1])
        below = activation


def backward_tower(
    weights: Sequence[torch.Tensor],
    inputs: torch.Tensor,
    hidden: Sequence[torch.Tensor],
    gradient: torch.Tensor,
    layers: Sequence[Layer],
    gradients: torch.Tensor,
    slope: float,
    onward: bool = False,
) -> torch.Tensor:
    """Write the gradients of a tower's hidden layers, or of some of them above others.

    Args:
        weights: the hidden layers' blocks, each [m, rows, columns + 1].
        inputs: [m, d + 1, n], the last row ones; for the upper layers of a tower the activations
            of the layer below them.
        hidden: the activations that `forward_tower` left, each [m, rows + 1, n].
        gradient: [m, rows, n], the loss's gradient at the last hidden layer.
        layers: where the blocks lie in the flat buffer.
        gradients: the flat buffer [m, P] that receives them.
        slope: as for `forward_tower`.
        onward: whether to go on to the inputs.

    Returns:
        The gradient at the inputs [m, d, n] if `onward`, else that at the first of the layers.
    """
    for index in reversed(range(len(hidden))):
        # The sign of the activation is the sign of what went in, so the input need not be kept.
        delta = leaky_relu_backward(gradient, hidden[index][:, :-1], slope, True)
        below = hidden[index - 1] if index else inputs
        layers[index].view(gradients).copy_(torch.bmm(delta, below.transpose(1, 2)))
        if index or onward:
            gradient = torch.bmm(weights[index][:, :, :-1].transpose(1, 2), delta)
    return gradient
