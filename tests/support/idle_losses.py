"""Alignment losses of a user's that force nothing, or break: named as ``idle_losses:NAME``."""

import torch
from torch import Tensor


def undefined(h1: Tensor, h2: Tensor) -> Tensor:
    return (h1 - h2).square().mean() * torch.nan


def flat(h1: Tensor, h2: Tensor) -> Tensor:
    return (h1 * 0.0).sum() + 1.0


def gradient_breaks(h1: Tensor, h2: Tensor) -> Tensor:
    """A finite value whose gradient is NaN: the square root's at 0."""
    return (h1 - h2).square().mean() + (h1 - h1).square().sum(1).sqrt().mean()


def sometimes(h1: Tensor, h2: Tensor) -> Tensor:
    """Undefined in batches of another size than 32, as the last one of an epoch is."""
    value = (h1 - h2).square().mean()
    return value if len(h1) == 32 else value * torch.nan
