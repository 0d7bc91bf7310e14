"""All pairs of layers for a metric that prepares each layer once and then compares two of them."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from raysweep.metrics.features import MEMORY_BUDGET_BYTES

Left = TypeVar("Left")
Right = TypeVar("Right")


def score_pairs(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    orders: Tensor,
    *,
    left: Callable[[Tensor], Left],
    right: Callable[[Tensor], Right],
    reorder: Callable[[Right, Tensor], Right],
    compare: Callable[[Left, Right], Tensor],
    state_bytes: int,
) -> Tensor:
    """Scores of all pairs of layers, [p, m, L1, L2] float64.

    Args:
        xs: layers [m, n, d] of side 1.
        ys: layers [m, n, d] of side 2.
        orders: [p, n] orders of the rows of ys.
        left: prepares one layer [n, d] of side 1.
        right: prepares one layer [n, d] of side 2.
        reorder: what `right` would have given for reordered rows.
        compare: the score of two prepared layers, a tensor of one element.
        state_bytes: size of a prepared layer; as many layers of side 1 as fit two blocks of
            memory are held at once, and each layer of side 2 is prepared once for each such block.
    """
    members = xs[0].shape[0]
    scores = torch.empty(
        (len(orders), members, len(xs), len(ys)), dtype=torch.float64, device=xs[0].device
    )
    as_given = [_is_identity(order) for order in orders]
    held = max(1, 2 * MEMORY_BUDGET_BYTES // state_bytes)
    for member in range(members):
        for start in range(0, len(xs), held):
            lefts = [left(layer[member]) for layer in xs[start : start + held]]
            for column, layer in enumerate(ys):
                prepared = right(layer[member])
                for index, order in enumerate(orders):
                    state = prepared if as_given[index] else reorder(prepared, order)
                    for row, other in enumerate(lefts):
                        scores[index, member, start + row, column] = compare(other, state)
    return scores


def _is_identity(order: Tensor) -> bool:
    return bool((order == torch.arange(len(order), device=order.device)).all())


def table_bytes(layers: Sequence[Tensor]) -> int:
    """Bytes of the largest layer as a float64 table [n, d]."""
    return max(8 * layer.shape[1] * layer.shape[2] for layer in layers)


def square_bytes(layers: Sequence[Tensor]) -> int:
    """Bytes of a float64 matrix [n, n]."""
    return 8 * layers[0].shape[1] ** 2
