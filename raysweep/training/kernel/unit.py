"""Samples of length 1, one a column of the arena's matrices, and gradients back through them."""

import math
from typing import Any

from raysweep.training.kernel.routine import nested
from raysweep.training.kernel.sides import part


@nested  # type: ignore[untyped-decorator]
def unit(mem: Any, x: int, width: int, rows: int, stride: int, inverse: int) -> None:
    """Bring every sample to length 1, in place; a sample of zeros stays, with inverse length 0."""
    zero, one = mem.dtype.type(0), mem.dtype.type(1)
    tiny = mem.dtype.type(2.0**-126 if mem.itemsize == 4 else 2.0**-1022)
    lengths = part(mem, inverse, 0, stride, rows)
    lengths[:] = zero
    for r in range(width):
        row = part(mem, x, r, stride, rows)
        for j in range(rows):
            lengths[j] += row[j] * row[j]
    for j in range(rows):
        lengths[j] = zero if lengths[j] < tiny else one / math.sqrt(lengths[j])
    for r in range(width):
        row = part(mem, x, r, stride, rows)
        for j in range(rows):
            row[j] *= lengths[j]


@nested  # type: ignore[untyped-decorator]
def through_unit(
    mem: Any,
    grad: int,
    x: int,
    inverse: int,
    along: int,
    step: float,
    width: int,
    rows: int,
    stride: int,
) -> float:
    """From a gradient at unit samples, times `step`, to that at the samples, in place.

    Returns:
        The sum over the samples of their products with the gradient times `step`; `along` is
        scratch, a number a sample.
    """
    by = mem.dtype.type(step)
    radial = part(mem, along, 0, stride, rows)
    lengths = part(mem, inverse, 0, stride, rows)
    radial[:] = mem.dtype.type(0)
    for r in range(width):
        g, u = part(mem, grad, r, stride, rows), part(mem, x, r, stride, rows)
        for j in range(rows):
            g[j] *= by
            radial[j] += g[j] * u[j]
    for r in range(width):
        g, u = part(mem, grad, r, stride, rows), part(mem, x, r, stride, rows)
        for j in range(rows):
            g[j] = (g[j] - radial[j] * u[j]) * lengths[j]
    total = 0.0
    for j in range(rows):
        total += radial[j]
    return total
