"""Mutual k nearest neighbours: the share of neighbours that two spaces have in common."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raysweep.metrics.bits import count_common, pack, packed_width
from raysweep.metrics.features import MEMORY_BUDGET_BYTES, NUMBERS_IN_CACHE
from raysweep.metrics.neighbours import (
    ROWS_AT_ONCE,
    ROWS_IN_CACHE,
    Space,
    neighbour_weights,
)


@dataclass(frozen=True)
class _Sets:
    """Neighbours of r rows in several layers, as bits (see `bits`).

    The probability of a candidate is `share` [L, r]; that of a row above the tie is 1.
    """

    candidates: Tensor
    above: Tensor
    share: Tensor
    tied: bool


def mutual_knn(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    orders: Tensor,
    *,
    topk: int,
    similarity: str,
    groups: Tensor | None = None,
) -> Tensor:
    """Mean over rows of |neighbours in x and in y| / k, [p, m, L1, L2] in 0..1.

    Huh et al. 2024 (arXiv 2405.07987), with ties broken at random and independently in both
    spaces: the value is the exact expectation over that randomness (see `neighbours`). Chance is
    k / (n - 1). Rows of one of the groups int64 [n] are no neighbours of each other.

    Neighbours are found once per layer and kept as bits; an overlap counts common bits.
    """
    members, rows = xs[0].shape[:2]
    scores = torch.zeros(
        (len(orders), members, len(xs), len(ys)), dtype=torch.float64, device=xs[0].device
    )
    plain = len(orders) == 1 and bool((orders[0] == torch.arange(rows, device=orders.device)).all())
    for member in range(members):
        left = [Space(layer[member], similarity, groups) for layer in xs]
        right = [Space(layer[member], similarity, groups) for layer in ys]
        if plain:
            scores[0, member] = _overlaps(left, right, topk, rows)
        else:
            for start, stop in _whole_layers(len(right), rows):
                block = _permuted_overlaps(left, right[start:stop], orders, topk, rows)
                scores[:, member, :, start:stop] = block
    return scores / (rows * topk)


def _overlaps(left: list[Space], right: list[Space], topk: int, rows: int) -> Tensor:
    """Summed overlaps of all pairs of layers, [L1, L2]."""
    total = left[0].rows.new_zeros((len(left), len(right)))
    for start, stop in _row_blocks(len(left) + len(right), rows):
        right_sets = _sets(right, topk, start, stop)
        for layer, space in enumerate(left):
            total[layer] += _expected_common(_sets([space], topk, start, stop), right_sets)
    return total


def _sets(spaces: list[Space], topk: int, start: int, stop: int) -> _Sets:
    device = spaces[0].rows.device
    shape = (len(spaces), stop - start)
    # Filled in place: small results kept between large temporaries would fragment the heap.
    candidates = torch.empty(
        (*shape, packed_width(len(spaces[0].rows))), dtype=torch.uint8, device=device
    )
    above = torch.empty_like(candidates)
    share = torch.empty(shape, dtype=torch.float64, device=device)
    tied = False
    at_once = max(ROWS_AT_ONCE, NUMBERS_IN_CACHE // len(spaces[0].rows))
    for layer, space in enumerate(spaces):
        for first in range(start, stop, at_once):
            last = min(first + at_once, stop)
            part = neighbour_weights(space, topk, first, last)
            place = slice(first - start, last - start)
            packed = pack(part.candidate)
            candidates[layer, place] = packed
            above[layer, place] = packed
            share[layer, place] = part.share
            if len(part.tied) > 0:
                tied = True
                above[layer, first - start + part.tied] = pack(part.above)
    return _Sets(candidates, above, share, tied)


def _expected_common(one: _Sets, many: _Sets) -> Tensor:
    """Expected number of common neighbours over all rows, one layer with L layers: [L].

    A weight is share x candidate + (1 - share) x above, so a product of two weights has four
    terms, each a count of common bits; without ties only the first is not 0.
    """
    common = count_common(one.candidates, many.candidates)
    if not one.tied and not many.tied:
        return common.sum(dim=1).to(torch.float64)
    expected = one.share * many.share * common
    expected += one.share * (1 - many.share) * count_common(one.candidates, many.above)
    expected += (1 - one.share) * many.share * count_common(one.above, many.candidates)
    expected += (1 - one.share) * (1 - many.share) * count_common(one.above, many.above)
    return expected.sum(dim=1)


def _permuted_overlaps(
    left: list[Space], right: list[Space], orders: Tensor, topk: int, rows: int
) -> Tensor:
    """The same for every order of the rows of y, [p, L1, L2].

    Reordering the samples of y reorders the rows and the columns of its weights, so the weights of
    y are looked up at the reordered places of the neighbours in x, of which there are few.
    """
    whole = torch.stack([_dense_weights(space, topk, 0, rows).flatten() for space in right])
    total = left[0].rows.new_zeros((len(orders), len(left), len(right)))
    for layer, space in enumerate(left):
        for start in range(0, rows, ROWS_AT_ONCE):
            weights = _dense_weights(space, topk, start, min(start + ROWS_AT_ONCE, rows))
            row, column = torch.nonzero(weights, as_tuple=True)
            values = weights[row, column]
            for index, order in enumerate(orders):
                place = order[start + row] * rows + order[column]
                total[index, layer] += whole[:, place] @ values
    return total


def _dense_weights(space: Space, topk: int, start: int, stop: int) -> Tensor:
    """Probabilities of all rows to be neighbours of rows start..stop, [stop - start, n]."""
    part = neighbour_weights(space, topk, start, stop)
    weights = part.candidate * part.share[:, None]
    weights[part.tied] = weights[part.tied].masked_fill_(part.above, 1.0)
    return weights


def _row_blocks(layers: int, rows: int) -> Iterator[tuple[int, int]]:
    """Blocks of rows [start, stop) whose bits over all layers stay within a block of memory."""
    size = max(ROWS_IN_CACHE, MEMORY_BUDGET_BYTES // (rows * layers))
    for start in range(0, rows, size):
        yield start, min(start + size, rows)


def _whole_layers(layers: int, rows: int) -> Iterator[tuple[int, int]]:
    """Blocks of layers whose complete n x n weights stay within two blocks of memory."""
    size = max(1, 2 * MEMORY_BUDGET_BYTES // (8 * rows * rows))
    for start in range(0, layers, size):
        yield start, min(start + size, layers)
