"""Matching of soft neighbourhoods: a differentiable relative of mutual kNN.

Sources: the neighbour distribution, Hinton and Roweis 2002 (Stochastic Neighbor Embedding,
equation 1, here with cosines); what it relaxes, mutual kNN, Huh et al. 2024 (arXiv 2405.07987).
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
class SoftKNN(WithoutParameters):
    """Half the symmetrised KL divergence between both sides' neighbour distributions, in nats.

    p_i is the softmax over the other samples j of cosine(i, j) / temperature within modality 1,
    q_i the same within modality 2; the value is the mean over i of
    (KL(p_i, q_i) + KL(q_i, p_i)) / 2. 0 where the neighbourhoods agree; also where both sides
    collapse to one point, which the task must prevent. Widths may differ. A sample of all zeros
    has cosine 0 to every other. 0 with two samples, undefined (NaN, gradients 0) with one. Samples
    of one group are no neighbours of each other; one that then has none is left out of the mean.

    Attributes:
        temperature: The size of a neighbourhood: the nearest sample alone as it goes to 0.
    """

    capturable: ClassVar[bool] = True

    temperature: float = 0.1

    def formula(self, d1: int, d2: int) -> Formula:
        """See `HasFormula`."""
        scale = 1.0 / self.temperature
        return Formula("soft_knn", (scale,), span=2.0 * scale, negatives=True)

    def value_and_gradients(
        self, h1: Tensor, h2: Tensor, parameters: Tensor, groups: Tensor | None = None
    ) -> LossOutput:
        """See `AlignmentLoss.value_and_gradients`."""
        dtype = h1.dtype
        work = exponential_dtype(dtype, 2.0 / self.temperature)
        u, inverse_1 = unit_columns(h1.to(work))
        v, inverse_2 = unit_columns(h2.to(work))
        value, grad_u, grad_v = in_chunks(self._divergence, u, v, *of_groups(groups))
        grad_1, _ = through_unit(u, inverse_1, grad_u)
        grad_2, _ = through_unit(v, inverse_2, grad_v)
        return LossOutput(
            value.to(dtype), grad_1.to(dtype), grad_2.to(dtype), torch.zeros_like(parameters)
        )

    def _divergence(self, u: Tensor, v: Tensor, groups: Tensor | None = None) -> tuple[Tensor, ...]:
        """The loss [m] and its gradients by the unit vectors, [m, d1, b] and [m, d2, b]."""
        m, _, b = u.shape
        if b < 2:
            return u.new_full((m,), math.nan), torch.zeros_like(u), torch.zeros_like(v)
        scale = 1.0 / self.temperature
        logits_1 = torch.bmm((scale * u).mT, u)
        logits_2 = torch.bmm((scale * v).mT, v)
        together = None if groups is None else same_group(groups)
        p, q = (_neighbours(logits, scale, together) for logits in (logits_1, logits_2))
        # log p - log q is this difference up to a constant per row, and p - q sums to 0.
        apart = logits_1.sub_(logits_2)
        under_p = (p * apart).sum(2, keepdim=True)
        under_q = (q * apart).sum(2, keepdim=True)
        value = 0.5 * (under_p - under_q).mean((1, 2))
        step: float | Tensor = 0.5 * scale / b
        if together is not None:
            # The mean is over the samples that have neighbours; 0 times infinity where none has.
            larger = b / (together.sum(2) < b - 1).sum(1).to(u)
            value = value * larger
            step = step * larger[:, None, None]
        slope_1 = torch.addcmul(p - q, p, apart - under_p)
        slope_2 = torch.addcmul(q - p, q, under_q - apart)
        grad_u = step * (torch.bmm(u, slope_1.mT) + torch.bmm(u, slope_1))
        grad_v = step * (torch.bmm(v, slope_2.mT) + torch.bmm(v, slope_2))
        if together is not None:
            undefined = value.isnan()[:, None, None]
            grad_u, grad_v = (g.masked_fill(undefined, 0.0) for g in (grad_u, grad_v))
        return value, grad_u, grad_v


def _neighbours(logits: Tensor, largest: float, together: Tensor | None) -> Tensor:
    """Softmax over the other samples of [m, b, b] logits, none above `largest`; diagonal 0.

    Those of the same group are left out, too; a sample that has no others gets zeros.
    """
    p = (logits - largest).exp_()
    p.diagonal(dim1=1, dim2=2).zero_()
    if together is None:
        return p.div_(p.sum(2, keepdim=True))
    total = p.masked_fill_(together, 0.0).sum(2, keepdim=True)
    return p.div_(total.masked_fill(total == 0, 1.0))


ENTRIES = (
    LossEntry(
        name="soft_knn",
        build=SoftKNN,
        equal_widths=False,
        pairwise=True,
        negatives=True,
        favours="mutual_knn",
        meaning="soft neighbourhoods of each sample made the same in both modalities",
        source="Hinton and Roweis 2002 (neighbour distribution); Huh et al. 2024, arXiv 2405.07987",
        options=(
            Option(
                "temperature",
                0.1,
                "divides the cosines: the size of a neighbourhood; float64 below 0.025",
                low=0.005,
                high=100.0,
            ),
        ),
    ),
)
