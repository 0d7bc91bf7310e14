"""What heads minimise, by hand: the loss of every member and head, and its gradient."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import torch

from raysweep.trials.tasks import Task

TaskLoss = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor | None], tuple[torch.Tensor, torch.Tensor]
]
"""Outputs [heads, m, outputs, b], labels [m, 1 or outputs, b] and, where rows do not count alike,
their shares [heads or 1, m, b] of the mean (`row_shares`) -> mean loss [heads, m] and its gradient
at the outputs."""


def row_shares(
    labels: torch.Tensor, weights: torch.Tensor | None, present: torch.Tensor | None
) -> torch.Tensor | None:
    """What each row of a batch counts for in the mean of a head; None where all count alike.

    Those of a head sum to 1: class weights as torch's, and rows that a head is not told of as
    torch's ``ignore_index``. They are 0 where a head is told of no row.

    Args:
        labels: [m, 1, b].
        weights: of the classes, [m, c]; None without.
        present: [heads, m, b], 1 for the rows that a head is told of, else 0; None for all.
    """
    if weights is None and present is None:
        return None
    share = labels.new_ones(()) if weights is None else weights.gather(1, labels[:, 0])[None]
    if present is not None:
        share = share * present
    total = share.sum(dim=2, keepdim=True)
    return share / torch.where(total > 0, total, 1.0)


def cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, shares: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of classes, in nats; int64 labels (`TaskLoss`)."""
    log_p = torch.log_softmax(logits.detach(), dim=2)
    rows = labels.shape[2]
    chosen = labels.expand(len(logits), -1, -1, -1)
    of_chosen = log_p.gather(2, chosen)[:, :, 0]
    if shares is not None:
        entropy = (of_chosen * shares).sum(dim=2).neg_()
    else:
        entropy = of_chosen.mean(dim=2).neg_()
    slopes = log_p.exp_()
    slopes.scatter_add_(2, chosen, slopes.new_full((), -1.0).expand(chosen.shape))
    if shares is None:
        slopes *= 1 / rows
    else:
        slopes *= shares[:, :, None]
    return entropy, slopes


def balanced(y: torch.Tensor, classes: int) -> torch.Tensor:
    """Weights [k, c] by which the classes of labels [k, n] count alike, 1 on average over rows.

    A class without rows, which no row of the labels asks for, has none.
    """
    counts = torch.stack([torch.bincount(of, minlength=classes) for of in y]).double()
    there = (counts > 0).sum(dim=1, keepdim=True)
    return torch.where(counts > 0, y.shape[1] / (there * counts), 0.0)


def squared_error(
    predicted: torch.Tensor, labels: torch.Tensor, shares: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of numbers; floating labels (`TaskLoss`)."""
    off = predicted.detach() - labels
    if shares is not None:
        error = (off.square()[:, :, 0] * shares).sum(dim=2)
        return error, off.mul_(2 * shares[:, :, None])
    error = off.square()[:, :, 0].mean(dim=2)
    return error, off.mul_(2 / labels.shape[2])


def binary_cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, shares: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of labels that a row has or not, in nats, the mean over labels (`TaskLoss`).

    Labels are 0 and 1, [m, outputs, b]. Of ranks they say whether a row is above each of the lower
    ones, and the logits are cumulative: of p(rank > 0), p(rank > 1), ... each (as Frank and Hall
    2001; of networks Niu et al. 2016). Each of these entropies is proper, and so is their mean.
    """
    logits = logits.detach()
    each = logits.clamp(min=0) - logits * labels + torch.log1p(torch.exp(-logits.abs()))
    slopes = (torch.sigmoid(logits) - labels) / labels.shape[1]
    if shares is None:
        return each.mean(dim=(2, 3)), slopes / labels.shape[2]
    return (each.mean(dim=2) * shares).sum(dim=2), slopes * shares[:, :, None]


TASK_LOSSES: Mapping[Task, TaskLoss] = MappingProxyType(
    {
        Task.CLASSIFICATION: cross_entropy,
        Task.REGRESSION: squared_error,
        Task.MULTILABEL: binary_cross_entropy,
        Task.ORDINAL: binary_cross_entropy,
    }
)


class Accuracy:
    """Share of the rows that every head gets right, of a split in parts; higher is better."""

    def __init__(self, heads: int, m: int, device: torch.device) -> None:
        self._right = torch.zeros(heads, m, dtype=torch.int64, device=device)
        self._rows = torch.zeros(heads, m, dtype=torch.int64, device=device)

    def add(
        self, logits: torch.Tensor, labels: torch.Tensor, present: torch.Tensor | None = None
    ) -> None:
        """Add rows: logits [heads, m, classes, b] at labels [m, b].

        Of them those that ``present`` [heads, m, b] says.
        """
        right = logits.argmax(dim=2) == labels
        told = torch.ones_like(right) if present is None else present > 0
        self._right += (right & told).sum(dim=2)
        self._rows += told.sum(dim=2)

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
        self._told: list[torch.Tensor] = []

    def add(
        self, predicted: torch.Tensor, labels: torch.Tensor, present: torch.Tensor | None = None
    ) -> None:
        """Add rows: predictions [heads, m, 1, b] of labels [m, b]; `present` as of `Accuracy`."""
        off = predicted[:, :, 0].double() - labels.double()
        told = torch.ones_like(off) if present is None else present.double()
        self._squares += (off.square() * told).sum(dim=2)
        self._labels.append(labels.double())
        self._told.append(told)

    def score(self) -> torch.Tensor:
        """[heads, m] float64."""
        labels, told = torch.cat(self._labels, dim=1), torch.cat(self._told, dim=2)
        rows = told.sum(dim=2)
        mean = (labels * told).sum(dim=2) / rows
        spread = ((labels - mean[:, :, None]).square() * told).sum(dim=2)
        explained = 1 - self._squares / spread
        return torch.where(spread > 0, explained, -self._squares / rows).cpu()


class _Sums:
    """Sums [heads, m] over the rows of a split in parts, from which a score is made."""

    def __init__(self, heads: int, m: int, device: torch.device) -> None:
        self._sums: list[torch.Tensor] = []

    def add(
        self, logits: torch.Tensor, labels: torch.Tensor, present: torch.Tensor | None = None
    ) -> None:
        """Add rows: logits [heads, m, outputs, b] at labels [m, b, outputs] of 0 and 1."""
        said, is_so = (logits > 0).double(), labels.double().transpose(1, 2)
        told = torch.ones_like(said[:, :, 0]) if present is None else present.double()
        of_part = [(values * told).sum(dim=2) for values in self._of_rows(said, is_so)]
        self._sums = of_part if not self._sums else [*map(torch.add, self._sums, of_part)]

    def _of_rows(self, said: torch.Tensor, is_so: torch.Tensor) -> Iterable[torch.Tensor]:
        """What is summed, [heads, m, b], of what is said and is so, [.., outputs, b]."""
        raise NotImplementedError


class MicroF1(_Sums):
    """Micro F1 of every head on a split in parts; higher is better, 0 where nothing is found."""

    def _of_rows(self, said: torch.Tensor, is_so: torch.Tensor) -> Iterable[torch.Tensor]:
        return (said * is_so).sum(dim=2), said.sum(dim=2) + is_so.sum(dim=1)

    def score(self) -> torch.Tensor:
        """[heads, m] float64."""
        found, there = self._sums
        return (2 * found / there.clamp(min=1)).cpu()


class WeightedKappa(_Sums):
    """Quadratic weighted kappa of every head on a split in parts; higher is better.

    Where all rows have one rank, and no other is predicted, so that there is none, 0.
    """

    def _of_rows(self, said: torch.Tensor, is_so: torch.Tensor) -> Iterable[torch.Tensor]:
        predicted = said.sum(dim=2)
        rank = is_so.sum(dim=1).expand_as(predicted)
        squares = (predicted - rank).square(), predicted.square() + rank.square()
        return (*squares, predicted, rank, torch.ones_like(predicted))

    def score(self) -> torch.Tensor:
        """[heads, m] float64."""
        off, squares, predicted, rank, rows = self._sums
        by_chance = squares - 2 * predicted * rank / rows
        return torch.where(by_chance > 0, 1 - off / by_chance.clamp(min=1e-300), 0.0).cpu()


SCORES: Mapping[Task, type[Accuracy | Explained | MicroF1 | WeightedKappa]] = MappingProxyType(
    {
        Task.CLASSIFICATION: Accuracy,
        Task.REGRESSION: Explained,
        Task.MULTILABEL: MicroF1,
        Task.ORDINAL: WeightedKappa,
    }
)
"""What an engine sees of a validation split (`PackEngine.validate`)."""
