"""Column-wise steps of the CPU kernel in LLVM's vectors: batches in, losses and hits out."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from raysweep.training.kernel.vectors import FUSED, I32, I64, Vectors, data_of, index


def _transpose(vectors: Vectors, rows: list[Any]) -> list[Any]:
    """A square of lanes x lanes, turned over: interleave halves, log2(lanes) times."""
    lanes = vectors.lanes
    low = [
        at
        for pair in zip(range(lanes // 2), range(lanes, lanes * 3 // 2), strict=True)
        for at in pair
    ]
    high = [at + lanes // 2 for at in low]
    half = lanes // 2
    turns = lanes
    while turns > 1:
        pairs = [(rows[i], rows[i + half]) for i in range(half)]
        rows = [vectors.pick(a, b, part) for a, b in pairs for part in (low, high)]
        turns //= 2
    return rows


@intrinsic  # type: ignore[untyped-decorator]
def turn_square(context: Any, mem: Any, a: Any, a_row: Any, out: Any, out_row: Any) -> Any:
    """Transpose a square of lanes x lanes; takes (mem, a, a_row, out, out_row)."""
    n = types.int64

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.function.attributes.add("noinline")
        vectors = Vectors(builder, signature.args[0].dtype)
        mem = data_of(context, builder, signature.args[0], args[0])
        a, a_row, out, out_row = args[1:]
        lanes = range(vectors.lanes)
        square = [vectors.load(mem, index(builder, a, (I64(r), a_row))) for r in lanes]
        for k, row in enumerate(_transpose(vectors, square)):
            vectors.store(row, mem, index(builder, out, (I64(k), out_row)))
        return context.get_dummy_value()

    return types.void(mem, n, n, n, n), generate


@intrinsic  # type: ignore[untyped-decorator]
def gather_columns(
    context: Any, x: Any, chosen: Any, start: Any, rows: Any, d: Any, out: Any, at: Any, stride: Any
) -> Any:
    """Copy rows of x into columns of `out`, feature by feature, a square of lanes at a time.

    Takes (x, chosen, start, rows, d, out, at, stride): sample j of the batch is row
    chosen[start + j] of x, a flat array [n, d] with at least one vector of slack behind it;
    its feature k goes to out[at + k stride + j]. Only whole groups of lanes are copied.
    """
    n = types.int64
    signature = types.void(x, chosen, n, n, n, out, n, n)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, signature.args[5].dtype)
        x, chosen, out = (
            data_of(context, builder, signature.args[at], args[at]) for at in (0, 1, 5)
        )
        start, rows, d, out_at, stride = args[2], args[3], args[4], args[6], args[7]
        lanes = I64(vectors.lanes)
        groups = builder.udiv(rows, lanes)
        parts = builder.udiv(builder.add(d, I64(vectors.lanes - 1)), lanes)
        with cgutils.for_range(builder, groups) as group:
            first = builder.mul(group.index, lanes)
            starts = []
            for j in range(vectors.lanes):
                place = builder.gep(chosen, [index(builder, start, first, I64(j))])
                starts.append(builder.mul(builder.sext(builder.load(place), ir.IntType(64)), d))
            with cgutils.for_range(builder, parts) as part:
                feature = builder.mul(part.index, lanes)
                square = [vectors.load(x, index(builder, at, feature)) for at in starts]
                for k, row in enumerate(_transpose(vectors, square)):
                    which = builder.add(feature, I64(k))
                    with builder.if_then(builder.icmp_signed("<", which, d)):
                        vectors.store(row, out, index(builder, out_at, (which, stride), first))
        return context.get_dummy_value()

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]
def cross_entropy_columns(
    context: Any,
    mem: Any,
    at: Any,
    classes: Any,
    stride: Any,
    labels: Any,
    rows: Any,
    columns: Any,
    share: Any,
    found: Any,
) -> Any:
    """Softmax cross-entropy of every column; the logits become `share` times its gradient.

    Takes (mem, at, classes, stride, labels, rows, columns, share, found): logit c of sample j
    is mem[at + c stride + j], its label labels[j] (int32). Columns from `rows` on get a
    gradient of 0. Leaves three vectors in mem[found :]: per lane the sum of the chosen shifted
    logits, and a mantissa and an exponent whose product is that of all normalisers, so that one
    logarithm a lane ends the batch.
    """
    n = types.int64
    signature = types.void(mem, n, n, n, labels, n, n, mem.dtype, n)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, signature.args[0].dtype)
        mem, labels = (
            data_of(context, builder, signature.args[where], args[where]) for where in (0, 4)
        )
        at, classes, stride, rows, columns, share, found = (*args[1:4], *args[5:])
        whole = ir.VectorType(I32, vectors.lanes)
        zero, one = vectors.constant(0.0), vectors.constant(1.0)
        chosen_sum, mantissa, exponent = (vectors.variable(v) for v in (zero, one, zero))
        share = vectors.splat(share)
        limit = vectors.splat(builder.trunc(rows, I32))
        lane = ir.Constant(whole, list(range(vectors.lanes)))
        steps = builder.udiv(columns, I64(vectors.lanes))
        with cgutils.for_range(builder, steps) as block:
            column = builder.mul(block.index, I64(vectors.lanes))
            here = index(builder, at, column)
            label = vectors.load(labels, column, whole)
            numbers = builder.add(lane, vectors.splat(builder.trunc(column, I32)))
            valid = builder.icmp_signed("<", numbers, limit)
            largest = vectors.variable(vectors.load(mem, here))
            with cgutils.for_range(builder, classes) as loop:
                z = vectors.load(mem, index(builder, here, (loop.index, stride)))
                before = builder.load(largest)
                builder.store(
                    builder.select(builder.fcmp_ordered(">", z, before), z, before), largest
                )
            normaliser = vectors.variable(zero)
            with cgutils.for_range(builder, classes) as loop:
                where = index(builder, here, (loop.index, stride))
                z = builder.fsub(vectors.load(mem, where), builder.load(largest))
                e = vectors.exp(z)
                vectors.store(e, mem, where)
                builder.store(builder.fadd(e, builder.load(normaliser)), normaliser)
                is_label = builder.icmp_signed(
                    "==", label, vectors.splat(builder.trunc(loop.index, I32))
                )
                term = builder.select(builder.and_(is_label, valid), z, zero)
                builder.store(builder.fadd(term, builder.load(chosen_sum)), chosen_sum)
            total = builder.load(normaliser)
            factor = builder.select(valid, builder.fdiv(share, total), zero)
            with cgutils.for_range(builder, classes) as loop:
                where = index(builder, here, (loop.index, stride))
                is_label = builder.icmp_signed(
                    "==", label, vectors.splat(builder.trunc(loop.index, I32))
                )
                minus = builder.select(builder.and_(is_label, valid), share, zero)
                e = builder.fmul(vectors.load(mem, where), factor, flags=FUSED)
                vectors.store(builder.fsub(e, minus, flags=FUSED), mem, where)
            total = builder.select(valid, total, one)
            part, power = vectors.split(builder.fmul(total, builder.load(mantissa)))
            builder.store(part, mantissa)
            builder.store(builder.fadd(power, builder.load(exponent)), exponent)
        for slot, place in enumerate((chosen_sum, mantissa, exponent)):
            there = index(builder, found, I64(slot * vectors.lanes))
            vectors.store(builder.load(place), mem, there)
        return context.get_dummy_value()

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]
def correct_columns(
    context: Any,
    mem: Any,
    at: Any,
    classes: Any,
    stride: Any,
    labels: Any,
    rows: Any,
    columns: Any,
) -> Any:
    """How many of the first `rows` columns have their largest logit at their label.

    Of equal logits the first class counts, as for `torch.argmax`; a NaN is never right. Takes and
    returns whole numbers; the arguments are those of `cross_entropy_columns`.
    """
    n = types.int64
    signature = types.int64(mem, n, n, n, labels, n, n)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, signature.args[0].dtype)
        mem, labels = (
            data_of(context, builder, signature.args[where], args[where]) for where in (0, 4)
        )
        at, classes, stride, rows, columns = (*args[1:4], *args[5:])
        whole = ir.VectorType(I32, vectors.lanes)
        nothing, ones = (ir.Constant(whole, [value] * vectors.lanes) for value in (0, 1))
        hits = vectors.variable(nothing)
        limit = vectors.splat(builder.trunc(rows, I32))
        lane = ir.Constant(whole, list(range(vectors.lanes)))
        steps = builder.udiv(columns, I64(vectors.lanes))
        with cgutils.for_range(builder, steps) as block:
            column = builder.mul(block.index, I64(vectors.lanes))
            here = index(builder, at, column)
            label = vectors.load(labels, column, whole)
            numbers = builder.add(lane, vectors.splat(builder.trunc(column, I32)))
            at_label = vectors.variable(vectors.constant(0.0))
            with cgutils.for_range(builder, classes) as loop:
                z = vectors.load(mem, index(builder, here, (loop.index, stride)))
                number = vectors.splat(builder.trunc(loop.index, I32))
                mine = builder.icmp_signed("==", number, label)
                builder.store(builder.select(mine, z, builder.load(at_label)), at_label)
            right = vectors.variable(builder.icmp_signed("<", numbers, limit))
            with cgutils.for_range(builder, classes) as loop:
                z = vectors.load(mem, index(builder, here, (loop.index, stride)))
                number = vectors.splat(builder.trunc(loop.index, I32))
                value = builder.load(at_label)
                below = builder.fcmp_ordered("<", z, value)
                later = builder.icmp_signed(">=", number, label)
                ties = builder.and_(builder.fcmp_ordered("==", z, value), later)
                builder.store(builder.and_(builder.load(right), builder.or_(below, ties)), right)
            hit = builder.select(builder.load(right), ones, nothing)
            builder.store(builder.add(builder.load(hits), hit), hits)
        total = I64(0)
        counted = builder.load(hits)
        for slot in range(vectors.lanes):
            count = builder.extract_element(counted, I32(slot))
            total = builder.add(total, builder.sext(count, ir.IntType(64)))
        return total

    return signature, generate
