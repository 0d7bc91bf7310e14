"""What is done to features before they are compared; nothing, unless asked.

The paper clips outliers and then normalises rows (arXiv 2502.16282 and the definitions of
arXiv 2405.07987, which it builds on); `PAPER` is that choice.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raysweep.errors import InputError
from raysweep.metrics.features import (
    normalize_rows,
    times_power_of_two,
    unit_scaled,
    widened,
)

_LEAST_EXPONENT = -600


@dataclass(frozen=True)
class Preprocessing:
    """Clipping of outliers, then normalisation of rows; each only if asked.

    Attributes:
        clip_quantile: q in (0, 1]; entries beyond the mean over rows of each row's q-quantile of
            |x| are clipped to it. None or 1: no clipping.
        normalize: divide each row by its Euclidean norm.
    """

    clip_quantile: float | None = None
    normalize: bool = False

    def __post_init__(self) -> None:
        """Checks the quantile."""
        quantile = self.clip_quantile
        if quantile is not None and not 0 < quantile <= 1:
            raise InputError(f"clip_quantile: expected None or 0 < q <= 1, got {quantile}")

    def __call__(self, features: Tensor) -> Tensor:
        """Applies both steps to [..., n, d] of any floating dtype; the result is float64."""
        wide = widened(features)
        if self.clip_quantile is None or self.clip_quantile == 1:
            return normalize_rows(wide) if self.normalize else wide
        scaled, exponent = unit_scaled(wide)
        clipped = clip_outliers(scaled, self.clip_quantile)
        if self.normalize:
            return normalize_rows(clipped)
        # Not down to where some processors have no numbers: no metric tells such sizes apart.
        return times_power_of_two(clipped, exponent.clamp(min=_LEAST_EXPONENT))


NONE = Preprocessing()
PAPER = Preprocessing(clip_quantile=0.95, normalize=True)


def clip_outliers(features: Tensor, quantile: float) -> Tensor:
    """Clamps [..., n, d] to +-t, t = mean over rows of each row's quantile of |x|.

    The quantile interpolates linearly between order statistics, as numpy's default does. Each
    leading index (member) has a threshold of its own.

    Example:
        >>> import torch
        >>> from raysweep import metrics
        >>> metrics.clip_outliers(torch.tensor([[1.0, -2.0, 30.0]]), quantile=0.5)
        tensor([[ 1., -2.,  2.]])
    """
    ordered = _sorted(features.abs())
    position = quantile * (features.shape[-1] - 1)
    below = int(position)
    above = min(below + 1, features.shape[-1] - 1)
    row_quantile = torch.lerp(ordered[..., below], ordered[..., above], position - below)
    threshold = row_quantile.mean(dim=-1)[..., None, None]
    return torch.minimum(torch.maximum(features, -threshold), threshold)


def _sorted(values: Tensor) -> Tensor:
    """Values in rising order along the last dimension."""
    if values.device.type == "cpu":
        # numpy sorts short rows over ten times faster than torch does.
        return torch.from_numpy(np.sort(values.contiguous().numpy(), axis=-1))
    return values.sort(dim=-1).values
