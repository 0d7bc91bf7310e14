"""The best pair of layers."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BestPair:
    """The best score over pairs of layers, per member.

    Attributes:
        value: [m] float64; NaN if no pair is defined.
        layer_1: [m] int64, index into the layers of encoder 1; -1 if no pair is defined.
        layer_2: [m] int64, index into the layers of encoder 2; -1 if no pair is defined.
        undefined: [m] int64, how many pairs were NaN.
    """

    value: Tensor
    layer_1: Tensor
    layer_2: Tensor
    undefined: Tensor


def best_over_layers(scores: Tensor, higher_is_better: bool = True) -> BestPair:
    """Largest score (smallest, if lower is better) over pairs of layers [m, L1, L2].

    The search does not start from 0: negative scores survive. NaN pairs are passed over and
    counted; among equal scores the first pair wins, in the order of layer 1, then layer 2.
    The best of many pairs grows by selection alone: `calibrate` recomputes it under the null.

    Example:
        >>> import torch
        >>> from raysweep import metrics
        >>> best = metrics.best_over_layers(torch.tensor([[[-0.4, -0.1], [-0.2, -0.3]]]))
        >>> int(best.layer_1), int(best.layer_2)
        (0, 1)
    """
    members, _, right = scores.shape
    flat = scores.reshape(members, -1)
    missing = torch.isnan(flat)
    worst = -torch.inf if higher_is_better else torch.inf
    candidates = torch.where(missing, worst, flat)
    best = candidates.argmax(dim=1) if higher_is_better else candidates.argmin(dim=1)
    none = missing.all(dim=1)
    value = torch.where(none, torch.nan, flat.gather(1, best[:, None])[:, 0])
    return BestPair(
        value=value,
        layer_1=torch.where(none, -1, best // right),
        layer_2=torch.where(none, -1, best % right),
        undefined=missing.sum(dim=1),
    )
