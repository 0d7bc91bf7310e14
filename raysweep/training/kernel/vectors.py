"""LLVM vector instructions that the CPU kernel is made of, for float32 and float64."""

import math
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils

from raysweep.models.layout import NEGATIVE_SLOPE

WIDE_REGISTERS = bool(llvm.get_host_cpu_features().get("avx512f"))
VECTOR_BYTES = 64 if WIDE_REGISTERS else 32
"""Width of the vectors; LLVM splits them on machines with narrower registers."""

# A product and a sum may become one fused operation; nothing may be reordered, so NaN survives.
FUSED = ("contract",)
I64 = ir.IntType(64)
I32 = ir.IntType(32)

# Number of Taylor terms, the range of finite normal results, and ln 2 in two parts, of which the
# first has few enough digits for its product with a small whole number to be exact.
_EXP_TERMS = {"float": 8, "double": 14}
_EXP_RANGE = {"float": (-87.0, 88.0), "double": (-708.0, 709.0)}
_LN2 = {
    "float": (0.693359375, -2.121944400546905827679e-4),
    "double": (0.693145751953125, 1.42860682030941723212e-6),
}
# Bits of the type, of its mantissa, and the bias of its exponent (IEEE 754).
_FORMAT = {"float": (32, 23, 127), "double": (64, 52, 1023)}


def data_of(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """Pointer to the first element of an array."""
    return context.make_array(kind)(context, builder, array).data


def index(builder: Any, *terms: Any) -> Any:
    """Sum of terms, each a value or a pair of factors."""
    total = I64(0)
    for term in terms:
        value = builder.mul(*term) if isinstance(term, tuple) else term
        total = builder.add(total, value)
    return total


class Vectors:
    """Emits vector instructions for one element type at the builder's position."""

    def __init__(self, builder: Any, element: Any) -> None:
        self.builder = builder
        double = element == types.float64
        self.kind = "double" if double else "float"
        self.scalar = ir.DoubleType() if double else ir.FloatType()
        self.size = 8 if double else 4
        self.lanes = VECTOR_BYTES // self.size
        self.type = ir.VectorType(self.scalar, self.lanes)

    def constant(self, value: float) -> Any:
        """The same number in all lanes."""
        return ir.Constant(self.type, [value] * self.lanes)

    def splat(self, value: Any) -> Any:
        """A scalar in all lanes."""
        kind = ir.VectorType(value.type, self.lanes)
        undefined = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(undefined, value, I32(0))
        lanes = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, undefined, lanes)

    def pick(self, a: Any, b: Any, lanes: list[int]) -> Any:
        """The numbered lanes of a and b side by side."""
        chosen = ir.Constant(ir.VectorType(I32, len(lanes)), lanes)
        return self.builder.shuffle_vector(a, b, chosen)

    def element(self, data: Any, at: Any) -> Any:
        """Load a scalar."""
        return self.builder.load(self.builder.gep(data, [at]))

    def load(self, data: Any, at: Any, kind: Any = None) -> Any:
        """Load a vector from any element; `kind` defaults to that of the element type."""
        kind = kind or self.type
        place = self.builder.bitcast(self.builder.gep(data, [at]), kind.as_pointer())
        return self.builder.load(place, align=self.size if kind == self.type else 4)

    def store(self, value: Any, data: Any, at: Any) -> None:
        """Store a vector of any length at any element."""
        place = self.builder.bitcast(self.builder.gep(data, [at]), value.type.as_pointer())
        self.builder.store(value, place, align=self.size)

    def variable(self, start: Any) -> Any:
        """A vector that changes; LLVM keeps it in a register."""
        place = cgutils.alloca_once(self.builder, start.type)
        self.builder.store(start, place)
        return place

    def accumulate(self, a: Any, b: Any, place: Any) -> None:
        """Add a b to a variable."""
        builder = self.builder
        product = builder.fmul(a, b, flags=FUSED)
        builder.store(builder.fadd(product, builder.load(place), flags=FUSED), place)

    def add(self, a: Any, b: Any) -> Any:
        """A sum; with a product it may become one operation."""
        return self.builder.fadd(a, b, flags=FUSED)

    def times(self, a: Any, b: Any) -> Any:
        """A product; with a sum it may become one operation."""
        return self.builder.fmul(a, b, flags=FUSED)

    def totals(self, values: list[Any]) -> Any:
        """The sum over the lanes of each of 1, 2 or 4 vectors, as a vector of that many lanes."""
        count, builder = len(values), self.builder
        while len(values) > 1 or values[0].type.count > count:
            pairs = (
                list(zip(values[::2], values[1::2], strict=True))
                if len(values) > 1
                else [(values[0], values[0])]
            )
            width = values[0].type.count * (2 if len(values) > 1 else 1)
            values = [
                builder.fadd(
                    self.pick(a, b, list(range(0, width, 2))),
                    self.pick(a, b, list(range(1, width, 2))),
                )
                for a, b in pairs
            ]
        return values[0]

    def leaky(self, by: Any, value: Any) -> Any:
        """The value times the leaky ReLU's slope at `by`."""
        positive = self.builder.fcmp_ordered(">", by, self.constant(0.0))
        small = self.builder.fmul(value, self.constant(NEGATIVE_SLOPE))
        return self.builder.select(positive, value, small)

    def exp(self, x: Any) -> Any:
        """Exponential of every lane to about one unit in the last place; NaN stays NaN.

        x = n ln 2 + r with |r| <= ln(2) / 2, the Taylor series of e^r, and 2^n by its bits.
        Arguments outside the type's range give the largest or smallest normal number.
        """
        b = self.builder
        low, high = _EXP_RANGE[self.kind]
        for bound, beyond in ((low, "<"), (high, ">")):
            limit = self.constant(bound)
            x = b.select(b.fcmp_ordered(beyond, x, limit), limit, x)
        bits, mantissa, bias = _FORMAT[self.kind]
        # Adding 1.5 x 2^mantissa leaves the nearest whole number in the low bits.
        rounder = self.constant(1.5 * 2.0**mantissa)
        n = b.fsub(b.fadd(b.fmul(x, self.constant(1.4426950408889634)), rounder), rounder)
        coarse, fine = _LN2[self.kind]
        r = b.fsub(x, b.fmul(n, self.constant(coarse), flags=FUSED), flags=FUSED)
        r = b.fsub(r, b.fmul(n, self.constant(fine), flags=FUSED), flags=FUSED)
        factors = [1.0]
        for k in range(1, _EXP_TERMS[self.kind]):
            factors.append(factors[-1] / k)
        result = self.constant(factors[-1])
        for factor in reversed(factors[:-1]):
            result = b.fadd(b.fmul(result, r, flags=FUSED), self.constant(factor), flags=FUSED)
        whole = ir.VectorType(ir.IntType(bits), self.lanes)
        shifted = b.add(b.fptosi(n, whole), ir.Constant(whole, [bias] * self.lanes))
        power = b.bitcast(b.shl(shifted, ir.Constant(whole, [mantissa] * self.lanes)), self.type)
        return b.fmul(result, power)

    def exp_below(self, x: Any) -> Any:
        """Exponential of every lane for x <= 0, as good as `exp` and shorter; NaN stays NaN.

        The nearest whole number n of x / ln 2 is added to the exponent's bits of e^r, where it
        comes from: the low bits of a sum with 1.5 x 2^mantissa.
        """
        b = self.builder
        limit = self.constant(_EXP_RANGE[self.kind][0])
        x = b.select(b.fcmp_ordered("<", x, limit), limit, x)
        bits, mantissa, _ = _FORMAT[self.kind]
        rounder = self.constant(1.5 * 2.0**mantissa)
        high = self.add(self.times(x, self.constant(1.4426950408889634)), rounder)
        n = b.fsub(high, rounder)
        coarse, fine = _LN2[self.kind]
        r = self.add(x, self.times(n, self.constant(-coarse)))
        r = self.add(r, self.times(n, self.constant(-fine)))
        result = self.constant(1.0 / math.factorial(_EXP_TERMS[self.kind] - 1))
        for k in reversed(range(_EXP_TERMS[self.kind] - 1)):
            result = self.add(self.times(result, r), self.constant(1.0 / math.factorial(k)))
        whole = ir.VectorType(ir.IntType(bits), self.lanes)
        shift = ir.Constant(whole, [mantissa] * self.lanes)
        power = b.shl(b.bitcast(high, whole), shift)
        return b.bitcast(b.add(b.bitcast(result, whole), power), self.type)

    def power_of_two(self, y: Any) -> Any:
        """2^y of every lane for y <= 0; in float32 only from -126 on. NaN stays NaN.

        Shorter than `exp_below`, as a whole number leaves y exactly; what y itself was rounded by
        counts in the result.
        """
        b = self.builder
        if self.kind == "double":
            limit = self.constant(-1022.0)
            y = b.select(b.fcmp_ordered("<", y, limit), limit, y)
        bits, mantissa, _ = _FORMAT[self.kind]
        rounder = self.constant(1.5 * 2.0**mantissa)
        high = b.fadd(y, rounder)
        r = b.fsub(y, b.fsub(high, rounder))
        terms = [math.log(2.0) ** k / math.factorial(k) for k in range(_EXP_TERMS[self.kind])]
        result = self.constant(terms[-1])
        for term in reversed(terms[:-1]):
            result = self.add(self.times(result, r), self.constant(term))
        whole = ir.VectorType(ir.IntType(bits), self.lanes)
        shift = ir.Constant(whole, [mantissa] * self.lanes)
        power = b.shl(b.bitcast(high, whole), shift)
        return b.bitcast(b.add(b.bitcast(result, whole), power), self.type)

    def split(self, x: Any) -> tuple[Any, Any]:
        """X > 0 as mantissa in [1, 2) and exponent, both floating point; NaN stays NaN."""
        b = self.builder
        bits, mantissa, bias = _FORMAT[self.kind]
        whole = ir.VectorType(ir.IntType(bits), self.lanes)

        def every(value: int) -> Any:
            return ir.Constant(whole, [value] * self.lanes)

        pattern = b.bitcast(x, whole)
        exponent = b.sub(b.lshr(pattern, every(mantissa)), every(bias))
        fraction = b.and_(pattern, every((1 << mantissa) - 1))
        part = b.bitcast(b.or_(fraction, every(bias << mantissa)), self.type)
        part = b.select(b.fcmp_unordered("uno", x, x), x, part)
        return part, b.sitofp(exponent, self.type)
