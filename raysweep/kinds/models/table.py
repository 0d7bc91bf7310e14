"""A table of models: a row for each, with the columns that a model has in a study file."""

import contextlib
from pathlib import Path
from typing import Any

from raysweep.data.files.row_table import read_row_table

_TEXTS = ("side", "model", "features", "weights", "column", "family")
"""A model that is called 7 has a name, and no number."""
_NUMBERS = ("size", "performance")


def rows_of_table(path: Path) -> list[dict[str, Any]]:
    """The rows of a table, without what is empty; paths of features are relative to its folder.

    Args:
        path: CSV, Parquet or JSON lines, by its suffix.

    Raises:
        InputError: as `read_row_table`.
    """
    rows = read_row_table(path, "the columns side, model and features", _TEXTS).to_pylist()
    found = [{name: _value(v) for name, v in row.items() if v not in (None, "")} for row in rows]
    for row in found:
        row.update((name, _number(row[name])) for name in _NUMBERS if name in row)
        features = row.get("features")
        if isinstance(features, str):
            row["features"] = str(path.parent / Path(features).expanduser())
    return found


def _number(value: object) -> object:
    """A number that is text because another of its column is none; that one is the fault."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return _value(float(value))
    return value


def _value(value: object) -> object:
    """Whole numbers of a column that lacks some are stored as floating ones."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
