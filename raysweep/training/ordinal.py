"""Outcomes of ranks: what scikit-learn's functions give (1.8) of the rank that is predicted.

Heads give logits of p(rank > 0), p(rank > 1), ...; predicted is how many of them are above 0, which
is the median rank where they fall with the rank.
"""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

import numpy as np


def weighted_kappa(y: np.ndarray, logits: np.ndarray) -> float:
    """Cohen's kappa with quadratic weights, -1..1; NaN where both are the same constant.

    As scikit-learn's with all ranks as ``labels``: without, those that do not occur move others up.

    Args:
        y: [n, k] of 0 and 1, whether a row is above each of the k lower ranks.
        logits: [n, k] float64.
    """
    rank, predicted = y.sum(axis=1), (logits > 0).sum(axis=1)
    by_chance = np.square(rank[:, None] - np.unique(predicted)).mean(axis=0)
    shares = np.unique(predicted, return_counts=True)[1] / len(rank)
    expected = float(by_chance @ shares)
    return 1 - float(np.square(rank - predicted).mean()) / expected if expected else float("nan")


def rank_mae(y: np.ndarray, logits: np.ndarray) -> float:
    """Mean absolute error, in ranks; args as above."""
    return float(np.abs(y.sum(axis=1) - (logits > 0).sum(axis=1)).mean())


OUTCOMES: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = MappingProxyType(
    {"weighted_kappa": weighted_kappa, "rank_mae": rank_mae}
)
"""Family of columns -> what gives it, of ranks [n, k] and logits [n, k]."""


def why_none(y: np.ndarray, split: str, names: Collection[str]) -> str:
    """Why kappa may be undefined for ranks [n, k] of a split, in words; empty where it is not."""
    rank = y.sum(axis=1)
    if np.ptp(rank) > 0 or "weighted_kappa" not in names:
        return ""
    return f"weighted_kappa: all rows of the {split} split have rank {int(rank[0])} (from 0)"
