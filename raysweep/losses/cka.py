"""Linear centred kernel alignment as a loss, in feature space: no n x n matrix.

Sources: Kornblith et al. 2019 (arXiv 1905.00414, equations 2-4); the unbiased estimate, Song et
al. 2012 (JMLR 13, equation 5) as used by Nguyen et al. 2021 (arXiv 2010.15327, equation 3).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from raysweep.losses.base import (
    Formula,
    LossEntry,
    LossOutput,
    WithoutParameters,
    undefined,
    where_defined,
)


@dataclass(frozen=True)
class LinearCKA(WithoutParameters):
    """1 - CKA of the two linear kernels over the batch; widths may differ.

    Unchanged by rotation, by one scale for all features, and by translation of either side.
    Undefined (NaN, gradients 0) where a side is constant over the batch, and in batches of fewer
    than 2 samples (4 for the unbiased estimate).

    Attributes:
        unbiased: Use the unbiased estimate of HSIC: 0 in expectation under independence, so the
            loss can exceed 1, where the biased one grows with d / b.
    """

    capturable: ClassVar[bool] = True

    unbiased: bool = False

    def formula(self, d1: int, d2: int) -> Formula:
        """See `HasFormula`."""
        return Formula("cka", (float(self.unbiased),))

    def value_and_gradients(
        self, h1: Tensor, h2: Tensor, parameters: Tensor, groups: Tensor | None = None
    ) -> LossOutput:
        """See `AlignmentLoss.value_and_gradients`."""
        _, d1, b = h1.shape
        if b < (4 if self.unbiased else 2):
            return undefined(h1, h2, parameters)
        joined = torch.cat([h1, h2], dim=1)
        raw = joined.square().sum(2)
        joined -= joined.mean(2, keepdim=True)
        covariance = torch.bmm(joined, joined.mT)
        spread = covariance.diagonal(dim1=1, dim2=2)
        power_1, power_2 = spread[:, :d1].sum(1), spread[:, d1:].sum(1)
        # What is left after centring a constant is its rounding error, which must not be read as
        # structure.
        rounding = (64 * torch.finfo(h1.dtype).eps) ** 2
        constant = (power_1 <= rounding * raw[:, :d1].sum(1)) | (
            power_2 <= rounding * raw[:, d1:].sum(1)
        )
        # Both sides are brought to total variance 1, on the small matrix: CKA does not change and
        # fourth powers of small features do not underflow. Being scale-free, its gradient then
        # needs no term for the scaling itself.
        scale_1, scale_2 = power_1.rsqrt()[:, None, None], power_2.rsqrt()[:, None, None]
        own_1 = covariance[:, :d1, :d1] * scale_1.square()
        own_2 = covariance[:, d1:, d1:] * scale_2.square()
        cross = covariance[:, :d1, d1:] * (scale_1 * scale_2)
        hsic_1, hsic_2 = own_1.square().sum((1, 2)), own_2.square().sum((1, 2))
        hsic_12 = cross.square().sum((1, 2))
        if self.unbiased:
            squared = joined.square()
            length_1 = squared[:, :d1].sum(1) * scale_1[:, 0].square()
            length_2 = squared[:, d1:].sum(1) * scale_2[:, 0].square()
            largest_1, largest_2 = hsic_1, hsic_2
            hsic_1 = _without_diagonal(hsic_1, length_1, length_1)
            hsic_2 = _without_diagonal(hsic_2, length_2, length_2)
            hsic_12 = _without_diagonal(hsic_12, length_1, length_2)
            # Features that vary in one sample alone have an HSIC of 0 with themselves.
            least = 64 * torch.finfo(h1.dtype).eps
            constant |= (hsic_1 <= least * largest_1) | (hsic_2 <= least * largest_2)
        joint = (hsic_1 * hsic_2).rsqrt()
        similarity = (hsic_12 * joint).masked_fill(constant, math.nan)
        weight_12 = (-2.0 * joint)[:, None, None]
        weight_1 = (2.0 * similarity / hsic_1)[:, None, None]
        weight_2 = (2.0 * similarity / hsic_2)[:, None, None]
        # d HSIC(X, Y) / dX = 2 (X Y') Y and d HSIC(X, X) / dX = 4 (X X') X, for both sides in one
        # product with the joined features.
        mixing = torch.empty_like(covariance)
        mixing[:, :d1, :d1] = weight_1 * own_1 * scale_1.square()
        mixing[:, d1:, d1:] = weight_2 * own_2 * scale_2.square()
        mixing[:, :d1, d1:] = weight_12 * cross * (scale_1 * scale_2)
        mixing[:, d1:, :d1] = mixing[:, :d1, d1:].mT
        gradient = torch.bmm(mixing, joined)
        if self.unbiased:
            slope_1, slope_2 = _diagonal_slope(length_1), _diagonal_slope(length_2)
            along_1 = (weight_12 * slope_2 + weight_1 * slope_1) * scale_1.square()
            along_2 = (weight_12 * slope_1 + weight_2 * slope_2) * scale_2.square()
            gradient[:, :d1] += along_1 * joined[:, :d1]
            gradient[:, d1:] += along_2 * joined[:, d1:]
            gradient -= gradient.mean(2, keepdim=True)
        return where_defined(
            LossOutput(
                value=1.0 - similarity,
                grad_1=gradient[:, :d1],
                grad_2=gradient[:, d1:],
                grad_parameters=torch.zeros_like(parameters),
            )
        )


def _without_diagonal(trace: Tensor, length_1: Tensor, length_2: Tensor) -> Tensor:
    """The unbiased HSIC times b (b - 3), for centred features.

    With centred features the rows of a kernel without its diagonal sum to minus the squared
    lengths, and Song et al.'s three terms come down to these.

    Args:
        trace: [m], the trace of the product of the full kernels.
        length_1: [m, 1, b] or [m, b], squared lengths of the samples on one side, summing to 1.
        length_2: The same for the other side.
    """
    b = length_1.shape[-1]
    shared = (length_1 * length_2).flatten(1).sum(1)
    return trace - shared * (b / (b - 2)) + 1.0 / ((b - 1) * (b - 2))


def _diagonal_slope(length: Tensor) -> Tensor:
    """Derivative of `_without_diagonal` by the other side's squared lengths, [m, 1, b]."""
    b = length.shape[-1]
    return (1.0 / ((b - 1) * (b - 2)) - length * (b / (b - 2))).view(length.shape[0], 1, b)


ENTRIES = (
    LossEntry(
        name="cka",
        build=LinearCKA,
        equal_widths=False,
        favours="cka",
        meaning="1 - linear CKA of the batch",
        source="Kornblith et al. 2019, arXiv 1905.00414",
    ),
    LossEntry(
        name="unbiased_cka",
        build=lambda: LinearCKA(unbiased=True),
        equal_widths=False,
        favours="unbiased_cka",
        meaning="1 - unbiased linear CKA of the batch",
        source="Song et al. 2012, JMLR 13; Nguyen et al. 2021, arXiv 2010.15327",
    ),
)
