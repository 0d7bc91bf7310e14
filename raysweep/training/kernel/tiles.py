"""Register tiles: the innermost products of the CPU kernel, written in LLVM's own vectors.

A compiler that is left to vectorise loops of runtime sizes keeps the accumulators in memory and
gets a third of the machine. Here a tile of (rows x vectors) accumulators is held in registers
while the inner index runs, whatever the layer sizes are, so one compilation serves every shape.

All matrices of a tile lie in one array, addressed by an offset and strides counted in elements.
"""

from collections.abc import Callable
from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from raysweep.training.kernel.vectors import (
    I64,
    VECTOR_BYTES,
    WIDE_REGISTERS,
    Vectors,
    data_of,
    index,
)

ACROSS = 4 if WIDE_REGISTERS else 2
"""Vectors side by side in a tile: with 4 rows they fill half of the machine's registers."""

COLUMN_BYTES = VECTOR_BYTES * ACROSS
"""Batches are padded to a multiple of this many bytes a row."""


BIAS, LEAKY, ZERO, ADD, SLOPE, EXP = range(6)
"""How a product A B is finished.

BIAS: plus column K of A. LEAKY: the same, then leaky ReLU. ZERO: the product alone. ADD: plus what
is in C. SLOPE: times the leaky ReLU's slope at E, which has the strides of C. EXP: exponential of
the product plus `shift`.
"""


def dense_tile(rows: int) -> Callable[..., None]:
    """A tile [rows, ACROSS vectors] of C = A B, finished as the mode says.

    The intrinsic takes (mem, mode, a, a_row, a_inner, b, b_row, c, c_row, inner, extra, shift). All
    matrices lie in the one array: element r, k of A is mem[a + r a_row + k a_inner], rows k of B, r
    of C and r of E start at b + k b_row, c + r c_row and extra + r c_row; `inner` is K. One tile
    for all modes, as each would have the same loop and had to be compiled.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.function.attributes.add("noinline")
        vectors = Vectors(builder, signature.args[0].dtype)
        mem = data_of(context, builder, signature.args[0], args[0])
        mode, a, a_row, a_inner, b, b_row, c, c_row, inner, extra, shift = args[1:]
        columns = [I64(v * vectors.lanes) for v in range(ACROSS)]
        starts = [index(builder, a, (I64(r), a_row)) for r in range(rows)]
        outs = [index(builder, c, (I64(r), c_row)) for r in range(rows)]
        splat = vectors.splat(shift)
        sums = [[vectors.variable(splat) for _ in columns] for _ in range(rows)]

        def is_(which: int) -> Any:
            return builder.icmp_signed("==", mode, I64(which))

        with builder.if_then(builder.icmp_signed("<=", mode, I64(LEAKY))):
            for r in range(rows):
                bias = vectors.element(mem, index(builder, starts[r], (inner, a_inner)))
                for place in sums[r]:
                    builder.store(vectors.splat(bias), place)
        with builder.if_then(is_(ADD)):
            for r in range(rows):
                for column, place in zip(columns, sums[r], strict=True):
                    builder.store(vectors.load(mem, index(builder, outs[r], column)), place)
        with cgutils.for_range(builder, inner) as loop:
            below = index(builder, b, (loop.index, b_row))
            rights = [vectors.load(mem, index(builder, below, column)) for column in columns]
            for r in range(rows):
                left = index(builder, starts[r], (loop.index, a_inner))
                weight = vectors.splat(vectors.element(mem, left))
                for v in range(ACROSS):
                    vectors.accumulate(weight, rights[v], sums[r][v])

        def finish(change: Callable[[Any, Any], Any]) -> None:
            for r in range(rows):
                for column, place in zip(columns, sums[r], strict=True):
                    at = index(builder, extra, (I64(r), c_row), column)
                    value = change(builder.load(place), at)
                    vectors.store(value, mem, index(builder, outs[r], column))

        # Each way stores for itself: values that meet again would cost moves and registers.
        with builder.if_else(is_(LEAKY)) as (leaky, others):
            with leaky:
                finish(lambda value, at: vectors.leaky(value, value))
            with others, builder.if_else(is_(SLOPE)) as (slope, rest):
                with slope:
                    finish(lambda value, at: vectors.leaky(vectors.load(mem, at), value))
                with rest, builder.if_else(is_(EXP)) as (exp, plain):
                    with exp:
                        finish(lambda value, at: vectors.exp(value))
                    with plain:
                        finish(lambda value, at: value)
        return context.get_dummy_value()

    @intrinsic  # type: ignore[untyped-decorator]
    def tile(
        context: Any,
        mem: Any,
        mode: Any,
        a: Any,
        a_row: Any,
        a_inner: Any,
        b: Any,
        b_row: Any,
        c: Any,
        c_row: Any,
        inner: Any,
        extra: Any,
        shift: Any,
    ) -> Any:
        n = types.int64
        return types.void(mem, n, n, n, n, n, n, n, n, n, n, mem.dtype), generate

    return tile  # type: ignore[no-any-return]


def outer_tile(rows: int, others: int, sums_too: bool) -> Callable[..., None]:
    """A tile [rows, others] of C += A B': products summed over the columns of A and B.

    The intrinsic takes (mem, a, a_row, b, b_row, c, c_row, columns, sums), with `columns` a
    multiple of the lanes. With `sums_too` it also adds the sum of row r of A to
    mem[sums + r c_row].
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.function.attributes.add("noinline")
        vectors = Vectors(builder, signature.args[0].dtype)
        mem = data_of(context, builder, signature.args[0], args[0])
        a, a_row, b, b_row, c, c_row, columns, sums_at = args[1:]
        lefts = [index(builder, a, (I64(r), a_row)) for r in range(rows)]
        rights = [index(builder, b, (I64(k), b_row)) for k in range(others)]
        zero = vectors.constant(0.0)
        sums = [[vectors.variable(zero) for _ in rights] for _ in lefts]
        row_sums = [vectors.variable(zero) for _ in lefts]
        steps = builder.udiv(columns, I64(vectors.lanes))
        with cgutils.for_range(builder, steps) as loop:
            column = builder.mul(loop.index, I64(vectors.lanes))
            right = [vectors.load(mem, index(builder, at, column)) for at in rights]
            for r in range(rows):
                left = vectors.load(mem, index(builder, lefts[r], column))
                for k in range(others):
                    vectors.accumulate(left, right[k], sums[r][k])
                if sums_too:
                    total = builder.fadd(left, builder.load(row_sums[r]))
                    builder.store(total, row_sums[r])

        def add_totals(places: list[Any], out: Any) -> None:
            totals = vectors.totals([builder.load(place) for place in places])
            before = vectors.load(mem, out, totals.type)
            vectors.store(builder.fadd(totals, before), mem, out)

        for r in range(rows):
            add_totals(sums[r], index(builder, c, (I64(r), c_row)))
            if sums_too:
                add_totals([row_sums[r]], index(builder, sums_at, (I64(r), c_row)))
        return context.get_dummy_value()

    @intrinsic  # type: ignore[untyped-decorator]
    def tile(
        context: Any,
        mem: Any,
        a: Any,
        a_row: Any,
        b: Any,
        b_row: Any,
        c: Any,
        c_row: Any,
        columns: Any,
        sums: Any,
    ) -> Any:
        n = types.int64
        return types.void(mem, n, n, n, n, n, n, n, n), generate

    return tile  # type: ignore[no-any-return]
