"""Nearest neighbours of every row, with a stated rule for ties.

Discrete or collapsed features tie often, and a rule that breaks ties by index favours the same
rows in both spaces: two dead encoders would agree perfectly. Here, similarities that differ by no
more than the precision of the features (`resolution`, relative to the largest similarity possible
in that row) are tied, and ties are broken at random and independently in each space:

- `neighbour_weights` gives the exact expectation: the probability of each row to be among the k
  neighbours. Rows above the tie have 1; the t rows tied at rank k share what is left of k.
- `ordered_neighbours` draws one such order from a seed, for metrics that depend on the ranks.

Hence features that separate nothing score what chance gives, k / (n - 1) for `mutual_knn`, and a
representation with ties scores below 1 with itself.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raysweep.errors import InputError
from raysweep.metrics.bits import count_common, pack
from raysweep.metrics.features import as_features, normalize_rows, resolution, unit_scaled

SIMILARITIES = ("cosine", "inner", "euclidean")

ROWS_AT_ONCE = 256
"""Rows of one similarity block where only one layer is in work."""


class Space:
    """One layer [n, d] as a space in which rows have similarities.

    `cosine` is the inner product of normalised, uncentred rows, as in arXiv 2405.07987; rows of
    zeros are equally (un)like all. `euclidean` is minus the squared distance.
    """

    def __init__(self, features: Tensor, similarity: str) -> None:
        """Prepares features [n, d] for one of SIMILARITIES."""
        self.rows = features.to(torch.float64)
        if similarity == "cosine":
            self.rows = normalize_rows(self.rows)
        elif similarity == "euclidean":
            self.rows = self.rows - self.rows.mean(dim=0)
        self.kind = similarity
        self.squares = self.rows.square().sum(dim=1)
        lengths = self.squares.sqrt()
        self.longest = lengths.max()
        self.largest = lengths * self.longest
        self.precision = resolution(features)

    def similarities(self, start: int, stop: int) -> Tensor:
        """Of rows start..stop to all rows, [stop - start, n]; a row's own entry is -inf."""
        block = self.rows[start:stop] @ self.rows.T
        if self.kind == "euclidean":
            block = block.mul_(2).sub_(self.squares).sub_(self.squares[start:stop, None])
        block.diagonal(start).fill_(-torch.inf)
        return block

    def tolerance(self, values: Tensor, start: int, stop: int) -> Tensor:
        """How close to `values` [stop - start, any] a similarity of these rows is tied with it.

        What the rounding of the features does to a cosine is proportional to the sine, and to a
        squared distance to the distance; the arithmetic adds its own, in float64.
        """
        largest = self.largest[start:stop, None]
        if self.kind == "cosine":
            sensitivity = (1 - values.square()).clamp_(min=0.0).sqrt_()
        elif self.kind == "euclidean":
            sensitivity = values.neg().clamp_(min=0.0).sqrt_() * self.longest
        else:
            sensitivity = largest
        return self.precision * sensitivity + resolution(self.rows) * largest


def kth_largest(values: Tensor, k: int) -> Tensor:
    """The k-th largest entry of each row of [r, n], [r, 1]."""
    if values.device.type == "cpu":
        # numpy selects several times faster than torch.topk and torch.kthvalue on the CPU.
        column = values.shape[1] - k
        selected = np.partition(values.numpy(), column, axis=1)[:, column]
        return torch.from_numpy(np.ascontiguousarray(selected))[:, None]
    return values.topk(k, dim=1).values[:, -1:]


@dataclass(frozen=True)
class NeighbourWeights:
    """Probability of each row to be among the k neighbours of r rows; it sums to k.

    Attributes:
        candidate: bool [r, n]: a neighbour, or tied with the k-th.
        packed: the same as bits (see `bits`).
        share: float64 [r], the probability of a candidate that is not above the tie; 1 without
            a tie.
        tied: int64 [t], the rows with more than k candidates.
        above: bool [t, n], the candidates of these that are certain.
    """

    candidate: Tensor
    packed: Tensor
    share: Tensor
    tied: Tensor
    above: Tensor


def neighbour_weights(space: Space, topk: int, start: int, stop: int) -> NeighbourWeights:
    """Neighbours of rows start..stop."""
    similarity = space.similarities(start, stop)
    threshold = kth_largest(similarity, topk)
    tolerance = space.tolerance(threshold, start, stop)
    candidate = similarity >= threshold - tolerance
    packed = pack(candidate)
    count = count_common(packed, packed)
    tied = torch.nonzero(count > topk)[:, 0]
    share = torch.ones_like(count, dtype=torch.float64)
    above = candidate[:0]
    if len(tied) > 0:
        above = similarity[tied] > (threshold + tolerance)[tied]
        certain = above.sum(dim=1)
        share[tied] = (topk - certain).to(torch.float64) / (count[tied] - certain)
    return NeighbourWeights(candidate, packed, share, tied, above)


def ordered_neighbours(features: Tensor, topk: int, similarity: str, seed: int) -> Tensor:
    """The k nearest neighbours of each row of [n, d], nearest first: int64 [n, k].

    Ties are in an order drawn from `seed`; give each side its own seed.
    """
    space = Space(features, similarity)
    rows = len(features)
    found = torch.empty((rows, topk), dtype=torch.int64, device=features.device)
    for start in range(0, rows, ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, rows)
        similarities = space.similarities(start, stop)
        threshold = kth_largest(similarities, topk)
        candidate = similarities >= threshold - space.tolerance(threshold, start, stop)
        count = int(candidate.sum(dim=1).max())
        values, indices = similarities.topk(count, dim=1)
        found[start:stop] = indices[:, :topk]
        gaps = values[:, :-1] - values[:, 1:]
        tied = gaps <= space.tolerance(values[:, 1:], start, stop)
        # Beyond the candidates of a row there is nothing to break ties with.
        tied &= values[:, 1:] >= threshold - space.tolerance(threshold, start, stop)
        shuffled = torch.nonzero(tied.any(dim=1))[:, 0]
        if len(shuffled) > 0:
            keys = torch.zeros((len(shuffled), count), dtype=torch.float64, device=values.device)
            keys[:, 1:] = (~tied[shuffled]).cumsum(dim=1)
            draws = np.random.default_rng((seed, start)).random(keys.shape)
            keys += torch.from_numpy(draws).to(keys.device)
            nearest = keys.argsort(dim=1)[:, :topk]
            found[start + shuffled] = indices[shuffled].gather(1, nearest)
    return found


def tied_share(features: object, topk: int = 10, similarity: str = "cosine") -> float:
    """Share of the rows of `features` [n, d] whose k-th neighbour is a tie, 0..1.

    Raises:
        InputError: an unknown similarity, or topk not in 1..n - 1.
    """
    table = as_features(features, "features")
    if similarity not in SIMILARITIES:
        choices = ", ".join(SIMILARITIES)
        raise InputError(f"similarity: expected one of {choices}, got {similarity!r}")
    if not 1 <= topk < len(table):
        raise InputError(f"topk: expected 1 to n - 1 = {len(table) - 1}, got {topk}")
    space = Space(unit_scaled(table)[0], similarity)
    tied = 0
    for start in range(0, len(table), ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, len(table))
        similarities = space.similarities(start, stop)
        threshold = kth_largest(similarities, topk)
        lowest = threshold - space.tolerance(threshold, start, stop)
        tied += int(((similarities >= lowest).sum(dim=1) > topk).sum())
    return tied / len(table)
