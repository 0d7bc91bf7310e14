"""The two representations as an alignment loss sees them, in a member's arena."""

from typing import Any, NamedTuple

from numba import njit

from raysweep.training.kernel.program import Places
from raysweep.training.kernel.routine import nested

STRIP = 32
"""Rows of a matrix of all pairs of samples that are worked on at once."""


class Sides(NamedTuple):
    """Where an alignment term finds and leaves things in the arena; all places, save the sizes.

    `top_1`, `top_2`: the representations, of `width_1` and `width_2` features; `at_1`, `at_2`: the
    gradients there, to which the term is added. `u`, `v`: copies, transformed by the loss;
    `grad_u`, `grad_v`: its gradients; `scaled`: a copy of u times a number. `norm_u`, `norm_v`,
    `by_row`, `by_column`: one number a sample. `matrix`: what else the loss needs.
    """

    top_1: int
    top_2: int
    at_1: int
    at_2: int
    width_1: int
    width_2: int
    u: int
    v: int
    grad_u: int
    grad_v: int
    scaled: int
    norm_u: int
    norm_v: int
    by_row: int
    by_column: int
    matrix: int


def place_sides(places: Places, matrix: int) -> Sides:
    """Make room for an alignment term in the arena; `matrix` is in elements."""
    first, second = places.towers
    stride, arena = places.stride, places.arena
    return Sides(
        first.top,
        second.top,
        first.at_top,
        second.at_top,
        first.width,
        second.width,
        *(arena.take(side.width * stride) for side in (first, second, first, second, first)),
        *(arena.take(stride) for _ in range(4)),
        arena.take(matrix),
    )


@njit(error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def part(mem: Any, at: int, r: int, stride: int, count: int) -> Any:
    """The first `count` columns of row r of a matrix."""
    return mem[at + r * stride : at + r * stride + count]


@nested  # type: ignore[untyped-decorator]
def copy_side(
    mem: Any, top: int, width: int, rows: int, columns: int, stride: int, shift: int, out: int
) -> None:
    """Copy a representation, its samples moved on by `shift` (0 or 1) places, zeros behind."""
    for r in range(width):
        source = part(mem, top, r, stride, rows)
        target = part(mem, out, r, stride, columns)
        for j in range(rows - shift):
            target[j + shift] = source[j]
        if shift:
            target[0] = source[rows - 1]
        for j in range(rows, columns):
            target[j] = 0


@nested  # type: ignore[untyped-decorator]
def add_side(
    mem: Any, grad: int, factor: float, width: int, rows: int, stride: int, shift: int, out: int
) -> float:
    """Add factor x grad to `out`, samples moved back by `shift`; returns its squared norm."""
    by = mem.dtype.type(factor)
    square = 0.0
    for r in range(width):
        source = part(mem, grad, r, stride, rows)
        target = part(mem, out, r, stride, rows)
        for j in range(rows):
            source[j] *= by
        square += square_norm(source)
        for j in range(rows - shift):
            target[j] += source[j + shift]
        if shift:
            target[rows - 1] += source[0]
    return square


# Sums may be reordered into vectors; NaN and infinity keep their meaning.
@njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz"})  # type: ignore[untyped-decorator]
def square_norm(x: Any) -> float:
    """Sum of squares."""
    total = x.dtype.type(0)
    for j in range(x.shape[0]):
        total += x[j] * x[j]
    return float(total)


@njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz"})  # type: ignore[untyped-decorator]
def mean(x: Any) -> float:
    """The mean."""
    total = x.dtype.type(0)
    for j in range(x.shape[0]):
        total += x[j]
    return float(total) / x.shape[0]


@njit(error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def gradient_square(mem: Any, at: int, width: int, columns: int, stride: int) -> float:
    """Squared norm of a gradient at a representation."""
    total = 0.0
    for r in range(width):
        total += square_norm(part(mem, at, r, stride, columns))
    return total
