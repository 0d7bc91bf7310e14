"""Means over the rows of a run: undefined values are left out, infinite ones are not."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

_LARGE = 1e100


def mean_and_sd(name: str, values: np.ndarray, with_sd: bool) -> dict[str, float]:
    """Mean and standard deviation as metrics; the latter of two values or more that are finite."""
    there = values[~np.isnan(values)]
    middle = average(there)
    if middle is None:
        return {}
    if not with_sd or len(there) < 2 or not math.isfinite(middle):
        return {name: middle}
    scale = _scale(there)
    return {name: middle, f"{name}_sd": float((there / scale).std(ddof=1) * scale)}


def mean(values: np.ndarray) -> float | None:
    """The mean of those that are defined, or None; of an infinite one it is infinite."""
    return average(values[~np.isnan(values)])


def average(values: np.ndarray) -> float | None:
    """The mean of all, or None; of infinite ones with both signs it is undefined."""
    if not len(values):
        return None
    scale = _scale(values)
    with np.errstate(invalid="ignore"):
        return float((values / scale).mean() * scale)


def total(seconds: np.ndarray) -> float:
    """The sum of those that are defined."""
    found = float(np.nansum(seconds))
    return found if math.isfinite(found) else 0.0


def frequencies(words: Sequence[str]) -> str:
    """What stands there, the most frequent first, such as ``1-3 (4 of 5), 1-2 (1 of 5)``."""
    counts = sorted(Counter(words).items(), key=lambda item: (-item[1], item[0]))
    if len(counts) == 1:
        return counts[0][0]
    return ", ".join(f"{word} ({count} of {len(words)})" for word, count in counts)


def _scale(values: np.ndarray) -> float:
    """A power of two to divide by, for squares and sums of large values not to overflow."""
    largest = float(np.abs(values).max())
    if not math.isfinite(largest) or largest < _LARGE:
        return 1.0
    return float(2.0 ** (math.frexp(largest)[1] - 1))
