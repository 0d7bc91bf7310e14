"""Effects per cell drawn towards those of the whole grid, for reading maps of many cells."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raysweep_analysis.contrasts import cell_columns
from raysweep_analysis.inference import independent_units, shared_variance
from raysweep_analysis.inference.pooled import FEWEST, partial_pooling
from raysweep_analysis.load import axes_of
from raysweep_analysis.resplits import SPLIT, tested_share

_KEPT = ["study", "cell", "label", "chosen_by", "performance", "n", "effect", "ci_low", "ci_high"]
COLUMNS = [*_KEPT, "pooled", "pooled_low", "pooled_high", "own_weight"]


def pooled_effects(effects: pd.DataFrame, alpha: float = 0.05) -> pd.DataFrame:
    """Effects beside what is left of them once all cells of a study have had their say.

    Of many cells the largest effect is mostly the luckiest one. By a hierarchical model
    (`raysweep_analysis.inference.partial_pooling`) each effect is drawn towards the mean of its
    study and criterion, which may change along the axes of the grid, as far as the cells agree.
    Intervals hold on average over cells. They are for reading maps: verdicts and tests are of each
    cell's own units, as one cell may truly differ from all others.

    Args:
        effects: as from `forcing_effects`.
        alpha: one less the probability of a pooled interval.

    Returns:
        One row per tested row of ``effects``, in its order: its identity, `n effect ci_low
        ci_high`, and `pooled pooled_low pooled_high` in the outcome's unit with `own_weight`, what
        the cell's own units count (0..1). Empty below five cells of a study and criterion.

    Example:
        >>> from raysweep import analysis
        >>> from raysweep.analysis.examples import FORCING
        >>> effects = analysis.forcing_effects(analysis.load_trials(FORCING))
        >>> pooled = analysis.pooled_effects(effects)
        >>> bool(pooled["pooled"].std() < pooled["effect"].std())
        True
    """
    known = effects[(effects["n"] >= 2) & effects["sd"].notna()]
    parts = [
        _of_family(rows, cell_columns(effects), alpha)
        for _, rows in known.groupby(["study", "chosen_by"], sort=False)
        if len(rows) >= FEWEST
    ]
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(parts).sort_index().reset_index(drop=True)


def _of_family(rows: pd.DataFrame, among: list[str], alpha: float) -> pd.DataFrame:
    share = np.zeros(len(rows))
    if (rows["unit"] == SPLIT).any():
        share = np.where(rows["unit"] == SPLIT, shared_variance(tested_share(rows)), 0.0)
    n = independent_units(rows["n"].to_numpy(float), share)
    found = partial_pooling(
        rows["effect"].to_numpy(float),
        rows["sd"].to_numpy(float),
        n,
        _steps(rows, axes_of(rows, among)),
        alpha,
    )
    return rows[_KEPT].assign(
        pooled=found.mean,
        pooled_low=found.low,
        pooled_high=found.high,
        own_weight=found.own,
    )


def _steps(rows: pd.DataFrame, axes: list[str]) -> NDArray[np.float64]:
    """[rows, axes] which step of each numeric axis a cell is on, standardised."""
    numeric = [name for name in axes if pd.api.types.is_numeric_dtype(rows[name])]
    steps = [pd.factorize(rows[name], sort=True)[0].astype(float) for name in numeric]
    varying = [(s - s.mean()) / s.std() for s in steps if s.std() > 0]
    # As many axes as cells would explain whatever there is.
    varying = varying[: max(0, len(rows) // 4 - 1)]
    return np.stack(varying, axis=1) if varying else np.zeros((len(rows), 0))
