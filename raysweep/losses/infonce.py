"""Symmetric InfoNCE, the loss of CLIP, with a backward that shares one exponential.

Sources: van den Oord et al. 2018 (arXiv 1807.03748, equation 4); the symmetric form and the
learned temperature, Radford et al. 2021 (arXiv 2103.00020, section 2.4 and figure 3).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from raysweep.errors import InputError
from raysweep.losses.base import Formula, LossEntry, LossOutput
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
class InfoNCE:
    """Cross-entropy of finding each sample's pair in the batch, averaged over both directions.

    Samples are L2-normalised; a sample of all zeros has cosine 0 to every other and gets no
    gradient. With one sample the value and the gradients are 0, and so with samples of one group,
    which are no negatives of each other. Both widths must agree.

    Below a temperature of 0.025 the similarities are computed in float64, where float32 would
    lose the smallest exponentials. A learned temperature may get there unless `max_scale` is at
    most 40, so its step is about twice as dear in float32.

    Attributes:
        temperature: Divides the cosines; where the learned one starts.
        learned: Learn log(1 / temperature), one parameter per member.
        max_scale: Upper bound of a learned 1 / temperature.
    """

    capturable: ClassVar[bool] = True

    temperature: float = 0.07
    learned: bool = False
    max_scale: float = 100.0

    def __post_init__(self) -> None:
        if self.learned and 1.0 / self.temperature > self.max_scale:
            raise InputError(
                f"loss infonce: temperature is {self.temperature:g}, a scale of "
                f"{1.0 / self.temperature:g}, above max_scale {self.max_scale:g}; a learned "
                "temperature must start within its bound"
            )

    def parameter_count(self, d1: int, d2: int) -> int:
        """One where the temperature is learned."""
        return int(self.learned)

    def initial_parameters(self, d1: int, d2: int, generator: torch.Generator) -> Tensor:
        """Log of 1 / temperature, [1], or nothing, [0]; the generator is left untouched."""
        start = [math.log(1.0 / self.temperature)] if self.learned else []
        return torch.tensor(start, dtype=torch.float64)

    def formula(self, d1: int, d2: int) -> Formula | None:
        """See `HasFormula`."""
        if self.learned:
            return None
        scale = 1.0 / self.temperature
        return Formula("infonce", (scale,), span=2.0 * scale, negatives=True)

    def value_and_gradients(
        self, h1: Tensor, h2: Tensor, parameters: Tensor, groups: Tensor | None = None
    ) -> LossOutput:
        """See `AlignmentLoss.value_and_gradients`; d1 must equal d2."""
        dtype = h1.dtype
        if h1.shape[2] == 1:
            # Computed, it would be 0 but for rounding, which would pass for a pull.
            zeros = (torch.zeros_like(of) for of in (h1[:, 0, 0], h1, h2, parameters))
            return LossOutput(*zeros)
        largest = self.max_scale if self.learned else 1.0 / self.temperature
        # Cosines span 2.
        work = exponential_dtype(dtype, 2.0 * largest)
        if self.learned:
            scale = parameters[:, 0].to(work).exp().clamp(max=self.max_scale)
        else:
            scale = torch.full((h1.shape[0],), largest, dtype=work, device=h1.device)
        u, inverse_1 = unit_columns(h1.to(work))
        v, inverse_2 = unit_columns(h2.to(work))
        value, grad_u, grad_v = in_chunks(_symmetric_cross_entropy, u, v, scale, *of_groups(groups))
        grad_1, radial = through_unit(u, inverse_1, grad_u)
        grad_2, _ = through_unit(v, inverse_2, grad_v)
        grad_parameters = torch.zeros_like(parameters)
        if self.learned:
            # The similarities are scale * u'v, so d/d(log scale) = sum of u * d/du.
            slope = radial.sum((1, 2))
            # At the bound only the way back is open: CLIP clips the parameter itself instead.
            held = (parameters[:, 0].exp() >= self.max_scale) & (slope < 0)
            grad_parameters[:, 0] = slope.masked_fill(held, 0.0).to(dtype)
        return LossOutput(value.to(dtype), grad_1.to(dtype), grad_2.to(dtype), grad_parameters)


def _symmetric_cross_entropy(
    u: Tensor, v: Tensor, scale: Tensor, groups: Tensor | None = None
) -> tuple[Tensor, ...]:
    """The loss [m] and its gradients with respect to the unit vectors, [m, d, b] each.

    Args:
        u: [m, d, b], unit columns.
        v: [m, d, b], unit columns.
        scale: [m], 1 / temperature.
        groups: [m, s, b] or None.
    """
    m, _, b = u.shape
    by_feature = scale[:, None, None]
    # A constant feature of (-scale, 1) makes the product come out shifted by the largest possible
    # similarity, without another pass over [m, b, b].
    shift = by_feature.expand(m, 1, b)
    left = torch.cat([u * by_feature, -shift], dim=1)
    right = torch.cat([v, torch.ones_like(shift)], dim=1)
    exponential = torch.bmm(left.mT, right).exp_()
    together = None if groups is None else same_group(groups)
    if together is not None:
        exponential.masked_fill_(together, 0.0)
    rows, columns = exponential.sum(2), exponential.sum(1)
    positive = (u * v).sum(1)
    value = scale * (1.0 - positive.mean(1)) + 0.5 * (rows.log().mean(1) + columns.log().mean(1))
    # Row softmax + column softmax, both from the one exponential.
    softmaxes = rows.reciprocal()[:, :, None] + columns.reciprocal()[:, None, :]
    softmaxes *= exponential
    step = by_feature / b
    grad_u = step * (0.5 * torch.bmm(v, softmaxes.mT) - v)
    grad_v = step * (0.5 * torch.bmm(u, softmaxes) - u)
    if together is not None:
        # As of one sample: without any negative only rounding is left.
        none = together.sum((1, 2)) == b * (b - 1)
        value = value.masked_fill(none, 0.0)
        grad_u = grad_u.masked_fill(none[:, None, None], 0.0)
        grad_v = grad_v.masked_fill(none[:, None, None], 0.0)
    return value, grad_u, grad_v


ENTRIES = (
    LossEntry(
        name="infonce",
        build=InfoNCE,
        equal_widths=True,
        pairwise=True,
        negatives=True,
        favours="mutual_knn",
        meaning="each sample finds its pair among the batch by cosine, in both directions",
        source="van den Oord et al. 2018, arXiv 1807.03748; CLIP, arXiv 2103.00020",
        options=(
            Option(
                "temperature",
                0.07,
                "divides the cosines; where a learned one starts; float64 below 0.025",
                low=0.005,
                high=100.0,
            ),
            Option("learned", False, "learn the temperature, one per member"),
            Option(
                "max_scale",
                100.0,
                "upper bound of a learned 1 / temperature; float64 above 40",
                low=1.0,
                high=200.0,
            ),
        ),
    ),
)
