"""Representational similarity analysis: the correlation of two sets of dissimilarities."""

from collections.abc import Sequence

import torch
from torch import Tensor

from raysweep.metrics.features import RESOLUTION, unit_scaled
from raysweep.metrics.gram import angular_distances, squared_distances, symmetric, unit_norm
from raysweep.metrics.pairs import score_pairs, square_bytes

DISSIMILARITIES = ("correlation", "cosine", "euclidean")
CORRELATIONS = ("pearson", "spearman")


def rsa(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    orders: Tensor,
    *,
    correlation: str,
    dissimilarity: str,
) -> Tensor:
    """Correlation between the dissimilarities of all pairs of rows, [p, m, L1, L2] in -1..1.

    Kriegeskorte et al. 2008 (doi 10.3389/neuro.06.004.2008): dissimilarity 1 - Pearson of two
    rows, compared by rank. Ranks of ties (up to rounding) are averaged.
    NaN where all dissimilarities of a side are equal.
    """

    def standardized(features: Tensor) -> Tensor:
        return _standardized(features, correlation, dissimilarity)

    return score_pairs(
        xs,
        ys,
        orders,
        left=standardized,
        right=standardized,
        reorder=lambda matrix, order: matrix[order][:, order],
        # Each pair of rows is in both matrices twice, which halves both norms alike.
        compare=lambda a, b: (a * b).sum(),
        state_bytes=square_bytes(xs),
    )


def _standardized(features: Tensor, correlation: str, dissimilarity: str) -> Tensor:
    """Dissimilarities (or their ranks) with mean 0 off the diagonal and norm 1, [n, n]."""
    if dissimilarity == "euclidean":
        values = squared_distances(unit_scaled(features)[0]).sqrt_()
        if correlation == "spearman":
            values = _average_ranks(values, least=0.0)
    else:
        values = angular_distances(features, centred=dissimilarity == "correlation")
        if correlation == "spearman":
            # Of unit rows: their rounding turns them by an angle, and this is about the angle.
            values = _average_ranks(values.sqrt(), least=1.0)
    scale = torch.linalg.vector_norm(values)
    values = unit_norm(values - values.mean(), scale) / 2**0.5
    return symmetric(values, features.shape[0])


def _average_ranks(values: Tensor, least: float) -> Tensor:
    """Ranks from 1; ties share their mean rank.

    Values are tied that differ by at most `RESOLUTION` of themselves, or of `least` if that is
    more. Among millions many are that near to the next without being equal: a chain of such steps
    is cut into windows, lest it count as one tie from end to end.
    """
    ordered, position = values.sort()
    starts = torch.ones_like(ordered, dtype=torch.bool)
    tolerance = RESOLUTION * ordered.clamp(min=least)
    starts[1:] = ordered.diff() > tolerance[1:]
    first = torch.nonzero(starts)[:, 0]
    last = torch.cat([first[1:] - 1, first.new_tensor([len(ordered) - 1])])
    if bool((ordered[last] - ordered[first] > tolerance[first]).any()):
        chain = starts.cumsum(dim=0) - 1
        window = torch.floor((ordered - ordered[first][chain]) / tolerance[first][chain])
        starts[1:] |= torch.nan_to_num(window).diff() > 0
    group = starts.cumsum(dim=0) - 1
    sizes = torch.bincount(group).to(values.dtype)
    mean_rank = sizes.cumsum(dim=0) - (sizes - 1) / 2
    ranks = torch.empty_like(ordered)
    ranks[position] = mean_rank[group]
    return ranks
