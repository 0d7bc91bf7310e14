"""Counts of common neighbours, compiled: all pairs of layers under many orders of the rows."""

import numpy as np
from numba import njit


@njit(error_model="numpy", nogil=True)
def common_neighbours(
    starts_1, columns_1, weights_1, starts_2, columns_2, weights_2, orders, totals
):
    """Adds up the products of the weights of neighbours that two layers have in common.

    A row of the right side lies open, as lists of the layers that have a row as a neighbour, while
    the neighbours of all left layers are looked up in it.

    Args:
        starts_1: int64 [l1, n + 1], where the neighbours of each row of each left layer start.
        columns_1: int32 [c1], the neighbours.
        weights_1: float64 [c1], the probability of each to be among the k.
        starts_2: int64 [l2, n + 1], of the right side.
        columns_2: int32 [c2].
        weights_2: float64 [c2].
        orders: int64 [p, n], orders of the rows of the right side.
        totals: float64 [p, l1, l2], what is added to.
    """
    rows = orders.shape[1]
    count = np.zeros(rows, np.int32)
    layer = np.empty((rows, len(starts_2)), np.int32)
    weight = np.empty((rows, len(starts_2)), np.float64)
    for index in range(len(orders)):
        order = orders[index]
        for row in range(rows):
            other = order[row]
            for right in range(len(starts_2)):
                for at in range(starts_2[right, other], starts_2[right, other + 1]):
                    column = columns_2[at]
                    layer[column, count[column]] = right
                    weight[column, count[column]] = weights_2[at]
                    count[column] += 1
            for left in range(len(starts_1)):
                for at in range(starts_1[left, row], starts_1[left, row + 1]):
                    column = order[columns_1[at]]
                    for place in range(count[column]):
                        product = weights_1[at] * weight[column, place]
                        totals[index, left, layer[column, place]] += product
            for right in range(len(starts_2)):
                for at in range(starts_2[right, other], starts_2[right, other + 1]):
                    count[columns_2[at]] = 0
