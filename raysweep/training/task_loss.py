"""What heads minimise, by hand: the loss of every member and head, and its gradient."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch

from raysweep.trials.tasks import Task

TaskLoss = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor | None], tuple[torch.Tensor, torch.Tensor]
]
"""Outputs [heads, m, outputs, b], labels [m, 1, b] and weights of the classes [m, c] if there are
any -> mean loss [heads, m] and its gradient at the outputs."""


def cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of classes, in nats; int64 labels (`TaskLoss`).

    With weights the mean is weighted by those of the rows' classes, as torch's.
    """
    log_p = torch.log_softmax(logits.detach(), dim=2)
    rows = labels.shape[2]
    chosen = labels.expand(len(logits), -1, -1, -1)
    of_chosen = log_p.gather(2, chosen)[:, :, 0]
    share = None
    if weights is not None:
        share = weights.gather(1, labels[:, 0])
        share = share / share.sum(dim=1, keepdim=True)
        entropy = (of_chosen * share).sum(dim=2).neg_()
    else:
        entropy = of_chosen.mean(dim=2).neg_()
    slopes = log_p.exp_()
    slopes.scatter_add_(2, chosen, slopes.new_full((), -1.0).expand(chosen.shape))
    if share is None:
        slopes *= 1 / rows
    else:
        slopes *= share[:, None]
    return entropy, slopes


def balanced(y: torch.Tensor, classes: int) -> torch.Tensor:
    """Weights [k, c] by which the classes of labels [k, n] count alike, 1 on average over rows.

    A class without rows, which no row of the labels asks for, has none.
    """
    counts = torch.stack([torch.bincount(of, minlength=classes) for of in y]).double()
    there = (counts > 0).sum(dim=1, keepdim=True)
    return torch.where(counts > 0, y.shape[1] / (there * counts), 0.0)


def squared_error(
    predicted: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of numbers; floating labels and no weights (`TaskLoss`)."""
    off = predicted.detach() - labels
    error = off.square()[:, :, 0].mean(dim=2)
    return error, off.mul_(2 / labels.shape[2])


TASK_LOSSES: Mapping[Task, TaskLoss] = MappingProxyType(
    {Task.CLASSIFICATION: cross_entropy, Task.REGRESSION: squared_error}
)


class Accuracy:
    """Share of the rows that every head gets right, of a split in parts; higher is better."""

    def __init__(self, heads: int, m: int, device: torch.device) -> None:
        self._right = torch.zeros(heads, m, dtype=torch.int64, device=device)
        self._rows = 0

    def add(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Add rows: logits [heads, m, classes, b] at labels [m, b]."""
        self._right += (logits.argmax(dim=2) == labels).sum(dim=2)
        self._rows += labels.shape[1]

    def score(self) -> torch.Tensor:
        """[heads, m] float64."""
        return (self._right.to(torch.float64) / self._rows).cpu()


class Explained:
    """R2 of every head on a split in parts; higher is better.

    Where all labels of the split are equal, so that there is none, minus the mean squared error.
    """

    def __init__(self, heads: int, m: int, device: torch.device) -> None:
        self._squares = torch.zeros(heads, m, dtype=torch.float64, device=device)
        self._labels: list[torch.Tensor] = []

    def add(self, predicted: torch.Tensor, labels: torch.Tensor) -> None:
        """Add rows: predictions [heads, m, 1, b] of labels [m, b]."""
        off = predicted[:, :, 0].double() - labels.double()
        self._squares += off.square().sum(dim=2)
        self._labels.append(labels.double())

    def score(self) -> torch.Tensor:
        """[heads, m] float64."""
        labels = torch.cat(self._labels, dim=1)
        spread = (labels - labels.mean(dim=1, keepdim=True)).square().sum(dim=1)
        rows = labels.shape[1]
        explained = 1 - self._squares / spread
        return torch.where(spread > 0, explained, -self._squares / rows).cpu()


SCORES: Mapping[Task, type[Accuracy] | type[Explained]] = MappingProxyType(
    {Task.CLASSIFICATION: Accuracy, Task.REGRESSION: Explained}
)
"""What an engine sees of a validation split (`PackEngine.validate`)."""
