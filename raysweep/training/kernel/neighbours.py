"""Soft kNN and uniformity of one member's batch, with the gradients at the representations.

The same functions as `raysweep.losses.soft_knn.SoftKNN` and `uniformity.Uniformity`. Both
compare the samples of one side with each other, and their slopes, added to their transposes, are
symmetric. So only pairs i < j are made, in strips that stay in cache, and each strip is multiplied
with the samples of its columns and with those of its rows. No matrix of all pairs is kept: soft
kNN, which needs all sums before the first slope, makes each strip twice.
"""

import math
from typing import Any

import numpy as np
from numba import njit

from raysweep.training.kernel.products import dense, outer_add
from raysweep.training.kernel.routine import nested
from raysweep.training.kernel.sides import STRIP, part
from raysweep.training.kernel.sweeps import sweep, triangle
from raysweep.training.kernel.term import Term, loss
from raysweep.training.kernel.tiles import ADD, ZERO
from raysweep.training.kernel.unit import through_unit, unit
from raysweep.training.kernel.vectors import Vectors

_LN_2 = math.log(2.0)


def _pair(v: Vectors, first: Any, second: Any, scale: Any) -> tuple[Any, Any, Any]:
    """Of two cosines: both exponentials, shifted to at most 1, and the difference of the logits."""
    one = v.constant(1.0)
    e = v.exp_below(v.times(scale, v.builder.fsub(first, one)))
    f = v.exp_below(v.times(scale, v.builder.fsub(second, one)))
    return e, f, v.times(scale, v.builder.fsub(first, second))


def _sums_body(v: Vectors, read: list[Any], numbers: list[Any]) -> tuple[list[Any], ...]:
    e, f, apart = _pair(v, *read[4:], numbers[0])
    terms = [e, f, v.times(e, apart), v.times(f, apart)]
    return [v.add(total, term) for total, term in zip(read[:4], terms, strict=True)], terms, []


def _slopes_body(v: Vectors, read: list[Any], numbers: list[Any]) -> tuple[list[Any], ...]:
    """Slopes by both cosines plus their transposes.

    With p = e / sum_i e the slope of KL(p_i, q_i) + KL(q_i, p_i) by the first logit is
    p - q + p (apart - sum_i p apart); by the second with p and q, and signs, exchanged.
    """
    e, f, apart = _pair(v, *read[:2], numbers[0])
    by_e, by_f, mean_e, mean_f = (
        v.add(column, row) for column, row in zip(read[2:], numbers[1:], strict=True)
    )
    p, q = v.times(e, by_e), v.times(f, by_f)
    first = v.add(v.builder.fsub(v.times(p, apart), v.times(e, mean_e)), v.builder.fsub(p, q))
    second = v.add(v.builder.fsub(v.times(f, mean_f), v.times(q, apart)), v.builder.fsub(q, p))
    return [first, second], [], []


def _potential_of(v: Vectors, cosine: Any, numbers: list[Any]) -> Any:
    scale, minus_scale = numbers
    return v.power_of_two(v.add(v.times(cosine, scale), minus_scale))


_sums, _slopes = sweep(_sums_body, sums=4), sweep(_slopes_body)
_potentials = triangle(_potential_of)


@nested  # type: ignore[untyped-decorator]
def _cosines(
    mem: Any, x: int, width: int, start: int, height: int, begin: int, columns: int, stride: int,
    strip: int,
) -> None:  # fmt: skip
    """Products of the samples start : start + height with those from `begin` on."""
    dense(
        mem, ZERO, x + start, np.int64(1), stride, x + begin, stride, strip + begin, stride,
        height, width, columns - begin, strip, mem.dtype.type(0),
    )  # fmt: skip


@nested  # type: ignore[untyped-decorator]
def _clear_below(
    mem: Any, start: int, height: int, begin: int, columns: int, rows: int, stride: int, strip: int
) -> None:
    """Leave the pairs i < j of a strip."""
    for r in range(height):
        row = part(mem, strip, r, stride, columns)
        row[begin : start + r + 1] = mem.dtype.type(0)
        row[rows:] = mem.dtype.type(0)


@nested  # type: ignore[untyped-decorator]
def _add_products(
    mem: Any, x: int, grad: int, width: int, start: int, height: int, begin: int, columns: int,
    stride: int, strip: int,
) -> None:  # fmt: skip
    """Products of a strip of pairs i < j with the samples i and j, added to the gradients."""
    dense(
        mem, ADD, x + start, stride, np.int64(1), strip + begin, stride, grad + begin, stride,
        width, height, columns - begin, strip, mem.dtype.type(0),
    )  # fmt: skip
    outer_add(
        mem, x + begin, stride, strip + begin, stride, grad + start, stride,
        width, height, columns - begin, -1,
    )  # fmt: skip


@njit(error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _clear(mem: Any, at: int, count: int) -> None:
    mem[at : at + count] = mem.dtype.type(0)


@loss
def soft_knn(sources: str) -> Any:
    """The loss of the samples in u and v; leaves its gradients beside them. NaN of one sample."""

    def soft_knn(
        mem: Any, term: Term, rows: int, columns: int, block: int, stride: int
    ) -> tuple[float, float, float]:
        len(sources)
        sides, scale = term.sides, term.option_1
        if rows < 2:
            return math.nan, 0.0, 0.0
        kind, by = mem.dtype.type, mem.dtype.type(scale)
        u, v, width_1, width_2 = sides.u, sides.v, sides.width_1, sides.width_2
        unit(mem, u, width_1, rows, stride, sides.norm_u)
        unit(mem, v, width_2, rows, stride, sides.norm_v)
        _clear(mem, sides.grad_u, width_1 * stride)
        _clear(mem, sides.grad_v, width_2 * stride)
        strip_1 = sides.matrix
        strip_2 = strip_1 + STRIP * stride
        # One number a sample: the two sums of exponentials, and those times the difference.
        sums_e = strip_2 + STRIP * stride
        sums_f, sums_ed, sums_fd = sums_e + stride, sums_e + 2 * stride, sums_e + 3 * stride
        _clear(mem, sums_e, 4 * stride)
        for start in range(0, rows, STRIP):
            height, begin = min(STRIP, rows - start), start // block * block
            _cosines(mem, u, width_1, start, height, begin, columns, stride, strip_1)
            _cosines(mem, v, width_2, start, height, begin, columns, stride, strip_2)
            for r in range(height):
                i = start + r
                j = i + 1
                first, second = strip_1 + r * stride + j, strip_2 + r * stride + j
                places = (sums_e + j, sums_f + j, sums_ed + j, sums_fd + j, first, second)
                e, f, ed, fd = _sums(mem, places, (by,), rows - j)
                mem[sums_e + i] += e
                mem[sums_f + i] += f
                mem[sums_ed + i] += ed
                mem[sums_fd + i] += fd
        value = 0.0
        for i in range(rows):
            e, f = kind(1) / mem[sums_e + i], kind(1) / mem[sums_f + i]
            ed, fd = mem[sums_ed + i] * e, mem[sums_fd + i] * f
            value += ed - fd
            mem[sums_e + i], mem[sums_f + i] = e, f
            mem[sums_ed + i], mem[sums_fd + i] = ed * e, fd * f
        for start in range(0, rows, STRIP):
            height, begin = min(STRIP, rows - start), start // block * block
            _cosines(mem, u, width_1, start, height, begin, columns, stride, strip_1)
            _cosines(mem, v, width_2, start, height, begin, columns, stride, strip_2)
            for r in range(height):
                i = start + r
                j = i + 1
                first, second = strip_1 + r * stride + j, strip_2 + r * stride + j
                places = (first, second, sums_e + j, sums_f + j, sums_ed + j, sums_fd + j)
                own = (by, mem[sums_e + i], mem[sums_f + i], mem[sums_ed + i], mem[sums_fd + i])
                _slopes(mem, places, own, rows - j)
            for x, grad, width, strip in (
                (u, sides.grad_u, width_1, strip_1),
                (v, sides.grad_v, width_2, strip_2),
            ):
                _clear_below(mem, start, height, begin, columns, rows, stride, strip)
                _add_products(mem, x, grad, width, start, height, begin, columns, stride, strip)
        step = 0.5 * scale / rows
        along = sides.by_row
        through_unit(mem, sides.grad_u, u, sides.norm_u, along, step, width_1, rows, stride)
        through_unit(mem, sides.grad_v, v, sides.norm_v, along, step, width_2, rows, stride)
        return 0.5 * value / rows, 0.0, 0.0

    return soft_knn


@nested  # type: ignore[untyped-decorator]
def _potential(
    mem: Any, x: int, grad: int, inverse: int, width: int, along: int, strip: int,
    rows: int, columns: int, block: int, stride: int, twice: float,
) -> float:  # fmt: skip
    """One side's uniformity, with half its gradient."""
    by = mem.dtype.type(twice / _LN_2)
    unit(mem, x, width, rows, stride, inverse)
    _clear(mem, grad, width * stride)
    total = 0.0
    for start in range(0, rows, STRIP):
        height, begin = min(STRIP, rows - start), start // block * block
        _cosines(mem, x, width, start, height, begin, columns, stride, strip)
        right = start - begin + 1
        total += _potentials(
            mem, strip + begin, stride, (by, -by), height, right, rows - begin, columns - begin
        )
        _add_products(mem, x, grad, width, start, height, begin, columns, stride, strip)
    # Pairs were counted once; both of a pair move, and both sides count half.
    through_unit(mem, grad, x, inverse, along, 0.5 * twice / total, width, rows, stride)
    return math.log(2.0 * total / (rows * (rows - 1.0)))


@loss
def uniformity(sources: str) -> Any:
    """The loss of the samples in u and v; leaves its gradients beside them. NaN of one sample."""

    def uniformity(
        mem: Any, term: Term, rows: int, columns: int, block: int, stride: int
    ) -> tuple[float, float, float]:
        len(sources)
        sides, twice = term.sides, term.option_1
        if rows < 2:
            return math.nan, 0.0, 0.0
        along, strip = sides.by_row, sides.matrix
        value = _potential(
            mem, sides.u, sides.grad_u, sides.norm_u, sides.width_1, along, strip,
            rows, columns, block, stride, twice,
        )  # fmt: skip
        value += _potential(
            mem, sides.v, sides.grad_v, sides.norm_v, sides.width_2, along, strip,
            rows, columns, block, stride, twice,
        )  # fmt: skip
        return 0.5 * value, 0.0, 0.0

    return uniformity
