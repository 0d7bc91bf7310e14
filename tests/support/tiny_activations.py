"""Activations to take alignment losses of."""

import torch
from torch import Tensor

from raysweep.losses import AlignmentLoss

M, B = 3, 9


def activations(
    seed: int, d1: int, d2: int, b: int = B, m: int = M, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """Related features with different offsets: [m, d1, b] and [m, d2, b]."""
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(m, 2, b, generator=generator, dtype=torch.float64)

    def side(d: int) -> Tensor:
        mixing = torch.randn(m, d, 2, generator=generator, dtype=torch.float64)
        noise = torch.randn(m, d, b, generator=generator, dtype=torch.float64)
        offset = torch.randn(m, d, 1, generator=generator, dtype=torch.float64)
        return (mixing @ shared + 0.7 * noise + 0.5 * offset).to(dtype)

    return side(d1), side(d2)


def initial(loss: AlignmentLoss, d1: int, d2: int, m: int = M) -> Tensor:
    """Each member's own initial parameters, [m, Pa]."""
    rows = [loss.initial_parameters(d1, d2, torch.Generator().manual_seed(i)) for i in range(m)]
    return torch.stack(rows)
