"""The effect of forcing in a cell whose runs are not all there yet."""

import math
from dataclasses import dataclass

from raysweep.trials.outcomes import scale_of


@dataclass(frozen=True)
class EffectSoFar:
    """The effect of forcing in a cell, from the pairs of runs that are there.

    Attributes:
        chosen_by: the criterion that chose the strength.
        strength: that was forced with.
        n: units, which are seeds, or draws where the cell has several.
        effect, low, high: forced minus none with its interval, in the outcome's unit; the interval
            is NaN where there is one unit.
        outcome: the column.
    """

    chosen_by: str
    strength: float
    n: int
    effect: float
    low: float
    high: float
    outcome: str

    def __str__(self) -> str:
        """In points, or what else the outcome is told in: ``-6.46 (-7.28, -5.64)``."""
        factor, unit = scale_of(self.outcome)
        form = "{:+z.2f}" if unit == "points" else "{:+z.3g}"
        effect, low, high = (form.format(factor * v) for v in (self.effect, self.low, self.high))
        return f"{effect} ({low}, {high})" if math.isfinite(self.low) else effect
