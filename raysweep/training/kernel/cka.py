"""Linear CKA of one member's batch as a loss, in feature space, with both gradients.

The same function as `raysweep.losses.cka.LinearCKA`, biased and unbiased. With centred
features brought to total variance 1, the three HSICs are squared norms of the small matrices
X X', Y Y' and X Y'; the unbiased estimate (Song et al. 2012, JMLR 13, equation 5) takes the
samples' own squared lengths out again. CKA is free of scale, so its gradient needs no term for
the scaling.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from raysweep.training.kernel.products import dense, outer_add
from raysweep.training.kernel.routine import nested
from raysweep.training.kernel.sides import mean, part, square_norm
from raysweep.training.kernel.term import Term, loss
from raysweep.training.kernel.tiles import ADD, ZERO

_ROUNDING = 64
"""What is left after centring counts as zero below so many units in the last place."""


class _Side(NamedTuple):
    """One side of a gradient: its samples, gradient, squared lengths, size, scale, X X' and X Y'.

    Element r, k of X Y', as this side sees it, is at shared + r shared_row + k shared_inner.
    """

    x: int
    grad: int
    lengths: int
    width: int
    scale: float
    own: int
    shared: int
    shared_row: int
    shared_inner: int


@njit(error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _standardise(mem: Any, x: int, width: int, rows: int, stride: int, epsilon: float) -> float:
    """Centre and bring to total variance 1, in place; returns the scale, 0 if constant."""
    raw, power = 0.0, 0.0
    for r in range(width):
        row = part(mem, x, r, stride, rows)
        raw += square_norm(row)
        middle = mem.dtype.type(mean(row))
        for j in range(rows):
            row[j] -= middle
        power += square_norm(row)
    if power <= (_ROUNDING * epsilon) ** 2 * raw:
        return 0.0
    scale = 1.0 / math.sqrt(power)
    by = mem.dtype.type(scale)
    for r in range(width):
        row = part(mem, x, r, stride, rows)
        for j in range(rows):
            row[j] *= by
    return scale


@njit(error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _lengths(mem: Any, x: int, width: int, rows: int, stride: int, out: int) -> None:
    """Squared length of every sample."""
    target = part(mem, out, 0, stride, rows)
    target[:] = mem.dtype.type(0)
    for r in range(width):
        row = part(mem, x, r, stride, rows)
        for j in range(rows):
            target[j] += row[j] * row[j]


@njit(error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _without_diagonal(trace: float, lengths_1: Any, lengths_2: Any) -> float:
    """Unbiased HSIC times rows (rows - 3): centred kernels' rows sum to minus the diagonal."""
    rows, shared = lengths_1.shape[0], 0.0
    for j in range(rows):
        shared += lengths_1[j] * lengths_2[j]
    return trace - shared * rows / (rows - 2) + 1.0 / ((rows - 1) * (rows - 2))


@nested  # type: ignore[untyped-decorator]
def _side_gradient(
    mem: Any,
    side: _Side,
    other: _Side,
    own: float,
    cross: float,
    unbiased: bool,
    rows: int,
    columns: int,
    stride: int,
) -> None:
    """Gradient at one side: cross (X Y') Y + own (X X') X, less the diagonals, times its scale."""
    kind = mem.dtype.type
    dense(
        mem,
        ZERO,
        side.own,
        side.width,
        np.int64(1),
        side.x,
        stride,
        side.grad,
        stride,
        side.width,
        side.width,
        columns,
        side.x,
        kind(0),
    )
    # The two weights differ, so the first product is brought to the second's before it is added.
    ratio = kind(own / cross)
    for r in range(side.width):
        row = part(mem, side.grad, r, stride, columns)
        for j in range(columns):
            row[j] *= ratio
    dense(
        mem,
        ADD,
        side.shared,
        side.shared_row,
        side.shared_inner,
        other.x,
        stride,
        side.grad,
        stride,
        side.width,
        other.width,
        columns,
        side.x,
        kind(0),
    )
    factor = kind(cross * side.scale)
    by_length = kind(-rows / (rows - 2.0))
    level = kind((1.0 + ratio) / ((rows - 1.0) * (rows - 2.0)))
    mine = part(mem, side.lengths, 0, stride, rows)
    theirs = part(mem, other.lengths, 0, stride, rows)
    for r in range(side.width):
        row, x = part(mem, side.grad, r, stride, rows), part(mem, side.x, r, stride, rows)
        if unbiased:
            for j in range(rows):
                row[j] += (by_length * (theirs[j] + ratio * mine[j]) + level) * x[j]
        for j in range(rows):
            row[j] *= factor
        if unbiased:
            middle = kind(mean(row))
            for j in range(rows):
                row[j] -= middle


@loss
def cka(sources: str) -> Any:
    """1 - CKA of the samples in u and v; gradients are left in grad_u and grad_v.

    NaN, with no gradients to use, where a side is constant or the batch too short.
    """

    def cka(
        mem: Any, term: Term, rows: int, columns: int, block: int, stride: int
    ) -> tuple[float, float, float]:
        len(sources)
        sides, unbiased = term.sides, term.option_1 > 0.0
        if rows < (4 if unbiased else 2):
            return math.nan, 0.0, 0.0
        width_1, width_2 = sides.width_1, sides.width_2
        epsilon = 2.0**-23 if mem.itemsize == 4 else 2.0**-52
        scale_1 = _standardise(mem, sides.u, width_1, rows, stride, epsilon)
        scale_2 = _standardise(mem, sides.v, width_2, rows, stride, epsilon)
        if scale_1 == 0.0 or scale_2 == 0.0:
            return math.nan, 0.0, 0.0
        own_1 = sides.matrix
        own_2 = own_1 + width_1 * width_1
        shared = own_2 + width_2 * width_2
        end = shared + width_1 * width_2
        mem[own_1:end] = mem.dtype.type(0)
        u, v = sides.u, sides.v
        outer_add(mem, u, stride, u, stride, own_1, width_1, width_1, width_1, columns, -1)
        outer_add(mem, v, stride, v, stride, own_2, width_2, width_2, width_2, columns, -1)
        outer_add(mem, u, stride, v, stride, shared, width_2, width_1, width_2, columns, -1)
        hsic_1, hsic_2 = square_norm(mem[own_1:own_2]), square_norm(mem[own_2:shared])
        hsic_12 = square_norm(mem[shared:end])
        if unbiased:
            _lengths(mem, u, width_1, rows, stride, sides.norm_u)
            _lengths(mem, v, width_2, rows, stride, sides.norm_v)
            mine = part(mem, sides.norm_u, 0, stride, rows)
            theirs = part(mem, sides.norm_v, 0, stride, rows)
            least_1, least_2 = _ROUNDING * epsilon * hsic_1, _ROUNDING * epsilon * hsic_2
            hsic_1 = _without_diagonal(hsic_1, mine, mine)
            hsic_2 = _without_diagonal(hsic_2, theirs, theirs)
            hsic_12 = _without_diagonal(hsic_12, mine, theirs)
            if hsic_1 <= least_1 or hsic_2 <= least_2:
                return math.nan, 0.0, 0.0
        joint = 1.0 / math.sqrt(hsic_1 * hsic_2)
        similarity = hsic_12 * joint
        cross = -2.0 * joint
        one = np.int64(1)
        first = _Side(u, sides.grad_u, sides.norm_u, width_1, scale_1, own_1, shared, width_2, one)
        second = _Side(v, sides.grad_v, sides.norm_v, width_2, scale_2, own_2, shared, one, width_2)
        _side_gradient(
            mem,
            first,
            second,
            2.0 * similarity / hsic_1,
            cross,
            unbiased,
            rows,
            columns,
            stride,
        )
        _side_gradient(
            mem,
            second,
            first,
            2.0 * similarity / hsic_2,
            cross,
            unbiased,
            rows,
            columns,
            stride,
        )
        return 1.0 - similarity, 0.0, 0.0

    return cka
