"""Clipping and AdamW of one member, as `raysweep.training.optimizer` has them."""

import math
from typing import Any

from numba import njit

from raysweep.training.kernel.routine import nested
from raysweep.training.kernel.sides import square_norm
from raysweep.training.optimizer import BETA_1, BETA_2, EPSILON, NORM_EPSILON


@nested  # type: ignore[untyped-decorator]
def clip(g: Any, clip_norm: float) -> float:
    """Clip a group of gradients to a norm, in place; returns the norm before."""
    norm = math.sqrt(square_norm(g))
    factor = clip_norm / (norm + NORM_EPSILON)
    if factor < 1:
        scale = g.dtype.type(factor)
        for j in range(g.shape[0]):
            g[j] *= scale
    return norm


@njit(error_model="numpy", fastmath={"contract"})  # type: ignore[untyped-decorator]
def adamw(
    p: Any, g: Any, mean: Any, square: Any, step: int, learning_rate: float, weight_decay: float
) -> None:
    """One step (counted from 1) of a group of parameters."""
    kind = p.dtype.type
    keep_1, keep_2 = kind(BETA_1), kind(BETA_2)
    new_1, new_2 = kind(1 - BETA_1), kind(1 - BETA_2)
    root = kind(1 / math.sqrt(1 - BETA_2**step))
    move = kind(learning_rate / (1 - BETA_1**step))
    shrink = kind(1 - learning_rate * weight_decay)
    epsilon = kind(EPSILON)
    for j in range(p.shape[0]):
        mean[j] = keep_1 * mean[j] + new_1 * g[j]
        square[j] = keep_2 * square[j] + new_2 * g[j] * g[j]
        p[j] = shrink * p[j] - move * mean[j] / (math.sqrt(square[j]) * root + epsilon)
