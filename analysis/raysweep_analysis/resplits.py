"""Draws that are splits of the same rows: what they share, and how it is told."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from raysweep.data.resplits import TURN
from raysweep.errors import InputError
from raysweep_analysis.inference import overlap_of, shared_variance

SPLIT = "split"
"""The unit where draws are splits of the same rows."""
PLACE = ["study", "cell"]


def tested_share(trials: pd.DataFrame) -> pd.Series:
    """Row by row, the share that its draw tests of the rows that draws test in turn.

    NaN where draws are datasets of their own.
    """
    if "resplit" not in trials:
        return pd.Series(np.nan, index=trials.index)
    test = trials["n_test"].astype(float)
    return (test / (test + trials["n_train"].astype(float))).where(trials["resplit"].notna())


def shared_among(draws: Iterable[int], share: float) -> float:
    """What splits share (`shared_variance`): the draws of a cell, and what each tests.

    0 for a draw alone, and where ``share`` is NaN: draws are datasets of their own.
    """
    numbers = set(draws)
    if len(numbers) < 2 or np.isnan(share):
        return 0.0
    return float(shared_variance(overlap_of(numbers, TURN, share)))


def is_resplit(rows: pd.DataFrame) -> bool:
    """Whether draws of any row are splits of the same rows."""
    return "resplit" in rows and bool(rows["resplit"].notna().any())


def check_unit(trials: pd.DataFrame, unit: str) -> None:
    """Refuse to count seeds over several splits of the same rows.

    Raises:
        InputError: unit is seed, and some cell has several such draws.
    """
    if unit != "seed" or "resplit" not in trials:
        return
    draws = trials[trials["resplit"].notna()].groupby(PLACE)["draw"].nunique()
    if (draws > 1).any():
        cell = draws.index[draws > 1][0][1]
        raise InputError(
            f"unit is seed, and the draws of cell {cell!r} are splits of the same rows: its seeds "
            "are no independent units over several splits; take unit auto"
        )


def basis(effects: pd.DataFrame) -> Iterator[str]:
    """Of the user's own data what the verdicts are over: splits, their rows, and those tested.

    Args:
        effects: rows of `forcing_effects`.
    """
    if not {"file", "n_train", "n_validation", "n_test"} <= set(effects.columns):
        return
    own = effects[effects["file"].notna()]
    for file, rows in own.groupby("file", sort=False):
        said = dict.fromkeys(_basis_of(row) for row in rows.to_dict("records"))
        yield from (f"{file}: {words}" for words in said)


def _basis_of(row: dict[Any, Any]) -> str:
    tested, *others = (row[name] for name in ("n_test", "n_train", "n_validation"))
    rows = round(tested + sum(others))
    # Where groups of rows stay together, splits differ a little.
    tested = f"{tested:.0f}" if float(tested).is_integer() else f"about {tested:.0f}"
    if row["unit"] == SPLIT:
        return (
            f"the verdict is over {row['n']} splits of the same {rows} rows, {tested} tested in "
            "each; the split is the unit, and tests and intervals allow for the rows that splits "
            "share."
        )
    given = "resplit" not in row or not isinstance(row["resplit"], str)
    which = "that the file gives" if given else "of these rows"
    more = "" if given else "; draws: 5 would tell how much hangs on the split"
    return (
        f"the verdict holds for the one split {which}, {tested} of {rows} rows tested; its units "
        f"are {row['unit']}s{more}."
    )
