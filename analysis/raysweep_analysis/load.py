"""Trial tables in: read, join and check them, and say what describes a cell."""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from raysweep.errors import InputError
from raysweep.trials.columns import REQUIRED, Column, Role, beside, column_of, named
from raysweep.trials.table import read_table

Source = str | Path | pd.DataFrame

CHOICES = {
    "arm": ("none", "forced", "placebo"),
    "stage": ("search", "confirm", "tune", "measure"),
    "status": ("ok", "diverged", "failed"),
}
FILE = "file"
# The order in which a reader looks for what a cell is.
_LABEL_ORDER = (
    *(
        "data",
        FILE,
        "model_1",
        "model_2",
        "modalities",
        "U",
        "R",
        "overlap",
        "D_phi",
        "loss",
        "encoder",
    ),
    *("width_1", "width_2", "depth_1", "depth_2", "n_train"),
)


def load_trials(source: Source | Sequence[Source], several_studies: bool = False) -> pd.DataFrame:
    """Read one trial table, or several as one, and check it.

    Args:
        source: a run's output folder (its `trials.parquet` is read), a Parquet file, a DataFrame,
            or a sequence of these.
        several_studies: allow rows of more than one study. Every function of this package treats
            studies as separate families.

    Returns:
        All rows, failed and diverged ones included, with a fresh index.

    Raises:
        InputError: nothing to read, missing columns, unknown arms, stages or statuses, a key that
            occurs twice, several studies, or a seed used both to search for a strength and to
            confirm it.

    Example:
        >>> from raysweep import analysis
        >>> from raysweep.analysis.examples import FORCING
        >>> trials = analysis.load_trials(FORCING)
        >>> trials["stage"].unique().tolist()
        ['search', 'confirm']
    """
    sources: Iterable[Source]
    sources = [source] if isinstance(source, str | Path | pd.DataFrame) else list(source)
    frames = [_read(one) for one in sources]
    if not frames:
        raise InputError("no trial table given: expected a folder, a Parquet file or a DataFrame")
    trials = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
    trials = trials.reset_index(drop=True)
    _check(trials, several_studies)
    return trials


def descriptors(trials: pd.DataFrame) -> list[str]:
    """The columns that describe a cell: data characteristics, model scale and fixed settings."""
    return [
        column.name
        for column in map(column_of, map(str, trials.columns))
        if column.role.describes_cells
        or ((column.role is Role.RATE or _is_unseen(column)) and _is_fixed(trials, column.name))
    ]


def usable(trials: pd.DataFrame) -> pd.Series:
    """Which rows count: those that are ok, and that no search stopped before their end."""
    ok = trials["status"].astype(str) == "ok"
    return ok & trials["stopped_after"].isna() if "stopped_after" in trials else ok


def searched_options(trials: pd.DataFrame) -> pd.Series:
    """The loss options that a study's search proposed, in words: `temperature=0.1`.

    Numbers have three digits; the columns `option_*` are exact, and those with one value in all of
    a study are fixed there. Empty where there are none.
    """
    words = pd.Series("", index=trials.index)
    for column in map(column_of, map(str, trials.columns)):
        if column.family == "option":
            searched = trials.groupby("study")[column.name].transform("nunique") > 1
            part = trials[column.name].map(partial(_option_part, column.option))
            words = (words + " " + part.where(searched, "")).str.strip()
    return words


def is_information(name: str) -> bool:
    """Whether a descriptor is information or Bayes accuracy, exact or estimated."""
    return column_of(name).role is Role.INFORMATION


def describe_cells(trials: pd.DataFrame) -> pd.DataFrame:
    """One row per (study, cell): its descriptors and a short label.

    A number that differs between the draws of a cell (exact information does) becomes its mean
    over draws. Columns: `study cell label`, then the descriptors.
    """
    trials = plain(trials)
    names = descriptors(trials)
    keys = ["study", "cell"]
    per_draw = trials.drop_duplicates([*keys, "draw"])[[*keys, *names]]
    numeric = [n for n in names if pd.api.types.is_numeric_dtype(per_draw[n])]
    grouped = per_draw.groupby(keys, sort=False, dropna=False)
    cells = grouped[names].first() if names else grouped.size().to_frame()[[]]
    for name in numeric:
        # Whole numbers stay whole where the draws agree, so that labels read U=4, not U=4.0.
        if not (grouped[name].nunique() <= 1).all():
            cells[name] = grouped[name].mean()
    cells = cells.reset_index()
    cells.insert(2, "label", cell_labels(cells))
    return cells


def axes_of(cells: pd.DataFrame, among: Sequence[str] | None = None) -> list[str]:
    """The fewest descriptors that tell cells apart, the most telling first; `data` is not one.

    Args:
        cells: one row per cell, or more.
        among: the descriptors to choose from; by default all that `descriptors` finds.
    """
    names = descriptors(cells) if among is None else list(among)
    known = [n for n in _LABEL_ORDER if n in names and n != "data"]
    rest = [
        n
        for n in names
        if n not in known and not is_information(n) and n not in ("data", "label", "parameters")
    ]
    chosen: list[str] = []
    told_apart = 1
    most = len(cells[known + rest].drop_duplicates())
    for name in known + rest:
        if told_apart == most:
            break
        groups = len(cells[[*chosen, name]].drop_duplicates())
        if groups > told_apart:
            chosen.append(name)
            told_apart = groups
    return chosen


def shown_name(cells: pd.DataFrame, name: str) -> str:
    """`width` for `width_1` where both encoders have the same; else the name as it is."""
    column = column_of(name)
    if column.family in ("width", "depth") and column.modality == "1":
        other = named(column.family, 2)
        if other in cells and (cells[name] == cells[other]).all():
            return column.family
    return name


def cell_labels(cells: pd.DataFrame) -> pd.Series:
    """Short names of cells, such as `synthetic U=4 width=64`: dataset and `axes_of` it.

    Data of the user's own go by the name of their file: `a/wine.npz width=64`. The cell's id is
    added where that leaves two cells with one name.
    """
    labels = pd.Series("", index=cells.index)
    data = cells["data"].astype(str) if "data" in cells else labels
    for place in data.groupby(data, sort=False).indices.values():
        group = cells.iloc[place]
        names = [name for name in axes_of(group) if name != FILE]
        parts = [group[name].map(partial(_part, shown_name(group, name))) for name in names]
        text = data.iloc[place]
        if FILE in group:
            text = group[FILE].fillna(text).astype(str)
        for part in parts:
            text = (text + " " + part).str.strip()
        labels.iloc[place] = text
    clash = cells.assign(_label=labels).duplicated(["study", "_label"], keep=False)
    return labels.where(~clash & (labels != ""), (labels + " " + cells["cell"]).str.strip())


def values_of(trials: pd.DataFrame, outcome: str) -> pd.Series:
    """The numbers of an outcome column, or of `regret_<1|2|3|4|fused>_<split>`.

    Regret is the Bayes accuracy of what the head sees minus the accuracy reached, so it exists
    where the table knows the `bayes_` of that head.

    Raises:
        InputError: no such column.
    """
    if outcome in trials:
        return pd.to_numeric(trials[outcome], errors="coerce").astype(float)
    if has_outcome(trials, outcome):
        bayes, accuracy = (trials[beside(outcome, of)] for of in ("bayes", "performance"))
        return (bayes - accuracy).astype(float)
    described = set(descriptors(trials))
    present = [
        name
        for name in map(str, trials.columns)
        if column_of(name).role is Role.OUTCOME and name not in described
    ]
    raise InputError(
        f"the trial table has no column {outcome!r}; it has: {', '.join(present) or 'no outcomes'}"
    )


def has_outcome(trials: pd.DataFrame, outcome: str) -> bool:
    """Whether the table has an outcome, or what `values_of` makes it of."""
    if outcome in trials or column_of(outcome).family != "regret":
        return outcome in trials
    return all(beside(outcome, of) in trials for of in ("bayes", "performance"))


def higher_is_better(outcome: str) -> bool:
    """Whether more of an outcome is better: losses and regrets are to be small."""
    return not column_of(outcome).better_is_less


def alignment_column(trials: pd.DataFrame, split: str, wanted: str | None = None) -> str | None:
    """The alignment column to report: the wanted one, else one of the split, or of another.

    Of several on the same split a CKA comes first: it is what the paper's figures show.

    Raises:
        InputError: the wanted column is not in the table.
    """
    present = [
        column
        for column in map(column_of, map(str, trials.columns))
        if column.family == "alignment" and trials[column.name].notna().any()
    ]
    if wanted is not None:
        if wanted not in trials:
            there = ", ".join(column.name for column in present) or "none"
            raise InputError(f"the trial table has no column {wanted!r}; it has: {there}")
        return wanted

    def preference(column: Column) -> tuple[bool, bool, bool]:
        return column.split != split, column.split != "test", "cka" not in column.metric

    best = min(present, key=preference, default=None)
    return None if best is None else best.name


def _is_unseen(column: Column) -> bool:
    """Whether a column of others may be what a cell is: nothing says what it is."""
    return column.role is Role.OUTCOME and not (column.meaning or column.split)


def _is_fixed(trials: pd.DataFrame, name: str) -> bool:
    """Whether a column is the same in all trials of a cell and draw: what comes out is not."""
    place = [n for n in ("study", "cell", "draw") if n in trials]
    return not place or len(trials[[*place, name]].drop_duplicates()) == len(
        trials[place].drop_duplicates()
    )


def _read(source: Source) -> pd.DataFrame:
    return plain(source if isinstance(source, pd.DataFrame) else read_table(source))


def plain(trials: pd.DataFrame) -> pd.DataFrame:
    """A table whose columns hold numbers and texts, however they are stored.

    Categories, dictionaries and bytes become what they stand for; other columns stay as they are.
    """
    changed = {str(n): _values(trials[n]) for n in trials if _is_encoded(trials[n])}
    return trials.assign(**changed) if changed else trials


def filled(trials: pd.DataFrame) -> pd.DataFrame:
    """`plain`, of a table that has rows.

    Raises:
        InputError: it has none, as where a query fits no row.
    """
    if not len(trials):
        raise InputError("the trial table has no rows; does a query leave any?")
    return plain(trials)


def _is_encoded(column: pd.Series) -> bool:
    kind = column.dtype
    if isinstance(kind, pd.ArrowDtype):
        return pa.types.is_dictionary(kind.pyarrow_dtype) or pa.types.is_binary(kind.pyarrow_dtype)
    if isinstance(kind, pd.CategoricalDtype):
        return True
    return pd.api.types.is_object_dtype(kind) and pd.api.types.infer_dtype(column) == "bytes"


def _values(column: pd.Series) -> pd.Series:
    values = column.astype(object)
    texts = values.map(lambda v: v.decode(errors="replace") if isinstance(v, bytes) else v)
    return texts.infer_objects()


def _check(trials: pd.DataFrame, several_studies: bool) -> None:
    missing = [name for name in REQUIRED if name not in trials]
    if missing:
        raise InputError(
            f"the trial table lacks the columns {', '.join(missing)}; "
            f"it has: {', '.join(map(str, trials.columns)) or 'none'}"
        )
    if trials.empty:
        raise InputError("the trial table has no rows")
    for name, choices in CHOICES.items():
        unknown = sorted(set(trials[name].astype(str)) - set(choices))
        if unknown:
            raise InputError(
                f"column {name!r} of the trial table holds {', '.join(map(repr, unknown))}; "
                f"expected {', '.join(choices)}"
            )
    twice = trials.loc[trials["key"].duplicated(), "key"]
    if len(twice):
        raise InputError(
            f"{len(twice)} keys of the trial table occur more than once, first {twice.iloc[0]!r}: "
            "was the same table given twice?"
        )
    studies = trials["study"].unique()
    if len(studies) > 1 and not several_studies:
        raise InputError(
            f"the tables mix {len(studies)} studies ({', '.join(map(str, studies[:5]))}); "
            "analyse one at a time, or pass several_studies=True"
        )
    check_seeds(trials)


def check_seeds(trials: pd.DataFrame) -> None:
    """Refuse a table in which a cell searched and confirmed on the same seed.

    Raises:
        InputError: a shared seed. A strength tested on the runs that chose it looks better than
            it is: up to half of all null effects come out "significant".
    """
    place = trials[["study", "cell", "seed"]]
    search = place[trials["stage"].astype(str) == "search"].drop_duplicates()
    confirm = place[trials["stage"].astype(str) == "confirm"].drop_duplicates()
    shared = search.merge(confirm, on=["study", "cell", "seed"])
    if len(shared):
        first = shared.iloc[0]
        raise InputError(
            f"cell {first['cell']!r} of study {first['study']!r} uses seed {first['seed']} both to "
            f"search and to confirm ({len(shared)} such in all): confirmation needs fresh seeds"
        )


def _option_part(name: str, value: object) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, bool | np.bool_):
        return f"{name}={str(bool(value)).lower()}"
    return f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"


def _part(name: str, value: object) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, float | np.floating):
        value = f"{value:g}"
    return (
        str(value)
        if name in ("data", "loss", "encoder", "model_1", "model_2")
        else f"{name}={value}"
    )
