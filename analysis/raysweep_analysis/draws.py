"""Effects per dataset draw: the units that claims about data characteristics count."""

import numpy as np
import pandas as pd

from raysweep.trials.columns import named
from raysweep_analysis.load import check_seeds, descriptors, plain
from raysweep_analysis.pairs import GROUP, PAIR, PLACE, confirm_rows, paired
from raysweep_analysis.resplits import shared_among, tested_share

MODEL_SCALE = ("encoder", "depth_1", "depth_2", "width_1", "width_2", "parameters")
# How many degrees of freedom the study-wide spread counts for beside a cell's own: seeds are few,
# and a cell whose few seeds agree by luck must not dominate the weights.
_PRIOR_DF = 4


def draw_effects(trials: pd.DataFrame, performance: str, reference: str = "none") -> pd.DataFrame:
    """The effect of forcing in every cell and dataset draw.

    Args:
        trials: a trial table.
        performance: the outcome column.
        reference: the arm to compare with: `none`, or `placebo` for the effect net of it.

    Returns:
        One row per (study, cell, chosen_by, draw) with at least one complete pair of confirm runs:
        those keys and `data`, `effect` (mean over seeds), `variance` (of that mean: the spread
        over seeds pooled over the draws of the cell, shrunk towards the study's), `n_seeds`,
        `dataset` (a label shared by units trained on the very same data), and the descriptors of
        the cell at this draw. Draws that are splits of the same rows are one dataset, and one row:
        the mean over splits, with its corrected variance and the first draw's number. `effect` is
        in the outcome's unit (of accuracy and regret a share, 0.01 is a point; of losses nats),
        `variance` in its square.

    Example:
        >>> from raysweep import analysis
        >>> from raysweep.analysis.examples import FORCING
        >>> trials = analysis.load_trials(FORCING)
        >>> by_draw = analysis.draw_effects(trials, "performance_fused_test")
        >>> by_draw.groupby(["cell", "chosen_by"]).size().unique().tolist()
        [15]
    """
    trials = plain(trials)
    check_seeds(trials)
    pairs = paired_differences(trials, performance, reference)
    keys = [*GROUP, "draw"]
    units = pairs.groupby(keys, sort=False)["d"].agg(["mean", "count", "var"]).reset_index()
    units = units.rename(columns={"mean": "effect", "count": "n_seeds"})
    units["squares"] = units["var"].fillna(0.0) * (units["n_seeds"] - 1)
    units["df"] = units["n_seeds"] - 1
    cell = units.groupby(GROUP)[["squares", "df"]].transform("sum")
    study = units.groupby(["study", "chosen_by"])[["squares", "df"]].transform("sum")
    overall = (study["squares"] / study["df"].where(study["df"] > 0)).fillna(0.0)
    spread = (cell["squares"] + _PRIOR_DF * overall) / (cell["df"] + _PRIOR_DF)
    units["variance"] = spread / units["n_seeds"]
    units = _datasets(units.drop(columns=["var", "squares", "df"]), trials)
    names = descriptors(trials)
    place = ["study", "cell", "draw"]
    described = trials.drop_duplicates(place)[[*place, *names]]
    units = units.merge(described, on=place, how="left")
    if "data" not in units:
        units["data"] = ""
    shared = [n for n in ["study", *names, "draw"] if n not in MODEL_SCALE]
    units["dataset"] = units.groupby(shared, dropna=False, sort=False).ngroup()
    return units


def _datasets(units: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """The units, of splits of the same rows one for all of them."""
    place = [*PLACE, "draw"]
    tested = trials[place].assign(tested=tested_share(trials)).drop_duplicates(place)
    units = units.merge(tested, on=place, how="left")
    split = units["tested"].notna()
    if not split.any():
        return units.drop(columns="tested")
    of_splits = units[split].groupby(GROUP, sort=False)
    merged = of_splits.agg(
        draw=("draw", "min"),
        effect=("effect", "mean"),
        n_seeds=("n_seeds", "sum"),
        own=("variance", "mean"),
        between=("effect", "var"),
        splits=("effect", "size"),
    ).reset_index()
    shared = [shared_among(g["draw"], float(g["tested"].mean())) for _, g in of_splits]
    several = merged["between"] * (1 / merged["splits"] + shared)
    merged["variance"] = several.where(merged["splits"] > 1, merged["own"])
    merged = merged.drop(columns=["own", "between", "splits"])
    return pd.concat([units[~split].drop(columns="tested"), merged], ignore_index=True)


def paired_differences(
    trials: pd.DataFrame, performance: str, reference: str = "none"
) -> pd.DataFrame:
    """Complete pairs of confirm runs: keys and `d` = forced - reference."""
    pairs = paired(confirm_rows(trials, {"y": performance}), "forced", reference)
    pairs["d"] = pairs["y"] - pairs["y_reference"]
    return pairs.loc[pairs["d"].notna(), [*PAIR, "d"]].reset_index(drop=True)


def numeric_covariate(units: pd.DataFrame, name: str) -> pd.Series:
    """A covariate of units: a column, `log2 NAME`, or a derived one.

    Derived: `redundancy - uniqueness` (pid_R - pid_U1 - pid_U2, nats), `width` and `depth`
    (geometric means of both encoders).

    Raises:
        KeyError: the table has no such column.
    """
    if name.startswith("log2 "):
        values = numeric_covariate(units, name.removeprefix("log2 "))
        return pd.Series(np.log2(values.to_numpy(float)), index=units.index)
    if name == "redundancy - uniqueness":
        return units["pid_R"] - units["pid_U1"] - units["pid_U2"]
    if name in ("width", "depth") and name not in units:
        return (units[named(name, 1)] * units[named(name, 2)]).astype(float) ** 0.5
    return units[name].astype(float)
