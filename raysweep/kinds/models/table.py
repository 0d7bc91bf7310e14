"""A table of models: a row for each, with the columns that a model has in a study file."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from raysweep.errors import InputError

_CSV = {".csv": ",", ".tsv": "\t"}
_JSON = (".jsonl", ".ndjson")
_PARQUET = (".parquet", ".pq")
_TEXTS = ("side", "model", "features", "weights", "column", "family")


def rows_of_table(path: Path) -> list[dict[str, Any]]:
    """The rows of a table, without what is empty; paths of features are relative to its folder.

    Args:
        path: CSV, Parquet or JSON lines, by its suffix.

    Raises:
        InputError: it cannot be read as what its suffix says, or has no rows.
    """
    try:
        rows = _read(path).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        words = " ".join(str(error).split())
        raise InputError(
            f"{path}: cannot be read ({words}); expected a table with the columns side, model and "
            "features, as .csv, .tsv, .parquet or .jsonl"
        ) from error
    if not rows:
        raise InputError(f"{path}: has no rows")
    found = [{name: _value(v) for name, v in row.items() if v not in (None, "")} for row in rows]
    for row in found:
        features = row.get("features")
        if isinstance(features, str):
            row["features"] = str(path.parent / Path(features).expanduser())
    return found


def _value(value: object) -> object:
    """Whole numbers of a column that lacks some are stored as floating ones."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _read(path: Path) -> Any:
    suffix = path.suffix.lower()
    if suffix in _PARQUET:
        return pa.parquet.read_table(path)
    if suffix in _JSON:
        return pa.json.read_json(path)
    if suffix in _CSV:
        lines = pa.csv.ParseOptions(delimiter=_CSV[suffix])
        # A model that is called 7 has a name, and no number.
        types = pa.csv.ConvertOptions(column_types=dict.fromkeys(_TEXTS, pa.string()))
        return pa.csv.read_csv(path, parse_options=lines, convert_options=types)
    raise ValueError(f"a file that ends with {suffix or 'nothing'}")
