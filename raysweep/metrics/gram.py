"""n x n matrices of one layer: distances, kernels and their centring."""

import torch
from torch import Tensor

from raysweep.metrics.features import (
    center,
    normalize_rows,
    resolution,
    times_power_of_two,
    unit_scaled,
)


def squared_distances(features: Tensor) -> Tensor:
    """|x_i - x_j|^2 of [n, d], [n, n] float64, exactly 0 on the diagonal and for equal rows.

    From inner products of centred rows; what is lost to cancellation is set to 0.
    """
    centred = center(features)
    squares = centred.square().sum(dim=1)
    total = squares[:, None] + squares[None, :]
    distances = total - 2 * (centred @ centred.T)
    distances[distances <= resolution(centred) * total] = 0.0
    distances.fill_diagonal_(0.0)
    return distances


def correlation_distances(features: Tensor) -> Tensor:
    """1 - Pearson correlation of each two rows of [n, d], [n, n]; 1 with a row of equal numbers."""
    wide = features.to(torch.float64)
    around = wide - wide.mean(dim=1, keepdim=True)
    # A row of equal numbers leaves rounding noise that must not be blown up to length one.
    flat = around.norm(dim=1) <= resolution(features) * wide.norm(dim=1)
    around[flat] = 0.0
    return _one_minus(normalize_rows(around))


def cosine_distances(features: Tensor) -> Tensor:
    """1 - cosine of each two rows of [n, d], [n, n]; 1 with a row of zeros."""
    return _one_minus(normalize_rows(features.to(torch.float64)))


def _one_minus(rows: Tensor) -> Tensor:
    distances = 1 - rows @ rows.T
    return distances.fill_diagonal_(0.0)


def off_diagonal(matrix: Tensor) -> Tensor:
    """The entries above the diagonal of a symmetric [n, n], as a vector of n (n - 1) / 2."""
    rows, columns = torch.triu_indices(len(matrix), len(matrix), 1, device=matrix.device)
    return matrix[rows, columns]


def rbf_kernel(features: Tensor, sigma: float, sigma_unit: str) -> Tensor:
    """exp(-|x_i - x_j|^2 / (2 s^2)) of [n, d], [n, n].

    Args:
        features: [n, d].
        sigma: the bandwidth s, in units of `sigma_unit`.
        sigma_unit: `absolute`: s = sigma. `median`: s = sigma x the median distance between two
            rows (Kornblith et al. 2019), which makes the kernel invariant to scale.
    """
    # Both in units of the largest entry, as squares of tiny or huge features are no numbers.
    scaled, exponent = unit_scaled(features.to(torch.float64))
    distances = squared_distances(scaled)
    width = torch.full((), float(sigma), dtype=torch.float64, device=distances.device)
    if sigma_unit == "absolute":
        width = times_power_of_two(width, -exponent[0, 0])
    else:
        ordered = off_diagonal(distances).sqrt().sort().values
        width = width * (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return torch.exp(-(distances / width) / (2 * width))


def centred_kernel(kernel: Tensor) -> Tensor:
    """H K H with H = I - 1/n: inner products of two such matrices are biased HSICs, [n, n]."""
    rows = kernel.mean(dim=1, keepdim=True)
    return kernel - rows - rows.T + kernel.mean()


def u_centred_kernel(kernel: Tensor) -> Tensor:
    """The U-centred kernel of Szekely and Rizzo 2014 (arXiv 1310.2926), [n, n].

    Its diagonal is 0 and inner products of two such matrices, over n (n - 3), are the unbiased
    HSIC of Song et al. 2012.
    """
    n = len(kernel)
    hollow = kernel.clone().fill_diagonal_(0.0)
    rows = hollow.sum(dim=1, keepdim=True) / (n - 2)
    total = hollow.sum() / ((n - 1) * (n - 2))
    return (hollow - rows - rows.T + total).fill_diagonal_(0.0)


def unit_norm(matrix: Tensor, scale: Tensor, precision: float) -> Tensor:
    """`matrix` over its Frobenius norm; NaN where that norm is rounding noise of `scale`."""
    norm = torch.linalg.vector_norm(matrix)
    return matrix / torch.where(norm > precision * scale, norm, torch.nan)
