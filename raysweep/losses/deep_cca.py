"""Deep canonical correlation analysis, ridge-regularised, with its closed-form gradient.

Source: Andrew et al. 2013 (Deep Canonical Correlation Analysis, ICML, equations 10-13). Whitening
is by Cholesky factors instead of symmetric roots: the singular values, and so the correlations and
their gradients, are the same.
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
from raysweep.plugins.options import Option


@dataclass(frozen=True)
class DeepCCA(WithoutParameters):
    """1 - mean canonical correlation of the batch; widths may differ.

    In [0, 1]. Unchanged by translation and by one scale for all features of a side and, as the
    ridge goes to 0, by any invertible map. Correlations of batches that are not well above
    d1 + d2 are high by chance; with fewer samples than that only the ridge keeps them below 1.
    Undefined (NaN, gradients 0) where a side is constant, and in batches of one sample.

    Attributes:
        ridge: Added to the diagonal of each covariance, in units of the side's mean variance.
        components: How many leading correlations are averaged; 0 for all min(d1, d2).
    """

    # The decomposition reads back whether it converged.
    capturable: ClassVar[bool] = False

    ridge: float = 1e-3
    components: int = 0

    def formula(self, d1: int, d2: int) -> Formula:
        """See `HasFormula`."""
        return Formula("deep_cca", (self.ridge, float(self.components)))

    def value_and_gradients(
        self, h1: Tensor, h2: Tensor, parameters: Tensor, groups: Tensor | None = None
    ) -> LossOutput:
        """See `AlignmentLoss.value_and_gradients`."""
        _, d1, b = h1.shape
        if b < 2:
            return undefined(h1, h2, parameters)
        count = min(self.components or d1, d1, h2.shape[1])
        x1, x2 = h1 - h1.mean(2, keepdim=True), h2 - h2.mean(2, keepdim=True)
        factor_1, defined_1 = self._factor(x1, h1)
        factor_2, defined_2 = self._factor(x2, h2)
        cross = torch.bmm(x1, x2.mT) / (b - 1)
        half = torch.linalg.solve_triangular(factor_1, cross, upper=False)
        whitened = torch.linalg.solve_triangular(factor_2.mT, half, upper=True, left=False)
        defined = defined_1 & defined_2 & whitened.isfinite().all(2).all(1)
        # A decomposition refuses a whole batch of matrices for one that is not finite.
        whitened = torch.where(defined[:, None, None], whitened, torch.zeros_like(whitened))
        left, correlations, right = torch.linalg.svd(whitened, full_matrices=False)
        left, right = left[:, :, :count], right[:, :count]
        kept = correlations[:, :count]
        value = (1.0 - kept.mean(1)).masked_fill(~defined, math.nan)
        # Back through the whitening: L^-T U and L^-T V carry every term.
        side_1 = torch.linalg.solve_triangular(factor_1.mT, left, upper=True)
        side_2 = torch.linalg.solve_triangular(factor_2.mT, right.mT, upper=True)
        step = -1.0 / (count * (b - 1))
        by_cross = torch.bmm(side_1, side_2.mT)
        grad_1 = torch.bmm(by_cross, x2) - self._own(side_1, kept, x1)
        grad_2 = torch.bmm(by_cross.mT, x1) - self._own(side_2, kept, x2)
        return where_defined(
            LossOutput(value, step * grad_1, step * grad_2, torch.zeros_like(parameters))
        )

    def _factor(self, centred: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Cholesky factor of the regularised covariance [m, d, d], and where it is defined [m]."""
        _, d, b = centred.shape
        covariance = torch.bmm(centred, centred.mT) / (b - 1)
        mean_variance = covariance.diagonal(dim1=1, dim2=2).mean(1)
        # Centring a constant leaves its rounding error, which is not structure.
        rounding = (64 * torch.finfo(h.dtype).eps) ** 2
        defined = mean_variance > rounding * h.square().mean((1, 2))
        eye = torch.eye(d, dtype=h.dtype, device=h.device)
        covariance = covariance + (self.ridge * mean_variance)[:, None, None] * eye
        factor, failed = torch.linalg.cholesky_ex(
            torch.where(defined[:, None, None], covariance, eye)
        )
        good = defined & (failed == 0)
        return torch.where(good[:, None, None], factor, eye), good

    def _own(self, side: Tensor, correlations: Tensor, centred: Tensor) -> Tensor:
        """The part of a side's gradient that comes through its own covariance, [m, d, b].

        Args:
            side: [m, d, k], the whitened singular vectors taken back to the features.
            correlations: [m, k].
            centred: [m, d, b].
        """
        own = torch.bmm(side * correlations[:, None, :], side.mT)
        # The ridge follows the mean variance, so it passes on a share to every feature's variance.
        shared = self.ridge * own.diagonal(dim1=1, dim2=2).mean(1)
        return torch.bmm(own, centred) + shared[:, None, None] * centred


ENTRIES = (
    LossEntry(
        name="deep_cca",
        build=DeepCCA,
        equal_widths=False,
        favours="mean_cca",
        meaning="1 - mean canonical correlation of the batch, with a ridge",
        source="Andrew et al. 2013, ICML",
        options=(
            Option(
                "ridge",
                1e-3,
                "added to each covariance's diagonal, in units of the side's mean variance",
                low=1e-6,
                high=10.0,
            ),
            Option(
                "components", 0, "leading correlations averaged; 0: the narrower width", 0, 65536
            ),
        ),
    ),
)
