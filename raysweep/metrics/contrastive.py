"""The contrastive views of two representations on the unit sphere, and their effective rank.

Rows are normalised first in `alignment`, `uniformity` and `modality_gap`: these are defined there.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from raysweep.metrics.features import centered as centered_features
from raysweep.metrics.features import normalize_rows, unit_scaled
from raysweep.metrics.gram import squared_distances
from raysweep.metrics.pairs import score_pairs, table_bytes


def alignment(
    xs: Sequence[Tensor], ys: Sequence[Tensor], orders: Tensor, *, exponent: float
) -> Tensor:
    """Mean of |x_i - y_i|^exponent over normalised rows, [p, m, L1, L2]; 0 is perfect.

    Wang and Isola 2020 (arXiv 2005.10242). Needs equal widths.
    """
    return score_pairs(
        xs,
        ys,
        orders,
        left=normalize_rows,
        right=normalize_rows,
        reorder=lambda rows, order: rows[order],
        compare=lambda a, b: torch.linalg.vector_norm(a - b, dim=1).pow(exponent).mean(),
        state_bytes=table_bytes([*xs, *ys]),
    )


def modality_gap(xs: Sequence[Tensor], ys: Sequence[Tensor], orders: Tensor) -> Tensor:
    """Distance between the means of the normalised rows, [p, m, L1, L2] in 0..2.

    Liang et al. 2022 (arXiv 2203.02053). Needs equal widths; does not depend on which
    rows belong together.
    """
    return score_pairs(
        xs,
        ys,
        orders,
        left=lambda features: normalize_rows(features).mean(dim=0),
        right=lambda features: normalize_rows(features).mean(dim=0),
        reorder=lambda mean, order: mean,
        compare=lambda a, b: torch.linalg.vector_norm(a - b),
        state_bytes=table_bytes([*xs, *ys]),
    )


def uniformity(
    xs: Sequence[Tensor], ys: Sequence[Tensor], orders: Tensor, *, temperature: float, side: str
) -> Tensor:
    """Log of the mean of exp(-t |u_i - u_j|^2) over pairs of normalised rows, [p, m, L1, L2].

    Wang and Isola 2020 (arXiv 2005.10242), in -4t..0; lower is more uniform. Of
    side `x`, side `y`, or the mean of `both`.
    """

    def of_layer(features: Tensor) -> Tensor:
        distances = squared_distances(normalize_rows(features))
        # As differences from 1, which keep the digits of rows that are nearly the same.
        return torch.expm1(-temperature * distances).mean().log1p()

    return _of_each_side(xs, ys, orders, of_layer, side)


def effective_rank(
    xs: Sequence[Tensor], ys: Sequence[Tensor], orders: Tensor, *, side: str, centered: bool
) -> Tensor:
    """Exp of the entropy of the normalised singular values of one side, [p, m, L1, L2].

    Roy and Vetterli 2007 (EUSIPCO), from 1 to min(n, d); of centred features unless
    told otherwise (uncentred: RankMe, Garrido et al. 2023, arXiv 2210.02885).
    """

    def of_layer(features: Tensor) -> Tensor:
        table = centered_features(features) if centered else unit_scaled(features)[0]
        strengths = torch.linalg.svdvals(table)
        return torch.special.entr(strengths / strengths.sum()).sum().exp()

    return _of_each_side(xs, ys, orders, of_layer, side)


def _of_each_side(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    orders: Tensor,
    of_layer: Callable[[Tensor], Tensor],
    side: str,
) -> Tensor:
    """Spreads a value per layer over the pairs of layers: of `x`, of `y`, or the mean of `both`."""
    shape = (len(orders), xs[0].shape[0], len(xs), len(ys))
    left = _per_layer(xs, of_layer)[None, :, :, None].expand(shape) if side != "y" else None
    right = _per_layer(ys, of_layer)[None, :, None, :].expand(shape) if side != "x" else None
    if left is None or right is None:
        value = right if left is None else left
        assert value is not None
        return value.clone()
    return (left + right) / 2


def _per_layer(layers: Sequence[Tensor], of_layer: Callable[[Tensor], Tensor]) -> Tensor:
    """[m, L]."""
    return torch.stack(
        [torch.stack([of_layer(features) for features in layer]) for layer in layers], dim=1
    )
