"""Emergent alignment in one small table: the paper's numbers beside the corrected ones."""

import numpy as np
import pandas as pd

from raysweep.trials.columns import beside
from raysweep_analysis.emergence import alignment_by_draw

_PAIRS = {
    "alignment_performance": "alignment-performance",
    "given_depth": "alignment-performance given depth",
    "performance_depth": "performance-depth",
    "alignment_depth": "alignment-depth",
}


def emergence_summary(
    trials: pd.DataFrame,
    correlations: pd.DataFrame,
    along: str = "U",
    alignment: str | None = None,
    kind: str = "pearson",
) -> pd.DataFrame:
    """Summarise emergent alignment at each value of a characteristic.

    Args:
        trials: a trial table.
        correlations: as from `raysweep_analysis.alignment_performance`; may be empty.
        along: the characteristic.
        alignment: the alignment column; by default the first of the test split.
        kind: of the correlations, `pearson` or `spearman`.

    Returns:
        Rows per (data, along): `alignment` (the column), `draws`, `seeds`; `best` (the highest
        alignment over models, mean over heterogeneity and draws), `chance` (what shuffled pairs of
        these models give) and `corrected` (0 at chance, 1 at the ideal), NaN without calibration;
        medians of the correlations over models, NaN without.

    Example:
        >>> from raysweep import analysis
        >>> from raysweep.analysis.examples import DRAWS
        >>> trials = analysis.load_trials(DRAWS)
        >>> by_model = analysis.alignment_performance(trials, permutations=99)
        >>> summary = analysis.emergence_summary(trials, by_model)
        >>> bool((summary["best"] > summary["chance"]).all())
        True
    """
    best, measure = alignment_by_draw(trials, along, alignment=alignment)
    means = {"best": best}
    for name in ("chance", "corrected"):
        if (column := beside(measure, name)) in trials:
            means[name] = alignment_by_draw(trials, along, alignment=column)[0]
    keys = ["data", "x"]
    parts = [frame.groupby(keys)["alignment"].mean().rename(n) for n, frame in means.items()]
    table = pd.concat([*parts, best.groupby(keys)["draw"].nunique().rename("draws")], axis=1)
    measured = trials[trials["stage"].astype(str) != "tune"]
    seeds = measured.assign(x=measured[along]).groupby(keys)["seed"].nunique()
    table = table.join(seeds.rename("seeds")).reset_index().rename(columns={"x": along})
    for name, pair in _PAIRS.items():
        table[name] = np.nan
        if len(correlations) and along in correlations:
            of_pair = correlations[correlations["pair"] == pair]
            found = of_pair.groupby(["data", along])[kind].median()
            at = pd.MultiIndex.from_frame(table[["data", along]])
            table[name] = found.reindex(at).to_numpy()
    for name in ("chance", "corrected"):
        if name not in table:
            table[name] = np.nan
    columns = ["data", along, "alignment", "draws", "seeds", "best", "chance", "corrected", *_PAIRS]
    return table.assign(alignment=measure)[columns]
