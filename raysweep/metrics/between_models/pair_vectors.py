"""Metrics that are inner products of symmetric matrices over pairs of rows, such as CKA.

Each layer has one such matrix of norm 1. Its entries on and above the diagonal, row after row, are
a vector with the same inner products once those above are times the root of 2. So all pairs of
layers of two models are one product of matrices, whatever the widths of the layers.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from raysweep.data.dtypes import Array
from raysweep.data.files.safetensors_writer import SafetensorsWriter
from raysweep.metrics.features import MEMORY_BUDGET_BYTES

_NUMBERS_AT_ONCE = 2**18
"""Numbers that are brought into an order at once."""


@dataclass(frozen=True)
class PairVectors:
    """The form of metrics that compare matrices.

    Kept are `vectors` float64 [layers, n (n + 1) / 2].

    Attributes:
        matrix: a symmetric matrix [n, n] of Frobenius norm 1 from [n, d]; NaN if undefined.
        range: smallest and largest value possible.
    """

    matrix: Callable[[Tensor], Tensor]
    range: tuple[float, float]

    def builder(self, writer: SafetensorsWriter, layers: int, rows: int) -> "_Builder":
        """See `Form.builder`."""
        writer.begin("vectors", "<f8", (layers, vector_length(rows)))
        return _Builder(self, writer, rows)

    def scores(
        self, lefts: Sequence[Mapping[str, Array]], right: Mapping[str, Array], orders: np.ndarray
    ) -> list[np.ndarray]:
        """See `Form.scores`."""
        sides = [torch.from_numpy(left["vectors"]) for left in lefts]
        other = torch.from_numpy(right["vectors"])
        found = [np.empty((len(orders), len(side), len(other))) for side in sides]
        for side, scores in zip(sides, found, strict=True):
            scores[0] = (side @ other.T).numpy()
        if len(orders) > 1:
            size = max(1, MEMORY_BUDGET_BYTES // (8 * orders.shape[1] ** 2))
            for start in range(0, len(other), size):
                layers = slice(start, start + size)
                products = _reordered_products(sides, other[layers], orders[1:])
                for scores, product in zip(found, products, strict=True):
                    scores[1:, :, layers] = product
        return [np.clip(scores, *self.range) for scores in found]


def vector_length(rows: int) -> int:
    """Entries of a vector."""
    return rows * (rows + 1) // 2


@dataclass
class _Builder:
    form: PairVectors
    writer: SafetensorsWriter
    rows: int
    defined: list[bool] = field(default_factory=list)

    def add(self, features: Tensor | None) -> None:
        matrix = None if features is None else self.form.matrix(features)
        defined = matrix is not None and bool(torch.isfinite(matrix[0, 0]))
        self.defined.append(defined)
        if matrix is None or not defined:
            self.writer.append(np.zeros(vector_length(self.rows)))
        else:
            self.writer.append(packed(matrix))

    def finish(self) -> None:
        self.writer.add("defined", np.array(self.defined))


def packed(matrix: Tensor) -> np.ndarray:
    """The vector of a symmetric matrix [n, n]."""
    scaled = (matrix * math.sqrt(2)).numpy()
    np.fill_diagonal(scaled, matrix.diagonal().numpy())
    return np.concatenate([scaled[row, row:] for row in range(len(scaled))])


def _reordered_products(
    sides: Sequence[Tensor], other: Tensor, orders: np.ndarray
) -> list[np.ndarray]:
    """Inner products with vectors whose rows are in other orders, [p, l1, l2] for each side."""
    rows, count = orders.shape[1], len(other)
    whole = _whole(other, rows).reshape(rows * rows, count)
    found = [np.zeros((len(side), len(orders), count)) for side in sides]
    start = 0
    for row in range(rows):
        stop = start + rows - row
        parts = [side[:, start:stop].numpy() for side in sides]
        size = max(1, _NUMBERS_AT_ONCE // ((rows - row) * count))
        for first in range(0, len(orders), size):
            of = orders[first : first + size]
            places = of[:, row] * rows + of[:, row:].T
            entries = np.take(whole, places.reshape(-1), axis=0).reshape(rows - row, -1)
            for part, products in zip(parts, found, strict=True):
                products[:, first : first + size] += (part @ entries).reshape(
                    len(part), len(of), count
                )
        start = stop
    return [products.transpose(1, 0, 2) for products in found]


def _whole(vectors: Tensor, rows: int) -> np.ndarray:
    """All entries of the matrices of some vectors, [n, n, vectors].

    Those off the diagonal stay times the root of 2: no order takes them onto it.
    """
    numbers = vectors.numpy()
    whole = np.empty((rows, rows, len(numbers)))
    start = 0
    for row in range(rows):
        stop = start + rows - row
        whole[row, row:] = numbers[:, start:stop].T
        whole[row + 1 :, row] = whole[row, row + 1 :]
        start = stop
    return whole
