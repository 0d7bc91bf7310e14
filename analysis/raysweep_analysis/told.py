"""What the data of a table tell of the label, with the intervals of what is estimated."""

import numpy as np
import pandas as pd

from raysweep.data.estimable import MOST_ROWS
from raysweep.data.missed import missed_by_features
from raysweep.trials.columns import Role, column_of, named
from raysweep_analysis.load import describe_cells, plain

COLUMNS = ["study", "cell", "label", "number", "value", "low", "high", "estimated", "draws"]

_NAMES = {
    "I1": "modality 1",
    "I2": "modality 2",
    "I12": "both together",
    "pid_R": "shared",
    "pid_U1": "only in 1",
    "pid_U2": "only in 2",
    "pid_S": "only in both together",
}


def information(trials: pd.DataFrame) -> pd.DataFrame:
    """What each modality of a cell's data tells of the label, exact or estimated.

    Args:
        trials: a trial table.

    Returns:
        One row per (study, cell) and number that is known (`I1`, `pid_R`, ...): `value` in nats,
        the mean over the cell's draws; `low` and `high`, the ends of its 95 % interval, of several
        draws their means; NaN of what is exact, and of tables from before there were any;
        `estimated`; `draws`. Intervals hold what the same estimate finds of other rows: the
        truth may be more than `high`.

    Example:
        >>> from raysweep import analysis
        >>> from raysweep.analysis.examples import FORCING
        >>> told = analysis.information(analysis.load_trials(FORCING))
        >>> told.loc[told["number"] == "pid_R", "estimated"].any()
        np.False_
    """
    trials = plain(trials)
    there = [column_of(str(name)) for name in trials.columns]
    wanted = [c for c in there if c.role is Role.INFORMATION and _in_nats(c.metric or c.name)]
    cells = describe_cells(trials)
    places = zip(cells["study"], cells["cell"], strict=True)
    labels = dict(zip(places, cells["label"], strict=True))
    rows = []
    for (study, cell), of_cell in trials.groupby(["study", "cell"], sort=False):
        draws = of_cell.drop_duplicates("draw")
        for column in wanted:
            # Rows from before an upgrade lack the ends of intervals; those after have them.
            value, low, high = (
                float(of_cell.groupby("draw")[name].mean().mean()) if name in of_cell else np.nan
                for name in (column.name, *_ends(column.name, column.metric))
            )
            if np.isfinite(value):
                number = column.metric or column.name
                estimated = bool(column.metric)
                ends = (value, low, high, estimated, len(draws))
                rows.append((study, cell, labels[study, cell], number, *ends))
    return pd.DataFrame(rows, columns=COLUMNS).astype({"estimated": bool})


def _in_nats(number: str) -> bool:
    return column_of(number).unit == "nats"


def _ends(column: str, number: str) -> tuple[str, str]:
    """The columns of an estimate's interval; those of no column where it is exact."""
    if not number:
        return "", ""
    return named("estimated_low", number), named("estimated_high", number)


def estimates_table(trials: pd.DataFrame) -> pd.DataFrame:
    """What is estimated of each dataset, in a row with intervals for people; empty without any."""
    told = information(trials)
    told = told[told["estimated"]]
    if told.empty:
        return told
    ends = (
        " (" + told["low"].map("{:.2f}".format) + " to " + told["high"].map("{:.2f}".format) + ")"
    )
    words = told["value"].map("{:.2f}".format) + ends.where(told["low"].notna(), "")
    rows = told.assign(words=words).pivot(
        index=["study", "cell", "label"], columns="number", values="words"
    )
    names = [name for name in _NAMES if name in rows]
    # Models of several scales learn from the same data.
    rows = rows[names].drop_duplicates().reset_index()
    return rows[["label", *names]].rename(columns=_NAMES)


def what_estimates_miss(trials: pd.DataFrame) -> str:
    """A sentence on how low estimates from so few rows are."""
    sizes = [name for name in ("n_train", "n_validation", "n_test") if name in trials]
    return missed_by_features(int(min(trials[sizes].sum(axis=1).min(), MOST_ROWS)))
