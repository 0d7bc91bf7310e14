"""VICReg and Barlow Twins of one member's batch, with the gradients at both representations.

The same functions as `raysweep.losses.redundancy` has them. Both work on small matrices of
features by features; a gradient is such a matrix times the centred samples.
"""

import math
from typing import Any

import numpy as np
from numba import njit

from raysweep.losses.redundancy import DEVIATION_EPSILON, STANDARDISE_EPSILON
from raysweep.training.kernel.products import dense, outer_add
from raysweep.training.kernel.routine import nested
from raysweep.training.kernel.sides import mean, part, square_norm
from raysweep.training.kernel.term import Term, loss
from raysweep.training.kernel.tiles import ADD, ZERO


@nested  # type: ignore[untyped-decorator]
def centre(mem: Any, x: int, width: int, rows: int, stride: int) -> None:
    """Take every feature's mean away, in place."""
    for r in range(width):
        row = part(mem, x, r, stride, rows)
        middle = mem.dtype.type(mean(row))
        for j in range(rows):
            row[j] -= middle


@nested  # type: ignore[untyped-decorator]
def _spread(
    mem: Any, x: int, grad: int, width: int, rows: int, columns: int, stride: int, square: int,
    variance: float, covariance: float,
) -> float:  # fmt: skip
    """One side's part of VICReg; adds its gradient to `grad`, centres the samples."""
    kind = mem.dtype.type
    centre(mem, x, width, rows, stride)
    mem[square : square + width * width] = kind(0)
    outer_add(mem, x, stride, x, stride, square, width, width, width, columns, -1)
    shortfall, between = 0.0, 0.0
    own, others = -variance / (width * (rows - 1.0)), 4.0 * covariance / (width * (rows - 1.0))
    for r in range(width):
        row = mem[square + r * width : square + (r + 1) * width]
        for k in range(width):
            product = row[k] / (rows - 1.0)
            if k != r:
                between += product * product
                row[k] = kind(others * product)
            else:
                deviation = math.sqrt(product + DEVIATION_EPSILON)
                # A NaN must go on, which a comparison does not see.
                if deviation > 1.0:
                    row[k] = kind(0)
                else:
                    shortfall += 1.0 - deviation
                    row[k] = kind(own / deviation)
    one = np.int64(1)
    dense(
        mem, ADD, square, width, one, x, stride, grad, stride, width, width, columns, x, kind(0)
    )  # fmt: skip
    return variance * shortfall / width + covariance * between / width


@loss
def vicreg(sources: str) -> Any:
    """The loss of the samples in u and v, of equal widths; leaves its gradients beside them.

    NaN of one sample.
    """

    def vicreg(
        mem: Any, term: Term, rows: int, columns: int, block: int, stride: int
    ) -> tuple[float, float, float]:
        len(sources)
        sides = term.sides
        invariance, variance, covariance = term.option_1, term.option_2, term.option_3
        if rows < 2:
            return math.nan, 0.0, 0.0
        width, apart = sides.width_1, 0.0
        by = mem.dtype.type(2.0 * invariance / rows)
        for r in range(width):
            x, y = part(mem, sides.u, r, stride, columns), part(mem, sides.v, r, stride, columns)
            g, h = (
                part(mem, sides.grad_u, r, stride, columns),
                part(mem, sides.grad_v, r, stride, columns),
            )
            for j in range(columns):
                g[j] = x[j] - y[j]
            apart += square_norm(g)
            for j in range(columns):
                g[j] *= by
                h[j] = -g[j]
        value = invariance * apart / rows
        value += _spread(
            mem, sides.u, sides.grad_u, width, rows, columns, stride, sides.matrix,
            variance, covariance,
        )  # fmt: skip
        value += _spread(
            mem, sides.v, sides.grad_v, width, rows, columns, stride, sides.matrix,
            variance, covariance,
        )  # fmt: skip
        return value, 0.0, 0.0

    return vicreg


@nested  # type: ignore[untyped-decorator]
def _standardise(mem: Any, x: int, width: int, rows: int, stride: int, inverse: int) -> None:
    """Every feature to mean 0 and (biased) variance 1, in place; leaves 1 / its deviation."""
    centre(mem, x, width, rows, stride)
    for r in range(width):
        row = part(mem, x, r, stride, rows)
        by = mem.dtype.type(1.0 / math.sqrt(square_norm(row) / rows + STANDARDISE_EPSILON))
        mem[inverse + r] = by
        for j in range(rows):
            row[j] *= by


@njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz"})  # type: ignore[untyped-decorator]
def _through_standard(
    mem: Any, grad: int, z: int, width: int, rows: int, stride: int, inverse: int
) -> None:
    """From gradients at standardised features to those at the features, in place."""
    for r in range(width):
        g, x = part(mem, grad, r, stride, rows), part(mem, z, r, stride, rows)
        total, along = mem.dtype.type(0), mem.dtype.type(0)
        for j in range(rows):
            total += g[j]
            along += g[j] * x[j]
        total, along, by = total / rows, along / rows, mem[inverse + r]
        middle, slope = mem.dtype.type(total), mem.dtype.type(along)
        for j in range(rows):
            g[j] = (g[j] - middle - slope * x[j]) * by


@loss
def barlow_twins(sources: str) -> Any:
    """The loss of the samples in u and v, of equal widths; leaves its gradients beside them.

    NaN of one sample.
    """

    def barlow_twins(
        mem: Any, term: Term, rows: int, columns: int, block: int, stride: int
    ) -> tuple[float, float, float]:
        len(sources)
        sides, redundancy = term.sides, term.option_1
        if rows < 2:
            return math.nan, 0.0, 0.0
        kind, width, square = mem.dtype.type, sides.width_1, sides.matrix
        u, v, one = sides.u, sides.v, np.int64(1)
        inverse_1 = square + width * width
        inverse_2 = inverse_1 + width
        _standardise(mem, u, width, rows, stride, inverse_1)
        _standardise(mem, v, width, rows, stride, inverse_2)
        mem[square:inverse_1] = kind(0)
        outer_add(mem, u, stride, v, stride, square, width, width, width, columns, -1)
        value = 0.0
        for r in range(width):
            row = mem[square + r * width : square + (r + 1) * width]
            for k in range(width):
                correlation = row[k] / float(rows)
                if k == r:
                    value += (1.0 - correlation) ** 2
                    row[k] = kind(-2.0 * (1.0 - correlation) / rows)
                else:
                    value += redundancy * correlation * correlation
                    row[k] = kind(2.0 * redundancy * correlation / rows)
        dense(
            mem, ZERO, square, width, one, v, stride, sides.grad_u, stride, width, width, columns,
            u, kind(0),
        )  # fmt: skip
        dense(
            mem, ZERO, square, one, width, u, stride, sides.grad_v, stride, width, width, columns,
            u, kind(0),
        )  # fmt: skip
        _through_standard(mem, sides.grad_u, u, width, rows, stride, inverse_1)
        _through_standard(mem, sides.grad_v, v, width, rows, stride, inverse_2)
        return value, 0.0, 0.0

    return barlow_twins
