"""Neighbour metrics that depend on the order of the neighbours, or on which of tied ones are taken.

Ties are broken by an order drawn from `tie_seed`, independently for the two sides (see
`neighbours`): with ties a value is one draw of a random number, and a representation scores below 1
with itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raysweep.metrics.neighbours import Space, ordered_neighbours
from raysweep.metrics.pairs import score_pairs, square_bytes


def cycle_knn(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    orders: Tensor,
    *,
    topk: int,
    similarity: str,
    tie_seed: int,
) -> Tensor:
    """Share of rows that are among the x-neighbours of one of their y-neighbours, [p, m, L1, L2].

    Cycle consistency as in the code of arXiv 2405.07987. Not symmetric, and not always 1 for a
    representation with itself: being a neighbour is not mutual.
    """
    rows = xs[0].shape[1]

    def is_neighbour_of(features: Tensor) -> Tensor:
        """[n, n] bool: whether row i is a neighbour of row j."""
        neighbours = ordered_neighbours(features, topk, similarity, _seed_of_x(tie_seed))
        table = torch.zeros((rows, rows), dtype=torch.bool, device=features.device)
        return table.scatter_(1, neighbours, True).T.contiguous()

    return score_pairs(
        xs,
        ys,
        orders,
        left=is_neighbour_of,
        right=lambda features: ordered_neighbours(features, topk, similarity, _seed_of_y(tie_seed)),
        reorder=_reorder,
        compare=lambda table, neighbours: (
            table.gather(1, neighbours).any(dim=1).to(torch.float64).mean()
        ),
        state_bytes=rows * rows,
    )


def lcs_knn(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    orders: Tensor,
    *,
    topk: int,
    similarity: str,
    tie_seed: int,
) -> Tensor:
    """Mean longest common subsequence of the two lists of neighbours, over k, [p, m, L1, L2].

    In 0..1. The code of arXiv 2405.07987 gives the length, in 0..k: this value times k.
    """
    return _compare_lists(xs, ys, orders, topk, similarity, tie_seed, longest_common_subsequence)


def edit_distance_knn(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    orders: Tensor,
    *,
    topk: int,
    similarity: str,
    tie_seed: int,
) -> Tensor:
    """1 - mean Levenshtein distance of the two lists of neighbours / k, [p, m, L1, L2] in 0..1."""
    return 1 - _compare_lists(xs, ys, orders, topk, similarity, tie_seed, edit_distance)


def cknna(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    orders: Tensor,
    *,
    topk: int,
    similarity: str,
    tie_seed: int,
) -> Tensor:
    """CKA of kernels restricted to mutual nearest neighbours, [p, m, L1, L2].

    Huh et al. 2024 (arXiv 2405.07987): the unbiased HSIC (Song et al. 2012, equation 5) of M o K
    and M o L over those of each side with its own neighbours, M the neighbours common to both.
    The masked kernels are not symmetric matrices, hence neither is the value, as published. With
    k = n - 1 it is the unbiased CKA of the same kernel. Above 0 by chance. NaN where an estimate
    under the root is not positive.
    """

    def masked(sided_seed: int) -> Callable[[Tensor], _MaskedKernel]:
        def prepare(features: Tensor) -> _MaskedKernel:
            neighbours = ordered_neighbours(features, topk, similarity, sided_seed)
            rows = Space(features, similarity).rows
            kernel = rows @ rows.T
            mask = torch.zeros_like(kernel, dtype=torch.bool).scatter_(1, neighbours, True)
            own = kernel * mask
            return _MaskedKernel(kernel, mask, _hsic(own, own))

        return prepare

    def compare(left: _MaskedKernel, right: _MaskedKernel) -> Tensor:
        common = left.mask & right.mask
        both = left.self_similarity * right.self_similarity
        scale = torch.where((left.self_similarity > 0) & (both > 0), both, torch.nan).sqrt()
        return _hsic(left.kernel * common, right.kernel * common) / scale

    return score_pairs(
        xs,
        ys,
        orders,
        left=masked(_seed_of_x(tie_seed)),
        right=masked(_seed_of_y(tie_seed)),
        reorder=lambda state, order: _MaskedKernel(
            state.kernel[order][:, order], state.mask[order][:, order], state.self_similarity
        ),
        compare=compare,
        state_bytes=2 * square_bytes(xs),
    )


@dataclass(frozen=True)
class _MaskedKernel:
    """Kernel [n, n], its neighbours [n, n] (row i's in row i), the HSIC of it under its own."""

    kernel: Tensor
    mask: Tensor
    self_similarity: Tensor


def _hsic(a: Tensor, b: Tensor) -> Tensor:
    """Song et al. 2012, equation 5, times n (n - 3), for matrices with a zero diagonal."""
    n = len(a)
    trace = (a * b.T).sum()
    totals = a.sum() * b.sum() / ((n - 1) * (n - 2))
    return trace + totals - 2 * (a.sum(dim=0) @ b.sum(dim=1)) / (n - 2)


def _compare_lists(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    orders: Tensor,
    topk: int,
    similarity: str,
    tie_seed: int,
    compare: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    return score_pairs(
        xs,
        ys,
        orders,
        left=lambda features: ordered_neighbours(features, topk, similarity, _seed_of_x(tie_seed)),
        right=lambda features: ordered_neighbours(features, topk, similarity, _seed_of_y(tie_seed)),
        reorder=_reorder,
        compare=lambda a, b: compare(a, b).to(torch.float64).mean() / topk,
        state_bytes=8 * xs[0].shape[1] * topk,
    )


def _seed_of_x(tie_seed: int) -> int:
    return 2 * tie_seed


def _seed_of_y(tie_seed: int) -> int:
    return 2 * tie_seed + 1


def _reorder(neighbours: Tensor, order: Tensor) -> Tensor:
    """Neighbours [n, k] after the rows were put in `order`: rows move and so do their names."""
    new_index = torch.empty_like(order)
    new_index[order] = torch.arange(len(order), device=order.device)
    return new_index[neighbours[order]]


def longest_common_subsequence(a: Tensor, b: Tensor) -> Tensor:
    """Length of the longest common subsequence of each row of a and b: [n, k], [n, k] -> [n].

    One step per element of a, over all rows and all of b at once: the lengths never fall along b,
    so what a cell takes over from its left is a running maximum.
    """
    lengths = a.new_zeros((len(a), b.shape[1] + 1), dtype=torch.int32)
    for position in range(a.shape[1]):
        matched = lengths[:, :-1] + (a[:, position, None] == b)
        best = torch.maximum(lengths[:, 1:], matched)
        lengths[:, 1:] = best.cummax(dim=1).values
    return lengths[:, -1]


def edit_distance(a: Tensor, b: Tensor) -> Tensor:
    """Levenshtein distance of each row of a and b, unit costs: [n, k], [n, k] -> [n].

    One step per element of a; what a cell takes over from its left grows by one per place, so it
    is a running minimum of cost minus place.
    """
    places = torch.arange(b.shape[1] + 1, dtype=torch.int32, device=a.device)
    costs = places.expand(len(a), -1).clone()
    for position in range(a.shape[1]):
        replaced = costs[:, :-1] + (a[:, position, None] != b)
        deleted = costs + 1
        deleted[:, 1:] = torch.minimum(deleted[:, 1:], replaced)
        costs = (deleted - places).cummin(dim=1).values + places
    return costs[:, -1]
