"""Matching of cosine Gram matrices, in feature space: no n x n matrix, any widths.

Source: similarity-preserving distillation, Tung and Mori 2019 (arXiv 1907.09682, equations 2-4),
here with samples rather than rows of the Gram matrix normalised.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from raysweep.losses.base import LossEntry, LossOutput, WithoutParameters, undefined
from raysweep.losses.pairwise import through_unit, unit_columns


@dataclass(frozen=True)
class GramMatching(WithoutParameters):
    """Mean over pairs of distinct samples of (cosine in modality 1 - cosine in modality 2)^2.

    In [0, 4]; unchanged by rotation of either side and by rescaling of any sample. 0 also where
    both sides collapse to one point, which the task must prevent. A sample of all zeros has cosine
    0 to every other, gets no gradient, and adds 1 / (b (b - 1)) where only one side is zero.
    Undefined (NaN, gradients 0) in batches of one sample.
    """

    capturable: ClassVar[bool] = True

    def value_and_gradients(
        self, h1: Tensor, h2: Tensor, parameters: Tensor, groups: Tensor | None = None
    ) -> LossOutput:
        """See `AlignmentLoss.value_and_gradients`."""
        _, d1, b = h1.shape
        if b < 2:
            return undefined(h1, h2, parameters)
        u, inverse_1 = unit_columns(h1)
        v, inverse_2 = unit_columns(h2)
        # |U'U - V'V|^2 = |UU'|^2 - 2 |UV'|^2 + |VV'|^2: the quadratic form of the signed joined
        # features, so value and gradients take two small products.
        joined = torch.cat([u, v], dim=1)
        products = torch.bmm(joined, joined.mT)
        products[:, :d1, d1:].neg_()
        products[:, d1:, :d1].neg_()
        pairs = b * (b - 1)
        # Rounding leaves a few eps below 0 where both sides agree.
        value = _signed_square(products, d1).clamp(min=0.0) / pairs
        gradient = torch.bmm(products, joined) * (4.0 / pairs)
        grad_1, _ = through_unit(u, inverse_1, gradient[:, :d1])
        grad_2, _ = through_unit(v, inverse_2, gradient[:, d1:])
        return LossOutput(value, grad_1, grad_2, torch.zeros_like(parameters))


def _signed_square(products: Tensor, d1: int) -> Tensor:
    """|UU'|^2 - 2 |UV'|^2 + |VV'|^2 from the joined products: [m]."""
    squared = products.square()
    own = squared[:, :d1, :d1].sum((1, 2)) + squared[:, d1:, d1:].sum((1, 2))
    return own - 2.0 * squared[:, :d1, d1:].sum((1, 2))


ENTRIES = (
    LossEntry(
        name="gram",
        build=GramMatching,
        equal_widths=False,
        favours="rsa",
        meaning="cosines between samples made the same in both modalities",
        source="Tung and Mori 2019, arXiv 1907.09682 (variant)",
    ),
)
