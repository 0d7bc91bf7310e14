"""A step of one encoder or of a pair as a program: shapes in Python, work in compiled code.

One array, the arena, holds everything that a member's step touches: parameters, gradients, a
batch with its activations, gradients at activations. A program is a table of instructions on it,
[steps, FIELDS] int64, which `raysweep.training.kernel.run` carries out. So the compiled code
knows no shapes, and is compiled once.

Matrices in the arena have samples side by side: feature k of sample j is at + k stride + j, with
`stride` at least the batch size in whole register tiles.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from raysweep.models.layout import Layer, Tower
from raysweep.models.shape import MultimodalShape
from raysweep.training.kernel import tiles
from raysweep.training.kernel.products import TURNED_ROWS
from raysweep.training.kernel.vectors import VECTOR_BYTES


class Op(IntEnum):
    """Instructions; C, A and B are matrices in the arena.

    BIAS, LEAKY, ZERO, ADD, SLOPE: a product as `raysweep.training.kernel.tiles` says. OUTER:
    C += A B' over the samples; with E >= 0, the sums of A's rows are added beside; the inner stride
    of A, if not 0, is room to turn B over. BEND: C *= the slope at E. ENTROPY: cross-entropy of the
    logits C, which become its gradient; the loss goes to slot E; A is scratch.
    CORRECT: how many samples have their largest logit C at their label, to slot E.
    """

    BIAS = tiles.BIAS
    LEAKY = tiles.LEAKY
    ZERO = tiles.ZERO
    ADD = tiles.ADD
    SLOPE = tiles.SLOPE
    OUTER = 10
    BEND = 11
    ENTROPY = 12
    CORRECT = 13


class Line(NamedTuple):
    """One instruction: where its matrices start, their strides, sizes, and what else it needs."""

    op: int
    a: int = 0
    a_row: int = 0
    a_inner: int = 0
    b: int = 0
    c: int = 0
    c_row: int = 0
    rows: int = 0
    inner: int = 0
    extra: int = 0


FIELDS = len(Line._fields)


@dataclass
class Arena:
    """Hands out places in a member's array, each at the start of a vector.

    Attributes:
        itemsize: bytes of an element.
        size: elements handed out so far.
    """

    itemsize: int
    size: int = 0

    def take(self, count: int) -> int:
        """The place of `count` new elements."""
        lanes = VECTOR_BYTES // self.itemsize
        place = self.size
        self.size += -(-count // lanes) * lanes
        return place


@dataclass(frozen=True)
class TowerPlaces:
    """Where a tower lies: the parameters' layers, its inputs and activations, its gradients."""

    tower: Tower
    levels: tuple[int, ...]
    at_top: int

    @property
    def top(self) -> int:
        """The representation."""
        return self.levels[-1]

    @property
    def width(self) -> int:
        """Its number of features."""
        return self.tower.hidden[-1].rows

    @property
    def inputs(self) -> int:
        """The number of input features."""
        return self.tower.hidden[0].columns


@dataclass(frozen=True)
class Places:
    """The arena of a step.

    Attributes:
        parameters, gradients: one row of the flat buffers each.
        towers: of each modality.
        logits: of the heads; after ENTROPY their gradients.
        spare: two matrices as large as the largest layer.
        found: three vectors that ENTROPY leaves its sums in.
        turned: room for a register tile's columns of the layer with the most inputs, turned over.
        block: columns of a register tile.
        columns: of a batch, whole register tiles.
        stride: from one row of a matrix to the next.
        arena: for what else is needed.
    """

    parameters: int
    gradients: int
    towers: tuple[TowerPlaces, ...]
    logits: tuple[int, ...]
    spare: tuple[int, int]
    found: int
    turned: int
    block: int
    columns: int
    stride: int
    arena: Arena = field(repr=False)


def lay_out(
    shape: MultimodalShape, parameter_count: int, batch_size: int, dtype: np.dtype
) -> Places:
    """Place a step in an arena.

    Args:
        shape: of one encoder or two.
        parameter_count: of one member, alignment parameters included.
        batch_size: the most rows a batch has.
        dtype: float32 or float64.
    """
    block = tiles.COLUMN_BYTES // dtype.itemsize
    # Rows a power of two apart would share a few sets of the cache, and push each other out of it.
    columns = -(-batch_size // block) * block
    stride = columns + VECTOR_BYTES // dtype.itemsize
    arena = Arena(dtype.itemsize)
    parameters, gradients = arena.take(parameter_count), arena.take(parameter_count)
    towers = []
    for tower in shape.towers:
        sizes = [tower.hidden[0].columns, *(layer.rows for layer in tower.hidden)]
        levels = tuple(arena.take(size * stride) for size in sizes)
        towers.append(TowerPlaces(tower, levels, arena.take(sizes[-1] * stride)))
    widest = max(side.width for side in towers) * stride
    longest = max(layer.columns for side in towers for layer in side.tower.hidden)
    return Places(
        parameters=parameters,
        gradients=gradients,
        towers=tuple(towers),
        logits=tuple(arena.take(shape.classes * stride) for _ in shape.heads),
        spare=(arena.take(widest), arena.take(widest)),
        found=arena.take(3 * VECTOR_BYTES // dtype.itemsize),
        turned=arena.take(block * (longest + VECTOR_BYTES // dtype.itemsize)),
        block=block,
        columns=columns,
        stride=stride,
        arena=arena,
    )


def forward_program(shape: MultimodalShape, places: Places) -> np.ndarray:
    """From the inputs to the logits of the heads."""
    lines = []
    for side, logits in zip(places.towers, places.logits, strict=False):
        for layer, below, above in zip(
            side.tower.hidden, side.levels, side.levels[1:], strict=False
        ):
            lines.append(_apply(Op.LEAKY, places, layer, below, above))
        lines.append(_apply(Op.BIAS, places, side.tower.head, side.top, logits))
    # The last modality comes first: its columns are followed by the bias, as BIAS expects.
    op = Op.BIAS
    for side, part, row in reversed(_fused_parts(shape, places)):
        lines.append(_apply(op, places, part, side.top, places.logits[-1], row))
        op = Op.ADD
    return _table(lines)


def head_program(shape: MultimodalShape, places: Places, joint: bool) -> np.ndarray:
    """From the logits to the losses, the heads' gradients and those at the representations."""
    lines = []
    for slot, logits in enumerate(places.logits):
        lines.append(
            Line(
                Op.ENTROPY,
                a=places.found,
                c=logits,
                c_row=places.stride,
                rows=shape.classes,
                extra=slot,
            )
        )
    for side, logits in zip(places.towers, places.logits, strict=False):
        head = side.tower.head
        lines.append(_weigh(places, head, logits, side.top))
        lines.append(_pull(Op.ZERO, places, head, logits, side.at_top))
    logits = places.logits[-1]
    for side, part, row in _fused_parts(shape, places):
        # The first modality brings the gradient of the bias, at the end of the whole row.
        bias = places.gradients + part.offset + row - 1 if side is places.towers[0] else -1
        lines.append(_weigh(places, part, logits, side.top, row, bias))
        if joint:
            lines.append(_pull(Op.ADD, places, part, logits, side.at_top, row))
    return _table(lines)


def score_program(shape: MultimodalShape, places: Places) -> np.ndarray:
    """From the logits to the number of samples that each head gets right."""
    return _table(
        [
            Line(Op.CORRECT, c=logits, c_row=places.stride, rows=shape.classes, extra=slot)
            for slot, logits in enumerate(places.logits)
        ]
    )


def backward_program(places: Places) -> np.ndarray:
    """From the gradients at the representations to those of the hidden layers."""
    lines = []
    for side in places.towers:
        delta = side.at_top
        lines.append(Line(Op.BEND, c=delta, c_row=places.stride, rows=side.width, extra=side.top))
        hidden = side.tower.hidden
        for index in reversed(range(len(hidden))):
            layer, below = hidden[index], side.levels[index]
            lines.append(_weigh(places, layer, delta, below))
            if index:
                other = places.spare[index % 2]
                lines.append(_pull(Op.SLOPE, places, layer, delta, other, extra=below))
                delta = other
    return _table(lines)


def _fused_parts(shape: MultimodalShape, places: Places) -> list[tuple[TowerPlaces, Layer, int]]:
    """Each tower with its columns of the fused head, if there is one, and the length of a row."""
    fused = shape.head_layers[-1]
    return [
        (side, Layer(fused.offset + part.start, fused.rows, side.width), fused.columns + 1)
        for side, part in zip(places.towers, shape.fused_parts, strict=False)
    ]


def _apply(
    op: Op, places: Places, layer: Layer, below: int, above: int, row: int | None = None
) -> Line:
    """A layer on the activations below; `row` is its row length where it is part of a wider one."""
    return Line(
        op,
        a=places.parameters + layer.offset,
        a_row=row or layer.columns + 1,
        a_inner=1,
        b=below,
        c=above,
        c_row=places.stride,
        rows=layer.rows,
        inner=layer.columns,
    )


def _weigh(
    places: Places,
    layer: Layer,
    delta: int,
    below: int,
    row: int | None = None,
    sums: int | None = None,
) -> Line:
    """A layer's gradients from those at its outputs and the activations below."""
    start = places.gradients + layer.offset
    return Line(
        Op.OUTER,
        a=delta,
        a_row=places.stride,
        a_inner=places.turned if layer.rows >= TURNED_ROWS and layer.columns >= places.block else 0,
        b=below,
        c=start,
        c_row=row or layer.columns + 1,
        rows=layer.rows,
        inner=layer.columns,
        extra=start + layer.columns if sums is None else sums,
    )


def _pull(
    op: Op,
    places: Places,
    layer: Layer,
    delta: int,
    out: int,
    row: int | None = None,
    extra: int = 0,
) -> Line:
    """A layer's gradients taken back to the activations below it."""
    return Line(
        op,
        a=places.parameters + layer.offset,
        a_row=1,
        a_inner=row or layer.columns + 1,
        b=delta,
        c=out,
        c_row=places.stride,
        rows=layer.columns,
        inner=layer.rows,
        extra=extra,
    )


def _table(lines: list[Line]) -> np.ndarray:
    return np.array(lines, dtype=np.int64).reshape(len(lines), FIELDS)
