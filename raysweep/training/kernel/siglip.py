"""SigLIP of one member's batch, with the gradients at both representations, scale and bias.

The same function as `raysweep.losses.siglip.SigLIP`. Each strip of the matrix of logits is made,
turned into its slopes and multiplied with both sides while it is in cache; one exponential serves
value and slope.
"""

import math
from typing import Any

import numpy as np

from raysweep.training.kernel.products import dense, outer_add
from raysweep.training.kernel.sides import STRIP, part
from raysweep.training.kernel.sweeps import sweep
from raysweep.training.kernel.term import Term, loss
from raysweep.training.kernel.tiles import ADD, ZERO
from raysweep.training.kernel.unit import through_unit, unit
from raysweep.training.kernel.vectors import Vectors

_LN_2 = math.log(2.0)
_SERIES_BELOW = {"float": 2.0**-9, "double": 2.0**-20}


def _body(v: Vectors, read: list[Any], numbers: list[Any]) -> tuple[list[Any], ...]:
    """From cosines to sigmoids of the logits x, with e = exp(-|x|) at most 1.

    log(1 + exp(x)) is max(x, 0) + log(1 + e).
    """
    b, (cosine,), (scale, bias) = v.builder, read, numbers
    one, zero = v.constant(1.0), v.constant(0.0)
    x = v.add(v.times(cosine, scale), bias)
    positive = b.fcmp_ordered(">=", x, zero)
    e = v.exp_below(b.select(positive, b.fsub(zero, x), x))
    above = b.fadd(one, e)
    sigmoid = b.fdiv(b.select(positive, one, e), above)
    # 1 + e would lose the digits of a small e, whose logarithm the first terms of its series are.
    small = b.fcmp_ordered("<", e, v.constant(_SERIES_BELOW[v.kind]))
    series = b.fmul(e, b.fsub(one, b.fmul(e, v.constant(0.5))))
    softplus = b.fadd(
        b.select(b.fcmp_ordered("<", x, zero), zero, x), b.select(small, series, zero)
    )
    return [sigmoid], [softplus, sigmoid], [b.select(small, one, above)]


_sigmoids = sweep(_body, sums=2, products=1)


@loss
def siglip(sources: str) -> Any:
    """The loss of the samples in u and v, and its gradients by log(scale) and bias.

    The samples' widths are equal; leaves the gradients beside them.
    """

    def siglip(
        mem: Any, term: Term, rows: int, columns: int, block: int, stride: int
    ) -> tuple[float, float, float]:
        len(sources)
        sides, scale, bias = term.sides, term.option_1, term.option_2
        if term.own >= 0:
            scale, bias = math.exp(float(mem[term.own])), float(mem[term.own + 1])
        kind, width = mem.dtype.type, sides.width_1
        u, v, grad_u, grad_v = sides.u, sides.v, sides.grad_u, sides.grad_v
        unit(mem, u, width, rows, stride, sides.norm_u)
        unit(mem, v, width, rows, stride, sides.norm_v)
        size = width * stride
        mem[grad_u : grad_u + size] = kind(0)
        mem[grad_v : grad_v + size] = kind(0)
        numbers = (kind(scale), kind(bias))
        one, matrix = np.int64(1), sides.matrix
        value, slopes = 0.0, 0.0
        for start in range(0, rows, STRIP):
            height = min(STRIP, rows - start)
            dense(
                mem,
                ZERO, u + start, one, stride, v, stride, matrix, stride,
                height, width, columns, matrix, kind(0),
            )  # fmt: skip
            for r in range(height):
                row = matrix + r * stride
                above, slope, mantissa, exponent = _sigmoids(mem, (row,), numbers, rows)
                value += above + math.log(float(mantissa)) + _LN_2 * exponent
                slopes += slope
                mem[row + start + r] -= kind(1)
                for j in range(rows, columns):
                    mem[row + j] = kind(0)
            dense(
                mem,
                ADD, u + start, stride, one, matrix, stride, grad_v, stride,
                width, height, columns, matrix, kind(0),
            )  # fmt: skip
            outer_add(
                mem, v, stride, matrix, stride, grad_u + start, stride, width, height, columns, -1
            )  # fmt: skip
        cosines = 0.0
        for r in range(width):
            x, y = part(mem, u, r, stride, rows), part(mem, v, r, stride, rows)
            for j in range(rows):
                cosines += x[j] * y[j]
        step = scale / rows
        by_scale = through_unit(
            mem, grad_u, u, sides.norm_u, sides.by_row, step, width, rows, stride
        )
        through_unit(mem, grad_v, v, sides.norm_v, sides.by_row, step, width, rows, stride)
        value -= scale * cosines + bias * rows
        return value / rows, by_scale, slopes / rows - 1.0

    return siglip
