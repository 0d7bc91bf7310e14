"""Uniformity alone: spreads each modality over the sphere and aligns nothing. A control.

Source: Wang and Isola 2020 (arXiv 2005.10242, section 4.1.2).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from raysweep.losses.base import Formula, LossEntry, LossOutput, WithoutParameters
from raysweep.losses.pairwise import (
    exponential_dtype,
    in_chunks,
    of_groups,
    same_group,
    through_unit,
    unit_columns,
)
from raysweep.plugins.options import Option


@dataclass(frozen=True)
class Uniformity(WithoutParameters):
    """Log of the mean Gaussian potential between distinct samples, averaged over both sides.

    InfoNCE forces alignment and uniformity at once; this is the second part, so what it does to a
    task is not due to alignment. Never uses the pairing. Samples are L2-normalised and squared
    distances taken as 2 - 2 cosine, also for a sample of all zeros, which gets no gradient.
    Pairs of one group are left out. Undefined (NaN, gradients 0) where no pair is left, such as in
    batches of one sample.

    Attributes:
        sharpness: t in exp(-t * squared distance).
    """

    capturable: ClassVar[bool] = True

    sharpness: float = 2.0

    def formula(self, d1: int, d2: int) -> Formula:
        """See `HasFormula`."""
        twice = 2.0 * self.sharpness
        return Formula("uniformity", (twice,), span=2.0 * twice, negatives=True)

    def value_and_gradients(
        self, h1: Tensor, h2: Tensor, parameters: Tensor, groups: Tensor | None = None
    ) -> LossOutput:
        """See `AlignmentLoss.value_and_gradients`."""
        values, gradients = [], []
        for side, h in enumerate((h1, h2)):
            own = None if groups is None else groups[:, side % groups.shape[1], None]
            work = exponential_dtype(h.dtype, 4.0 * self.sharpness)
            u, inverse = unit_columns(h.to(work))
            value, grad_u = in_chunks(self._potential, u, u, *of_groups(own))
            values.append(value.to(h.dtype))
            gradients.append(through_unit(u, inverse, 0.5 * grad_u)[0].to(h.dtype))
        value = 0.5 * (values[0] + values[1])
        return LossOutput(value, gradients[0], gradients[1], torch.zeros_like(parameters))

    def _potential(self, u: Tensor, v: Tensor, groups: Tensor | None = None) -> tuple[Tensor, ...]:
        """One side's uniformity [m] and its gradient by the unit vectors, [m, d, b]; v is u."""
        m, _, b = u.shape
        if b < 2:
            return u.new_full((m,), math.nan), torch.zeros_like(u)
        twice = 2.0 * self.sharpness
        potential = torch.bmm((twice * u).mT, v).sub_(twice).exp_()
        potential.diagonal(dim1=1, dim2=2).zero_()
        pairs: float | Tensor = b * (b - 1)
        if groups is not None:
            together = same_group(groups)
            potential.masked_fill_(together, 0.0)
            pairs = pairs - together.sum((1, 2)).to(u)
        total = potential.sum((1, 2))
        gradient = torch.bmm(v, potential) * (2.0 * twice / total)[:, None, None]
        if groups is not None:
            gradient = gradient.masked_fill((total == 0)[:, None, None], 0.0)
        return (total / pairs).log(), gradient


ENTRIES = (
    LossEntry(
        name="uniformity",
        build=Uniformity,
        equal_widths=False,
        pairwise=True,
        negatives=True,
        favours="uniformity",
        meaning="control: spreads each modality over the sphere, aligns nothing",
        source="Wang and Isola 2020, arXiv 2005.10242",
        options=(Option("sharpness", 2.0, "t in exp(-t * squared distance)", 0.01, 100),),
    ),
)
