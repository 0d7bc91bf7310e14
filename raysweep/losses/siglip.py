"""The pairwise sigmoid loss of SigLIP.

Source: Zhai et al. 2023 (arXiv 2303.15343, section 3.2, with algorithm 1's initial values).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from raysweep.losses.base import Formula, LossEntry, LossOutput
from raysweep.losses.pairwise import (
    in_chunks,
    of_groups,
    same_group,
    through_unit,
    unit_columns,
)
from raysweep.plugins.options import Option


@dataclass(frozen=True)
class SigLIP:
    """Every pair of the batch classified as matching or not, summed over pairs, divided by b.

    Samples are L2-normalised; the logit is scale * cosine + bias. A sample of all zeros has
    cosine 0 to every other and gets no gradient. Pairs of different samples of one group are left
    out of the sum. Both widths must agree.

    Attributes:
        scale: 1 / temperature; where the learned one starts.
        bias: Of the logits; where the learned one starts. The published -10 makes the first loss
            small in spite of the many negatives.
        learned: Learn log(scale) and bias, two parameters per member.
    """

    capturable: ClassVar[bool] = True

    scale: float = 10.0
    bias: float = -10.0
    learned: bool = True

    def parameter_count(self, d1: int, d2: int) -> int:
        """Two where scale and bias are learned."""
        return 2 * int(self.learned)

    def initial_parameters(self, d1: int, d2: int, generator: torch.Generator) -> Tensor:
        """[log(scale), bias], or nothing, [0]; the generator is left untouched."""
        start = [math.log(self.scale), self.bias] if self.learned else []
        return torch.tensor(start, dtype=torch.float64)

    def formula(self, d1: int, d2: int) -> Formula:
        """See `HasFormula`."""
        return Formula("siglip", (self.scale, self.bias), self.learned, negatives=True)

    def value_and_gradients(
        self, h1: Tensor, h2: Tensor, parameters: Tensor, groups: Tensor | None = None
    ) -> LossOutput:
        """See `AlignmentLoss.value_and_gradients`; d1 must equal d2."""
        m = h1.shape[0]
        if self.learned:
            scale, bias = parameters[:, 0].exp(), parameters[:, 1]
        else:
            scale, bias = h1.new_full((m,), self.scale), h1.new_full((m,), self.bias)
        u, inverse_1 = unit_columns(h1)
        v, inverse_2 = unit_columns(h2)
        value, grad_u, grad_v, grad_bias = in_chunks(
            _pairwise_sigmoid, u, v, scale, bias, *of_groups(groups)
        )
        grad_1, radial = through_unit(u, inverse_1, grad_u)
        grad_2, _ = through_unit(v, inverse_2, grad_v)
        grad_parameters = torch.zeros_like(parameters)
        if self.learned:
            # The logits are scale * u'v + bias, so d/d(log scale) = sum of u * d/du.
            grad_parameters[:, 0] = radial.sum((1, 2))
            grad_parameters[:, 1] = grad_bias
        return LossOutput(value, grad_1, grad_2, grad_parameters)


def _pairwise_sigmoid(
    u: Tensor, v: Tensor, scale: Tensor, bias: Tensor, groups: Tensor | None = None
) -> tuple[Tensor, ...]:
    """The loss [m], its gradients by the unit vectors [m, d, b] and by the bias [m]."""
    b = u.shape[-1]
    by_feature = scale[:, None, None]
    logits = torch.baddbmm(bias[:, None, None], (u * by_feature).mT, v)
    if groups is not None:
        # Neither a loss nor a slope.
        logits.masked_fill_(same_group(groups), -torch.inf)
    matching = logits.diagonal(dim1=1, dim2=2)
    # -log sigmoid(z x) = -log sigmoid(-x) - (z + 1) / 2 x for z = +-1.
    value = -(logsigmoid(-logits).sum((1, 2)) + matching.sum(1)) / b
    slope = logits.sigmoid_()
    slope.diagonal(dim1=1, dim2=2).sub_(1.0)
    step = by_feature / b
    grad_u = step * torch.bmm(v, slope.mT)
    grad_v = step * torch.bmm(u, slope)
    return value, grad_u, grad_v, slope.sum((1, 2)) / b


ENTRIES = (
    LossEntry(
        name="siglip",
        build=SigLIP,
        equal_widths=True,
        pairwise=True,
        negatives=True,
        favours="mutual_knn",
        meaning="every pair of the batch classified as matching or not by cosine",
        source="Zhai et al. 2023, arXiv 2303.15343",
        options=(
            Option("scale", 10.0, "multiplies the cosines; where a learned one starts", 0.01, 200),
            Option("bias", -10.0, "added to the logits; where a learned one starts", -100, 100),
            Option("learned", True, "learn scale and bias, one of each per member"),
        ),
    ),
)
