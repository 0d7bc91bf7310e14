"""Mutual nearest neighbours between models: the neighbours of every layer, found once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from raysweep.data.dtypes import Array
from raysweep.data.files.safetensors_writer import SafetensorsWriter
from raysweep.metrics.features import MEMORY_BUDGET_BYTES, NUMBERS_IN_CACHE
from raysweep.metrics.neighbours import (
    ROWS_AT_ONCE,
    Space,
    neighbour_weights,
)


@dataclass(frozen=True)
class NeighbourSets:
    """The form of `mutual_knn`: neighbours of every row and their probabilities.

    Kept are, for each row of each layer, its neighbours: `starts` int64 [layers, n + 1], where they
    start in `columns` int32 and `weights` float64.
    """

    topk: int
    similarity: str
    groups: Tensor | None

    def builder(self, writer: SafetensorsWriter, layers: int, rows: int) -> "_Builder":
        """See `Form.builder`."""
        return _Builder(self, writer, rows)

    def scores(
        self, lefts: Sequence[Mapping[str, Array]], right: Mapping[str, Array], orders: np.ndarray
    ) -> list[np.ndarray]:
        """See `Form.scores`."""
        # Compiled at its first use, which takes seconds that no one else has to wait.
        from raysweep.metrics.between_models.common_neighbours import common_neighbours

        found = []
        for left in lefts:
            totals = np.zeros((len(orders), len(left["starts"]), len(right["starts"])))
            sides = [np.asarray(side[part]) for side in (left, right) for part in _PARTS]
            common_neighbours(*sides, orders, totals)
            found.append(np.clip(totals / (orders.shape[1] * self.topk), 0.0, 1.0))
        return found


_PARTS = ("starts", "columns", "weights")


@dataclass
class _Builder:
    form: NeighbourSets
    writer: SafetensorsWriter
    rows: int
    counts: list[np.ndarray] = field(default_factory=list)
    columns: list[np.ndarray] = field(default_factory=list)
    weights: list[np.ndarray] = field(default_factory=list)
    defined: list[bool] = field(default_factory=list)

    def add(self, features: Tensor | None) -> None:
        self.defined.append(features is not None)
        if features is None:
            self.counts.append(np.zeros(self.rows, dtype=np.int64))
            return
        keeps = 8 * self.rows**2 <= MEMORY_BUDGET_BYTES
        space = Space(features, self.form.similarity, self.form.groups, keeps)
        counts = []
        at_once = max(ROWS_AT_ONCE, NUMBERS_IN_CACHE // self.rows)
        for start in range(0, self.rows, at_once):
            stop = min(start + at_once, self.rows)
            part = neighbour_weights(space, self.form.topk, start, stop)
            row, column = np.nonzero(part.candidate.numpy())
            weight = part.share.numpy()[row]
            if len(part.tied) > 0:
                above = torch.zeros_like(part.candidate)
                above[part.tied] = part.above
                weight[above.numpy()[row, column]] = 1.0
            counts.append(np.bincount(row, minlength=stop - start))
            self.columns.append(column.astype(np.int32))
            self.weights.append(weight)
        self.counts.append(np.concatenate(counts))

    def finish(self) -> None:
        counts = np.stack(self.counts)
        ends = np.cumsum(counts).reshape(counts.shape)
        starts = np.concatenate([ends[:, :1] - counts[:, :1], ends], axis=1)
        self.writer.add("starts", starts)
        self.writer.add("columns", np.concatenate([np.zeros(0, np.int32), *self.columns]))
        self.writer.add("weights", np.concatenate([np.zeros(0), *self.weights]))
        self.writer.add("defined", np.array(self.defined))
