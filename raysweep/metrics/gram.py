"""Distances between the rows of one layer, kernels and their centring."""

import torch
from torch import Tensor

from raysweep.metrics.features import (
    RESOLUTION,
    normalize_rows,
    times_power_of_two,
    unit_scaled,
    varying_columns,
)

_DIRECT_WIDTH = 128
"""Up to this width a difference for each feature is as fast as a product of matrices."""

_NEAR = 1 / 16
"""Below this share of |x_i|^2 + |x_j|^2, a distance from products has lost digits."""

_PAIRS_AT_ONCE = 2**24
"""Numbers of gathered rows that are subtracted at once."""

_ROWS_AT_ONCE = 128
"""Rows that are multiplied with themselves and all later ones."""

_NOTHING = 1e-145
"""A distance, of rows near 1, whose square is no number everywhere."""


def squared_distances(rows: Tensor) -> Tensor:
    """|x_i - x_j|^2 of all pairs i < j of [n, d] float64, row after row: [n (n - 1) / 2].

    Each to its own digits, however near the rows are to each other beside their distance to others:
    from differences of features, or from products of matrices where these lose nothing.
    """
    if rows.shape[1] <= _DIRECT_WIDTH:
        distances = torch.pdist(rows)
        near = torch.nn.functional.threshold(distances, _NOTHING, 0.0, inplace=True)
        return near.square_()
    centred = rows - rows.mean(dim=0)
    squares = centred.square().sum(dim=1)
    left, right = torch.triu_indices(len(rows), len(rows), 1, device=rows.device)
    total = squares[left] + squares[right]
    distances = total - 2 * (centred @ centred.T)[left, right]
    near = torch.nonzero(distances <= _NEAR * total)[:, 0]
    for part in near.split(max(1, _PAIRS_AT_ONCE // rows.shape[1])):
        difference = torch.linalg.vector_norm(rows[left[part]] - rows[right[part]], dim=1)
        distances[part] = torch.where(difference > _NOTHING, difference, 0.0).square()
    return distances


def symmetric(values: Tensor, n: int, diagonal: float = 0.0) -> Tensor:
    """The symmetric matrix [n, n] of values of all pairs i < j, row after row."""
    matrix = torch.full((n, n), diagonal, dtype=values.dtype, device=values.device)
    rows, columns = torch.triu_indices(n, n, 1, device=values.device)
    matrix[rows, columns] = values
    matrix[columns, rows] = values
    return matrix


def products_of_rows(rows: Tensor) -> Tensor:
    """Inner products of all pairs of rows of [n, d], [n, n]; each pair once, for half the time."""
    n = len(rows)
    found = rows.new_empty((n, n))
    for start in range(0, n, _ROWS_AT_ONCE):
        stop = min(start + _ROWS_AT_ONCE, n)
        torch.mm(rows[start:stop], rows[start:].T, out=found[start:stop, start:])
        found[stop:, start:stop] = found[start:stop, stop:].T
    return found


def angular_distances(features: Tensor, centred: bool) -> Tensor:
    """1 - cosine of all pairs i < j of rows of [n, d], row after row; 1 with a row of zeros.

    Args:
        features: [n, d].
        centred: remove each row's own mean first, which makes the cosine Pearson's correlation;
            a row of equal numbers becomes zero.
    """
    if centred:
        # The rows are the columns of the transposed table.
        scaled = unit_scaled(features, -1)[0].T
        varies = varying_columns(scaled)
        around = scaled - scaled.mean(dim=0)
        around = torch.where(varies, around - around.mean(dim=0), 0.0)
        features = around.T.contiguous()
    rows = normalize_rows(features)
    zero = (rows == 0).all(dim=1).to(rows.dtype)
    distances = squared_distances(rows).div_(2)
    if bool(zero.any()):
        left, right = torch.triu_indices(len(rows), len(rows), 1, device=rows.device)
        distances += (zero[left] + zero[right]) / 2
    return distances


def rbf_kernel(features: Tensor, sigma: float, sigma_unit: str) -> Tensor:
    """exp(-|x_i - x_j|^2 / (2 s^2)) - 1 of [n, d], [n, n].

    Centring takes the 1 off anyway; without it a wide kernel keeps its digits.

    Args:
        features: [n, d].
        sigma: the bandwidth s, in units of `sigma_unit`.
        sigma_unit: `absolute`: s = sigma. `median`: s = sigma x the median distance between two
            rows (Kornblith et al. 2019), which makes the kernel invariant to scale.
    """
    # Both in units of the largest entry, as squares of tiny or huge features are no numbers.
    scaled, exponent = unit_scaled(features)
    distances = squared_distances(scaled)
    width = torch.full((), float(sigma), dtype=torch.float64, device=distances.device)
    if sigma_unit == "absolute":
        width = times_power_of_two(width, -exponent[0, 0])
    else:
        ordered = distances.sqrt().sort().values
        width = width * (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return symmetric(torch.expm1(-(distances / width) / (2 * width)), len(scaled))


def hollow_products(features: Tensor) -> tuple[Tensor, Tensor]:
    """Inner products of different rows of [n, d] around their median, [n, n]; 0 on the diagonal.

    Around the mean every row would be as long as an outlying one, and the digits of the others lost
    in it; around the median of each column only that row is, and its square is on the diagonal.

    Returns:
        The products, all over one power of two, and the size of what their rounding is a share of.
    """
    columns, exponent = unit_scaled(features, -2)
    around = columns - columns.median(dim=0).values
    # A column that is its median throughout has no size.
    exponent = torch.where((around != 0).any(dim=0), exponent, torch.iinfo(torch.int32).min // 4)
    exponent = exponent - exponent.amax()
    rows, size = unit_scaled(times_power_of_two(around, exponent.clamp(min=-1000)), -1)
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    largest = (lengths * lengths.T).fill_diagonal_(0.0)
    shift = size + size.T
    above = torch.where(largest > 0, torch.frexp(largest).exponent + shift, -100_000).amax()
    shift = (shift - above).clamp(min=-4000)
    products = (rows @ rows.T).fill_diagonal_(0.0)
    return times_power_of_two(products, shift), times_power_of_two(largest, shift)


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


def unit_norm(values: Tensor, scale: Tensor) -> Tensor:
    """`values` over their Euclidean norm; NaN where that norm is rounding noise of `scale`."""
    norm = torch.linalg.vector_norm(values)
    return values / torch.where(norm > RESOLUTION * scale, norm, torch.nan)
