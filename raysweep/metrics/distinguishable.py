"""How many rows of a representation differ by more than rounding."""

import numpy as np
import torch
from torch import Tensor

from raysweep.metrics.features import is_finite, unit_scaled
from raysweep.seeds import derive_seed


def distinguishable_rows(features: Tensor) -> Tensor:
    """Different rows of every member of [m, n, d], up to rounding: int64 [m]; 0 if not finite.

    With few of them neighbours are mostly ties, which a metric of neighbours cannot tell. Rows are
    told apart along a fixed random direction, by 8 units of rounding of the largest row: equal
    inputs need not give equal bits in a stacked product, which ``distinct_rows`` would count.
    """
    generator = np.random.default_rng(derive_seed("distinct rows"))
    direction = torch.from_numpy(generator.normal(size=features.shape[2])).to(features.device)
    finite = is_finite(features)
    wide, _ = unit_scaled(torch.where(finite[:, None, None], features, 0.0).double())
    along = (wide @ direction).sort(dim=1).values
    size = wide.square().sum(dim=2).amax(dim=1).sqrt()
    tolerance = 8 * torch.finfo(features.dtype).eps * size[:, None]
    counts = 1 + (along.diff(dim=1) > tolerance).sum(dim=1)
    return torch.where(finite, counts, 0)


def distinguishable_rows_of(layers: list[Tensor], chosen: Tensor) -> Tensor:
    """`distinguishable_rows` of one layer of every member, int64 [m].

    Args:
        layers: L tensors [m, n, d].
        chosen: int64 [m], the layer of each member; negative ones count from behind.
    """
    counts = torch.stack([distinguishable_rows(layer) for layer in layers], dim=1)
    return counts.gather(1, (chosen.to(counts.device) % len(layers))[:, None])[:, 0]
