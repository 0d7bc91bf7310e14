"""Uniformity alone: spreads each modality over the sphere and aligns nothing. A control.

Source: Wang and Isola 2020 (arXiv 2005.10242, section 4.1.2).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from raysweep.losses.base import Formula, LossEntry, LossOutput, WithoutParameters
from raysweep.losses.pairwise import exponential_dtype, in_chunks, through_unit, unit_columns
from raysweep.plugins.options import Option


@dataclass(frozen=True)
class Uniformity(WithoutParameters):
    """Log of the mean Gaussian potential between distinct samples, averaged over both sides.

    InfoNCE forces alignment and uniformity at once; this is the second part, so what it does to a
    task is not due to alignment. Never uses the pairing. Samples are L2-normalised and squared
    distances taken as 2 - 2 cosine, also for a sample of all zeros, which gets no gradient.
    Undefined (NaN, gradients 0) in batches of one sample.

    Attributes:
        sharpness: t in exp(-t * squared distance).
    """

    capturable: ClassVar[bool] = True

    sharpness: float = 2.0

    def formula(self, d1: int, d2: int) -> Formula:
        """See `HasFormula`."""
        return Formula("uniformity", (2.0 * self.sharpness,), span=4.0 * self.sharpness)

    def value_and_gradients(self, h1: Tensor, h2: Tensor, parameters: Tensor) -> LossOutput:
        """See `AlignmentLoss.value_and_gradients`."""
        values, gradients = [], []
        for h in (h1, h2):
            work = exponential_dtype(h.dtype, 4.0 * self.sharpness)
            u, inverse = unit_columns(h.to(work))
            value, grad_u = in_chunks(self._potential, u, u)
            values.append(value.to(h.dtype))
            gradients.append(through_unit(u, inverse, 0.5 * grad_u)[0].to(h.dtype))
        value = 0.5 * (values[0] + values[1])
        return LossOutput(value, gradients[0], gradients[1], torch.zeros_like(parameters))

    def _potential(self, u: Tensor, v: Tensor) -> tuple[Tensor, ...]:
        """One side's uniformity [m] and its gradient by the unit vectors, [m, d, b]; v is u."""
        m, _, b = u.shape
        if b < 2:
            return u.new_full((m,), math.nan), torch.zeros_like(u)
        twice = 2.0 * self.sharpness
        potential = torch.bmm((twice * u).mT, v).sub_(twice).exp_()
        potential.diagonal(dim1=1, dim2=2).zero_()
        total = potential.sum((1, 2))
        gradient = torch.bmm(v, potential) * (2.0 * twice / total)[:, None, None]
        return (total / (b * (b - 1))).log(), gradient


ENTRIES = (
    LossEntry(
        name="uniformity",
        build=Uniformity,
        equal_widths=False,
        pairwise=True,
        favours="uniformity",
        meaning="control: spreads each modality over the sphere, aligns nothing",
        source="Wang and Isola 2020, arXiv 2005.10242",
        options=(Option("sharpness", 2.0, "t in exp(-t * squared distance)", 0.01, 100),),
    ),
)
