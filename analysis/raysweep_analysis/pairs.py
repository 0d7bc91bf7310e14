"""Confirm rows -> paired differences between two arms, and the units that a test may count."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raysweep.errors import InputError
from raysweep.trials.criteria import CHOSEN_BY, chosen_by
from raysweep_analysis.load import searched_options, values_of
from raysweep_analysis.resplits import SPLIT, shared_among, tested_share

Unit = Literal["auto", "seed", "draw"]
PLACE = ["study", "cell"]
GROUP = [*PLACE, "chosen_by"]
PAIR = [*GROUP, "draw", "seed"]


@dataclass(frozen=True)
class Units:
    """Differences of groups, one row each: [groups, most units in a group], NaN as missing.

    Attributes:
        values: the differences.
        names: the number of the draw or seed that each is of.
        n_pairs, n_draws: [groups] pairs and draws that they come from.
        by_draw: [groups] whether units are draws; else they are seeds.
        resplit: [groups] whether units are draws that are splits of the same rows.
        shared: [groups] what such draws share (`shared_variance`); 0 of others.
    """

    values: NDArray[np.float64]
    names: NDArray[np.float64]
    n_pairs: NDArray[np.int64]
    n_draws: NDArray[np.int64]
    by_draw: NDArray[np.bool_]
    resplit: NDArray[np.bool_]
    shared: NDArray[np.float64]

    @property
    def kind(self) -> NDArray[np.str_]:
        """[groups] what a unit is: `seed`, `draw`, or `split` of the same rows."""
        return np.where(self.resplit, SPLIT, np.where(self.by_draw, "draw", "seed"))


def confirm_rows(trials: pd.DataFrame, outcomes: dict[str, str]) -> pd.DataFrame:
    """The rows of the confirm stage, once under every criterion that they serve.

    A row whose strength both criteria chose (`alignment+performance`) serves both. Arm `none` has
    no strength to choose, so it serves every criterion of its cell.

    Args:
        trials: a trial table.
        outcomes: new column name -> outcome column of the table; NaN unless the row is ok, and
            something was forced in it if it was to be.

    Returns:
        Columns `study cell chosen_by draw seed arm status unforced` (as `forced_nothing`)
        `strength options tested` (as `tested_share`) and the outcomes.

    Raises:
        InputError: two rows of one arm in the same place.
    """
    idle = forced_nothing(trials)
    usable = (trials["status"].astype(str) == "ok") & ~idle
    chosen = trials["chosen_by"] if "chosen_by" in trials else pd.Series("", index=trials.index)
    rows = pd.DataFrame(
        {
            **{name: trials[name] for name in (*PLACE, "draw", "seed", "strength")},
            "options": searched_options(trials),
            "chosen_by": chosen.astype("object").where(chosen.notna(), "").astype(str),
            "arm": trials["arm"].astype(str),
            "status": trials["status"].astype(str),
            "unforced": idle,
            "tested": tested_share(trials),
            **{new: values_of(trials, column).where(usable) for new, column in outcomes.items()},
        }
    )[trials["stage"].astype(str) == "confirm"]
    none, others = rows[rows["arm"] == "none"], rows[rows["arm"] != "none"]
    both = ~others["chosen_by"].isin(["", *CHOSEN_BY])
    split = others[both].assign(chosen_by=others.loc[both, "chosen_by"].map(chosen_by))
    others = pd.concat([others[~both], split.explode("chosen_by")], ignore_index=True)
    criteria = others[GROUP].drop_duplicates()
    none = none.drop(columns="chosen_by").drop_duplicates().merge(criteria, on=PLACE, how="left")
    rows = pd.concat([none, others], ignore_index=True)
    rows["chosen_by"] = rows["chosen_by"].fillna("").astype(str)
    _one_each(rows)
    return rows


def forced_nothing(trials: pd.DataFrame) -> pd.Series:
    """Whether a row's arm was to force, and did not in any of its steps.

    Such a run is the one without forcing: three equal arms would pass for "makes no difference".
    """
    if not {"steps", "unforced_steps"} <= set(trials.columns):
        return pd.Series(False, index=trials.index)
    steps = pd.to_numeric(trials["steps"])
    idle = (steps > 0) & (pd.to_numeric(trials["unforced_steps"]) == steps)
    return idle & trials["arm"].astype(str).isin(["forced", "placebo"])


def paired(rows: pd.DataFrame, arm: str, reference: str) -> pd.DataFrame:
    """Join an arm's rows with a reference arm's: same cell, criterion, draw and seed.

    Returns:
        One row per pair, the reference's columns suffixed `_reference`; a pair that misses a side
        is there with NaN.
    """
    left = rows[rows["arm"] == arm].drop(columns="arm")
    right = rows[rows["arm"] == reference].drop(columns="arm")
    return left.merge(right, on=PAIR, how="outer", suffixes=("", "_reference"))


def units(pairs: pd.DataFrame, groups: pd.DataFrame, difference: str, unit: Unit = "auto") -> Units:
    """Collect differences into one row of units per group.

    The unit of a claim about a cell's data is the dataset draw: seeds of one draw share its data,
    its test rows and its best strength, and count as replicates of the draw only. So with two
    draws or more (`auto`) the units are the means of draws, each draw counting once; with one draw
    they are its seeds, and the claim is about that dataset. Draws that split the same rows anew
    are units, too, and share what `Units.shared` says.

    Args:
        pairs: as from `paired`, with the column `difference` (NaN where a side is missing).
        groups: the groups in order, columns `study cell chosen_by`.
        difference: the column.
        unit: `auto`, or `seed` or `draw` for all groups.
    """
    n_groups = len(groups)
    frame = pairs[[*GROUP, "draw", "seed", difference, "tested"]].dropna(subset=[difference])
    frame = frame.merge(groups[GROUP].assign(code=np.arange(n_groups)), on=GROUP, how="inner")
    means = frame.groupby(["code", "draw"], sort=True)[difference].mean().reset_index()
    n_draws = np.bincount(means["code"], minlength=n_groups)
    by_draw = n_draws >= 2 if unit == "auto" else np.full(n_groups, unit == "draw")
    shared, resplit = np.zeros(n_groups), np.zeros(n_groups, dtype=bool)
    of_splits = frame[frame["tested"].notna() & by_draw[frame["code"]]]
    for code in of_splits["code"].unique():
        rows = of_splits[of_splits["code"] == code]
        resplit[code] = True
        shared[code] = shared_among(rows["draw"], float(rows["tested"].mean()))
    seeds, draws = frame[~by_draw[frame["code"]]], means[by_draw[means["code"]]]
    chosen = pd.concat([seeds.assign(name=seeds["seed"]), draws.assign(name=draws["draw"])])
    return Units(
        padded(chosen["code"], chosen[difference], n_groups),
        padded(chosen["code"], chosen["name"], n_groups),
        np.bincount(frame["code"], minlength=n_groups),
        n_draws,
        by_draw,
        resplit,
        shared,
    )


def padded(codes: pd.Series, values: pd.Series, n_groups: int) -> NDArray[np.float64]:
    """Values of groups as rows [n_groups, most values in a group], the rest NaN."""
    place = codes.groupby(codes).cumcount().to_numpy()
    table = np.full((n_groups, int(place.max()) + 1 if len(place) else 1), np.nan)
    table[codes.to_numpy(), place] = values.to_numpy()
    return table


def _one_each(rows: pd.DataFrame) -> None:
    twice = rows.duplicated([*PAIR, "arm"])
    if twice.any():
        first = rows[twice].iloc[0]
        raise InputError(
            f"cell {first['cell']!r} has several confirm rows of arm {first['arm']!r} for draw "
            f"{first['draw']}, seed {first['seed']}: expected one strength per criterion "
            "(`chosen_by`); for many strengths use raysweep_analysis.dose_response"
        )
