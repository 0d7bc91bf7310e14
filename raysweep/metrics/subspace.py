"""Canonical correlation and Procrustes: how well a linear map or a rotation matches two spaces."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raysweep.metrics.features import RESOLUTION, centered, centered_columns
from raysweep.metrics.pairs import score_pairs, table_bytes


@dataclass(frozen=True)
class _Basis:
    """Orthonormal columns [n, r] that span the centred features, and these in that basis."""

    columns: Tensor
    coordinates: Tensor


def mean_cca(xs: Sequence[Tensor], ys: Sequence[Tensor], orders: Tensor) -> Tensor:
    """Mean canonical correlation over the smaller rank of the two sides, [p, m, L1, L2].

    Kornblith et al. 2019 (arXiv 1905.00414); 1 by chance once both ranks reach n - 1.
    """
    return score_pairs(
        xs,
        ys,
        orders,
        left=_basis,
        right=_basis,
        reorder=_reorder,
        compare=_mean_correlation,
        state_bytes=table_bytes([*xs, *ys]),
    )


def svcca(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    orders: Tensor,
    *,
    dimensions: int | None,
    variance: float,
    standardize: bool,
) -> Tensor:
    """Mean canonical correlation of leading principal components, [p, m, L1, L2].

    Raghu et al. 2017 (arXiv 1706.05806). Each side keeps the fewest components that hold
    `variance` of its variance, at most `dimensions` of them and at most its rank; the mean is
    over the smaller of the two. An exact SVD and no added noise, so the value is deterministic.
    """

    def leading(features: Tensor) -> _Basis:
        return _leading(features, dimensions, variance, standardize)

    return score_pairs(
        xs,
        ys,
        orders,
        left=leading,
        right=leading,
        reorder=_reorder,
        compare=_mean_correlation,
        state_bytes=table_bytes([*xs, *ys]),
    )


def pwcca(xs: Sequence[Tensor], ys: Sequence[Tensor], orders: Tensor) -> Tensor:
    """Canonical correlations weighted by how much of x their directions carry, [p, m, L1, L2].

    Morcos et al. 2018 (arXiv 1806.05759): weight i is the sum over features j of x of
    |<h_i, x_j>|, h_i the i-th canonical variate of x. Not symmetric: the weights are those of x.
    """
    return score_pairs(
        xs,
        ys,
        orders,
        left=_basis,
        right=_basis,
        reorder=_reorder,
        compare=_projection_weighted,
        state_bytes=2 * table_bytes([*xs, *ys]),
    )


def procrustes(xs: Sequence[Tensor], ys: Sequence[Tensor], orders: Tensor) -> Tensor:
    """Angular Procrustes similarity 1 - 2 arccos(c) / pi, [p, m, L1, L2] in 0..1.

    c = |A'B|_* for centred features of unit Frobenius norm is the cosine after the best rotation
    (Williams et al. 2021, arXiv 2110.14739).
    """
    return 1 - torch.arccos(_best_cosine(xs, ys, orders)) * (2 / math.pi)


def procrustes_distance(xs: Sequence[Tensor], ys: Sequence[Tensor], orders: Tensor) -> Tensor:
    """Procrustes distance sqrt(2 - 2c), [p, m, L1, L2] in 0..sqrt(2); c as in `procrustes`.

    A distance in the strict sense (Williams et al. 2021); Ding et al. 2021 (arXiv 2108.01661)
    report its square.
    """
    return torch.sqrt(2 - 2 * _best_cosine(xs, ys, orders))


def _best_cosine(xs: Sequence[Tensor], ys: Sequence[Tensor], orders: Tensor) -> Tensor:
    cosine = score_pairs(
        xs,
        ys,
        orders,
        left=_unit_features,
        right=_unit_features,
        reorder=lambda features, order: features[order],
        compare=lambda a, b: torch.linalg.svdvals(a.T @ b).sum(),
        state_bytes=table_bytes([*xs, *ys]),
    )
    return cosine.clamp(0.0, 1.0)


def _unit_features(features: Tensor) -> Tensor:
    centred = centered(features)
    if centred.shape[1] > centred.shape[0]:
        # A' = QR gives features R' with the same inner products, and n of them are enough.
        centred = torch.linalg.qr(centred.T, mode="r").R.T
    return centred / torch.linalg.vector_norm(centred)


def _basis(features: Tensor) -> _Basis:
    """An orthonormal basis of what the centred features span.

    The rank is that of columns brought to one size: a column counts by its direction, however
    small its numbers are beside another's.
    """
    columns, strengths, _ = torch.linalg.svd(centered_columns(features), full_matrices=False)
    columns = columns[:, : int((strengths > RESOLUTION * strengths[0]).sum())]
    return _Basis(columns, columns.T @ centered(features))


def _leading(
    features: Tensor, dimensions: int | None, variance: float, standardize: bool
) -> _Basis:
    """The leading principal components of the features."""
    basis = _basis(features)
    coordinates = basis.coordinates
    if standardize:
        alike = centered_columns(features)
        deviation = alike.square().mean(dim=0).sqrt()
        alike = alike / torch.where(deviation > 0, deviation, 1.0)
        coordinates = basis.columns.T @ alike
    turn, strengths, directions = torch.linalg.svd(coordinates, full_matrices=False)
    kept = len(strengths)
    if variance < 1:
        held = torch.cumsum(strengths.square(), dim=0) / strengths.square().sum()
        kept = min(kept, int((held < variance).sum()) + 1)
    if dimensions is not None:
        kept = min(kept, dimensions)
    return _Basis(basis.columns @ turn[:, :kept], strengths[:kept, None] * directions[:kept])


def _reorder(basis: _Basis, order: Tensor) -> _Basis:
    return _Basis(basis.columns[order], basis.coordinates)


def _mean_correlation(left: _Basis, right: _Basis) -> Tensor:
    correlations = torch.linalg.svdvals(left.columns.T @ right.columns)
    return correlations.clamp(max=1.0).mean()


def _projection_weighted(left: _Basis, right: _Basis) -> Tensor:
    turned, correlations, _ = torch.linalg.svd(left.columns.T @ right.columns, full_matrices=False)
    weights = (turned.T @ left.coordinates).abs().sum(dim=1)
    return (weights * correlations.clamp(max=1.0)).sum() / weights.sum()
