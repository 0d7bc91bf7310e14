"""Gradient clipping and AdamW on a flat parameter buffer, one row a member."""

from collections.abc import Sequence

import numpy as np
import torch

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
"""The defaults of `torch.optim.AdamW`."""

NORM_EPSILON = 1e-6
"""Added to the norm before dividing by it, as `torch.nn.utils.clip_grad_norm_` does."""


def clip_rows(
    gradients: torch.Tensor, spans: Sequence[slice], clip_norm: torch.Tensor
) -> torch.Tensor:
    """Clip each span of columns of each row to its Euclidean norm, in place.

    Args:
        gradients: [m, P].
        spans: column ranges clipped together (`Architecture.spans`).
        clip_norm: [m], the largest norm allowed (infinity: never clipped).

    Returns:
        The norms before clipping, [m, spans].
    """
    norms = torch.stack(
        [torch.linalg.vector_norm(gradients[:, span], dim=1) for span in spans], dim=1
    )
    factors = (clip_norm[:, None] / (norms + NORM_EPSILON)).clamp_(max=1.0)
    for index, span in enumerate(spans):
        gradients[:, span] *= factors[:, index, None]
    return norms


class RowAdamW:
    """AdamW (arXiv 1711.05101, as `torch.optim.AdamW` computes it) on rows of a flat buffer.

    Args:
        parameters: [m, P], changed in place.
        learning_rate: [m].
        weight_decay: [m], decoupled from the gradient.
        decayed: number of leading columns that weight decay acts on; the alignment parameters
            behind them are exempt, as temperatures are in CLIP (arXiv 2103.00020).
        frozen: int64 columns that stay as they are; their gradients are 0.
    """

    def __init__(
        self,
        parameters: torch.Tensor,
        learning_rate: torch.Tensor,
        weight_decay: torch.Tensor,
        decayed: int,
        frozen: np.ndarray,
    ) -> None:
        self.parameters = parameters
        self.mean = torch.zeros_like(parameters)
        self.square = torch.zeros_like(parameters)
        # Counted on the device, in float64: a captured step would repeat a number of Python's.
        self._steps = parameters.new_zeros((), dtype=torch.float64)
        self._betas = parameters.new_tensor([BETA_1, BETA_2], dtype=torch.float64)
        self._roots = parameters.new_tensor([1.0, 0.5], dtype=torch.float64)
        self._decayed = decayed
        self._learning_rate = learning_rate[:, None]
        self._shrink = 1 - (learning_rate * weight_decay)[:, None]
        if len(frozen):
            self._shrink = self._shrink.repeat(1, decayed)
            self._shrink[:, torch.from_numpy(frozen).to(parameters.device)] = 1.0

    def step(self, gradients: torch.Tensor) -> None:
        """Move every row one step along its gradients [m, P]."""
        self._steps += 1
        corrections = (1 - self._betas**self._steps) ** self._roots
        correction_1, root_2 = corrections.to(self.parameters.dtype).unbind()
        self.parameters[:, : self._decayed] *= self._shrink
        self.mean.lerp_(gradients, 1 - BETA_1)
        self.square.mul_(BETA_2).addcmul_(gradients, gradients, value=1 - BETA_2)
        move = self.square.sqrt().div_(root_2).add_(EPSILON)
        torch.div(self.mean, move, out=move)
        self.parameters.sub_(move.mul_(self._learning_rate / correction_1))

    def keep(self, members: torch.Tensor) -> None:
        """Go on with these rows (int64 indices) only."""
        self.parameters = self.parameters[members]
        self.mean = self.mean[members]
        self.square = self.square[members]
        self._learning_rate = self._learning_rate[members]
        self._shrink = self._shrink[members]
