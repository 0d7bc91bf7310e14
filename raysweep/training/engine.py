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
        """What is seen of the validation split [heads, m], float64: accuracies, of regression R2.

        More is better, and the last head's chooses the checkpoint.
        """
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
            modalities are paired; where rows are in groups, as `_apart` says.
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
        self,
        loss: OverPairs,
        hs: Sequence[torch.Tensor],
        own: torch.Tensor,
        groups: torch.Tensor | None = None,
        all_negatives: bool = False,
    ) -> PairsOutput:
        """The loss of these members and its gradients times their strengths.

        In a batch of one row, which shifted by one is the true pair, or of one group, placebo
        members have no loss: the value is NaN and the gradients are 0. A batch of fewer samples
        than modalities, of which there are more than two, forces nothing in any arm: no shifts
        could take all of its modalities apart.

        Args:
            loss: the alignment loss.
            hs: for each modality the activations [a, d, b] of the layer that is compared, the true
                pairs, also for placebo members.
            own: the loss's parameters [a, Pa].
            groups: int64 [a, b], equal for rows that belong together; None where every row stands
                alone.
            all_negatives: whether the loss sees nothing of the groups, so that rows of one group
                are negatives of each other.
        """
        if 2 < len(hs) > hs[0].shape[2]:
            nothing = tuple(torch.zeros_like(h) for h in hs)
            return PairsOutput(own.new_full((len(own),), torch.nan), nothing, own * 0)
        seen, of_seen = list(hs), None
        if groups is not None:
            of_seen = groups[:, None].expand(-1, len(seen), -1).clone()
        orders: list[torch.Tensor | None] = [None] * len(seen)
        if len(self.placebo):
            if groups is not None:
                orders = list(_apart(groups[self.placebo], len(seen)))
            for k in range(1, len(seen)):
                seen[k] = seen[k].clone()
                seen[k][self.placebo] = _shuffled(seen[k][self.placebo], k, orders[k])
                if of_seen is not None:
                    own_groups = of_seen[self.placebo, k, None]
                    of_seen[self.placebo, k] = _shuffled(own_groups, k, orders[k])[:, 0]
        output = loss.value_and_gradients(seen, own, None if all_negatives else of_seen)
        gradients = [gradient * self.strength for gradient in output.gradients]
        if len(self.placebo):
            for k in range(1, len(seen)):
                order = orders[k]
                back = None if order is None else order.argsort(dim=1)
                gradients[k][self.placebo] = _shuffled(gradients[k][self.placebo], -k, back)
        value, at_own = output.value, output.grad_parameters * self.strength[:, :, 0]
        if len(self.placebo) and seen[0].shape[2] == 1:
            value = value.index_fill(0, self.placebo, torch.nan)
            gradients = [g.index_fill(0, self.placebo, 0.0) for g in gradients]
            at_own = at_own.index_fill(0, self.placebo, 0.0)
        elif len(self.placebo) and groups is not None:
            one = (groups[self.placebo] == groups[self.placebo, :1]).all(dim=1)
            lost = torch.zeros_like(value, dtype=torch.bool).index_copy(0, self.placebo, one)
            value = value.masked_fill(lost, torch.nan)
            gradients = [g.masked_fill(lost[:, None, None], 0.0) for g in gradients]
            at_own = at_own.masked_fill(lost[:, None], 0.0)
        return PairsOutput(value, tuple(gradients), at_own)


def _shuffled(h: torch.Tensor, shift: int, order: torch.Tensor | None) -> torch.Tensor:
    """Samples of [p, d, b] in an order [p, b], or without one shifted along the batch."""
    if order is None:
        return h.roll(shift, dims=2)
    return h.gather(2, order[:, None].expand_as(h))


def _apart(groups: torch.Tensor, modalities: int) -> list[torch.Tensor]:
    """Which sample each modality is shown at each place, so that no group meets itself: [p, b].

    The groups are laid one after another along a circle, in the order in which the batch, which is
    in random order, has them first, and modality k is turned by (k - 1) / modalities of it. So a
    group meets itself only where it has more than that share of the batch, and then as little as
    can be of two modalities.

    Args:
        groups: int64 [p, b].
        modalities: how many there are.
    """
    rows = groups.shape[1]
    together = groups.argsort(dim=1, stable=True)
    of = groups.gather(1, together)
    begins = torch.ones_like(of, dtype=torch.bool)
    begins[:, 1:] = of[:, 1:] != of[:, :-1]
    start = (begins * torch.arange(rows, device=groups.device)).cummax(dim=1).values
    # The place of the first sample of each one's group.
    first = torch.empty_like(together).scatter(1, together, together.gather(1, start))
    circle = first.argsort(dim=1, stable=True)
    place = circle.argsort(dim=1)
    turns = [k * rows // modalities for k in range(modalities)]
    return [circle.gather(1, (place + turn) % rows) for turn in turns]
