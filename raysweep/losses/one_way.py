"""One-way alignment: one modality is pulled towards the other, which feels nothing."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from raysweep.losses.base import AlignmentLoss, Formula, LossOutput, formula_of


@dataclass(frozen=True)
class OneWay:
    """A loss whose gradient stops at the representation of one side.

    A head on the stopped side still learns: it belongs to the loss, not to the encoder.

    Attributes:
        loss: The two-way loss.
        stopped: The modality whose encoder gets no gradient, "1" or "2".
    """

    loss: AlignmentLoss
    stopped: Literal["1", "2"]

    @property
    def capturable(self) -> bool:
        """Whether the loss that is stopped can be captured."""
        return self.loss.capturable

    def parameter_count(self, d1: int, d2: int) -> int:
        """Those of the two-way loss."""
        return self.loss.parameter_count(d1, d2)

    def initial_parameters(self, d1: int, d2: int, generator: torch.Generator) -> Tensor:
        """Those of the two-way loss."""
        return self.loss.initial_parameters(d1, d2, generator)

    def formula(self, d1: int, d2: int) -> Formula | None:
        """That of the two-way loss, of which one side is left where it is."""
        both = formula_of(self.loss, d1, d2)
        pulls = float(self.stopped != "1"), float(self.stopped != "2")
        return None if both is None else replace(both, pulls=pulls)

    def value_and_gradients(
        self, h1: Tensor, h2: Tensor, parameters: Tensor, groups: Tensor | None = None
    ) -> LossOutput:
        """See `AlignmentLoss.value_and_gradients`."""
        output = self.loss.value_and_gradients(h1, h2, parameters, groups)
        if self.stopped == "1":
            return replace(output, grad_1=torch.zeros_like(h1))
        return replace(output, grad_2=torch.zeros_like(h2))
