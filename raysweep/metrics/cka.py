"""Centred kernel alignment (CKA), linear in feature space, and with an RBF kernel.

A linear Gram matrix is A A', so every sum over its n x n entries is a sum over features and rows.
With centred features A and B, a_i = |A_i|^2 and b_i = |B_i|^2:

- biased:   HSIC = |A'B|_F^2
- unbiased: HSIC = |A'B|_F^2 - n/(n-2) sum_i a_i b_i + sum(a) sum(b) / ((n-1)(n-2))

both up to a factor that CKA cancels. The second is Song et al. 2012 (JMLR 13, equation 5): removing
the diagonal turns the trace into |A'B|^2 - sum a b, and with centred features the row sums of a
Gram matrix without its diagonal are just -a_i. That estimator does not change when the features are
translated, and centring first is what keeps nearly constant features from losing all digits.
All is in float64: in float32 the differences above lose the digits that small values are made of.
Where a row far from all others makes them lose those of float64, too, U-centred kernels [n, n] take
their place.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raysweep.metrics.features import MEMORY_BUDGET_BYTES, centered, unit_scaled
from raysweep.metrics.gram import (
    centred_kernel,
    hollow_products,
    rbf_kernel,
    u_centred_kernel,
    unit_norm,
)
from raysweep.metrics.pairs import score_pairs, square_bytes

LOSES_DIGITS = 1e-4
"""An unbiased self-similarity below this share of the biased one has lost digits: one row lies far
from all others, or all rows are equally far from each other."""


@dataclass(frozen=True)
class _Layers:
    """Some layers side by side: features [m, n, sum of d], squared row norms [m, l, n]."""

    features: Tensor
    row_squares: Tensor
    membership: Tensor
    start: int
    stop: int


def cka(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    orders: Tensor,
    *,
    kernel: str,
    sigma: float,
    sigma_unit: str,
) -> Tensor:
    """CKA with the biased HSIC (Kornblith et al. 2019), [p, m, L1, L2] in 0..1.

    Of independent features it is about d / n.
    """
    if kernel == "rbf":
        return _rbf_aligned(xs, ys, orders, sigma, sigma_unit, unbiased=False)
    return _aligned(xs, ys, orders, unbiased=False)


def unbiased_cka(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    orders: Tensor,
    *,
    kernel: str,
    sigma: float,
    sigma_unit: str,
) -> Tensor:
    """CKA with the unbiased HSIC (Song et al. 2012), [p, m, L1, L2] in -1..1; 0 by chance.

    Negative values are kept. NaN where the unbiased self-similarity of a side vanishes (all rows
    equally far from each other).
    """
    if kernel == "rbf":
        return _rbf_aligned(xs, ys, orders, sigma, sigma_unit, unbiased=True)
    scores = _aligned(xs, ys, orders, unbiased=True)
    lost = torch.isnan(scores).any(dim=3).any(dim=2).any(dim=0)
    for member in torch.nonzero(lost)[:, 0].tolist():
        part = slice(member, member + 1)
        left, right = ([layer[part] for layer in side] for side in (xs, ys))
        scores[:, part] = _of_kernels(left, right, orders, u_centred_products)
    return scores


def centered_cmd(xs: Sequence[Tensor], ys: Sequence[Tensor], orders: Tensor) -> Tensor:
    """`cmd` of features centred over rows, [p, m, L1, L2] in 0..1: the same number as `cka`."""
    return _aligned(xs, ys, orders, unbiased=False)


def cmd(xs: Sequence[Tensor], ys: Sequence[Tensor], orders: Tensor) -> Tensor:
    """Similarity of uncentred correlation matrices of the samples, [p, m, L1, L2] in 0..1.

    tr(KL) / (|K| |L|) with K = XX', L = YY': one minus the correlation matrix distance of Herdin
    et al. 2005 (doi 10.1109/VETECS.2005.1543265), as the code of arXiv 2502.16282 has it. Far
    above 0 by chance for features with a common mean, such as those behind a ReLU.
    """
    return _aligned(xs, ys, orders, unbiased=False, centred=False)


def _rbf_aligned(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    orders: Tensor,
    sigma: float,
    sigma_unit: str,
    unbiased: bool,
) -> Tensor:
    def unit_kernel(features: Tensor) -> Tensor:
        return unit_rbf_kernel(features, sigma, sigma_unit, unbiased)

    return _of_kernels(xs, ys, orders, unit_kernel)


def unit_rbf_kernel(features: Tensor, sigma: float, sigma_unit: str, unbiased: bool) -> Tensor:
    """The RBF kernel of [n, d], centred or U-centred and of unit norm, [n, n]."""
    kernel = rbf_kernel(features, sigma, sigma_unit)
    # Of the kernel less 1; what there is to see is measured by the kernel itself.
    scale = torch.linalg.vector_norm(kernel + 1)
    centring = u_centred_kernel if unbiased else centred_kernel
    return unit_norm(centring(kernel), scale)


def u_centred_products(features: Tensor) -> Tensor:
    """The linear kernel of [n, d], U-centred and of unit norm, whatever the scale of its rows."""
    products, largest = hollow_products(features)
    return unit_norm(u_centred_kernel(products), torch.linalg.vector_norm(largest))


def _of_kernels(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    orders: Tensor,
    unit_kernel: Callable[[Tensor], Tensor],
) -> Tensor:
    """Inner products of centred kernels [n, n] of unit norm."""
    return score_pairs(
        xs,
        ys,
        orders,
        left=unit_kernel,
        right=unit_kernel,
        reorder=lambda matrix, order: matrix[order][:, order],
        compare=lambda a, b: (a * b).sum(),
        state_bytes=square_bytes(xs),
    )


def _aligned(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    orders: Tensor,
    unbiased: bool,
    centred: bool = True,
) -> Tensor:
    members, rows = xs[0].shape[:2]
    self_x = torch.stack([_self_similarity(x, unbiased, centred) for x in xs], dim=1)
    self_y = torch.stack([_self_similarity(y, unbiased, centred) for y in ys], dim=1)
    cross = self_x.new_empty((len(orders), members, len(xs), len(ys)))
    for left in _blocks(xs, centred):
        for right in _blocks(ys, centred):
            for index, order in enumerate(orders):
                block = _cross(left, right, order, rows, unbiased)
                cross[index, :, left.start : left.stop, right.start : right.stop] = block
    return cross / torch.sqrt(self_x[:, :, None] * self_y[:, None, :])


def _cross(left: _Layers, right: _Layers, order: Tensor, rows: int, unbiased: bool) -> Tensor:
    """HSIC of all pairs of layers, [m, l1, l2]; rows of the right side in the given order."""
    products = left.features.mT @ right.features[:, order]
    squares = left.membership.T @ products.square_() @ right.membership
    if not unbiased:
        return squares
    return squares - _diagonal(left.row_squares, right.row_squares[:, :, order], rows)


def _diagonal(a: Tensor, b: Tensor, rows: int) -> Tensor:
    """What the unbiased estimate takes off: a [m, l1, n], b [m, l2, n] -> [m, l1, l2]."""
    totals = a.sum(dim=-1)[:, :, None] * b.sum(dim=-1)[:, None, :]
    return rows / (rows - 2) * (a @ b.mT) - totals / ((rows - 1) * (rows - 2))


def _self_similarity(layer: Tensor, unbiased: bool, centred: bool) -> Tensor:
    """HSIC of a layer with itself, [m]; NaN where it is not clearly positive, or lost digits."""
    features = _thin(layer, centred)
    biased = (features.mT @ features).square().sum(dim=(1, 2))
    value = biased
    if unbiased:
        squares = features.square().sum(dim=-1)[:, None, :]
        value = biased - _diagonal(squares, squares, layer.shape[1])[:, 0, 0]
    return torch.where(value > LOSES_DIGITS * biased, value, torch.nan)


def _thin(layer: Tensor, centred: bool) -> Tensor:
    """float64 features, centred if asked, with the same Gram matrix and at most n of them."""
    features = centered(layer) if centred else unit_scaled(layer)[0]
    if features.shape[-1] <= features.shape[-2]:
        return features
    # A' = QR gives A A' = R'R.
    return torch.linalg.qr(features.mT, mode="r").R.mT


def _blocks(layers: Sequence[Tensor], centred: bool) -> Iterator[_Layers]:
    """Consecutive layers side by side, as many as a block of memory holds.

    One product of two blocks then serves all their pairs of layers.
    """
    members, rows = layers[0].shape[:2]
    widths = [min(layer.shape[2], rows) for layer in layers]
    # A block of features and the square of its width (the products) must both fit.
    limit = MEMORY_BUDGET_BYTES // (8 * members)
    start = 0
    while start < len(layers):
        stop, width = start + 1, widths[start]
        while stop < len(layers) and (width + widths[stop]) * max(rows, width) <= limit:
            width += widths[stop]
            stop += 1
        features = [_thin(layer, centred) for layer in layers[start:stop]]
        squares = torch.stack([table.square().sum(dim=-1) for table in features], dim=1)
        counts = torch.tensor(widths[start:stop], device=squares.device)
        membership = torch.eye(stop - start, dtype=torch.float64, device=squares.device)
        yield _Layers(
            torch.cat(features, dim=2),
            squares,
            membership.repeat_interleave(counts, dim=0),
            start,
            stop,
        )
        start = stop
