"""Representational similarity analysis: the correlation of two sets of dissimilarities."""

from collections.abc import Sequence

import torch
from torch import Tensor

from raysweep.metrics.features import resolution
from raysweep.metrics.gram import (
    correlation_distances,
    cosine_distances,
    off_diagonal,
    squared_distances,
    unit_norm,
)
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
        distances = squared_distances(features).sqrt_()
    elif dissimilarity == "cosine":
        distances = cosine_distances(features)
    else:
        distances = correlation_distances(features)
    values = off_diagonal(distances)
    if correlation == "spearman":
        # The precision of the arithmetic, not of the features: among millions of distances, those
        # a float32 apart would chain all of them together.
        values = _average_ranks(values, resolution(distances) * values.max())
    scale = torch.linalg.vector_norm(values)
    values = unit_norm(values - values.mean(), scale, resolution(features)) / 2**0.5
    rows, columns = torch.triu_indices(len(distances), len(distances), 1, device=distances.device)
    distances[rows, columns] = values
    distances[columns, rows] = values
    return distances


def _average_ranks(values: Tensor, tolerance: Tensor) -> Tensor:
    """Ranks from 1; neighbours in rank that differ by at most `tolerance` share their mean rank."""
    ordered, position = values.sort()
    starts = torch.ones_like(ordered, dtype=torch.bool)
    starts[1:] = ordered.diff() > tolerance
    group = starts.cumsum(dim=0) - 1
    sizes = torch.bincount(group).to(values.dtype)
    mean_rank = sizes.cumsum(dim=0) - (sizes - 1) / 2
    ranks = torch.empty_like(ordered)
    ranks[position] = mean_rank[group]
    return ranks
