"""Alignment that emerges by itself: its trends and its correlation with performance."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from raysweep.errors import InputError
from raysweep.trials.columns import PERFORMANCE_2, column_of
from raysweep_analysis.draws import MODEL_SCALE, numeric_covariate
from raysweep_analysis.inference import (
    correlation,
    correlation_interval,
    correlation_p,
    jonckheere_terpstra,
    partial_residuals,
    spearman_trend,
)
from raysweep_analysis.load import alignment_column, descriptors, is_information, plain, values_of
from raysweep_analysis.resplits import is_resplit

TREND_COLUMNS = [
    *("study", "data", "alignment", "along", "reduce", "rho", "p_rho", "J", "p_J"),
    *("n_levels", "n_draws", "n_units", "note"),
]


def emergent(
    trials: pd.DataFrame,
    performance: str | None = None,
    alignment: str | None = None,
    depth: str = "depth_2",
    split: str = "test",
) -> tuple[pd.DataFrame, str]:
    """The runs of strength 0: their descriptors and columns `a` (alignment), `p`, `d` (depth).

    Args:
        trials: a trial table.
        performance: what `p` is; none by default.
        alignment: what `a` is; by default the first alignment column of the split.
        depth: what `d` is.
        split: used where neither performance nor alignment says which.

    Returns:
        The rows with finite values, and the alignment column.

    Raises:
        InputError: no alignment column, or no such depth.
    """
    trials = plain(trials)
    split = column_of(performance).split if performance else split
    measure = alignment_column(trials, split, alignment)
    if measure is None:
        raise InputError("the trial table has no alignment column; emergence is about alignment")
    if depth not in descriptors(trials):
        raise InputError(f"depth = {depth!r} is not in the trial table")
    use = _measured(trials)
    names = [n for n in descriptors(trials) if n != "data"]
    rows = trials.loc[use, ["study", "cell", "draw", "seed", *names]].assign(
        data=trials.loc[use, "data"] if "data" in trials else "",
        a=values_of(trials, measure)[use],
        p=values_of(trials, performance)[use] if performance else 0.0,
        d=trials.loc[use, depth].astype(float),
    )
    return rows.dropna(subset=["p", "a"]).reset_index(drop=True), measure


def alignment_performance(
    trials: pd.DataFrame,
    performance: str = PERFORMANCE_2,
    alignment: str | None = None,
    depth: str = "depth_2",
    alpha: float = 0.05,
    permutations: int = 1_999,
    rng: np.random.Generator | None = None,
) -> pd.DataFrame:
    """Correlate alignment, performance and depth over the models of one dataset and seed.

    As the paper's Figure 7: for every combination of data characteristics, draw and seed, over
    encoders of increasing depth. Depth drives alignment and performance both, so the correlation
    of those two given depth is there as well.

    Args:
        trials: a trial table; its rows of strength 0 are used.
        performance: the outcome, by default that of the modality whose depth varies.
        alignment: the alignment column; by default the first of the same split.
        depth: the depth that varies.
        alpha: one minus the coverage of the intervals.
        permutations: behind every p-value.
        rng: source of the permutations; a fixed seed by default.

    Returns:
        Rows per (study, data characteristics, draw, seed) with four models or more: `pair`
        (`alignment-performance`, `performance-depth`, `alignment-depth`,
        `alignment-performance given depth`), `n` (models), `pearson pearson_low pearson_high
        p_pearson spearman spearman_low spearman_high p_spearman`. A constant side gives NaN.

    Example:
        >>> from raysweep import analysis
        >>> from raysweep.analysis.examples import DRAWS
        >>> trials = analysis.load_trials(DRAWS)
        >>> found = analysis.alignment_performance(trials, permutations=99)
        >>> found["pair"].nunique()
        4
    """
    rows, measure = emergent(trials, performance, alignment, depth)
    keys = _data_keys(rows)
    rows = rows.sort_values([*keys, "draw", "seed", "d"], kind="stable")
    found = []
    groups = rows.groupby([*keys, "draw", "seed"], sort=False, dropna=False)
    sizes = groups["a"].transform("size")
    for n, same_size in rows[sizes >= 4].groupby(sizes[sizes >= 4]):
        count = int(str(n))
        place = same_size.iloc[::count][[*keys, "draw", "seed"]].reset_index(drop=True)
        a, p, d = (same_size[c].to_numpy(float).reshape(-1, count) for c in ("a", "p", "d"))
        ranks = [stats.rankdata(v, axis=1) for v in (a, p, d)]
        for pair, (left, right), (rank_left, rank_right), given in (
            ("alignment-performance", (a, p), (ranks[0], ranks[1]), 0),
            ("performance-depth", (p, d), (ranks[1], ranks[2]), 0),
            ("alignment-depth", (a, d), (ranks[0], ranks[2]), 0),
            (
                "alignment-performance given depth",
                (partial_residuals(a, d), partial_residuals(p, d)),
                (partial_residuals(ranks[0], ranks[2]), partial_residuals(ranks[1], ranks[2])),
                1,
            ),
        ):
            pearson, spearman = correlation(left, right), correlation(rank_left, rank_right)
            low, high = correlation_interval(pearson, count, alpha, given=given)
            rank_low, rank_high = correlation_interval(spearman, count, alpha, True, given)
            found.append(
                place.assign(
                    pair=pair,
                    n=count,
                    pearson=pearson,
                    pearson_low=low,
                    pearson_high=high,
                    p_pearson=correlation_p(left, right, permutations, rng),
                    spearman=spearman,
                    spearman_low=rank_low,
                    spearman_high=rank_high,
                    p_spearman=correlation_p(rank_left, rank_right, permutations, rng),
                )
            )
    columns = [*keys, "draw", "seed", "pair", "n", "pearson", "spearman"]
    table = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)
    table.insert(len(keys) + 2, "alignment", measure)
    table.insert(len(keys) + 3, "performance", performance)
    return table


def emergence_trends(
    trials: pd.DataFrame,
    along: str = "U",
    by: Sequence[str] = ("D_phi",),
    alignment: str | None = None,
    reduce: str = "max",
    split: str = "test",
    rng: np.random.Generator | None = None,
) -> pd.DataFrame:
    """Test whether emergent alignment rises or falls along a characteristic of the data.

    Units are dataset draws: alignment is averaged over seeds and reduced over models before any
    test, and labels are permuted within draws. Draws that are splits of the same rows are averaged,
    too, and are one unit.

    Args:
        trials: a trial table; its rows of strength 0 are used.
        along: the characteristic.
        by: descriptors to keep apart (those that the table has).
        alignment: the alignment column; by default the first of the split.
        reduce: over the models of a dataset: `max`, as the paper's Figure 4 (it grows with the
            number of models by selection alone, so compare equal numbers), or `mean`.
        split: which split's alignment.
        rng: source of the permutations; a fixed seed by default.

    Returns:
        Rows per (study, data, by...): `rho` (Spearman between the characteristic and the mean
        alignment at each value) with its permutation `p_rho`, Jonckheere and Terpstra's `J` with
        `p_J`, `n_levels n_draws n_units` and `note`.

    Raises:
        InputError: unknown columns, or `reduce` that is neither max nor mean.

    Example:
        >>> from raysweep import analysis
        >>> from raysweep.analysis.examples import DRAWS
        >>> trials = analysis.load_trials(DRAWS)
        >>> analysis.emergence_trends(trials)["rho"].round(2).tolist()
        [-1.0, -0.98, -1.0]
    """
    units, measure = alignment_by_draw(trials, along, by, alignment, reduce, split)
    kept = [name for name in by if name in units]
    table = []
    for keys, group in units.groupby(["study", "data", *kept], sort=True, dropna=False):
        x, y = group["x"].to_numpy(float), group["alignment"].to_numpy(float)
        rho = spearman_trend(x, y, group["draw"], rng)
        j = jonckheere_terpstra(x, y, group["draw"], rng)
        draws = group["draw"].nunique()
        levels = len(np.unique(x))
        note = "one draw: nothing is known of other datasets with these characteristics"
        table.append(
            dict(zip(["study", "data", *kept], keys, strict=True))
            | {
                "alignment": measure,
                "along": along,
                "reduce": reduce,
                "rho": rho.statistic,
                "p_rho": rho.p_value,
                "J": j.statistic,
                "p_J": j.p_value,
                "n_levels": levels,
                "n_draws": draws,
                "n_units": len(group),
                "note": f"{levels} values of {along}: no trend to test"
                if levels < 3
                else note
                if draws == 1
                else "",
            }
        )
    return pd.DataFrame(table, columns=["study", "data", *kept, *TREND_COLUMNS[2:]])


def alignment_by_draw(
    trials: pd.DataFrame,
    along: str,
    by: Sequence[str] = ("D_phi",),
    alignment: str | None = None,
    reduce: str = "max",
    split: str = "test",
) -> tuple[pd.DataFrame, str]:
    """Emergent alignment per (study, data, by..., x = along, draw), and the column it came from."""
    if reduce not in ("max", "mean"):
        raise InputError(f"reduce = {reduce!r}; expected max or mean")
    measure = alignment_column(trials, split, alignment)
    if measure is None:
        raise InputError("the trial table has no alignment column; emergence is about alignment")
    use = _measured(trials)
    rows = trials[use].assign(a=values_of(trials, measure)[use])
    if "data" not in rows:
        rows["data"] = ""
    try:
        rows["x"] = numeric_covariate(rows, along)
    except (KeyError, ValueError) as error:
        raise InputError(f"along = {along!r} is not a number that describes cells") from error
    rows = rows.dropna(subset=["x", "a"])
    if is_resplit(rows):
        # Splits of the same rows are one dataset: their mean is one unit.
        rows["draw"] = rows["draw"].where(rows["resplit"].isna(), 0)
    keys = ["study", "data", *[n for n in by if n in rows], "x", "draw"]
    cells = rows.groupby([*keys, "cell"], sort=True, dropna=False)["a"].mean()
    units = cells.groupby(level=keys, sort=True, dropna=False).agg(reduce)
    return units.rename("alignment").reset_index(), measure


def _measured(trials: pd.DataFrame) -> pd.Series:
    """Rows of pairs of encoders that nothing forced together."""
    none, ok = trials["arm"].astype(str) == "none", trials["status"].astype(str) == "ok"
    return none & ok & (trials["stage"].astype(str) != "tune")


def _data_keys(rows: pd.DataFrame) -> list[str]:
    """Columns that tell datasets apart, model scale aside, in the table's order."""
    names = [
        n
        for n in descriptors(rows)
        if n not in (*MODEL_SCALE, "p", "a", "d", "data")
        and not is_information(n)
        and rows[n].nunique(dropna=False) > 1
    ]
    return ["study", "data", *names]


def medians(correlations: pd.DataFrame, along: str = "U", kind: str = "pearson") -> pd.DataFrame:
    """Median and quartiles of correlations at each value of a characteristic, per pair.

    Returns:
        Columns `study data along pair n median q25 q75`.
    """

    def quantile(q: float) -> NDArray[np.float64]:
        return np.asarray(grouped.quantile(q), dtype=np.float64)

    grouped = correlations.groupby(["study", "data", along, "pair"], sort=True)[kind]
    table = grouped.count().rename("n").reset_index()
    return table.assign(median=quantile(0.5), q25=quantile(0.25), q75=quantile(0.75))
