"""Metrics without a fast form: today's functions, a few layers of each model at a time."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from raysweep.metrics.between_models.given import Model
from raysweep.metrics.between_models.prepared import Preparation, prepared_layers
from raysweep.metrics.features import MEMORY_BUDGET_BYTES
from raysweep.metrics.measurement import score_orders
from raysweep.metrics.preprocessing import NONE


def slow_scores(
    name: str,
    left: Model,
    right: Model,
    options: Mapping[str, object],
    preparation: Preparation,
    orders: np.ndarray,
    groups: np.ndarray | None,
) -> np.ndarray:
    """Scores of all pairs of layers of two models, float64 [p, l1, l2].

    Args:
        name: of the metric.
        left: the model of side 1.
        right: the model of side 2.
        options: of the metric.
        preparation: what is done to layers first.
        orders: int64 [p, n], orders of the rows of side 2.
        groups: int64 [n] or none.
    """
    order = torch.from_numpy(orders)
    by_row = []
    for xs in _blocks(left, preparation):
        found = [
            score_orders(name, xs, ys, order, options, NONE, groups)[:, 0].numpy()
            for ys in _blocks(right, preparation)
        ]
        by_row.append(np.concatenate(found, axis=2))
    return np.concatenate(by_row, axis=1)


def own_scores(
    name: str,
    model: Model,
    options: Mapping[str, object],
    preparation: Preparation,
    groups: np.ndarray | None,
) -> np.ndarray:
    """The score of each layer of a model with itself, float64 [l]."""
    identity = torch.arange(model.rows)[None]
    found = [
        float(score_orders(name, [layer], [layer], identity, options, NONE, groups))
        for layers in _blocks(model, preparation)
        for layer in layers
    ]
    return np.array(found)


def _blocks(model: Model, preparation: Preparation) -> Iterator[Sequence[Tensor]]:
    """The layers [1, n, d] after preprocessing, as many as a block of memory holds."""
    layers: list[Tensor] = []
    held = 0
    for index, features in enumerate(prepared_layers(model, preparation)):
        if features is None:
            # Of the same width, for metrics that compare rows of equal width.
            features = torch.full((model.rows, model.width(index)), torch.nan, dtype=torch.float64)
        size = 8 * features.numel()
        if layers and held + size > MEMORY_BUDGET_BYTES:
            yield layers
            layers, held = [], 0
        layers.append(features[None])
        held += size
    yield layers
