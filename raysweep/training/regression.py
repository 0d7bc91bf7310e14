"""Outcomes of a label that is a number.

Errors and R2 are what scikit-learn's functions give (1.8), Pearson's correlation SciPy's. The
concordance is Lin's (1989, Biometrics 45, 255), with variances over n. Sign accuracies are those of
sentiment: non-negative against negative, and positive against negative where the label is not 0.
"""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

import numpy as np


def r2(y: np.ndarray, predicted: np.ndarray) -> float:
    """1 minus the squared errors over those of guessing the mean of ``y``; NaN if all are equal.

    Args:
        y: [n] float64 labels.
        predicted: [n] float64, in the same unit.
    """
    spread = float(np.square(y - y.mean()).sum())
    if not spread or np.ptp(y) == 0:
        return float("nan")
    return 1 - float(np.square(y - predicted).sum()) / spread


def rmse(y: np.ndarray, predicted: np.ndarray) -> float:
    """Root mean squared error, in the unit of the label; args as above."""
    return float(np.sqrt(np.square(y - predicted).mean()))


def mae(y: np.ndarray, predicted: np.ndarray) -> float:
    """Mean absolute error, in the unit of the label; args as above."""
    return float(np.abs(y - predicted).mean())


def pearson(y: np.ndarray, predicted: np.ndarray) -> float:
    """Correlation, -1..1; NaN where either is constant; args as above."""
    if np.ptp(y) == 0 or np.ptp(predicted) == 0:
        return float("nan")
    a, b = y - y.mean(), predicted - predicted.mean()
    return float(np.clip(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)), -1, 1))


def concordance(y: np.ndarray, predicted: np.ndarray) -> float:
    """Lin's concordance correlation, -1..1; NaN where both are the same constant; args as above."""
    apart = y.mean() - predicted.mean()
    below = y.var() + predicted.var() + apart**2
    if np.ptp(y) == 0 and np.ptp(predicted) == 0 and y[0] == predicted[0]:
        return float("nan")
    return float(2 * np.mean((y - y.mean()) * (predicted - predicted.mean())) / below)


def sign_accuracy(y: np.ndarray, predicted: np.ndarray) -> float:
    """Share of rows on whose side of 0 the prediction is; 0 is with the positive; args as above."""
    return float(((y >= 0) == (predicted >= 0)).mean())


def sign_accuracy_nonzero(y: np.ndarray, predicted: np.ndarray) -> float:
    """The same of rows whose label is not 0, positive against the rest; NaN without any."""
    told = y != 0
    if not told.any():
        return float("nan")
    return float(((y[told] > 0) == (predicted[told] > 0)).mean())


OUTCOMES: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = MappingProxyType(
    {
        "r2": r2,
        "rmse": rmse,
        "mae": mae,
        "pearson": pearson,
        "concordance": concordance,
        "sign_accuracy": sign_accuracy,
        "sign_accuracy_nonzero": sign_accuracy_nonzero,
    }
)
"""Family of columns -> what gives it, of labels [n] and predictions [n]."""


def why_none(y: np.ndarray, split: str, names: Collection[str]) -> str:
    """Why outcomes are undefined for labels [n] of a split, in words; empty where they are not."""
    if np.ptp(y) > 0:
        return ""
    lost = [name for name in ("r2", "pearson") if name in names]
    if y[0] == 0 and "sign_accuracy_nonzero" in names:
        lost.append("sign_accuracy_nonzero")
    return f"{', '.join(lost)}: the label is {y[0]:g} in all of the {split} split" if lost else ""
