"""Carries out the programs of `raysweep.training.kernel.program` on a member's arena."""

import math
from typing import Any

from numba import njit, types

from raysweep.models.layout import NEGATIVE_SLOPE
from raysweep.training.kernel.columns import (
    correct_columns,
    cross_entropy_columns,
    gather_columns,
)
from raysweep.training.kernel.products import PRODUCTS, dense, outer_add, outer_add_turned
from raysweep.training.kernel.program import Op
from raysweep.training.kernel.routine import arena, routine
from raysweep.training.kernel.tiles import SLOPE
from raysweep.training.kernel.vectors import VECTOR_BYTES

_OUTER, _BEND = int(Op.OUTER), int(Op.BEND)
_ENTROPY, _CORRECT = int(Op.ENTROPY), int(Op.CORRECT)
_N, _TABLE = types.int64, types.Array(types.int64, 2, "C")
_LN_2 = math.log(2.0)


@njit(error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _bend(mem: Any, at: int, by: int, stride: int, height: int, columns: int) -> None:
    small, one = mem.dtype.type(NEGATIVE_SLOPE), mem.dtype.type(1)
    for r in range(height):
        row = mem[at + r * stride : at + r * stride + columns]
        activation = mem[by + r * stride : by + r * stride + columns]
        for j in range(columns):
            row[j] *= one if activation[j] > 0 else small


@njit(error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _entropy(
    mem: Any, at: int, classes: int, stride: int, labels: Any, rows: int, columns: int, found: int
) -> float:
    share = mem.dtype.type(1.0 / rows)
    cross_entropy_columns(mem, at, classes, stride, labels, rows, columns, share, found)
    lanes = VECTOR_BYTES // mem.itemsize
    total = 0.0
    for lane in range(lanes):
        mantissa, exponent = mem[found + lanes + lane], mem[found + 2 * lanes + lane]
        total += math.log(mantissa) + _LN_2 * exponent - mem[found + lane]
    return total / rows


@routine(lambda element: (_TABLE, _N, _N, arena(types.int32), _N, arena(types.float64)))
def _run(sources: str) -> Any:
    def run(
        mem: Any,
        program: Any,
        stride: int,
        columns: int,
        labels: Any,
        rows: int,
        losses: Any,
    ) -> None:
        """Carry out a program on one batch.

        Args:
            mem: the arena.
            program: int64 [steps, FIELDS].
            stride: columns of the arena's matrices.
            columns: columns in use, whole register tiles.
            labels: int32, one a sample.
            rows: samples of the batch; the columns behind them get gradients of zero.
            losses: receives mean cross-entropies (nats), or numbers of hits, by slot.
        """
        len(sources)
        none = mem.dtype.type(0)
        for t in range(program.shape[0]):
            line = program[t]
            op, a, a_row, a_inner, b = line[0], line[1], line[2], line[3], line[4]
            c, c_row, height, inner, extra = line[5], line[6], line[7], line[8], line[9]
            if op <= SLOPE:
                dense(
                    mem, op, a, a_row, a_inner, b, stride, c, c_row, height, inner, columns,
                    extra, none,
                )  # fmt: skip
            elif op == _OUTER:
                if a_inner:
                    outer_add_turned(
                        mem, a, a_row, b, stride, c, c_row, height, inner, columns, extra, a_inner
                    )
                else:
                    outer_add(mem, a, a_row, b, stride, c, c_row, height, inner, columns, extra)
            elif op == _BEND:
                _bend(mem, c, extra, c_row, height, columns)
            elif op == _ENTROPY:
                losses[extra] = _entropy(mem, c, height, c_row, labels, rows, columns, a)
            elif op == _CORRECT:
                losses[extra] = correct_columns(mem, c, height, c_row, labels, rows, columns)

    return run


run = _run.call


@routine(lambda element: (arena(element), _N, arena(types.int32), *[_N] * 5))
def _gather(sources: str) -> Any:
    def gather(
        mem: Any,
        x: Any,
        d: int,
        order: Any,
        start: int,
        rows: int,
        columns: int,
        at: int,
        stride: int,
    ) -> None:
        """Copy the rows order[start : start + rows] of x [n, d], flat, into the arena's columns."""
        len(sources)
        gather_columns(x, order, start, rows, d, mem, at, stride)
        lanes = VECTOR_BYTES // mem.itemsize
        for j in range(rows - rows % lanes, rows):
            source = order[start + j] * d
            for k in range(d):
                mem[at + k * stride + j] = x[source + k]
        for k in range(d):
            for j in range(rows, columns):
                mem[at + k * stride + j] = 0

    return gather


gather = _gather.call

STEPS = (*PRODUCTS, _run, _gather)
"""What every step calls, each after those that it calls itself."""
