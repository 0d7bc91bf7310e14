"""Losses that pull each sample towards its own pair and push nothing apart."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from raysweep.losses.base import LossEntry, LossOutput, WithoutParameters
from raysweep.losses.pairwise import through_unit, unit_columns


@dataclass(frozen=True)
class MeanSquaredError(WithoutParameters):
    """Mean over features and samples of (h1 - h2)^2, in [0, inf).

    Shrinking both sides lowers it too; only the task holds them up. Widths must agree.
    """

    capturable: ClassVar[bool] = True

    def value_and_gradients(
        self, h1: Tensor, h2: Tensor, parameters: Tensor, groups: Tensor | None = None
    ) -> LossOutput:
        """See `AlignmentLoss.value_and_gradients`."""
        difference = h1 - h2
        gradient = difference * (2.0 / (h1.shape[1] * h1.shape[2]))
        return LossOutput(
            difference.square().mean((1, 2)), gradient, -gradient, torch.zeros_like(parameters)
        )


@dataclass(frozen=True)
class CosineDistance(WithoutParameters):
    """Mean over samples of 1 - cosine(h1, h2), in [0, 2]. Widths must agree.

    Half of Wang and Isola's alignment with exponent 2 (arXiv 2005.10242, section 4.1.1). A sample
    of all zeros has cosine 0 and gets no gradient.
    """

    capturable: ClassVar[bool] = True

    def value_and_gradients(
        self, h1: Tensor, h2: Tensor, parameters: Tensor, groups: Tensor | None = None
    ) -> LossOutput:
        """See `AlignmentLoss.value_and_gradients`."""
        u, inverse_1 = unit_columns(h1)
        v, inverse_2 = unit_columns(h2)
        cosine = (u * v).sum(1)
        step = -1.0 / h1.shape[2]
        grad_1, _ = through_unit(u, inverse_1, step * v)
        grad_2, _ = through_unit(v, inverse_2, step * u)
        return LossOutput(1.0 - cosine.mean(1), grad_1, grad_2, torch.zeros_like(parameters))


ENTRIES = (
    LossEntry(
        name="mse",
        build=MeanSquaredError,
        equal_widths=True,
        favours="alignment",
        meaning="mean squared difference of paired features",
        source="classical",
    ),
    LossEntry(
        name="cosine",
        build=CosineDistance,
        equal_widths=True,
        favours="alignment",
        meaning="1 - cosine of paired samples",
        source="Wang and Isola 2020, arXiv 2005.10242 (alignment, halved)",
    ),
)
