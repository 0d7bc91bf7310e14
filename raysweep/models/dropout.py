"""Dropout whose masks are a function of their place: packing changes none of them.

What is dropped is told by a hash of the member's key, the step, the place in the network and the
element's own coordinates (the finaliser of SplitMix64: Steele, Lea and Flood, 2014), not by a
generator that all members draw from in turn.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_FACTORS = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)
_SHIFTS = (30, 27, 31)
_BITS = 24  # of the hash that are compared with the probability


def keys_of(seeds: Sequence[int]) -> Tensor:
    """Keys [m] of members, int64 on the CPU, each a function of its own seed."""
    return _mixed(torch.tensor([int(seed) for seed in seeds], dtype=torch.int64))


def derived(keys: Tensor, number: int) -> Tensor:
    """Keys [m] for one of several uses: a step, a modality, a place."""
    return _mixed(keys + (number + 1) * _GOLDEN % 2**64 - 2**63)


@dataclass(frozen=True)
class Dropout:
    """Dropout of the members of a pack in one step.

    Attributes:
        probability: of an element to become 0, in 0..1; the others are scaled by 1 / (1 - p).
        keys: [m] of the members in this step.
    """

    probability: float
    keys: Tensor

    def __call__(self, x: Tensor, place: int, rows: Tensor) -> Tensor:
        """Drop of x [m, n, ..., d], whose element's coordinates are its row and what follows.

        Args:
            x: what is dropped of.
            place: its number in the network.
            rows: int64 [m, n], which row of the batch each is.
        """
        index = rows
        for size in x.shape[2:]:
            # Coordinates and not the place in memory: a trimmed batch has the same ones.
            index = index[..., None] * _STRIDE + torch.arange(size, device=x.device)
        keys = derived(self.keys, place).view(-1, *[1] * (x.ndim - 1))
        bits = _mixed(index * _GOLDEN + keys) & (2**_BITS - 1)
        kept = bits >= round(self.probability * 2**_BITS)
        return x * (kept.to(x.dtype) / (1 - self.probability))


_STRIDE = 2**16
"""Larger than any coordinate, so that no two elements of a place have the same index."""


def _mixed(x: Tensor) -> Tensor:
    for shift, factor in zip(_SHIFTS, (*_FACTORS, 0), strict=True):
        # Of signed numbers the shift brings copies of the sign.
        x = x ^ ((x >> shift) & (2 ** (64 - shift) - 1))
        x = x * factor if factor else x
    return x
