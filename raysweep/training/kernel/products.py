"""Matrix products of runtime sizes, put together from register tiles."""

from typing import Any

import numpy as np
from numba import types

from raysweep.training.kernel.columns import turn_square
from raysweep.training.kernel.routine import routine
from raysweep.training.kernel.sweeps import sweep
from raysweep.training.kernel.tiles import ADD, COLUMN_BYTES, dense_tile, outer_tile
from raysweep.training.kernel.vectors import VECTOR_BYTES

_tile_4, _tile_2, _tile_1 = (dense_tile(rows) for rows in (4, 2, 1))
_N = types.int64


@routine(lambda element: (*[_N] * 12, element))
def _dense(sources: str) -> Any:
    def dense(
        mem: Any,
        mode: int,
        a: int,
        a_row: int,
        a_inner: int,
        b: int,
        b_row: int,
        c: int,
        c_row: int,
        rows: int,
        inner: int,
        columns: int,
        extra: int,
        shift: Any,
    ) -> None:
        """C = A B over `columns` whole tiles, finished as a mode of `dense_tile` says."""
        len(sources)
        for j in range(0, columns, COLUMN_BYTES // mem.itemsize):
            r, left, right, out, by = 0, a, b + j, c + j, extra + j
            while r + 4 <= rows:
                _tile_4(mem, mode, left, a_row, a_inner, right, b_row, out, c_row, inner, by, shift)
                r, left, out, by = r + 4, left + 4 * a_row, out + 4 * c_row, by + 4 * c_row
            if r + 2 <= rows:
                _tile_2(mem, mode, left, a_row, a_inner, right, b_row, out, c_row, inner, by, shift)
                r, left, out, by = r + 2, left + 2 * a_row, out + 2 * c_row, by + 2 * c_row
            if r < rows:
                _tile_1(mem, mode, left, a_row, a_inner, right, b_row, out, c_row, inner, by, shift)

    return dense


dense = _dense.call

_outer_4_4, _outer_4_1 = outer_tile(4, 4, False), outer_tile(4, 1, False)
_outer_1_4, _outer_1_1 = outer_tile(1, 4, False), outer_tile(1, 1, False)
_sums_4_4, _sums_4_1 = outer_tile(4, 4, True), outer_tile(4, 1, True)
_sums_1_4, _sums_1_1 = outer_tile(1, 4, True), outer_tile(1, 1, True)


@routine(lambda element: [_N] * 10)
def _outer_add(sources: str) -> Any:
    def outer_add(
        mem: Any,
        a: int,
        a_row: int,
        b: int,
        b_row: int,
        c: int,
        c_row: int,
        rows: int,
        others: int,
        columns: int,
        sums: int,
    ) -> None:
        """C += A B' over `columns` columns.

        With sums >= 0 the sum of row r of A is added to mem[sums + r c_row].
        """
        len(sources)
        r = 0
        while r < rows:
            tall = r + 4 <= rows
            k = 0
            while k < others:
                wide = k + 4 <= others
                left, right, out, total = (
                    a + r * a_row,
                    b + k * b_row,
                    c + r * c_row + k,
                    sums + r * c_row,
                )
                if k == 0 and sums >= 0:
                    if tall and wide:
                        _sums_4_4(mem, left, a_row, right, b_row, out, c_row, columns, total)
                    elif tall:
                        _sums_4_1(mem, left, a_row, right, b_row, out, c_row, columns, total)
                    elif wide:
                        _sums_1_4(mem, left, a_row, right, b_row, out, c_row, columns, total)
                    else:
                        _sums_1_1(mem, left, a_row, right, b_row, out, c_row, columns, total)
                elif tall and wide:
                    _outer_4_4(mem, left, a_row, right, b_row, out, c_row, columns, total)
                elif tall:
                    _outer_4_1(mem, left, a_row, right, b_row, out, c_row, columns, total)
                elif wide:
                    _outer_1_4(mem, left, a_row, right, b_row, out, c_row, columns, total)
                else:
                    _outer_1_1(mem, left, a_row, right, b_row, out, c_row, columns, total)
                k += 4 if wide else 1
            r += 4 if tall else 1

    return outer_add


outer_add = _outer_add.call

TURNED_ROWS = 16
"""So many rows of gradients have to use a turned matrix for turning it to pay."""

_row_sums = sweep(lambda vectors, read, numbers: ([], read, []), sums=1)


@routine(lambda element: [_N] * 11)
def _outer_add_turned(sources: str) -> Any:
    def outer_add_turned(
        mem: Any,
        a: int,
        a_row: int,
        b: int,
        b_row: int,
        c: int,
        c_row: int,
        rows: int,
        others: int,
        columns: int,
        sums: int,
        turned: int,
    ) -> None:
        """The same as `outer_add`, for wide B.

        Pieces of B are turned over, so that its rows lie along the lanes and nothing is added
        across them, which takes longer than the products of a short batch. `turned` is room for a
        piece: the columns of a tile, each as long as B has rows and a vector.
        """
        len(sources)
        tile, lanes = COLUMN_BYTES // mem.itemsize, VECTOR_BYTES // mem.itemsize
        wide, none = others // tile * tile, mem.dtype.type(0)
        length = wide + lanes
        for start in range(0, columns, tile):
            for k in range(0, wide, lanes):
                for j in range(0, tile, lanes):
                    source = b + k * b_row + start + j
                    turn_square(mem, source, b_row, turned + j * length + k, length)
            dense(
                mem,
                ADD,
                a + start,
                a_row,
                np.int64(1),
                turned,
                length,
                c,
                c_row,
                rows,
                tile,
                wide,
                0,
                none,
            )
        if wide < others:
            rest = others - wide
            outer_add(
                mem, a, a_row, b + wide * b_row, b_row, c + wide, c_row, rows, rest, columns, sums
            )
        elif sums >= 0:
            for r in range(rows):
                (total,) = _row_sums(mem, (a + r * a_row,), (none,), columns)
                mem[sums + r * c_row] += total

    return outer_add_turned


outer_add_turned = _outer_add_turned.call

PRODUCTS = (_dense, _outer_add, _outer_add_turned)
