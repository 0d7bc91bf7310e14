"""What the losses over all pairs of samples share: unit vectors, number range, cache-sized pieces.

Their [b, b] matrices are what costs: a matrix that stays in cache from its product to the product
that consumes it is up to 2.5 times faster than a whole pack's at once (20 members, b = 512).
"""

from collections.abc import Callable

import torch
from torch import Tensor

# The largest range of similarities whose exponentials, shifted to at most 1, are all normal
# float32 numbers: the smallest of those is exp(-87.3), and sums need some room.
FLOAT32_SPAN = 80.0
# Elements of [m, b, b] handled at once: 2 MiB in float32, the fastest of 2^18 to 2^30 for all four
# losses together; on an accelerator the bound is memory (1 GiB).
_CPU_ELEMENTS = 2**19
_DEVICE_ELEMENTS = 2**28


def unit_columns(h: Tensor) -> tuple[Tensor, Tensor]:
    """Normalise every sample of [m, d, b] to length 1; a sample of zeros stays zero.

    Returns:
        The unit vectors, [m, d, b], and the inverse lengths, [m, 1, b] (0 for a zero sample).
    """
    squared = h.square().sum(1, keepdim=True)
    tiny = torch.finfo(h.dtype).tiny
    inverse = squared.clamp(min=tiny).rsqrt().masked_fill(squared < tiny, 0.0)
    return h * inverse, inverse


def through_unit(u: Tensor, inverse: Tensor, grad_u: Tensor) -> tuple[Tensor, Tensor]:
    """Take a gradient back through `unit_columns`.

    Args:
        u: [m, d, b], unit vectors.
        inverse: [m, 1, b], inverse lengths.
        grad_u: [m, d, b], the gradient with respect to the unit vectors.

    Returns:
        The gradient with respect to the samples, [m, d, b], and u . grad_u per sample, [m, 1, b].
    """
    radial = (u * grad_u).sum(1, keepdim=True)
    return (grad_u - u * radial) * inverse, radial


def same_group(groups: Tensor) -> Tensor:
    """Which pairs of different samples belong together, on either side: bool [m, b, b].

    Args:
        groups: int64 [m, s, b], as for `AlignmentLoss.value_and_gradients`.
    """
    together = (groups[..., :, None] == groups[..., None, :]).any(dim=1)
    together.diagonal(dim1=1, dim2=2).fill_(False)
    return together


def of_groups(groups: Tensor | None) -> tuple[Tensor, ...]:
    """A last argument for `in_chunks`, where there are groups."""
    return () if groups is None else (groups,)


def exponential_dtype(dtype: torch.dtype, span: float) -> torch.dtype:
    """The dtype in which exp(x) neither overflows nor vanishes for x in [-span, 0]."""
    return dtype if span <= FLOAT32_SPAN else torch.float64


def members_at_once(batch: int, on_cpu: bool) -> int:
    """How many members' [b, b] matrices are made at once, at least one."""
    return max(1, (_CPU_ELEMENTS if on_cpu else _DEVICE_ELEMENTS) // batch**2)


def in_chunks(
    function: Callable[..., tuple[Tensor, ...]], u: Tensor, v: Tensor, *others: Tensor
) -> tuple[Tensor, ...]:
    """Apply a function of [m, ., b] tensors to a few members at a time.

    Members are independent, so the pieces change no result.

    Args:
        function: Takes slices of the tensors along m; returns tensors whose first axis is m.
        u: [m, d, b].
        v: [m, d, b].
        others: Further tensors whose first axis is m.
    """
    m, b = u.shape[0], u.shape[-1]
    size = members_at_once(b, u.device.type == "cpu")
    tensors = (u, v, *others)
    if size >= m:
        return function(*tensors)
    pieces = [
        function(*(tensor[start : start + size] for tensor in tensors))
        for start in range(0, m, size)
    ]
    return tuple(torch.cat(parts) for parts in zip(*pieces, strict=True))
