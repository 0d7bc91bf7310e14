"""Mutual k nearest neighbours: the share of neighbours that two spaces have in common."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from raysweep.metrics.features import MEMORY_BUDGET_BYTES
from raysweep.metrics.neighbours import ROWS_AT_ONCE, Space, neighbour_weights


def mutual_knn(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    orders: Tensor,
    *,
    topk: int,
    similarity: str,
) -> Tensor:
    """Mean over rows of |neighbours in x and in y| / k, [p, m, L1, L2] in 0..1.

    Huh et al. 2024 (arXiv 2405.07987), with ties broken at random and independently in both
    spaces: the value is the exact expectation over that randomness (see `neighbours`). Chance is
    k / (n - 1).

    Neighbours are found once per layer; the overlaps of all pairs of layers come from one matrix
    product per block of rows.
    """
    members, rows = xs[0].shape[:2]
    scores = torch.zeros(
        (len(orders), members, len(xs), len(ys)), dtype=torch.float64, device=xs[0].device
    )
    plain = len(orders) == 1 and bool((orders[0] == torch.arange(rows, device=orders.device)).all())
    for member in range(members):
        left = [Space(layer[member], similarity) for layer in xs]
        right = [Space(layer[member], similarity) for layer in ys]
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
    for start, stop in _chunks(len(left) + len(right), rows):
        total += _products(_weights(left, topk, start, stop), _weights(right, topk, start, stop))
    return total


def _permuted_overlaps(
    left: list[Space], right: list[Space], orders: Tensor, topk: int, rows: int
) -> Tensor:
    """The same for every order of the rows of y, [p, L1, L2].

    Reordering the samples of y reorders the rows and the columns of its weights, so the weights of
    y are looked up at the reordered places of the neighbours in x, of which there are few.
    """
    whole = _weights(right, topk, 0, rows).flatten(1)
    total = left[0].rows.new_zeros((len(orders), len(left), len(right)))
    for layer, space in enumerate(left):
        for start in range(0, rows, ROWS_AT_ONCE):
            weights = _weights([space], topk, start, min(start + ROWS_AT_ONCE, rows))[0]
            row, column = torch.nonzero(weights, as_tuple=True)
            values = weights[row, column].to(torch.float64)
            for index, order in enumerate(orders):
                place = order[start + row] * rows + order[column]
                total[index, layer] += whole[:, place].to(torch.float64) @ values
    return total


def _weights(spaces: list[Space], topk: int, start: int, stop: int) -> Tensor:
    """Neighbour weights of several layers, [L, stop - start, n]."""
    parts = [neighbour_weights(space, topk, start, stop) for space in spaces]
    # Counts below 2^24 are exact in float32, so only ties need float64.
    exact = all(len(part.tied) == 0 for part in parts)
    weights = torch.empty(
        (len(parts), *parts[0].candidate.shape),
        dtype=torch.float32 if exact else torch.float64,
        device=parts[0].candidate.device,
    )
    for index, part in enumerate(parts):
        weights[index] = part.candidate
        if not exact:
            weights[index, part.tied] = part.shared
    return weights


def _products(left: Tensor, right: Tensor) -> Tensor:
    dtype = torch.promote_types(left.dtype, right.dtype)
    return (left.to(dtype).flatten(1) @ right.to(dtype).flatten(1).T).to(torch.float64)


CACHED_BYTES = 2**23
"""Weights of one block of rows over all layers: small enough to be read back from cache."""


def _chunks(layers: int, rows: int) -> Iterator[tuple[int, int]]:
    """Blocks of rows [start, stop) whose weights over all layers stay within CACHED_BYTES."""
    size = max(8, CACHED_BYTES // (8 * rows * layers))
    for start in range(0, rows, size):
        yield start, min(start + size, rows)


def _whole_layers(layers: int, rows: int) -> Iterator[tuple[int, int]]:
    """Blocks of layers whose complete n x n weights stay within two blocks of memory."""
    size = max(1, 2 * MEMORY_BUDGET_BYTES // (8 * rows * rows))
    for start in range(0, layers, size):
        yield start, min(start + size, layers)
