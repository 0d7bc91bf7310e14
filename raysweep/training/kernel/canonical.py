"""Deep CCA of one member's batch as a loss, with both gradients.

The same function as `raysweep.losses.deep_cca.DeepCCA`. Products over the samples are the
kernel's, small matrices of features by features are worked on in float64.
"""

import math
from typing import Any

import numpy as np

from raysweep.training.kernel.products import dense, outer_add
from raysweep.training.kernel.redundancy import centre
from raysweep.training.kernel.routine import nested
from raysweep.training.kernel.sides import part, square_norm
from raysweep.training.kernel.term import Term, loss
from raysweep.training.kernel.tiles import ADD, ZERO

_ROUNDING = 64
"""What is left after centring counts as zero below so many units in the last place."""


@nested  # type: ignore[untyped-decorator]
def _covariance(
    mem: Any, x: int, width_1: int, y: int, width_2: int, columns: int, stride: int, at: int,
    rows: int,
) -> Any:  # fmt: skip
    """Of centred samples, [width_1, width_2] float64."""
    size = width_1 * width_2
    mem[at : at + size] = mem.dtype.type(0)
    outer_add(mem, x, stride, y, stride, at, width_2, width_1, width_2, columns, -1)
    found = np.empty((width_1, width_2))
    for r in range(width_1):
        for k in range(width_2):
            found[r, k] = float(mem[at + r * width_2 + k]) / (rows - 1.0)
    return found


@nested  # type: ignore[untyped-decorator]
def _centred_power(mem: Any, x: int, width: int, rows: int, stride: int) -> float:
    """Centre in place; returns the mean square before."""
    raw = 0.0
    for r in range(width):
        raw += square_norm(part(mem, x, r, stride, rows))
    centre(mem, x, width, rows, stride)
    return raw / (width * rows)


@nested  # type: ignore[untyped-decorator]
def _whitening(covariance: Any, ridge: float, least: float) -> tuple[bool, Any]:
    """The inverse of the Cholesky factor of a regularised covariance, and whether there is one."""
    d = covariance.shape[0]
    inverse = np.zeros((d, d))
    variance = np.trace(covariance) / d
    if not variance > least:
        return False, inverse
    factor = np.zeros((d, d))
    for r in range(d):
        for k in range(r + 1):
            total = covariance[r, k]
            if k == r:
                total += ridge * variance
            for j in range(k):
                total -= factor[r, j] * factor[k, j]
            if k < r:
                factor[r, k] = total / factor[k, k]
            elif total > 0.0:
                factor[r, r] = math.sqrt(total)
            else:
                return False, inverse
    for r in range(d):
        inverse[r, r] = 1.0 / factor[r, r]
        for j in range(r):
            for k in range(j + 1):
                inverse[r, k] -= factor[r, j] * inverse[j, k]
        for k in range(r):
            inverse[r, k] *= inverse[r, r]
    return True, inverse


@nested  # type: ignore[untyped-decorator]
def _own(side: Any, correlations: Any, ridge: float) -> Any:
    """The part of a side's gradient that comes through its own covariance, by its samples."""
    d = side.shape[0]
    own = (side * correlations) @ side.T
    # The ridge follows the mean variance, so it passes on a share to every feature's variance.
    shared = ridge * np.trace(own) / d
    for r in range(d):
        own[r, r] += shared
    return own


@nested  # type: ignore[untyped-decorator]
def _side_gradient(
    mem: Any, matrix: int, own: Any, x: int, cross: Any, y: int, grad: int, factor: float,
    columns: int, stride: int,
) -> None:  # fmt: skip
    """Factor x (cross Y - own X)."""
    none, one = mem.dtype.type(0), np.int64(1)
    width, other = cross.shape
    for r in range(width):
        for k in range(width):
            mem[matrix + r * width + k] = mem.dtype.type(-factor * own[r, k])
    dense(
        mem, ZERO, matrix, width, one, x, stride, grad, stride, width, width, columns, x, none
    )  # fmt: skip
    for r in range(width):
        for k in range(other):
            mem[matrix + r * other + k] = mem.dtype.type(factor * cross[r, k])
    dense(
        mem, ADD, matrix, other, one, y, stride, grad, stride, width, other, columns, x, none
    )  # fmt: skip


@loss
def deep_cca(sources: str) -> Any:
    """1 - mean canonical correlation of the samples in u and v, with gradients beside them.

    NaN where a side is constant, and of one sample.
    """

    def deep_cca(
        mem: Any, term: Term, rows: int, columns: int, block: int, stride: int
    ) -> tuple[float, float, float]:
        len(sources)
        sides, ridge = term.sides, term.option_1
        if rows < 2:
            return math.nan, 0.0, 0.0
        u, v, width_1, width_2 = sides.u, sides.v, sides.width_1, sides.width_2
        matrix, count = sides.matrix, min(width_1, width_2)
        if term.option_2 > 0.0:
            count = min(count, int(term.option_2))
        epsilon = 2.0**-23 if mem.itemsize == 4 else 2.0**-52
        rounding = (_ROUNDING * epsilon) ** 2
        least_1 = rounding * _centred_power(mem, u, width_1, rows, stride)
        least_2 = rounding * _centred_power(mem, v, width_2, rows, stride)
        cross = _covariance(mem, u, width_1, v, width_2, columns, stride, matrix, rows)
        good_1, by_1 = _whitening(
            _covariance(mem, u, width_1, u, width_1, columns, stride, matrix, rows), ridge, least_1
        )
        good_2, by_2 = _whitening(
            _covariance(mem, v, width_2, v, width_2, columns, stride, matrix, rows), ridge, least_2
        )
        whitened = by_1 @ cross @ by_2.T
        # A decomposition refuses what is not finite.
        if not (good_1 and good_2 and math.isfinite(whitened.sum())):
            return math.nan, 0.0, 0.0
        left, correlations, right = np.linalg.svd(whitened, False)
        kept = correlations[:count]
        # Back through the whitening: L^-T U and L^-T V carry every term.
        side_1 = by_1.T @ np.ascontiguousarray(left[:, :count])
        side_2 = by_2.T @ np.ascontiguousarray(right[:count].T)
        joint = side_1 @ side_2.T
        step = -1.0 / (count * (rows - 1.0))
        own_1, own_2 = _own(side_1, kept, ridge), _own(side_2, kept, ridge)
        _side_gradient(mem, matrix, own_1, u, joint, v, sides.grad_u, step, columns, stride)
        _side_gradient(mem, matrix, own_2, v, joint.T, u, sides.grad_v, step, columns, stride)
        return 1.0 - kept.sum() / count, 0.0, 0.0

    return deep_cca
