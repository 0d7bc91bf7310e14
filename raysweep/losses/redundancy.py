"""Non-contrastive losses that keep the features from collapsing by their covariances.

Sources: VICReg, Bardes et al. 2022 (arXiv 2105.04906, equations 1-6); Barlow Twins, Zbontar et
al. 2021 (arXiv 2103.03230, equations 1-2).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from raysweep.losses.base import (
    Formula,
    LossEntry,
    LossOutput,
    WithoutParameters,
    differentiate,
    undefined,
)
from raysweep.plugins.options import Option

# As in batch normalisation, which Barlow Twins standardises with, and as in VICReg's equation 2.
STANDARDISE_EPSILON = 1e-5
DEVIATION_EPSILON = 1e-4


@dataclass(frozen=True)
class VICReg(WithoutParameters):
    """invariance * s + variance * [v(1) + v(2)] + covariance * [c(1) + c(2)].

    s is the mean squared distance of pairs, v the mean over features of how far the standard
    deviation falls short of 1, c the sum of squared covariances between distinct features over d.
    Feature j of one side is matched to feature j of the other, so widths must agree.
    Undefined (NaN, gradients 0) in batches of one sample.

    Attributes:
        invariance: Weight of s.
        variance: Weight of v.
        covariance: Weight of c.
    """

    capturable: ClassVar[bool] = True

    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0

    def formula(self, d1: int, d2: int) -> Formula:
        """See `HasFormula`."""
        return Formula("vicreg", (self.invariance, self.variance, self.covariance))

    def value_and_gradients(
        self, h1: Tensor, h2: Tensor, parameters: Tensor, groups: Tensor | None = None
    ) -> LossOutput:
        """See `AlignmentLoss.value_and_gradients`."""
        if h1.shape[2] < 2:
            return undefined(h1, h2, parameters)
        return differentiate(self._value, h1, h2, parameters)

    def _value(self, h1: Tensor, h2: Tensor, parameters: Tensor) -> Tensor:
        _, d, b = h1.shape
        value = self.invariance * (h1 - h2).square().sum(1).mean(1)
        for h in (h1, h2):
            centred = h - h.mean(2, keepdim=True)
            products = torch.bmm(centred, centred.mT) / (b - 1)
            variances = products.diagonal(dim1=1, dim2=2)
            shortfall = (1.0 - (variances + DEVIATION_EPSILON).sqrt()).clamp(min=0.0).mean(1)
            between = products.square().sum((1, 2)) - variances.square().sum(1)
            value = value + self.variance * shortfall + self.covariance * between / d
        return value


@dataclass(frozen=True)
class BarlowTwins(WithoutParameters):
    """Cross-correlation of the two sides' features driven to the identity.

    sum_i (1 - C_ii)^2 + redundancy * sum_{i != j} C_ij^2, features standardised over the batch.
    A constant feature has correlation 0. Widths must agree. Unchanged by translation and, up to
    the epsilon of the standardisation, by rescaling of any feature.
    Undefined (NaN, gradients 0) in batches of one sample.

    Attributes:
        redundancy: Weight of the off-diagonal.
    """

    capturable: ClassVar[bool] = True

    redundancy: float = 0.005

    def formula(self, d1: int, d2: int) -> Formula:
        """See `HasFormula`."""
        return Formula("barlow_twins", (self.redundancy,))

    def value_and_gradients(
        self, h1: Tensor, h2: Tensor, parameters: Tensor, groups: Tensor | None = None
    ) -> LossOutput:
        """See `AlignmentLoss.value_and_gradients`."""
        if h1.shape[2] < 2:
            return undefined(h1, h2, parameters)
        return differentiate(self._value, h1, h2, parameters)

    def _value(self, h1: Tensor, h2: Tensor, parameters: Tensor) -> Tensor:
        b = h1.shape[2]
        correlation = torch.bmm(_standardised(h1), _standardised(h2).mT) / b
        same = correlation.diagonal(dim1=1, dim2=2)
        between = correlation.square().sum((1, 2)) - same.square().sum(1)
        return (1.0 - same).square().sum(1) + self.redundancy * between


def _standardised(h: Tensor) -> Tensor:
    """Every feature of [m, d, b] to mean 0 and (biased) variance 1 over the batch."""
    centred = h - h.mean(2, keepdim=True)
    return centred * (centred.square().mean(2, keepdim=True) + STANDARDISE_EPSILON).rsqrt()


ENTRIES = (
    LossEntry(
        name="vicreg",
        build=VICReg,
        equal_widths=True,
        favours="mean_cca",
        meaning="pairs close, every feature varying, features uncorrelated",
        source="Bardes et al. 2022, arXiv 2105.04906",
        options=(
            Option("invariance", 25.0, "weight of the distance of pairs", 0, 1e6),
            Option("variance", 25.0, "weight of the shortfall of deviations below 1", 0, 1e6),
            Option("covariance", 1.0, "weight of the covariances between features", 0, 1e6),
        ),
    ),
    LossEntry(
        name="barlow_twins",
        build=BarlowTwins,
        equal_widths=True,
        favours="mean_cca",
        meaning="cross-correlation of the features driven to the identity",
        source="Zbontar et al. 2021, arXiv 2103.03230",
        options=(Option("redundancy", 0.005, "weight of the off-diagonal", 0, 1e3),),
    ),
)
