"""Representations as tensors: conversion, the precision they carry, what makes them unusable."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from raysweep.errors import InputError

MEMORY_BUDGET_BYTES = 2**28
"""Size of one working block. The metrics hold a handful of such blocks at a time, so that 4,096
samples x 110 layers stay far below 2 GiB."""

MINIMUM_ROWS = 4
"""The unbiased HSIC divides by n (n - 3)."""


def as_features(value: object, place: str) -> Tensor:
    """Converts one representation, [n, d], to a floating-point tensor without changing its values.

    Args:
        value: a torch tensor, a numpy array, or nested sequences of numbers, shape [n, d].
        place: what to call it in an error message.

    Returns:
        A tensor [n, d], detached; floating dtypes are kept (they tell how precise the features
        are), integers become float64.

    Raises:
        InputError: not numbers, or not two-dimensional, or without features.
    """
    if isinstance(value, Tensor):
        features = value.detach()
    else:
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise InputError(f"{place}: expected numbers [n, d], got an array of {array.dtype}")
        features = torch.from_numpy(np.array(array))
    if features.is_complex():
        raise InputError(f"{place}: expected real numbers [n, d], got {features.dtype}")
    if not features.is_floating_point():
        features = features.to(torch.float64)
    if features.ndim != 2 or features.shape[1] == 0:
        raise InputError(
            f"{place}: expected a table [n samples, d features] with d >= 1, "
            f"got shape {list(features.shape)}"
        )
    return features


def resolution(features: Tensor) -> float:
    """Relative difference below which two numbers computed from `features` are the same number.

    8 units of rounding for float32 and coarser (about 1e-6: what is left of features that a
    network computed in that precision), 64 for float64 (about 1e-14: inner products of some
    hundreds of terms).
    """
    units = 64 if features.dtype == torch.float64 else 8
    return units * torch.finfo(features.dtype).eps


def center(features: Tensor) -> Tensor:
    """Features in float64 with the mean over rows removed, same shape [..., n, d]."""
    wide = features.to(torch.float64)
    return wide - wide.mean(dim=-2, keepdim=True)


def unit_scaled(features: Tensor, dim: int | tuple[int, ...] = (-2, -1)) -> tuple[Tensor, Tensor]:
    """Features over the power of two above their largest magnitude, and its exponent.

    So squares neither overflow nor vanish, and no digit changes: the magnitudes end up in 0..1, the
    largest in 0.5..1.

    Args:
        features: [..., n, d], finite.
        dim: what shares a scale: all of a member [n, d], or each row (-1).
    """
    largest = features.abs().amax(dim=dim, keepdim=True).to(torch.float64)
    exponent = torch.frexp(largest).exponent
    return times_power_of_two(features, -exponent), exponent


def times_power_of_two(features: Tensor, exponent: Tensor) -> Tensor:
    """Features times 2^exponent, which itself may be out of range."""
    half = torch.div(exponent, 2, rounding_mode="floor")
    for part in (half, exponent - half):
        features = features * torch.exp2(part.to(features.dtype))
    return features


def normalize_rows(features: Tensor) -> Tensor:
    """Rows divided by their Euclidean norm, shape [..., n, d] kept; rows of zeros stay zero."""
    rows, _ = unit_scaled(features, -1)
    norm = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    return rows / torch.where(norm > 0, norm, 1.0)


def is_finite(features: Tensor) -> Tensor:
    """Whether all of [m, n, d] is finite, per member: bool [m]."""
    return torch.isfinite(features).flatten(1).all(dim=1)


def is_constant(features: Tensor) -> Tensor:
    """Whether every row is the same up to the precision of the dtype, per member: bool [m].

    True when the root mean square around the mean row is at most `resolution` times the root
    mean square itself: what is left then is rounding noise.

    Args:
        features: [m, n, d], finite.
    """
    scaled, _ = unit_scaled(features.to(torch.float64))
    total = scaled.square().flatten(1).sum(dim=1)
    around_mean = center(scaled).square().flatten(1).sum(dim=1)
    return around_mean <= resolution(features) ** 2 * total


def check_layers(xs: Sequence[Tensor], ys: Sequence[Tensor]) -> tuple[int, int]:
    """Checks the shapes of two lists of layers and returns (m, n).

    Raises:
        InputError: no layers, a layer that is not [m, n, d], different m or n, or n < 4.
    """
    expected: tuple[int, int] | None = None
    for side, layers in (("xs", xs), ("ys", ys)):
        if len(layers) == 0:
            raise InputError(f"{side}: expected at least one layer, got none")
        for index, layer in enumerate(layers):
            place = f"{side}[{index}]"
            if layer.ndim != 3 or layer.shape[2] == 0 or not layer.is_floating_point():
                raise InputError(
                    f"{place}: expected floating-point [m, n, d] with d >= 1, "
                    f"got {layer.dtype} {list(layer.shape)}"
                )
            found = (layer.shape[0], layer.shape[1])
            if expected is None:
                expected = found
            if found != expected:
                raise InputError(
                    f"{place}: {found[0]} members x {found[1]} rows, but xs[0] has "
                    f"{expected[0]} x {expected[1]}; the rows of both sides are the same samples"
                )
    assert expected is not None
    if expected[1] < MINIMUM_ROWS:
        raise InputError(f"expected at least {MINIMUM_ROWS} rows (samples), got {expected[1]}")
    return expected


def distinct_rows(features: object) -> int:
    """How many different rows `features` [n, d] has.

    Low-bit tasks collapse to few codes; with few distinct rows a neighbour metric is mostly ties,
    so report this number beside it. Rows count as equal only when all their numbers are.
    """
    table = as_features(features, "features")
    return _count_distinct(table)


def distinct_rows_of_layers(layers: Sequence[Tensor]) -> Tensor:
    """`distinct_rows` of every member and layer: L tensors [m, n, d] -> int64 [m, L]."""
    counts = [[_count_distinct(features) for features in layer.detach()] for layer in layers]
    return torch.tensor(counts, dtype=torch.int64).T


def _count_distinct(table: Tensor) -> int:
    # Adding zero makes -0.0 and 0.0 the same bytes; whole rows then sort as single items, several
    # times faster than torch.unique over rows.
    rows = np.ascontiguousarray(table.to(torch.float64).cpu().numpy() + 0.0)
    return len(np.unique(rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))))
