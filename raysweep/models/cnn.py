"""Small convolutional encoders for all members of a pack at once.

Activations are [m, n, height, width, channels].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, leaky_relu, max_pool2d, pad

from raysweep.data.images import Images
from raysweep.errors import InputError
from raysweep.models.dropout import Dropout
from raysweep.models.held import in_parts, numbers_of_a_row
from raysweep.models.layout import NEGATIVE_SLOPE

_POOLS = {"max": max_pool2d, "mean": avg_pool2d}

_FEW_PIXELS, _FEW_NUMBERS = 16, 1000
"""Up to so many pixels of an image, or numbers of an unfolded one, a product for all members is the
fastest on a CPU, else torch's convolution of one member after another (bench_encoders.py)."""


def even(kernel_size: int) -> str:
    """What is wrong with a kernel that has no middle."""
    return f"kernel_size is {kernel_size}; expected an odd number, {kernel_size + 1}, say"


@dataclass(frozen=True)
class Cnn:
    """An `Encoder` of images: blocks of a convolution, leaky ReLU and pooling by 2.

    Padding keeps the size of an image; pooling halves it, as long as both sides have 2 pixels. What
    a block gives of an image, the mean over its pixels, is one of the layers.

    Attributes:
        images: of the modality.
        depth: blocks.
        width: channels of each.
        kernel_size: pixels along a side of a convolution, odd.
        pool: ``max``, ``mean`` or ``none``.
        dropout: probability in training, behind every block.
    """

    images: Images
    depth: int
    width: int
    kernel_size: int = 3
    pool: str = "max"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.kernel_size % 2 == 0:
            raise InputError(even(self.kernel_size))

    @property
    def inputs(self) -> int:
        """See `Encoder.inputs`."""
        return self.images.columns

    @property
    def layers(self) -> int:
        """See `Encoder.layers`."""
        return self.depth

    @property
    def frozen_columns(self) -> np.ndarray:
        """See `Encoder.frozen_columns`: all is trained."""
        return np.empty(0, dtype=np.int64)

    @cached_property
    def sizes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of weight and bias of each block, as `torch.nn.Conv2d` has them."""
        found: list[tuple[int, ...]] = []
        for block in range(self.depth):
            channels = self.width if block else self.images.channels
            found += [(self.width, channels, self.kernel_size, self.kernel_size), (self.width,)]
        return tuple(found)

    @cached_property
    def parameter_count(self) -> int:
        """See `Encoder.parameter_count`."""
        return sum(int(np.prod(size)) for size in self.sizes)

    @cached_property
    def activations(self) -> int:
        """See `Encoder.activations`."""

        def forward(parameters: Tensor, x: Tensor) -> list[Tensor]:
            keys = torch.zeros(1, dtype=torch.int64)
            return self.forward(parameters, x, keys if self.dropout else None)

        # The engine's inputs have a column of ones behind.
        return numbers_of_a_row(
            forward,
            self.parameter_count,
            lambda rows: torch.zeros(1, rows, self.inputs + 1)[:, :, :-1],
        )

    def initial_parameters(self, stream: np.random.Generator) -> np.ndarray:
        """See `Encoder.initial_parameters`; drawn as `torch.nn.Conv2d` draws them."""
        drawn = []
        for weight, bias in zip(self.sizes[::2], self.sizes[1::2], strict=True):
            bound = float(np.prod(weight[1:])) ** -0.5
            drawn += [stream.uniform(-bound, bound, size).reshape(-1) for size in (weight, bias)]
        return np.concatenate(drawn)

    def forward(self, parameters: Tensor, x: Tensor, keys: Tensor | None = None) -> list[Tensor]:
        """See `StackedEncoder.forward`."""
        parts = parameters.split([int(np.prod(size)) for size in self.sizes], dim=1)
        weights = [part.unflatten(1, size) for part, size in zip(parts, self.sizes, strict=True)]
        if parameters.requires_grad and torch.is_grad_enabled():
            layers = self._layers(weights, x, keys)
        else:
            layers = in_parts(
                lambda part: self._layers(weights, part, keys), x, self.activations // self.depth
            )
        return [layer.mT for layer in layers]

    def _layers(self, weights: Sequence[Tensor], x: Tensor, keys: Tensor | None) -> list[Tensor]:
        """The layers, each [m, n, width]."""
        images, layers = self.images, []
        drop = Dropout(self.dropout, keys) if keys is not None and self.dropout else None
        rows = torch.arange(x.shape[1], device=x.device).expand(x.shape[:2])
        h = x.unflatten(2, (images.channels, images.height, images.width)).movedim(2, 4)
        for block in range(self.depth):
            h = self._convolved(h.contiguous(), weights[2 * block], weights[2 * block + 1])
            if drop is not None:
                h = drop(h.flatten(2, 3), block, rows).unflatten(2, h.shape[2:4])
            layers.append(h.mean(dim=(2, 3)))
        return layers

    def _convolved(self, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """One block without dropout, [m, n, h, w, c] -> the same with other sizes."""
        m, side = len(h), self.kernel_size
        # By the sizes of a row alone, so that no number depends on the pack.
        few = h[0, 0, :, :, 0].numel() <= _FEW_PIXELS or side**2 * h[0, 0].numel() <= _FEW_NUMBERS
        if h.device.type == "cpu" and not few:
            alone = zip(h.unbind(), weight.unbind(), bias.unbind(), strict=True)
            return torch.stack(
                [
                    self._bent(conv2d(x.permute(0, 3, 1, 2), w, b, padding="same"))
                    for x, w, b in alone
                ]
            )
        of_columns = weight.permute(0, 3, 4, 2, 1).reshape(m, -1, self.width)
        found: Tensor = _Unfolded.apply(h, of_columns, bias, side)
        pooled = self._bent(found.flatten(0, 1).permute(0, 3, 1, 2))
        return pooled.unflatten(0, (m, -1))

    def _bent(self, h: Tensor) -> Tensor:
        """Activation and pooling, [b, c, h, w] -> [b, h, w, c]."""
        pooled = self.pool in _POOLS and min(h.shape[2:]) > 1
        # The largest stays the largest, and there is less to be bent of it.
        if pooled and self.pool == "max":
            h = max_pool2d(h, 2)
        h = leaky_relu(h, NEGATIVE_SLOPE)
        if pooled and self.pool == "mean":
            h = avg_pool2d(h, 2)
        return h.permute(0, 2, 3, 1)


class _Unfolded(torch.autograd.Function):
    """A convolution that keeps the size, as one product over all members' unfolded images."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, side: int) -> Tensor:
        """Of x [m, n, h, w, c], weights [m, side * side * c, o] and bias [m, o]."""
        columns = _unfolded(x, side)
        ctx.save_for_backward(columns, weight)
        ctx.shape, ctx.side = x.shape, side
        return torch.baddbmm(bias[:, None], columns, weight).view(*x.shape[:4], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients at x, weights and bias."""
        (at_found,) = gradients
        columns, weight = ctx.saved_tensors
        m, *_, channels = ctx.shape
        flat = at_found.reshape(m, -1, at_found.shape[4])
        at_x = None
        if ctx.needs_input_grad[0]:
            turned = weight.view(m, ctx.side**2, channels, -1).flip(1).mT
            of_columns = turned.reshape(m, -1, channels)
            at_x = torch.bmm(_unfolded(at_found, ctx.side), of_columns).view(ctx.shape)
        return at_x, torch.bmm(columns.mT, flat), flat.sum(dim=1), None


def _unfolded(x: Tensor, side: int) -> Tensor:
    """The pixels around each pixel, [m, n, h, w, c] -> [m, n * h * w, side * side * c]."""
    edge = side // 2
    around = pad(x, (0, 0, edge, edge, edge, edge)).unfold(2, side, 1).unfold(3, side, 1)
    return around.permute(0, 1, 2, 3, 5, 6, 4).reshape(len(x), -1, side**2 * x.shape[4])
