"""How many rows of a representation differ by more than rounding."""

import numpy as np
import torch
from torch import Tensor

from raysweep.metrics.features import RESOLUTION, is_finite, unit_scaled, widened
from raysweep.seeds import derive_seed


def distinguishable_rows(features: Tensor) -> Tensor:
    """Different rows of every member of [m, n, d], up to float64's rounding: int64 [m].

    With few of them neighbours are mostly ties, which a metric of neighbours cannot tell. Rows are
    told apart along two fixed random directions, by `RESOLUTION` of the largest row: rows of equal
    direction differ by rounding once they are normalised, which ``distinct_rows`` would count, and
    along one direction alone some of thousands of rows meet by chance. 0 if not finite.
    """
    generator = np.random.default_rng(derive_seed("distinct rows"))
    directions = torch.from_numpy(generator.normal(size=(2, features.shape[2])))
    finite = is_finite(features)
    wide, _ = unit_scaled(torch.where(finite[:, None, None], widened(features), 0.0))
    size = wide.square().sum(dim=2).amax(dim=1).sqrt()
    tolerance = RESOLUTION * size[:, None]
    group = torch.zeros(wide.shape[:2], dtype=torch.int64, device=wide.device)
    for direction in directions.to(wide.device):
        group = group * wide.shape[1] + _groups(wide @ direction, tolerance)
    counts = 1 + (group.sort(dim=1).values.diff(dim=1) > 0).sum(dim=1)
    return torch.where(finite, counts, 0)


def _groups(along: Tensor, tolerance: Tensor) -> Tensor:
    """Numbers [m, n] of the groups of values [m, n] that no gap above the tolerance parts."""
    ordered, order = along.sort(dim=1)
    apart = torch.zeros_like(order)
    apart[:, 1:] = (ordered.diff(dim=1) > tolerance).cumsum(dim=1)
    return torch.empty_like(order).scatter_(1, order, apart)


def distinguishable_rows_of(layers: list[Tensor], chosen: Tensor) -> Tensor:
    """`distinguishable_rows` of one layer of every member, int64 [m].

    Args:
        layers: L tensors [m, n, d].
        chosen: int64 [m], the layer of each member; negative ones count from behind.
    """
    counts = torch.stack([distinguishable_rows(layer) for layer in layers], dim=1)
    return counts.gather(1, (chosen.to(counts.device) % len(layers))[:, None])[:, 0]
