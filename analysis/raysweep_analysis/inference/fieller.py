"""Where a line crosses zero: Fieller's confidence set, which may be unbounded."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

SetKind = Literal["interval", "rays", "everywhere"]


@dataclass(frozen=True)
class CrossingSet:
    """All x at which a + b x = 0 is not rejected.

    Attributes:
        point: -a / b.
        kind: `interval` is [low, high]; `rays` is everything but (low, high); `everywhere` is the
            whole line. The last two are unbounded: the slope is not told apart from zero.
        low, high: the ends, NaN for `everywhere`.
    """

    point: float
    kind: SetKind
    low: float
    high: float

    @property
    def bounded(self) -> bool:
        """Whether the set says where the crossing is."""
        return self.kind == "interval"

    def contains(self, x: float) -> bool:
        """Whether a true crossing at x would be covered."""
        if self.kind == "everywhere":
            return True
        inside = self.low <= x <= self.high
        return inside if self.kind == "interval" else not self.low < x < self.high


def crossing(
    a: float, b: float, var_a: float, var_b: float, cov_ab: float, t: float
) -> CrossingSet:
    """Fieller's set for -a / b (Fieller 1954): (a + b x)^2 <= t^2 (var_a + 2 x cov + x^2 var_b).

    Args:
        a: intercept.
        b: slope.
        var_a: variance of the intercept.
        var_b: variance of the slope.
        cov_ab: their covariance.
        t: quantile of t that the level asks for.
    """
    point = -a / b if b else float("nan")
    # quadratic A x^2 + 2 B x + C <= 0
    quadratic = b**2 - t**2 * var_b
    linear = a * b - t**2 * cov_ab
    constant = a**2 - t**2 * var_a
    discriminant = linear**2 - quadratic * constant
    if quadratic > 0:
        # b^2 > t^2 var_b puts the point itself inside, so the roots are real but for rounding
        root = np.sqrt(max(discriminant, 0.0))
        return CrossingSet(
            point,
            "interval",
            float((-linear - root) / quadratic),
            float((-linear + root) / quadratic),
        )
    if discriminant <= 0 or quadratic == 0:
        return CrossingSet(point, "everywhere", float("nan"), float("nan"))
    root = np.sqrt(discriminant)
    ends = sorted([(-linear - root) / quadratic, (-linear + root) / quadratic])
    return CrossingSet(point, "rays", float(ends[0]), float(ends[1]))
