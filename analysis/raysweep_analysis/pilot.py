"""How much units spread in a pilot: a study with few draws that is run before it is sized."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from raysweep.errors import InputError
from raysweep.trials.columns import PERFORMANCE
from raysweep_analysis.contrasts import forcing_effects


@dataclass(frozen=True)
class PilotSpread:
    """The spread of paired differences (forced - none) between units, over the cells of a pilot.

    Attributes:
        performance: the outcome.
        sd: root mean square over the cells, weighted by their degrees of freedom, in the outcome's
            unit (of accuracy and regret a share, 0.01 is a point; of losses nats).
        sd_high: its upper 80 % limit: a study sized by it has the wanted power in 80 % of cases.
        cells: with two units or more.
        units: of all of them together.
        unit: `draw`, `seed` or `split`.
    """

    performance: str
    sd: float
    sd_high: float
    cells: int
    units: int
    unit: str


def pilot_spread(trials: pd.DataFrame, performance: str = PERFORMANCE) -> PilotSpread:
    """The spread that a larger study may count on.

    One cell of three draws says next to nothing of its spread, many such cells together do. Where
    cells are compared at several criteria, that with the larger spread counts. The limit takes
    cells for independent; draws that they share make it a little too sure.

    Args:
        trials: the pilot's trial table, with a confirm stage of two units or more a cell.
        performance: the outcome.

    Raises:
        InputError: no cell has two units.

    Example:
        >>> from raysweep import analysis
        >>> from raysweep.analysis.examples import FORCING
        >>> trials = analysis.load_trials(FORCING)
        >>> few = trials[trials["draw"].isin(sorted(trials["draw"].unique())[:3])]
        >>> spread = analysis.pilot_spread(few)
        >>> spread.unit, spread.sd < spread.sd_high
        ('draw', True)
    """
    effects = forcing_effects(trials, performance)
    effects = effects[(effects["n"] >= 2) & np.isfinite(effects["sd"].to_numpy(float))]
    if not len(effects):
        raise InputError(
            f"pilot: no cell has {performance} of two units in its confirm stage; give the pilot "
            "three draws or more"
        )
    found = []
    for _, rows in effects.groupby("chosen_by"):
        n, sd = rows["n"].to_numpy(int), rows["sd"].to_numpy(float)
        pooled, high = pooled_spread(n, sd)
        unit = str(rows["unit"].iloc[0])
        found.append(PilotSpread(performance, pooled, high, len(rows), int(n.sum()), unit))
    return max(found, key=lambda spread: spread.sd_high)


def pooled_spread(n: ArrayLike, sd: ArrayLike) -> tuple[float, float]:
    """One standard deviation of several samples, and its upper 80 % limit for normal ones.

    Args:
        n: [k] sizes, 2 or more.
        sd: [k] standard deviations (ddof 1).
    """
    freedom = np.asarray(n, dtype=float) - 1
    total = float(freedom.sum())
    pooled = math.sqrt(float(freedom @ np.asarray(sd, dtype=float) ** 2) / total)
    return pooled, pooled * math.sqrt(total / float(stats.chi2.ppf(0.2, total)))
