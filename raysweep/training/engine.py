"""What the loop over epochs asks of an engine, and what an engine reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from raysweep.losses import OverPairs, PairsOutput

KERNEL_LOSSES = {
    "infonce": "infonce",
    "cka": "cka",
    "unbiased_cka": "cka",
    "siglip": "siglip",
    "soft_knn": "soft_knn",
    "uniformity": "uniformity",
    "vicreg": "vicreg",
    "barlow_twins": "barlow_twins",
    "deep_cca": "deep_cca",
}
"""The losses of which the CPU kernel knows some form -> its routine (`Formula`)."""


@dataclass(frozen=True)
class EpochLog:
    """What an engine saw in one epoch; every tensor is [m] on the CPU.

    Attributes:
        task_loss, fused_loss, alignment_loss: means over the rows (`History`).
        failed_step: the first step of the epoch (from 0) that was not finite, -1 if none.
        forced_steps: steps in which the alignment loss was defined and had a gradient.
        task_gradient, alignment_gradient: squared norms at the layers compared, first batch.
    """

    task_loss: torch.Tensor
    fused_loss: torch.Tensor
    alignment_loss: torch.Tensor
    failed_step: torch.Tensor
    forced_steps: torch.Tensor
    task_gradient: torch.Tensor
    alignment_gradient: torch.Tensor


class PackEngine(Protocol):
    """Something that trains the members of a pack, an epoch at a time."""

    heads: tuple[str, ...]
    """The heads in the order of `validate` (`Architecture.heads`)."""

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
        placebo: int64, which of the `a` see modality k shifted by k - 1 samples, so that no two
            modalities are paired.
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
        self, loss: OverPairs, hs: Sequence[torch.Tensor], own: torch.Tensor
    ) -> PairsOutput:
        """The loss of these members and its gradients times their strengths.

        In a batch of one row, which shifted by one is the true pair, placebo members have no loss:
        the value is NaN and the gradients are 0. A batch of fewer samples than modalities, of which
        there are more than two, forces nothing in any arm: no shifts could take all of its
        modalities apart.

        Args:
            loss: the alignment loss.
            hs: for each modality the activations [a, d, b] of the layer that is compared, the true
                pairs, also for placebo members.
            own: the loss's parameters [a, Pa].
        """
        if 2 < len(hs) > hs[0].shape[2]:
            nothing = tuple(torch.zeros_like(h) for h in hs)
            return PairsOutput(own.new_full((len(own),), torch.nan), nothing, own * 0)
        seen = list(hs)
        if len(self.placebo):
            for shift in range(1, len(seen)):
                seen[shift] = seen[shift].clone()
                seen[shift][self.placebo] = seen[shift][self.placebo].roll(shift, dims=2)
        output = loss.value_and_gradients(seen, own)
        gradients = [gradient * self.strength for gradient in output.gradients]
        if len(self.placebo):
            for shift in range(1, len(seen)):
                back = gradients[shift][self.placebo].roll(-shift, dims=2)
                gradients[shift][self.placebo] = back
        value, at_own = output.value, output.grad_parameters * self.strength[:, :, 0]
        if len(self.placebo) and seen[0].shape[2] == 1:
            value = value.index_fill(0, self.placebo, torch.nan)
            gradients = [g.index_fill(0, self.placebo, 0.0) for g in gradients]
            at_own = at_own.index_fill(0, self.placebo, 0.0)
        return PairsOutput(value, tuple(gradients), at_own)
