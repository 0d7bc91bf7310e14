"""What the steps of an epoch add up on the device, read back once at its end."""

import torch

from raysweep.training.engine import EpochLog


class EpochSums:
    """Sums over the steps of an epoch; reading one back in each step would stall a GPU.

    All tensors stay where they are, and even steps are counted on the device, so that a captured
    step (`raysweep.training.captured`) adds to the same sums as an eager one.

    Args:
        m: members.
        like: gives dtype and device.

    Attributes:
        squares: [2, m], squared norms of the task's and the alignment's gradient, first batch.
        forced: int64 [m], steps that had a gradient of the alignment loss.
    """

    def __init__(self, m: int, like: torch.Tensor) -> None:
        self.squares = like.new_zeros(2, m)
        self.forced = torch.zeros(m, dtype=torch.int64, device=like.device)
        self._losses = like.new_zeros(3, m)
        self._defined = like.new_zeros(m)
        # Whether all steps were finite so far, and how many were before the first that was not.
        self._sound = torch.ones(m, dtype=torch.bool, device=like.device)
        self._sound_steps = torch.zeros(m, dtype=torch.int64, device=like.device)

    def reset(self) -> None:
        """Begin an epoch."""
        sums = (self.squares, self.forced, self._losses, self._defined, self._sound_steps)
        for zeroed in sums:
            zeroed.zero_()
        self._sound.fill_(True)

    def add(self, losses: torch.Tensor, norms: torch.Tensor, share: float) -> None:
        """Add a step.

        Args:
            losses: task, fused and alignment loss [3, m]; changed.
            norms: of the gradients [m, spans].
            share: of the epoch's rows that this batch has.
        """
        self._sound &= torch.isfinite(losses[0] + losses[1] + norms.sum(dim=1))
        self._sound_steps += self._sound
        # A NaN alignment loss is one that is undefined on this batch, not a divergence.
        self._defined += (~losses[2].isnan()).to(self._defined) * share
        losses[2].nan_to_num_(nan=0.0, posinf=torch.inf, neginf=-torch.inf)
        self._losses += losses * share

    def log(self, parameters: torch.Tensor) -> EpochLog:
        """End an epoch, after which the members have these parameters [m, P]."""
        sound = self._sound & torch.isfinite(parameters).all(dim=1)
        # Only its parameters tell of what the last step broke.
        failed = torch.where(sound, -1, self._sound_steps - self._sound.long())
        alignment = self._losses[2] / self._defined
        task, fused = self._losses[:2].cpu()
        counts = failed.cpu(), self.forced.cpu()
        return EpochLog(task, fused, alignment.cpu(), *counts, *self.squares.cpu())
