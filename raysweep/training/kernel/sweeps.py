"""Element by element along rows of the arena, in vectors: maps with sums, from a few lines each."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from raysweep.training.kernel.vectors import I32, I64, Vectors, data_of, index

Body = Callable[[Vectors, list[Any], list[Any]], tuple[list[Any], list[Any], list[Any]]]
"""Of vectors read and scalars in all lanes: vectors to write, vectors to add up, to multiply up."""

_FACTORS = 64
"""So many numbers up to 2 are multiplied before the product is brought back to its mantissa."""


def sweep(body: Body, sums: int = 0, products: int = 0) -> Callable[..., Any]:
    """A pass over some rows side by side.

    The intrinsic takes (mem, places, numbers, count): a tuple of where the rows begin, of which the
    first are written, as many as the body returns vectors to write; a tuple of scalars of mem's
    type. Elements from `count` on are left as they are; up to a vector of them is read. Returns a
    tuple, if there is something to return: the sums, then of each product, of factors from 1 to 2,
    its mantissas over all lanes (less than 2^lanes) and its exponent.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.function.attributes.add("noinline")
        vectors = Vectors(builder, signature.args[0].dtype)
        mem = data_of(context, builder, signature.args[0], args[0])
        places = cgutils.unpack_tuple(builder, args[1])
        numbers = [vectors.splat(number) for number in cgutils.unpack_tuple(builder, args[2])]
        count, lanes = args[3], I64(vectors.lanes)
        zero, one = vectors.constant(0.0), vectors.constant(1.0)
        totals = [vectors.variable(zero) for _ in range(sums)]
        mantissas = [vectors.variable(one) for _ in range(products)]
        exponents = [vectors.variable(zero) for _ in range(products)]

        def step(column: Any, valid: Any) -> None:
            where = [index(builder, place, column) for place in places]
            read = [vectors.load(mem, at) for at in where]
            written, added, multiplied = body(vectors, read, numbers)
            for at, old, new in zip(where, read, written, strict=False):
                vectors.store(new if valid is None else builder.select(valid, new, old), mem, at)
            for value, total in zip(added, totals, strict=True):
                term = value if valid is None else builder.select(valid, value, zero)
                builder.store(builder.fadd(term, builder.load(total)), total)
            for value, mantissa in zip(multiplied, mantissas, strict=True):
                factor = value if valid is None else builder.select(valid, value, one)
                builder.store(builder.fmul(factor, builder.load(mantissa)), mantissa)

        def normalise() -> None:
            for mantissa, exponent in zip(mantissas, exponents, strict=True):
                part, power = vectors.split(builder.load(mantissa))
                builder.store(part, mantissa)
                builder.store(builder.fadd(power, builder.load(exponent)), exponent)

        whole = builder.udiv(count, lanes)
        blocks = builder.udiv(builder.add(whole, I64(_FACTORS - 1)), I64(_FACTORS))
        with cgutils.for_range(builder, blocks) as block:
            start = builder.mul(block.index, I64(_FACTORS))
            left = builder.sub(whole, start)
            few = builder.icmp_signed("<", left, I64(_FACTORS))
            with cgutils.for_range(builder, builder.select(few, left, I64(_FACTORS))) as loop:
                step(builder.mul(builder.add(start, loop.index), lanes), None)
            normalise()
        done = builder.mul(whole, lanes)
        with builder.if_then(builder.icmp_signed("<", done, count)):
            lane = ir.Constant(ir.VectorType(I32, vectors.lanes), list(range(vectors.lanes)))
            left = vectors.splat(builder.trunc(builder.sub(count, done), I32))
            step(done, builder.icmp_signed("<", lane, left))
            normalise()
        if not sums + products:
            return context.get_dummy_value()
        found = [_across(vectors, builder.load(place), builder.fadd) for place in totals]
        for mantissa, exponent in zip(mantissas, exponents, strict=True):
            found.append(_across(vectors, builder.load(mantissa), builder.fmul))
            found.append(_across(vectors, builder.load(exponent), builder.fadd))
        return context.make_tuple(builder, signature.return_type, found)

    @intrinsic  # type: ignore[untyped-decorator]
    def swept(context: Any, mem: Any, places: Any, numbers: Any, count: Any) -> Any:
        given = types.UniTuple(types.int64, places.count)
        scalars = types.UniTuple(mem.dtype, numbers.count)
        returned = types.void
        if sums + products:
            returned = types.UniTuple(mem.dtype, sums + 2 * products)
        return returned(mem, given, scalars, types.int64), generate

    return swept  # type: ignore[no-any-return]


def _across(vectors: Vectors, value: Any, combine: Callable[[Any, Any], Any]) -> Any:
    """The lanes of a vector combined, halves with halves."""
    width = vectors.lanes
    while width > 1:
        width //= 2
        low = vectors.pick(value, value, list(range(width)))
        high = vectors.pick(value, value, list(range(width, 2 * width)))
        value = combine(low, high)
    return vectors.builder.extract_element(value, I32(0))


def triangle(change: Callable[[Vectors, Any, list[Any]], Any]) -> Callable[..., Any]:
    """A map over the part right of the diagonal of a strip of pairs; returns its sum.

    The intrinsic takes (mem, at, stride, numbers, height, first, count, columns): rows 0 to
    height - 1 of `columns` elements, whole vectors, begin at `at`. In row r the elements from
    first + r to count - 1 are changed, the others become 0. `change` gets and returns a vector,
    and the numbers in all lanes.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.function.attributes.add("noinline")
        vectors = Vectors(builder, signature.args[0].dtype)
        mem = data_of(context, builder, signature.args[0], args[0])
        at, stride, height, first, count, columns = (*args[1:3], *args[4:])
        numbers = [vectors.splat(number) for number in cgutils.unpack_tuple(builder, args[3])]
        lanes, zero = I64(vectors.lanes), vectors.constant(0.0)
        lane = ir.Constant(ir.VectorType(I32, vectors.lanes), list(range(vectors.lanes)))
        total = vectors.variable(zero)

        def vector_of(number: Any) -> Any:
            return vectors.splat(builder.trunc(number, I32))

        with cgutils.for_range(builder, height) as row:
            start = index(builder, at, (row.index, stride))
            begin = builder.add(first, row.index)
            before, whole = builder.udiv(begin, lanes), builder.udiv(count, lanes)
            sums = vectors.variable(zero)

            def step(
                block: Any, masked: bool, start: Any = start, begin: Any = begin, sums: Any = sums
            ) -> None:
                column = builder.mul(block, lanes)
                where = builder.add(start, column)
                value = change(vectors, vectors.load(mem, where), numbers)
                if masked:
                    numbered = builder.add(lane, vector_of(column))
                    right = builder.icmp_signed(">=", numbered, vector_of(begin))
                    inside = builder.icmp_signed("<", numbered, vector_of(count))
                    value = builder.select(builder.and_(right, inside), value, zero)
                vectors.store(value, mem, where)
                builder.store(builder.fadd(value, builder.load(sums)), sums)

            def clear(from_: Any, to: Any, start: Any = start) -> None:
                with cgutils.for_range_slice(builder, from_, to, I64(1)) as (block, _):
                    vectors.store(zero, mem, index(builder, start, (block, lanes)))

            clear(I64(0), before)
            ends = builder.udiv(builder.add(count, builder.sub(lanes, I64(1))), lanes)
            with builder.if_then(builder.icmp_signed("<", before, ends)):
                step(before, masked=True)
            after = builder.add(before, I64(1))
            with cgutils.for_range_slice(builder, after, whole, I64(1)) as (block, _):
                step(block, masked=False)
            tail = builder.icmp_signed("<", whole, ends)
            with builder.if_then(builder.and_(tail, builder.icmp_signed("<=", after, whole))):
                step(whole, masked=True)
            clear(ends, builder.udiv(columns, lanes))
            builder.store(builder.fadd(builder.load(sums), builder.load(total)), total)
        return _across(vectors, builder.load(total), builder.fadd)

    @intrinsic  # type: ignore[untyped-decorator]
    def swept(
        context: Any,
        mem: Any,
        at: Any,
        stride: Any,
        numbers: Any,
        height: Any,
        first: Any,
        count: Any,
        columns: Any,
    ) -> Any:
        n, scalars = types.int64, types.UniTuple(mem.dtype, numbers.count)
        return mem.dtype(mem, n, n, scalars, n, n, n, n), generate

    return swept  # type: ignore[no-any-return]
