"""Nearest neighbours of every row, with a stated rule for ties.

Discrete or collapsed features tie often, and a rule that breaks ties by index favours the same
rows in both spaces: two dead encoders would agree perfectly. Here, similarities that are the same
up to the rounding of float64 (`RESOLUTION`, of what they are made of) are tied, and ties are broken
at random and independently in each space:

- `neighbour_weights` gives the exact expectation: the probability of each row to be among the k
  neighbours. Rows above the tie have 1; the t rows tied at rank k share what is left of k.
- `ordered_neighbours` draws one such order from a seed, for metrics that depend on the ranks.

Hence features that separate nothing score what chance gives, k / (n - 1) for `mutual_knn`, and a
representation with ties scores below 1 with itself.

All similarities come from one product of matrices, which is coarse: it rounds by the longest rows
and not by how near two rows are. Only where it leaves the k-th neighbour in doubt the candidates
are settled from differences of features, each pair to its own digits.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raysweep.metrics.bits import places_of_at_least
from raysweep.metrics.features import (
    NUMBERS_IN_CACHE,
    RESOLUTION,
    centered,
    equal_rows,
    normalize_rows,
    unit_scaled,
)
from raysweep.metrics.gram import products_of_rows

SIMILARITIES = ("cosine", "inner", "euclidean")

ROWS_AT_ONCE = 256
"""Rows of one similarity block where only one layer is in work."""

ROWS_IN_CACHE = 64
"""Rows that are compared at once, however many others there are."""

_GROUP = 16
"""Entries of a row whose maximum is taken before the k-th largest is looked for."""

_COARSE = 8 * RESOLUTION
"""Above every tolerance of a settled pair, as a share of the sizes that a product rounds by."""

_NUMBERS_AT_ONCE = 2**22
"""Numbers of gathered rows that are compared at once."""


class Space:
    """One layer [n, d] as a space in which rows have similarities.

    `cosine` is the inner product of normalised, uncentred rows, as in arXiv 2405.07987; rows of
    zeros are equally (un)like all. `euclidean` is minus the squared distance. Rows of one group are
    no neighbours of each other.
    """

    def __init__(
        self,
        features: Tensor,
        similarity: str,
        groups: Tensor | None = None,
        keeps_products: bool = False,
    ) -> None:
        """Prepares features [n, d] for one of SIMILARITIES, with groups int64 [n] or none.

        Products of rows that are kept take n x n numbers, and half the time.
        """
        self.groups = groups
        if similarity == "cosine":
            self.rows = normalize_rows(features.contiguous())
        elif similarity == "euclidean":
            self.rows = centered(features)
        else:
            self.rows = unit_scaled(features)[0]
        self.kind = similarity
        at_once = max(1, NUMBERS_IN_CACHE // self.rows.shape[1])
        parts = self.rows.split(at_once)
        self.squares = torch.cat([part.square().sum(dim=1) for part in parts])
        lengths = self.squares.sqrt()
        longest = lengths.max()
        largest = lengths * longest
        if similarity == "euclidean":
            largest = largest + longest.square()
        self.doubt = _COARSE * largest[:, None]
        self._products = products_of_rows(self.rows) if keeps_products else None
        self._sets: tuple[Tensor, Tensor] | None = None

    def similarities(self, start: int, stop: int, out: Tensor) -> Tensor:
        """Of rows start..stop to all rows, [stop - start, n]; -inf to itself and to its group.

        Two of a row that differ by more than its `doubt` are in their true order. The result lies
        in the first rows of `out`.
        """
        block = out[: stop - start]
        if self._products is None:
            torch.mm(self.rows[start:stop], self.rows.T, out=block)
        else:
            block.copy_(self._products[start:stop])
        if self.kind == "euclidean":
            block = block.mul_(2).sub_(self.squares).sub_(self.squares[start:stop, None])
        block.diagonal(start).fill_(-torch.inf)
        if self.groups is not None:
            block.masked_fill_(self.groups[start:stop, None] == self.groups, -torch.inf)
        return block

    def settled(self, rows: Tensor, place: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Similarities of some rows to their candidates, and how close to another one is tied.

        Equal rows have equal similarities, bit by bit. The numbers of the rows are
        known to their rounding; the tolerance is what that does to the sum over them.

        Args:
            rows: int64 [t].
            place: int64 [c], the place in `rows` of the row that has the candidate.
            columns: int64 [c], the candidates.

        Returns:
            Two tensors [c]: the similarities, up to a constant of the row and to scale, and the
            tolerances.
        """
        if self._sets is None:
            indices = [torch.from_numpy(found) for found in equal_rows(self.rows)]
            self._sets = (indices[0].to(self.rows.device), indices[1].to(self.rows.device))
        first, group = self._sets
        # Each row is compared with each set of equal rows once.
        cell = place * len(first) + group[columns]
        wanted = torch.zeros(len(rows) * len(first), dtype=torch.bool, device=rows.device)
        wanted[cell] = True
        once = torch.nonzero(wanted)[:, 0]
        values = self.rows.new_empty(len(wanted))
        tolerances = torch.empty_like(values)
        size = max(1, _NUMBERS_AT_ONCE // self.rows.shape[1])
        for part in once.split(size):
            i, j = part // len(first), part % len(first)
            value, rounding = self._compare(self.rows[first[group[rows[i]]]], self.rows[first[j]])
            values[part] = value
            tolerances[part] = RESOLUTION * (rounding + value.abs())
        return values[cell], tolerances[cell]

    def _compare(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Similarities of paired rows [p, d], and the size of what their rounding is a share of."""
        if self.kind == "inner":
            products = a * b
            return products.sum(dim=1), products.abs().sum(dim=1)
        difference = a - b
        value = -difference.square().sum(dim=1)
        if self.kind == "cosine":
            # To a row of zeros a unit row is as near as to a row at a right angle.
            value = value - (b == 0).all(dim=1).to(value.dtype)
        return value, (difference.abs() * (a.abs() + b.abs())).sum(dim=1)


def kth_largest(values: Tensor, k: int) -> Tensor:
    """The k-th largest entry of each row of [r, n], [r, 1]."""
    if values.device.type == "cpu":
        # numpy selects several times faster than torch.topk and torch.kthvalue on the CPU.
        column = values.shape[1] - k
        selected = np.partition(values.numpy(), column, axis=1)[:, column]
        return torch.from_numpy(np.ascontiguousarray(selected))[:, None]
    return values.topk(k, dim=1).values[:, -1:]


def _below_kth_largest(values: Tensor, k: int) -> Tensor:
    """A number that k entries of each row of [r, n] reach, and few others: [r, 1].

    The k-th largest of the maxima of groups, which are found in one pass over the row.
    """
    n = values.shape[1]
    size = _GROUP
    while size > 1 and n // size < 4 * k:
        size //= 2
    if size == 1:
        return kth_largest(values, k)
    groups = values[:, : n - n % size].unflatten(1, (size, n // size))
    return kth_largest(groups.amax(dim=1), k)


@dataclass(frozen=True)
class _Candidates:
    """Rows that may be among the k nearest of r rows: all that are, and few others.

    Attributes:
        columns: int64 [r, w], in rising order, then padding.
        values: float64 [r, w], similarities as a product of matrices gives them; -inf where there
            is only padding, or what is certainly not among the nearest.
    """

    columns: Tensor
    values: Tensor

    def settled(self, space: Space, start: int, rows: Tensor) -> tuple[Tensor, Tensor]:
        """`Space.settled` of the candidates of some of the rows: two tensors [t, w]."""
        place, slot = torch.nonzero(self.values[rows] > -torch.inf, as_tuple=True)
        columns = self.columns[rows[place], slot]
        values, tolerances = space.settled(start + rows, place, columns)
        found = torch.full_like(self.values[rows], -torch.inf)
        found[place, slot] = values
        tolerance = torch.zeros_like(found)
        tolerance[place, slot] = tolerances
        return found, tolerance


def _candidates(space: Space, topk: int, start: int, stop: int) -> _Candidates:
    """The candidates of rows start..stop."""
    n = len(space.rows)
    at_once = min(stop - start, max(ROWS_IN_CACHE, NUMBERS_IN_CACHE // n))
    block = space.rows.new_empty((at_once, n))
    places, values = [], []
    for first in range(start, stop, at_once):
        last = min(first + at_once, stop)
        similarity = space.similarities(first, last, block)
        lowest = _below_kth_largest(similarity, topk) - space.doubt[first:last]
        # Groups may leave little else than -inf, which is no similarity.
        lowest = lowest.clamp(min=torch.finfo(lowest.dtype).min)
        place = places_of_at_least(similarity, lowest)
        values.append(similarity.flatten()[place])
        places.append(place + (first - start) * n)
    place = torch.cat(places)
    row, column = place // n, place % n
    count = torch.bincount(row, minlength=stop - start)
    slot = torch.arange(len(row), device=row.device) - (count.cumsum(dim=0) - count)[row]
    shape = (stop - start, int(count.max()))
    columns = column.new_zeros(shape)
    columns[row, slot] = column
    padded = block.new_full(shape, -torch.inf)
    padded[row, slot] = torch.cat(values)
    lowest = kth_largest(padded, topk) - space.doubt[start:stop]
    return _Candidates(columns, torch.where(padded >= lowest, padded, -torch.inf))


@dataclass(frozen=True)
class NeighbourWeights:
    """Probabilities of each row to be among the k neighbours of r rows; they sum to k.

    Attributes:
        candidate: bool [r, n]: a neighbour, or tied with the k-th.
        share: float64 [r], the probability of a candidate that is not above the tie; 1 without
            a tie.
        tied: int64 [t], the rows with more than k candidates.
        above: bool [t, n], the candidates of these that are certain.
    """

    candidate: Tensor
    share: Tensor
    tied: Tensor
    above: Tensor


def neighbour_weights(space: Space, topk: int, start: int, stop: int) -> NeighbourWeights:
    """Neighbours of rows start..stop."""
    found = _candidates(space, topk, start, stop)
    chosen = found.values > -torch.inf
    count = chosen.sum(dim=1)
    share = torch.ones_like(count, dtype=torch.float64)
    tied = torch.nonzero(count > topk)[:, 0]
    above = chosen[:0]
    if len(tied) > 0:
        values, tolerance = found.settled(space, start, tied)
        threshold = kth_largest(values, topk)
        chosen[tied] = values >= threshold - tolerance
        count = chosen[tied].sum(dim=1)
        above = values > threshold + tolerance
        still = count > topk
        tied, above, count = tied[still], above[still], count[still]
        certain = above.sum(dim=1)
        share[tied] = (topk - certain).to(torch.float64) / (count - certain)
    n = len(space.rows)
    return NeighbourWeights(
        _spread(found.columns, chosen, n), share, tied, _spread(found.columns[tied], above, n)
    )


def _spread(columns: Tensor, chosen: Tensor, n: int) -> Tensor:
    """The chosen ones of columns [r, w] as a table of all n: bool [r, n]."""
    table = torch.zeros((len(columns), n), dtype=torch.bool, device=columns.device)
    row, slot = torch.nonzero(chosen, as_tuple=True)
    table[row, columns[row, slot]] = True
    return table


def ordered_neighbours(
    features: Tensor, topk: int, similarity: str, seed: int, groups: Tensor | None = None
) -> Tensor:
    """The k nearest neighbours of each row of [n, d], nearest first: int64 [n, k].

    Ties are in an order drawn from `seed`; give each side its own seed. Rows of one group are no
    neighbours of each other.
    """
    space = Space(features, similarity, groups)
    rows = len(features)
    found = torch.empty((rows, topk), dtype=torch.int64, device=features.device)
    for start in range(0, rows, ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, rows)
        near = _candidates(space, topk, start, stop)
        count = int((near.values > -torch.inf).sum(dim=1).max())
        values, slots = near.values.sort(dim=1, descending=True, stable=True)
        found[start:stop] = near.columns.gather(1, slots[:, :topk])
        # Beyond the candidates of a row there is nothing to break ties with.
        close = values[:, :-1] - values[:, 1:] <= space.doubt[start:stop]
        close &= values[:, 1:] > -torch.inf
        doubtful = torch.nonzero(close.any(dim=1))[:, 0]
        if len(doubtful) > 0:
            values, tolerance = near.settled(space, start, doubtful)
            values, slots = (
                of_all[:, :count] for of_all in values.sort(dim=1, descending=True, stable=True)
            )
            tied = values[:, :-1] - values[:, 1:] <= tolerance.gather(1, slots)[:, 1:]
            keys = torch.zeros((len(doubtful), count), dtype=torch.float64, device=values.device)
            keys[:, 1:] = (~tied).cumsum(dim=1)
            draws = np.random.default_rng((seed, start)).random(keys.shape)
            keys += torch.from_numpy(draws).to(keys.device)
            nearest = keys.argsort(dim=1)[:, :topk]
            found[start + doubtful] = near.columns[doubtful].gather(1, slots.gather(1, nearest))
    return found
