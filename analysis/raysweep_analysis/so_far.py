"""What forcing has done in the runs that are there: the numbers of a study that still goes on."""

from collections.abc import Sequence

import pandas as pd

from raysweep.trials.columns import PERFORMANCE
from raysweep_analysis.inference import paired_t
from raysweep_analysis.load import plain
from raysweep_analysis.looks import reached
from raysweep_analysis.pairs import GROUP, Unit, confirm_rows, paired, units


def effects_so_far(
    trials: pd.DataFrame,
    performance: str = PERFORMANCE,
    alpha: float = 0.05,
    *,
    unit: Unit = "auto",
    looks: Sequence[int] = (),
) -> pd.DataFrame:
    """The effect of forcing in every cell that has a pair of runs, without any verdict.

    The numbers are those that `forcing_effects` gives on the same rows. It takes milliseconds, as
    nothing is tested: a look at a run that goes on decides nothing, and one that ends when a number
    pleases would find effects where there are none.

    Args:
        trials: a trial table, or part of one.
        performance: the outcome.
        alpha: of the intervals, which have the level 1 - alpha.
        unit: as `forcing_effects`.
        looks: as `forcing_effects`: the intervals of a sequential study allow for all looks. What
            lies between two looks has the level of the first of them.

    Returns:
        One row per (study, cell, chosen_by), in the order of the rows: `strength` (median over
        forced rows), `n` (units), `unit`, `effect`, `ci_low`, `ci_high` in the outcome's unit (of
        accuracy a share, 0.01 is a point); the interval is NaN where there is one unit.

    Raises:
        InputError: an unknown column, or several strengths for one criterion.

    Example:
        >>> from raysweep import analysis
        >>> from raysweep.analysis.examples import FORCING
        >>> from raysweep_analysis.so_far import effects_so_far
        >>> trials = analysis.load_trials(FORCING)
        >>> effects_so_far(trials)["n"].unique().tolist()
        [15]
    """
    rows = confirm_rows(plain(trials), {"y": performance})
    forced = rows[rows["arm"] == "forced"]
    groups = forced[GROUP].drop_duplicates().reset_index(drop=True)
    pairs = paired(rows, "forced", "none")
    pairs["d"] = pairs["y"] - pairs["y_reference"]
    found = units(pairs, groups, "d", unit)
    _, seen = reached(pairs, groups, looks, unit)
    test = paired_t(found.values, seen.levels(alpha), found.shared)
    strength = forced.groupby(GROUP, sort=False)["strength"].median().reset_index()
    table = groups.merge(strength, on=GROUP, how="left").assign(
        n=test.n, unit=found.kind, effect=test.mean, ci_low=test.ci_low, ci_high=test.ci_high
    )
    return table[table["n"] > 0].reset_index(drop=True)
