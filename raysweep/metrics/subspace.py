"""Canonical correlation and Procrustes: how well a linear map or a rotation matches two spaces."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raysweep.metrics.features import (
    RESOLUTION,
    centered,
    centered_columns,
    column_range,
    less_mean,
    times_power_of_two,
    unit_scaled,
    widened,
)
from raysweep.metrics.pairs import score_pairs, table_bytes

_WELL_CONDITIONED = 1e-7
"""Smallest over largest eigenvalue of products of columns that need no singular values; rounding
then turns what the columns span by less than 1e-12."""

_ORTHONORMAL_AT_ONCE = 1e-2
"""The same, where one factor leaves columns as orthonormal as rounding allows."""

_PLAIN = (2.0**-100, 2.0**100)
"""Sizes whose fourth powers are numbers."""


@dataclass(frozen=True)
class _Basis:
    """`table @ turn` are orthonormal columns that span the centred features.

    Attributes:
        table: [n, w], nearly orthonormal itself but for the sizes of its columns.
        turn: [w, r].
        coordinates: the features in that basis.
    """

    table: Tensor
    turn: Tensor
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


@dataclass(frozen=True)
class _Factors:
    """Centred features: `table @ turn` is orthonormal.

    Attributes:
        table: [n, w].
        turn: [w, r].
        coordinates: [r, d'], the d' features that vary in this basis, all in one unit.
        standard: [r, d'], the same of features of unit variance.
    """

    table: Tensor
    turn: Tensor
    coordinates: Tensor
    standard: Tensor


def _factors(features: Tensor) -> _Factors:
    """An orthonormal basis of what the centred features span.

    The rank is that of columns brought to one size: a column counts by its direction, however
    small its numbers are beside another's.
    """
    found = _by_products(features)
    if found is not None:
        return found
    alike = centered_columns(features)
    columns, strengths, _ = torch.linalg.svd(alike, full_matrices=False)
    columns = columns[:, : int((strengths > RESOLUTION * strengths[0]).sum())]
    deviations = alike.square().mean(dim=0).sqrt()
    standard = columns.T @ (alike / torch.where(deviations > 0, deviations, 1.0))
    turn = torch.eye(columns.shape[1], dtype=columns.dtype, device=columns.device)
    return _Factors(columns, turn, columns.T @ centered(features), standard)


def _by_products(features: Tensor) -> _Factors | None:
    """`_factors` from products of columns, where these are far from depending on each other.

    A Cholesky factor of the products orthogonalises, and a second one takes away what rounding
    left by the first, unless that is nothing (Yamamoto et al. 2015, ETNA 44). None where singular
    values must tell the rank, or where sizes are extreme.
    """
    wide = widened(features)
    low, high = (limit[0] for limit in column_range(wide))
    largest = torch.maximum(low.abs(), high.abs())
    shift = torch.zeros(wide.shape[1], dtype=torch.int32, device=wide.device)
    if not bool(((largest > _PLAIN[0]) & (largest < _PLAIN[1])).all()):
        wide, exponents = unit_scaled(wide, -2)
        low, high = (limit[0] for limit in column_range(wide))
        largest = torch.maximum(low.abs(), high.abs())
        shift = exponents[0]
    varies = high > low
    if not bool((varies <= (high - low > RESOLUTION * largest)).all()):
        return None
    if not bool(varies.all()):
        wide, shift = wide[:, varies], shift[varies]
    width = wide.shape[1]
    if not 0 < width <= len(wide):
        return None
    shift = (shift - shift.max()).clamp(min=-4000)
    table = less_mean(wide)
    products = table.T @ table
    lengths = products.diagonal().sqrt()
    products = products / (lengths[:, None] * lengths)
    sizes = torch.linalg.eigvalsh(products)
    if not bool(sizes[0] > _WELL_CONDITIONED * sizes[-1]):
        return None
    factor = torch.linalg.cholesky(products, upper=True)
    unit = torch.eye(width, dtype=factor.dtype, device=factor.device)
    turn = torch.linalg.solve_triangular(factor, unit, upper=True) / lengths[:, None]
    if not bool(sizes[0] > _ORTHONORMAL_AT_ONCE * sizes[-1]):
        table = table @ turn
        again = torch.linalg.cholesky(table.T @ table, upper=True)
        turn = torch.linalg.solve_triangular(again, unit, upper=True)
        factor = again @ factor
    coordinates = times_power_of_two(factor * lengths, shift)
    return _Factors(table, turn, coordinates, factor * math.sqrt(len(wide)))


def _basis(features: Tensor) -> _Basis:
    factors = _factors(features)
    return _Basis(factors.table, factors.turn, factors.coordinates)


def _leading(
    features: Tensor, dimensions: int | None, variance: float, standardize: bool
) -> _Basis:
    """The leading principal components of the features."""
    factors = _factors(features)
    coordinates = factors.standard if standardize else factors.coordinates
    turn, strengths, directions = torch.linalg.svd(coordinates, full_matrices=False)
    kept = len(strengths)
    if variance < 1:
        held = torch.cumsum(strengths.square(), dim=0) / strengths.square().sum()
        kept = min(kept, int((held < variance).sum()) + 1)
    if dimensions is not None:
        kept = min(kept, dimensions)
    columns = factors.table @ (factors.turn @ turn[:, :kept])
    unit = torch.eye(kept, dtype=columns.dtype, device=columns.device)
    return _Basis(columns, unit, strengths[:kept, None] * directions[:kept])


def _reorder(basis: _Basis, order: Tensor) -> _Basis:
    return _Basis(basis.table[order], basis.turn, basis.coordinates)


def _cosines(left: _Basis, right: _Basis) -> Tensor:
    # Products of the tables first: the bases themselves would take two more of that size.
    return left.turn.T @ (left.table.T @ right.table) @ right.turn


def _mean_correlation(left: _Basis, right: _Basis) -> Tensor:
    correlations = torch.linalg.svdvals(_cosines(left, right))
    return correlations.clamp(max=1.0).mean()


def _projection_weighted(left: _Basis, right: _Basis) -> Tensor:
    turned, correlations, _ = torch.linalg.svd(_cosines(left, right), full_matrices=False)
    weights = (turned.T @ left.coordinates).abs().sum(dim=1)
    return (weights * correlations.clamp(max=1.0)).sum() / weights.sum()
