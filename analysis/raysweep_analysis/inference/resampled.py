"""Several splits of the same rows: how much less they tell than as many datasets.

A difference between two arms is measured on each of J splits. Splits share rows, so that the mean
difference varies by more than the spread between splits over J says. Nadeau and Bengio (2003) take
two splits to be as correlated as the share of test rows that they have in common on average, rho,
which is n_test / n for splits drawn at random: the variance is then that between splits times
1 / J + rho / (1 - rho), whose last term is their n_test / n_train. Here the splits are not drawn at
random: within a turn no row is tested twice, so that rho is what splits of different turns share.
What training rows have in common is left out of that rho, so that it is ``LEAST`` or more: five
splits took it where learners fitted 50 features to 105 rows, and ten took less than their rho
(tests/benchmarks/bench_resplits.py).
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEAST = 0.03
"""The correlation of splits that have no test row in common."""


def shared_variance(overlap: ArrayLike) -> NDArray[np.float64]:
    """What splits of the same rows add to the variance of their mean, over that between them.

    The ``shared`` of `paired_t`, `tost` and the others.

    Args:
        overlap: [...] the share of its test rows that a split has in common with another one, on
            average; below 1.
    """
    rho = np.maximum(np.asarray(overlap, dtype=float), LEAST)
    return np.asarray(rho / (1 - rho))


def overlap_of(draws: Iterable[int], turn: int, share: float) -> float:
    """The share of its test rows that a split has in common with another one, on average.

    Args:
        draws: their numbers; those in one turn have none in common.
        turn: draws in a turn.
        share: of the rows that are ever tested, those that a split tests.
    """
    turns = np.array(sorted(draws)) // turn
    n = len(turns)
    if n < 2:
        return 0.0
    sizes = np.unique(turns, return_counts=True)[1]
    return float(share * (1 - (sizes * (sizes - 1)).sum() / (n * (n - 1))))
