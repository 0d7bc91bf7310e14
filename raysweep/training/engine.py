"""What the loop over epochs asks of an engine, and what an engine reports."""

from dataclasses import dataclass, replace
from typing import Protocol

import torch

from raysweep.objective import AlignmentLoss, LossOutput
from raysweep.objective.base import where_defined


@dataclass(frozen=True)
class EpochLog:
    """What an engine saw in one epoch; every tensor is [m] on the CPU.

    Attributes:
        task_loss, fused_loss, alignment_loss: means over the rows (`History`).
        failed_step: the first step of the epoch (from 0) that was not finite, -1 if none.
        task_gradient, alignment_gradient: squared norms at the layers compared, first batch.
    """

    task_loss: torch.Tensor
    fused_loss: torch.Tensor
    alignment_loss: torch.Tensor
    failed_step: torch.Tensor
    task_gradient: torch.Tensor
    alignment_gradient: torch.Tensor


class PackEngine(Protocol):
    """Something that trains the members of a pack, an epoch at a time."""

    heads: tuple[str, ...]
    """The heads in the order of `validate`: 1, 2, fused, or the one of an encoder alone."""

    members_are_separate: bool
    """Whether members are trained one by one, to the same bits in any pack."""

    @property
    def parameters(self) -> torch.Tensor:
        """The members' current parameters, [m, P + alignment parameters]."""
        ...

    @property
    def gradients(self) -> torch.Tensor:
        """The last step's gradients after clipping, [m, P + alignment parameters]."""
        ...

    def train_epoch(self, permutations: torch.Tensor, stream: torch.Tensor) -> EpochLog:
        """Train every member on all rows once.

        Args:
            permutations: int32 [streams, rows], distinct orders of the training rows.
            stream: int64 [m], which of them each member follows.
        """
        ...

    def validate(self) -> torch.Tensor:
        """Validation accuracies [heads, m], float64; the last head's chooses the checkpoint."""
        ...

    def keep(self, members: torch.Tensor) -> None:
        """Go on with these members (int64 indices) only."""
        ...


@dataclass(frozen=True)
class AlignedMembers:
    """The members of a pack that have an alignment term.

    Attributes:
        rows: int64 [a], their indices.
        strength: [a, 1, 1].
        placebo: int64, which of the `a` see modality 2 shifted by one sample.
    """

    rows: torch.Tensor
    strength: torch.Tensor
    placebo: torch.Tensor

    @classmethod
    def of(cls, strength: torch.Tensor, placebo: torch.Tensor) -> "AlignedMembers":
        """Pick them by strength [m] > 0; `placebo` is [m]."""
        rows = strength.nonzero()[:, 0]
        return cls(rows, strength[rows, None, None], placebo[rows].nonzero()[:, 0])

    def evaluate(
        self, loss: AlignmentLoss, h1: torch.Tensor, h2: torch.Tensor, own: torch.Tensor
    ) -> LossOutput:
        """The loss of these members and its gradients times their strengths.

        In a batch of one row, which shifted by one is the true pair, placebo members have no loss:
        the value is NaN and the gradients are 0.

        Args:
            loss: the alignment loss.
            h1: their activations [a, d1, b] of the layer that is compared.
            h2: [a, d2, b], the true pairs, also for placebo members.
            own: the loss's parameters [a, Pa].
        """
        if len(self.placebo):
            h2 = h2.clone()
            h2[self.placebo] = h2[self.placebo].roll(1, dims=2)
        output = loss.value_and_gradients(h1, h2, own)
        grad_2 = output.grad_2 * self.strength
        if len(self.placebo):
            grad_2[self.placebo] = grad_2[self.placebo].roll(-1, dims=2)
        found = LossOutput(
            output.value,
            output.grad_1 * self.strength,
            grad_2,
            output.grad_parameters * self.strength[:, :, 0],
        )
        if len(self.placebo) and h1.shape[2] == 1:
            found = where_defined(
                replace(found, value=found.value.index_fill(0, self.placebo, torch.nan))
            )
        return found
