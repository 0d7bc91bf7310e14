"""What is done to features before they are compared; nothing, unless asked.

The paper clips outliers and then normalises rows (arXiv 2502.16282 and the definitions of
arXiv 2405.07987, which it builds on); `PAPER` is that choice. Where the threshold of the clipping
comes from differs between published codes: `CLIPS`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raysweep.errors import InputError
from raysweep.metrics.features import (
    NUMBERS_IN_CACHE,
    normalize_rows,
    times_power_of_two,
    unit_scaled,
    widened,
)

_LEAST_EXPONENT = -600

_SMALLEST = 2.0**-900
"""Below it magnitudes are lifted before anything is done with them."""

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

CLIPS = ("layer", "model", "table")
"""What a threshold is made of: the rows of a layer, the rows of all layers of a model side by side,
or all entries of a layer."""


@dataclass(frozen=True)
class Preprocessing:
    """Clipping of outliers, then normalisation of rows; each only if asked.

    Attributes:
        clip_quantile: q in (0, 1]; entries beyond a threshold made of q-quantiles of |x| are
            clipped to it. None or 1: no clipping.
        normalize: divide each row by its Euclidean norm.
        clip: where the threshold comes from. `layer`: the mean over rows of each row's quantile.
            `model`: the same of rows that go through all layers of a model, which share that
            threshold. `table`: the entry at place floor(q n d) of all n d of a layer in rising
            order, counted from 0.
    """

    clip_quantile: float | None = None
    normalize: bool = False
    clip: str = "layer"

    def __post_init__(self) -> None:
        """Checks the quantile and the kind of clipping."""
        quantile = self.clip_quantile
        if quantile is not None and not 0 < quantile <= 1:
            raise InputError(f"clip_quantile: expected None or 0 < q <= 1, got {quantile}")
        if self.clip not in CLIPS:
            raise InputError(f"clip: expected one of {', '.join(CLIPS)}, got {self.clip!r}")

    @property
    def clips(self) -> bool:
        """Whether anything is clipped."""
        return self.clip_quantile is not None and self.clip_quantile < 1

    @property
    def shares_threshold(self) -> bool:
        """Whether all layers of a model are clipped to one threshold."""
        return self.clips and self.clip == "model"

    def __call__(self, features: Tensor, threshold: Tensor | None = None) -> Tensor:
        """Applies both steps to [..., n, d] of any floating dtype; the result is float64.

        Args:
            features: finite.
            threshold: float64 [..., 1, 1], what `shared_threshold` found in all layers; by default
                it comes from these features alone.
        """
        if not self.clips:
            return self._by_rows(features, None, None)
        if not features.is_floating_point() or features.dtype == torch.float64:
            features = widened(features)
        largest = torch.maximum(
            features.amin(dim=(-2, -1), keepdim=True).abs(),
            features.amax(dim=(-2, -1), keepdim=True).abs(),
        )
        scale = exponent = torch.frexp(widened(largest)).exponent
        if features.dtype == torch.float64 and bool((largest < _SMALLEST).any()):
            features, exponent = unit_scaled(features)
            scale = torch.zeros_like(exponent)
        if threshold is None:
            assert self.clip_quantile is not None
            found = _thresholds(features, self.clip_quantile, self.clip == "table", scale)
        else:
            found = times_power_of_two(threshold, -exponent)
        clipped = self._by_rows(features, scale, found)
        if self.normalize:
            return clipped
        # Not down to where some processors have no numbers: no metric tells such sizes apart.
        return times_power_of_two(clipped, exponent.clamp(min=_LEAST_EXPONENT))

    def _by_rows(
        self, features: Tensor, exponent: Tensor | None, threshold: Tensor | None
    ) -> Tensor:
        """Features over 2^exponent, clipped to +-threshold, rows normalised, each if asked."""
        if exponent is None and not self.normalize:
            return widened(features)
        result = torch.empty(features.shape, dtype=torch.float64, device=features.device)
        for rows in _row_blocks(features):
            part = widened(features[..., rows, :])
            if exponent is not None and threshold is not None:
                part = times_power_of_two(part, -exponent)
                part = torch.clamp(part, -threshold, threshold)
            result[..., rows, :] = normalize_rows(part) if self.normalize else part
        return result

    def shared_threshold(self, blocks: Iterable[Sequence[Tensor]]) -> Tensor | None:
        """The threshold that all layers of a model share, float64 [..., 1, 1].

        Args:
            blocks: some rows after others, each block as its parts in the layers, [..., r, d]. None
                are read where each layer has a threshold of its own, and None is returned.
        """
        if not self.shares_threshold:
            return None
        assert self.clip_quantile is not None
        quantiles = []
        for parts in blocks:
            alike = len({part.dtype for part in parts}) == 1
            beside = torch.cat([part if alike else widened(part) for part in parts], dim=-1)
            quantiles.append(_row_quantiles(beside, self.clip_quantile))
        scaled, exponent = unit_scaled(torch.cat(quantiles, dim=-1)[..., None])
        return times_power_of_two(scaled.mean(dim=-2, keepdim=True), exponent)


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
    row_quantile = torch.cat(
        [_row_quantiles(features[..., rows, :], quantile) for rows in _row_blocks(features)], dim=-1
    )
    threshold = row_quantile.mean(dim=-1)[..., None, None].to(features.dtype)
    return torch.clamp(features, -threshold, threshold)


def _thresholds(features: Tensor, quantile: float, of_table: bool, exponent: Tensor) -> Tensor:
    """The threshold of each member of [..., n, d] over 2^exponent [..., 1, 1]."""
    if of_table:
        entries = features.flatten(-2)
        place = int(quantile * entries.shape[-1])
        return times_power_of_two(widened(_in_order(entries, [place])), -exponent)
    found = torch.cat(
        [_row_quantiles(features[..., rows, :], quantile) for rows in _row_blocks(features)], dim=-1
    )
    return times_power_of_two(found[..., None], -exponent).mean(dim=-2, keepdim=True)


def _row_quantiles(features: Tensor, quantile: float) -> Tensor:
    """The quantile of |x| of each row of [..., n, d], interpolated linearly: float64 [..., n]."""
    position = quantile * (features.shape[-1] - 1)
    below = int(position)
    above = min(below + 1, features.shape[-1] - 1)
    found = widened(_in_order(features, [below, above]))
    return torch.lerp(found[..., 0], found[..., 1], position - below)


def _in_order(values: Tensor, places: list[int]) -> Tensor:
    """|x| at places of its rising order along the last dimension of [..., d], [..., places].

    Without their sign, floating-point numbers are in the order of the integers they are stored as.
    """
    integers = _INTEGERS[values.element_size()]
    bits = values.contiguous().view(integers) & torch.iinfo(integers).max
    if values.device.type == "cpu":
        # numpy selects several times faster than torch does.
        numbers = bits.numpy()
        numbers.partition(places, axis=-1)
        return torch.from_numpy(numbers[..., places]).view(values.dtype)
    return bits.sort(dim=-1).values[..., places].view(values.dtype)


def rows_at_once(width: int) -> int:
    """How many rows so wide are gone through at once for `Preprocessing.shared_threshold`."""
    return max(1, 8 * NUMBERS_IN_CACHE // width)


def _row_blocks(features: Tensor) -> Iterator[slice]:
    """Blocks of rows of [..., n, d] that stay in cache through all steps."""
    rows = features.shape[-2]
    size = max(16, NUMBERS_IN_CACHE * rows // max(1, features.numel()))
    for start in range(0, rows, size):
        yield slice(start, start + size)
