"""Which metrics have a fast form, and where it is worth its cost."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from raysweep.metrics.between_models.form import Form
from raysweep.metrics.between_models.given import Model
from raysweep.metrics.between_models.matrices import matrix_of
from raysweep.metrics.between_models.neighbour_sets import NeighbourSets
from raysweep.metrics.between_models.pair_vectors import PairVectors, vector_length
from raysweep.metrics.metric import Metric

_BY_FEATURES = ("cka", "unbiased_cka", "cmd", "centered_cmd")
"""Metrics that products of features tell, too, which are smaller where rows are many."""


def form_of(
    metric: Metric,
    options: Mapping[str, object],
    groups: np.ndarray | None,
    sides: Sequence[Sequence[Model]],
    orders: int,
    room: int,
) -> Form | None:
    """The fast form of a metric for some models; None if it has none, or none that pays.

    Args:
        metric: which.
        options: all of its options.
        groups: int64 [n] or none.
        sides: the models.
        orders: how many orders of the rows each pair is scored in.
        room: bytes of disk that may be taken.
    """
    if metric.name == "mutual_knn":
        of = None if groups is None else torch.from_numpy(groups)
        topk, similarity = options["topk"], options["similarity"]
        assert isinstance(topk, int)
        assert isinstance(similarity, str)
        return NeighbourSets(topk, similarity, of)
    matrix = matrix_of(metric.name, options)
    if matrix is None or not _vectors_pay(metric, options, sides, orders, room):
        return None
    return PairVectors(matrix, metric.range)


def _vectors_pay(
    metric: Metric,
    options: Mapping[str, object],
    sides: Sequence[Sequence[Model]],
    orders: int,
    room: int,
) -> bool:
    models = [model for side in sides for model in side]
    rows = models[0].rows
    layers = sum(len(model.layers) + 1 for model in models)
    if 8 * layers * vector_length(rows) > room:
        return False
    if metric.name not in _BY_FEATURES or options.get("kernel") == "rbf":
        return True
    # Numbers that are multiplied, with vectors and with features.
    count = [sum(len(model.layers) for model in side) for side in sides]
    width = [sum(min(w, rows) for model in side for w in model.widths) for side in sides]
    pairs, products = (_sum_over_pairs(of) for of in (count, width))
    prepared = rows**2 * sum(sum(model.widths) for model in models) / 2
    return prepared + orders * pairs * rows**2 / 2 < orders * products * rows


def _sum_over_pairs(values: Sequence[int]) -> int:
    """The sum of the products of all pairs of values."""
    return (sum(values) ** 2 - sum(value**2 for value in values)) // 2
