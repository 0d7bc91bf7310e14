"""Symmetric InfoNCE, the loss of CLIP, with a backward that shares one exponential.

Sources: van den Oord et al. 2018 (arXiv 1807.03748, equation 4); the symmetric form and the
learned temperature, Radford et al. 2021 (arXiv 2103.00020, section 2.4 and figure 3).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from raysweep.objective.base import LossOutput

# Cosines span 2, so similarities shifted by their largest possible value span 2 x scale. This is
# the largest scale at which exp(-2 x scale) is still a normal float32 (1.2e-38 is exp(-87.3)).
LARGEST_FLOAT32_SCALE = 40.0


@dataclass(frozen=True)
class InfoNCE:
    """Cross-entropy of finding each sample's pair in the batch, averaged over both directions.

    Samples are L2-normalised; a sample of all zeros has cosine 0 to every other and gets no
    gradient. With one sample the value and the gradients are 0. Both widths must agree.

    Where `2 x scale` leaves the range of float32 exponentials (temperatures below 0.025) the
    similarities are computed in float64: dearer, and the reason to keep `max_scale` at 40 where
    speed matters.

    Attributes:
        temperature: Divides the cosines; where the learned one starts.
        learned: Learn log(1 / temperature), one parameter per member.
        max_scale: Upper bound of a learned 1 / temperature.
    """

    temperature: float = 0.07
    learned: bool = False
    max_scale: float = 100.0

    def parameter_count(self, d1: int, d2: int) -> int:
        """One where the temperature is learned."""
        return int(self.learned)

    def initial_parameters(self, d1: int, d2: int, generator: torch.Generator) -> Tensor:
        """Log of 1 / temperature, [1], or nothing, [0]."""
        start = [math.log(1.0 / self.temperature)] if self.learned else []
        return torch.tensor(start, dtype=torch.float64)

    def value_and_gradients(self, h1: Tensor, h2: Tensor, parameters: Tensor) -> LossOutput:
        """See `AlignmentLoss.value_and_gradients`; d1 must equal d2."""
        largest = self.max_scale if self.learned else 1.0 / self.temperature
        work = h1.dtype if largest <= LARGEST_FLOAT32_SCALE else torch.float64
        if self.learned:
            scale = parameters[:, 0].to(work).exp().clamp(max=self.max_scale)
        else:
            scale = torch.full((h1.shape[0],), 1.0 / self.temperature, dtype=work, device=h1.device)
        u, inverse_1 = unit_columns(h1.to(work))
        v, inverse_2 = unit_columns(h2.to(work))
        value, grad_u, grad_v = _symmetric_cross_entropy(u, v, scale)
        radial_1 = (u * grad_u).sum(1, keepdim=True)
        radial_2 = (v * grad_v).sum(1, keepdim=True)
        grad_parameters = torch.zeros_like(parameters)
        if self.learned:
            # The similarities are scale * u'v, so d/d(log scale) = sum of u * d/du.
            slope = radial_1.sum((1, 2))
            # At the bound only the way back is open, or the parameter could never return.
            held = (parameters[:, 0].exp() >= self.max_scale) & (slope < 0)
            grad_parameters[:, 0] = slope.masked_fill(held, 0.0).to(parameters.dtype)
        return LossOutput(
            value=value.to(h1.dtype),
            grad_1=((grad_u - u * radial_1) * inverse_1).to(h1.dtype),
            grad_2=((grad_v - v * radial_2) * inverse_2).to(h2.dtype),
            grad_parameters=grad_parameters,
        )


def unit_columns(h: Tensor) -> tuple[Tensor, Tensor]:
    """Normalise every sample of [m, d, b] to length 1; a sample of zeros stays zero.

    Returns:
        The unit vectors, [m, d, b], and the inverse lengths, [m, 1, b] (0 for a zero sample).
    """
    squared = h.square().sum(1, keepdim=True)
    tiny = torch.finfo(h.dtype).tiny
    inverse = squared.clamp(min=tiny).rsqrt().masked_fill(squared < tiny, 0.0)
    return h * inverse, inverse


def _symmetric_cross_entropy(u: Tensor, v: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The loss and its gradients with respect to the unit vectors.

    Args:
        u: [m, d, b], unit columns.
        v: [m, d, b], unit columns.
        scale: [m], 1 / temperature.

    Returns:
        Value [m], gradient of u and of v [m, d, b].
    """
    m, _, b = u.shape
    by_feature = scale[:, None, None]
    # A constant feature of (-scale, 1) makes the product come out shifted by the largest possible
    # similarity, without another pass over [m, b, b].
    shift = by_feature.expand(m, 1, b)
    left = torch.cat([u * by_feature, -shift], dim=1)
    right = torch.cat([v, torch.ones_like(shift)], dim=1)
    exponential = torch.bmm(left.mT, right).exp_()
    rows = exponential.sum(2)
    columns = exponential.sum(1)
    positive = (u * v).sum(1)
    value = scale * (1.0 - positive.mean(1)) + 0.5 * (rows.log().mean(1) + columns.log().mean(1))
    # Row softmax + column softmax from the one exponential.
    weights = exponential.mul_(rows.reciprocal()[:, :, None] + columns.reciprocal()[:, None, :])
    step = by_feature / b
    grad_u = step * (0.5 * torch.bmm(v, weights.mT) - v)
    grad_v = step * (0.5 * torch.bmm(u, weights) - u)
    return value, grad_u, grad_v
