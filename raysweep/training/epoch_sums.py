"""What the steps of an epoch add up on the device, read back once at its end."""

import torch

from raysweep.training.engine import EpochLog


class EpochSums:
    """Sums over the steps of an epoch; reading one back in each step would stall a GPU.

    All tensors stay where they are, and even the number of the step is counted on the device, so
    that a captured step (`raysweep.training.captured`) adds to the same sums as an eager one.

    Args:
        m: members.
        like: gives dtype and device.

    Attributes:
        squares: [2, m], squared norms of the task's and the alignment's gradient, first batch.
    """

    def __init__(self, m: int, like: torch.Tensor) -> None:
        self.squares = like.new_zeros(2, m)
        self._losses = like.new_zeros(3, m)
        self._defined = like.new_zeros(m)
        self._failed = torch.zeros(m, dtype=torch.int64, device=like.device)
        self._step = torch.zeros((), dtype=torch.int64, device=like.device)
        self.reset()

    def reset(self) -> None:
        """Begin an epoch."""
        for zeroed in (self.squares, self._losses, self._defined, self._step):
            zeroed.zero_()
        self._failed.fill_(-1)

    def add(self, losses: torch.Tensor, norms: torch.Tensor, share: float) -> None:
        """Add a step.

        Args:
            losses: task, fused and alignment loss [3, m]; changed.
            norms: of the gradients [m, spans].
            share: of the epoch's rows that this batch has.
        """
        finite = torch.isfinite(losses[0] + losses[1] + norms.sum(dim=1))
        # A NaN alignment loss is one that is undefined on this batch, not a divergence.
        self._defined += (~losses[2].isnan()).to(self._defined) * share
        losses[2].nan_to_num_(nan=0.0, posinf=torch.inf, neginf=-torch.inf)
        self._losses += losses * share
        self._fail(~finite, self._step)
        self._step += 1

    def log(self, parameters: torch.Tensor) -> EpochLog:
        """End an epoch, after which the members have these parameters [m, P]."""
        self._fail(~torch.isfinite(parameters).all(dim=1), self._step - 1)
        alignment = self._losses[2] / self._defined
        task, fused = self._losses[:2].cpu()
        return EpochLog(task, fused, alignment.cpu(), self._failed.cpu(), *self.squares.cpu())

    def _fail(self, broken: torch.Tensor, step: torch.Tensor) -> None:
        first = broken & (self._failed < 0)
        self._failed.copy_(torch.where(first, step, self._failed))
