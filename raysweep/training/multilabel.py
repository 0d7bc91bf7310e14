"""Outcomes of rows with several labels: what scikit-learn's functions give (1.8).

A label is predicted where its logit is above 0. Means over labels are unweighted.
"""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

import numpy as np

from raysweep.training.ranking import area, average_precision


def micro_f1(y: np.ndarray, logits: np.ndarray) -> float:
    """F1 of all rows and labels together; 0 where no label is there or predicted.

    Args:
        y: [n, k] of 0 and 1.
        logits: [n, k] float64.
    """
    found, there = _counts(y, logits)
    return float(2 * found.sum() / max(there.sum(), 1))


def label_macro_f1(y: np.ndarray, logits: np.ndarray) -> float:
    """The mean of the labels' F1, 0 of one that is neither there nor predicted; args as above."""
    found, there = _counts(y, logits)
    return float((2 * found / np.maximum(there, 1)).mean())


def hamming_loss(y: np.ndarray, logits: np.ndarray) -> float:
    """Share of all labels of all rows that is wrong; args as above."""
    return float(((logits > 0) != (y > 0)).mean())


def subset_accuracy(y: np.ndarray, logits: np.ndarray) -> float:
    """Share of rows all of whose labels are right; args as above."""
    return float(((logits > 0) == (y > 0)).all(axis=1).mean())


def mean_average_precision(y: np.ndarray, logits: np.ndarray) -> float:
    """The mean of the labels' average precision; NaN where a label has no row; args as above."""
    pairs = zip(y.T > 0, logits.T, strict=True)
    return float(np.mean([average_precision(of, score) for of, score in pairs]))


def label_auroc(y: np.ndarray, logits: np.ndarray) -> float:
    """The mean of the labels' AUROC; NaN where all rows have one, or none; args as above."""
    return float(np.mean([area(of, score) for of, score in zip(y.T > 0, logits.T, strict=True)]))


OUTCOMES: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = MappingProxyType(
    {
        "micro_f1": micro_f1,
        "hamming_loss": hamming_loss,
        "label_macro_f1": label_macro_f1,
        "mean_average_precision": mean_average_precision,
        "label_auroc": label_auroc,
        "subset_accuracy": subset_accuracy,
    }
)
"""Family of columns -> what gives it, of labels [n, k] and logits [n, k]."""


def why_none(y: np.ndarray, split: str, names: Collection[str]) -> str:
    """Why outcomes are undefined for labels [n, k] of a split, in words; empty if they are not."""
    without, always = np.flatnonzero(~y.any(axis=0)), np.flatnonzero(y.all(axis=0))
    told = []
    if without.size:
        lost = [name for name in ("mean_average_precision", "label_auroc") if name in names]
        told += [f"{', '.join(lost)}: no row of the {split} split has label {without[0]}"]
        told = told if lost else []
    if always.size and "label_auroc" in names:
        told.append(f"label_auroc: all rows of the {split} split have label {always[0]}")
    return "; ".join(told)


def _counts(y: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each label the rows that have it and are found, and those that have it plus those said."""
    is_so, said = y > 0, logits > 0
    return (is_so & said).sum(axis=0), is_so.sum(axis=0) + said.sum(axis=0)
