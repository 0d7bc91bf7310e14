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
from raysweep.metrics.pairs import score_pairs

_NUMBERS_AT_ONCE = 2**20
"""Numbers of gathered neighbours that are multiplied at once."""


def cycle_knn(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    orders: Tensor,
    *,
    topk: int,
    similarity: str,
    tie_seed: int,
    groups: Tensor | None = None,
) -> Tensor:
    """Share of rows that are among the x-neighbours of one of their y-neighbours, [p, m, L1, L2].

    Cycle consistency as in the code of arXiv 2405.07987. Not symmetric, and not always 1 for a
    representation with itself: being a neighbour is not mutual.
    """
    rows = xs[0].shape[1]

    def has_neighbour(features: Tensor) -> Tensor:
        """Bool [n * n]: at j * n + i, whether row i is a neighbour of row j."""
        neighbours = ordered_neighbours(features, topk, similarity, _seed_of_x(tie_seed), groups)
        table = torch.zeros(rows * rows, dtype=torch.bool, device=features.device)
        table[_keys(neighbours).flatten()] = True
        return table

    own = torch.arange(rows, device=xs[0].device)[:, None]
    return score_pairs(
        xs,
        ys,
        orders,
        left=has_neighbour,
        right=lambda features: ordered_neighbours(
            features, topk, similarity, _seed_of_y(tie_seed), groups
        ),
        reorder=_reorder,
        compare=lambda table, neighbours: (
            table[neighbours * rows + own].any(dim=1).to(torch.float64).mean()
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
    groups: Tensor | None = None,
) -> Tensor:
    """Mean longest common subsequence of the two lists of neighbours, over k, [p, m, L1, L2].

    In 0..1. The code of arXiv 2405.07987 gives the length, in 0..k: this value times k.
    """
    compare = longest_common_subsequence
    return _compare_lists(xs, ys, orders, topk, similarity, tie_seed, compare, groups)


def edit_distance_knn(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    orders: Tensor,
    *,
    topk: int,
    similarity: str,
    tie_seed: int,
    groups: Tensor | None = None,
) -> Tensor:
    """1 - mean Levenshtein distance of the two lists of neighbours / k, [p, m, L1, L2] in 0..1."""
    compare = edit_distance
    return 1 - _compare_lists(xs, ys, orders, topk, similarity, tie_seed, compare, groups)


def cknna(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    orders: Tensor,
    *,
    topk: int,
    similarity: str,
    tie_seed: int,
    groups: Tensor | None = None,
) -> Tensor:
    """CKA of kernels restricted to mutual nearest neighbours, [p, m, L1, L2].

    Huh et al. 2024 (arXiv 2405.07987): the unbiased HSIC (Song et al. 2012, equation 5) of M o K
    and M o L over those of each side with its own neighbours, M the neighbours common to both.
    The masked kernels are not symmetric matrices, hence neither is the value, as published. With
    k = n - 1 it is the unbiased CKA of the same kernel. Above 0 by chance. NaN where an estimate
    under the root is not positive.
    """

    def restricted(sided_seed: int) -> Callable[[Tensor], _Restricted]:
        return lambda features: _restricted(features, topk, similarity, sided_seed, groups)

    return score_pairs(
        xs,
        ys,
        orders,
        left=restricted(_seed_of_x(tie_seed)),
        right=restricted(_seed_of_y(tie_seed)),
        reorder=_reorder_restricted,
        compare=_cknna_of,
        state_bytes=24 * xs[0].shape[1] * topk,
    )


@dataclass(frozen=True)
class _Restricted:
    """A kernel between each of n rows and its k neighbours, the only entries that count.

    Attributes:
        neighbours: int64 [n, k], in rising order.
        kernel: float64 [n, k], of each row with these.
        mutual: bool [n, k], whether the row is a neighbour of its neighbour, too.
        self_similarity: the HSIC of the kernel with itself.
    """

    neighbours: Tensor
    kernel: Tensor
    mutual: Tensor
    self_similarity: Tensor


def _restricted(
    features: Tensor, topk: int, similarity: str, seed: int, groups: Tensor | None
) -> _Restricted:
    neighbours = ordered_neighbours(features, topk, similarity, seed, groups).sort(dim=1).values
    rows = Space(features, similarity).rows
    kernel = torch.empty(neighbours.shape, dtype=torch.float64, device=features.device)
    size = max(1, _NUMBERS_AT_ONCE // (topk * features.shape[1]))
    for start in range(0, len(neighbours), size):
        part = slice(start, start + size)
        kernel[part] = (rows[neighbours[part]] @ rows[part, :, None])[:, :, 0]
    own = torch.arange(len(neighbours), device=features.device)[:, None]
    mutual = _contains(_keys(neighbours).flatten(), neighbours * len(neighbours) + own)[0]
    itself = _hsic(neighbours, own.expand_as(neighbours), kernel, kernel, mutual, len(neighbours))
    return _Restricted(neighbours, kernel, mutual, itself)


def _reorder_restricted(state: _Restricted, order: Tensor) -> _Restricted:
    neighbours, place = _reorder(state.neighbours, order).sort(dim=1)
    return _Restricted(
        neighbours,
        state.kernel[order].gather(1, place),
        state.mutual[order].gather(1, place),
        state.self_similarity,
    )


def _cknna_of(left: _Restricted, right: _Restricted) -> Tensor:
    keys = _keys(left.neighbours).flatten()
    common, place = _contains(_keys(right.neighbours).flatten(), keys)
    place = place[common]
    both = left.self_similarity * right.self_similarity
    scale = torch.where((left.self_similarity > 0) & (both > 0), both, torch.nan).sqrt()
    rows = len(left.neighbours)
    cross = _hsic(
        keys[common] % rows,
        keys[common] // rows,
        left.kernel.flatten()[common],
        right.kernel.flatten()[place],
        left.mutual.flatten()[common] & right.mutual.flatten()[place],
        rows,
    )
    return cross / scale


def _keys(neighbours: Tensor) -> Tensor:
    """One number i * n + j for each row i and neighbour j of [n, k]."""
    rows = len(neighbours)
    return neighbours + torch.arange(rows, device=neighbours.device)[:, None] * rows


def _contains(keys: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Whether each wanted number is among rising keys, and its place there."""
    place = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
    return keys[place] == wanted, place


def _hsic(columns: Tensor, rows: Tensor, a: Tensor, b: Tensor, mutual: Tensor, n: int) -> Tensor:
    """Song et al. 2012, equation 5, times n (n - 3), of matrices [n, n] with few entries.

    Args:
        columns: of the entries.
        rows: of the entries.
        a: the entries of the first matrix, a part of a symmetric kernel without its diagonal.
        b: the entries of the second, in the same places.
        mutual: bool, whether the transposed entry is there, too; it then is the same number.
        n: the number of rows.
    """
    trace = torch.where(mutual, a * b, 0.0).sum()
    totals = a.sum() * b.sum() / ((n - 1) * (n - 2))
    sums = a.new_zeros((2, n))
    sums[0].index_add_(0, columns.flatten(), a.flatten())
    sums[1].index_add_(0, rows.flatten(), b.flatten())
    return trace + totals - 2 * (sums[0] @ sums[1]) / (n - 2)


def _compare_lists(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    orders: Tensor,
    topk: int,
    similarity: str,
    tie_seed: int,
    compare: Callable[[Tensor, Tensor], Tensor],
    groups: Tensor | None,
) -> Tensor:
    return score_pairs(
        xs,
        ys,
        orders,
        left=lambda features: ordered_neighbours(
            features, topk, similarity, _seed_of_x(tie_seed), groups
        ),
        right=lambda features: ordered_neighbours(
            features, topk, similarity, _seed_of_y(tie_seed), groups
        ),
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
