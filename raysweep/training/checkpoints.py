"""Which parameters are kept of a member: each head's, of the epoch that was best for it."""

from collections.abc import Sequence

import numpy as np
import torch


class Checkpoints:
    """The checkpoints of a pack while it trains.

    A head is read at its own best epoch. At that of another, a modality that learns more slowly
    would be read too soon, and whatever speeds it up would seem to improve it.

    Args:
        parameters: of the members now, [m, P]; only their form counts.
        heads: in their order; the last one's checkpoint is of all parameters.
        towers: of each head before the last its own parameters, with its encoder's.
        best: whether the epoch of the highest validation accuracy is kept (the earliest of equals),
            or the last one.

    Attributes:
        parameters: [m, P] at the last head's checkpoint; NaN before there is one.
        own: [m, P] each tower at its own head's; `parameters` itself where there is one head only.
        epoch: [heads, m], the epoch (from 0) that is kept; -1 before there is one.
        risen: [m], when the last head's accuracy last rose; -1 before it did.
    """

    def __init__(
        self, parameters: torch.Tensor, heads: int, towers: Sequence[slice], best: bool
    ) -> None:
        m = len(parameters)
        self._towers, self._best = towers[: heads - 1], best
        self._accuracy = np.full((heads, m), -np.inf)
        self.parameters = torch.full_like(parameters, torch.nan)
        apart = best and heads > 1
        self.own = torch.full_like(parameters, torch.nan) if apart else self.parameters
        self.epoch = np.full((heads, m), -1)
        self.risen = np.full(m, -1)

    def look(
        self, epoch: int, members: np.ndarray, accuracies: np.ndarray, parameters: torch.Tensor
    ) -> None:
        """Take what is better than before.

        Args:
            epoch: from 0.
            members: which of the m.
            accuracies: their validation accuracies, [heads, members].
            parameters: theirs, [members, P].
        """
        risen = accuracies > self._accuracy[:, members]
        of_last = members[risen[-1]]
        self.risen[of_last] = epoch
        taken = risen if self._best else np.ones_like(risen)
        for head, rows in enumerate(taken):
            self._accuracy[head, members[risen[head]]] = accuracies[head, risen[head]]
            self.epoch[head, members[rows]] = epoch
        self._take(self.parameters, slice(None), members, taken[-1], parameters)
        if self.own is not self.parameters:
            for tower, rows in zip(self._towers, taken, strict=False):
                self._take(self.own, tower, members, rows, parameters)

    @staticmethod
    def _take(
        kept: torch.Tensor,
        span: slice,
        members: np.ndarray,
        rows: np.ndarray,
        parameters: torch.Tensor,
    ) -> None:
        if rows.any():
            into, out_of = torch.from_numpy(members[rows]), torch.from_numpy(rows)
            kept[into, span] = parameters[out_of, span]

    def lose(self, diverged: np.ndarray) -> None:
        """Forget the members that diverged; bool [m]."""
        self.parameters[torch.from_numpy(diverged)] = torch.nan
        self.own[torch.from_numpy(diverged)] = torch.nan
        self.epoch[:, diverged] = -1
