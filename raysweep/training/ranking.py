"""How well scores put positive rows before negative ones."""

import numpy as np
from scipy.stats import rankdata


def area(positive: np.ndarray, score: np.ndarray) -> float:
    """The share of pairs of a positive and a negative row that a score orders; of ties half.

    Args:
        positive: bool [n].
        score: [n] float64.
    """
    n = int(positive.sum())
    if n in (0, len(positive)):
        return float("nan")
    ranks = rankdata(score)[positive].sum()
    return float((ranks - n * (n + 1) / 2) / (n * (len(positive) - n)))


def average_precision(positive: np.ndarray, score: np.ndarray) -> float:
    """The mean, over positive rows, of the precision among rows with as high a score.

    Args:
        positive: bool [n].
        score: [n] float64.
    """
    if not positive.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    found = np.cumsum(positive[order])
    # Rows of one score are found together.
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    precision = found[ends] / (ends + 1)
    return float((np.diff(found[ends], prepend=0) * precision).sum() / found[-1])
