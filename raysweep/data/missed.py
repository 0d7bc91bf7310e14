"""What an estimate of information misses, by rows and features, on data that were made to know it.

Measured by ``tests/benchmarks/bench_information.py``, which says what the data are.
"""

from dataclasses import astuple, dataclass

import numpy as np


@dataclass(frozen=True)
class Missed:
    """What is missed of the information of both modalities together, as shares of it, 0..1.

    Attributes:
        rows: that the estimate is made from.
        features: of each modality, one direction of which tells of the label.
        shared: where both show the same source.
        apart: where the label depends on the sum of what each has alone.
        exclusive_or: where it depends on their product, and neither tells anything alone.
    """

    rows: int
    features: int
    shared: float
    apart: float
    exclusive_or: float

    @property
    def words(self) -> str:
        """A sentence for people."""
        measured = self.rows >= MEASURED[0].rows and self.features <= MEASURED[-1].features
        return (
            f"Such estimates are too low: with {self.rows} rows and {self.features} features of a "
            f"modality, what both tell by {'about' if measured else 'at least'} "
            f"{100 * self.shared:.0f} % where it is shared, "
            f"{100 * self.apart:.0f} % where each has its own, {100 * self.exclusive_or:.0f} % "
            "where only an exclusive or of both tells (measured on features of equal variance)."
        )


MEASURED = (
    Missed(500, 4, 0.03, 0.00, 0.39),
    Missed(500, 50, 0.16, 0.35, 1.00),
    Missed(500, 200, 0.59, 0.88, 1.00),
    Missed(2000, 4, 0.00, 0.00, 0.16),
    Missed(2000, 50, 0.08, 0.12, 0.77),
    Missed(2000, 200, 0.22, 0.45, 1.00),
)


def missed_at(rows: int, features: int) -> Missed:
    """What is missed with so many rows and features.

    Between those of MEASURED by interpolation in the logarithms of both; beyond them as at their
    ends.

    Example:
        >>> missed_at(1000, 50).shared
        0.12
    """
    all_rows = sorted({one.rows for one in MEASURED})
    all_features = sorted({one.features for one in MEASURED})
    shares = np.array(
        [[astuple(m)[2:] for f in all_features for m in MEASURED if (m.rows, m.features) == (r, f)]
         for r in all_rows]
    )  # fmt: skip
    at_row = _places(rows, all_rows)
    at_feature = _places(features, all_features)
    found = np.einsum("r,f,rfk->k", at_row, at_feature, shares)
    return Missed(rows, features, *(round(float(v), 3) for v in found))


def missed_by_features(rows: int) -> str:
    """A sentence for people who are told no number of features."""
    found = [missed_at(rows, features) for features in sorted({one.features for one in MEASURED})]
    shares = [[f"{100 * share:.0f}" for share in astuple(one)[2:]] for one in found]
    of_each = [
        f"{', '.join(of[:-1])} and {of[-1]} % with {one.features}"
        for one, of in zip(found, shares, strict=True)
    ]
    least = "at least " if rows < MEASURED[0].rows else ""
    return (
        f"Such estimates are too low. Of what both tell they missed, with {rows} rows, {least}"
        f"{'; '.join(of_each)} features of equal variance in a modality: where it is shared, where "
        "each has its own, and where only an exclusive or of both tells."
    )


def _places(value: int, known: list[int]) -> np.ndarray:
    """How much each of the known numbers, in their order, counts for a value: sums to 1."""
    eye = np.eye(len(known))
    return np.array([np.interp(np.log(value), np.log(known), weight) for weight in eye])
