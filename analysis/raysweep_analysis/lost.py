"""Runs that diverged or failed: bounds of what they would have said."""

import numpy as np
import pandas as pd

from raysweep.trials.columns import column_of
from raysweep_analysis.load import higher_is_better

LOST = ("diverged", "failed")
"""How runs end that are trained and have no outcome. Others are not there yet, or have none."""
BOUNDS = ("least", "most")


def worst_of(performance: str) -> float:
    """The worst that an outcome can be; infinite where there is no worst."""
    worst = 0.0 if higher_is_better(performance) else 1.0
    infinite = -np.inf if higher_is_better(performance) else np.inf
    return worst if column_of(performance).is_share else infinite


def with_bounds(pairs: pd.DataFrame, performance: str) -> pd.DataFrame:
    """Pairs with the least and the most that forcing may have gained in each.

    A run that diverges does so for what it is: left out, the others would look better than their
    arm. Against the claim that forcing helps a forced run that is lost counts as the worst that
    the outcome can be, and a run of the reference as no worse than forcing. Against the claim that
    it hurts they count the other way round.

    Args:
        pairs: as from `paired`, with `y y_reference status status_reference` and their
            difference `d`.
        performance: the outcome.

    Returns:
        The pairs with `least` and `most`, gains in the outcome's unit (positive where forcing is
        better, `d` with its sign where both runs are there; NaN where a run is missing for
        another reason), and `lost`: whether a run of the pair diverged or failed.
    """
    sign = 1.0 if higher_is_better(performance) else -1.0
    worst = worst_of(performance)
    gain = sign * pairs["d"]
    forced = pairs["status"].isin(LOST) & pairs["y"].isna()
    reference = pairs["status_reference"].isin(LOST) & pairs["y_reference"].isna()
    only_forced = forced & pairs["y_reference"].notna()
    only_reference = reference & pairs["y"].notna()
    equal = forced & reference
    least, most = gain.copy(), gain.copy()
    least[only_forced] = sign * (worst - pairs.loc[only_forced, "y_reference"])
    most[only_reference] = sign * (pairs.loc[only_reference, "y"] - worst)
    most[only_forced | equal] = 0.0
    least[only_reference | equal] = 0.0
    lost = only_forced | only_reference | equal
    return pairs.assign(least=least, most=most, lost=lost)
