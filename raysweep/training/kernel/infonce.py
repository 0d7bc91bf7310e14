"""Symmetric InfoNCE of one member's batch, with the gradients at both representations.

The same function as `raysweep.losses.infonce.InfoNCE` at a fixed temperature: one exponential
serves both directions, and the gradients come from the same matrix in strips that stay in cache.
"""

import math
from typing import Any

import numpy as np
from numba import njit

from raysweep.training.kernel.products import dense, outer_add
from raysweep.training.kernel.sides import STRIP, Sides, part
from raysweep.training.kernel.term import Term, loss
from raysweep.training.kernel.tiles import ADD, EXP
from raysweep.training.kernel.unit import unit

_PRODUCTS = 8


@njit(error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _log_sum(x: Any) -> float:
    """Sum of logarithms: one logarithm for a product of a few of the positive numbers."""
    total, product = 0.0, 1.0
    for j in range(x.shape[0]):
        product *= x[j]
        if j % _PRODUCTS == _PRODUCTS - 1:
            total += math.log(product)
            product = 1.0
    return total + math.log(product)


# Sums may be reordered into vectors; NaN and infinity keep their meaning.
@njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz"})  # type: ignore[untyped-decorator]
def _add_row_and_columns(row: Any, columns: Any) -> float:
    total = row.dtype.type(0)
    for j in range(row.shape[0]):
        total += row[j]
        columns[j] += row[j]
    return total


@njit(error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _exponentials(mem: Any, sides: Sides, rows: int, columns: int, stride: int, scale: Any) -> None:
    """exp(scale (cos - 1)) of all pairs, with the sums of its rows and columns."""
    by_column = part(mem, sides.by_column, 0, stride, rows)
    by_column[:] = mem.dtype.type(0)
    for i in range(0, rows, 4):
        height = min(4, rows - i)
        strip = sides.matrix + i * stride
        dense(
            mem,
            EXP,
            sides.scaled + i,
            1,
            stride,
            sides.v,
            stride,
            strip,
            stride,
            height,
            sides.width_1,
            columns,
            strip,
            -scale,
        )
        for r in range(height):
            row = part(mem, strip, r, stride, rows)
            mem[sides.by_row + i + r] = _add_row_and_columns(row, by_column)


@njit(error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _strip_products(mem: Any, sides: Sides, rows: int, columns: int, stride: int) -> None:
    """Products of the row softmax plus the column softmax with both sides."""
    one = mem.dtype.type(1)
    size = sides.width_1 * stride
    mem[sides.grad_u : sides.grad_u + size] = one - one
    mem[sides.grad_v : sides.grad_v + size] = one - one
    by_column = part(mem, sides.by_column, 0, stride, rows)
    for j in range(rows):
        by_column[j] = one / by_column[j]
    for start in range(0, rows, STRIP):
        height = min(STRIP, rows - start)
        strip = sides.matrix + start * stride
        for r in range(height):
            row = part(mem, strip, r, stride, rows)
            by_row = one / mem[sides.by_row + start + r]
            for j in range(rows):
                row[j] *= by_row + by_column[j]
        dense(
            mem,
            ADD,
            sides.u + start,
            stride,
            np.int64(1),
            strip,
            stride,
            sides.grad_v,
            stride,
            sides.width_1,
            height,
            columns,
            strip,
            one,
        )
        outer_add(
            mem,
            sides.v,
            stride,
            strip,
            stride,
            sides.grad_u + start,
            stride,
            sides.width_1,
            height,
            columns,
            -1,
        )


@njit(error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _through_unit(
    mem: Any,
    grad: int,
    unit: int,
    other: int,
    inverse: int,
    along: int,
    step: Any,
    width: int,
    rows: int,
    stride: int,
) -> None:
    """From products with the weights to the gradient at the representation, in place."""
    half = mem.dtype.type(0.5)
    radial = part(mem, along, 0, stride, rows)
    lengths = part(mem, inverse, 0, stride, rows)
    radial[:] = half - half
    for r in range(width):
        g = part(mem, grad, r, stride, rows)
        x, y = part(mem, unit, r, stride, rows), part(mem, other, r, stride, rows)
        for j in range(rows):
            g[j] = step * (half * g[j] - y[j])
            radial[j] += g[j] * x[j]
    for r in range(width):
        g, x = part(mem, grad, r, stride, rows), part(mem, unit, r, stride, rows)
        for j in range(rows):
            g[j] = (g[j] - radial[j] * x[j]) * lengths[j]


@loss
def infonce(sources: str) -> Any:
    """The loss of the samples in u and v, of equal widths; leaves its gradients beside them."""

    def infonce(
        mem: Any, term: Term, rows: int, columns: int, block: int, stride: int
    ) -> tuple[float, float, float]:
        len(sources)
        sides, inverse_temperature = term.sides, term.option_1
        scale = mem.dtype.type(inverse_temperature)
        width = sides.width_1
        if rows == 1:
            # Computed, it would be 0 but for rounding, which would pass for a pull.
            for r in range(width):
                part(mem, sides.grad_u, r, stride, rows)[:] = scale - scale
                part(mem, sides.grad_v, r, stride, rows)[:] = scale - scale
            return 0.0, 0.0, 0.0
        unit(mem, sides.u, width, rows, stride, sides.norm_u)
        unit(mem, sides.v, width, rows, stride, sides.norm_v)
        positive = 0.0
        for r in range(width):
            x, y = part(mem, sides.u, r, stride, rows), part(mem, sides.v, r, stride, rows)
            z = part(mem, sides.scaled, r, stride, rows)
            for j in range(rows):
                positive += x[j] * y[j]
                z[j] = scale * x[j]
        _exponentials(mem, sides, rows, columns, stride, scale)
        logs = _log_sum(part(mem, sides.by_row, 0, stride, rows))
        logs += _log_sum(part(mem, sides.by_column, 0, stride, rows))
        _strip_products(mem, sides, rows, columns, stride)
        step = mem.dtype.type(inverse_temperature / rows)
        _through_unit(
            mem,
            sides.grad_u,
            sides.u,
            sides.v,
            sides.norm_u,
            sides.by_row,
            step,
            width,
            rows,
            stride,
        )
        _through_unit(
            mem,
            sides.grad_v,
            sides.v,
            sides.u,
            sides.norm_v,
            sides.by_row,
            step,
            width,
            rows,
            stride,
        )
        return inverse_temperature * (1.0 - positive / rows) + 0.5 * logs / rows, 0.0, 0.0

    return infonce
