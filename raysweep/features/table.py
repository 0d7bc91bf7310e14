"""A table of texts and of paths of images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from raysweep.errors import InputError
from raysweep.study.spec.fields import listed

_CSV = (".csv", ".tsv")
_JSON = (".jsonl", ".ndjson", ".json")
_PARQUET = (".parquet", ".pq")


class Table:
    """The columns of a file that are asked for.

    Args:
        path: CSV, Parquet or JSON lines, by its suffix.

    Raises:
        InputError: it cannot be read as what its suffix says.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._table = _read(path)
        except (pa.ArrowException, OSError, ValueError) as error:
            words = " ".join(str(error).split())
            raise InputError(
                f"{path}: cannot be read ({words}); expected a table with names of columns, as "
                ".csv, .tsv, .parquet or .jsonl"
            ) from error
        if self._table.num_rows == 0:
            raise InputError(f"{path}: has no rows")

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self._table.num_rows)

    def texts(self, column: str) -> list[str]:
        """A column of texts.

        Raises:
            InputError: there is no such column, it holds no text, or a text is missing.
        """
        if column not in self._table.column_names:
            names = listed(self._table.column_names, 8)
            raise InputError(f"{self.path}: has no column {column!r}; it has {names}")
        values: list[Any] = self._table.column(column).to_pylist()
        for row, value in enumerate(values):
            if not isinstance(value, str):
                found = "is missing" if value is None else f"is {value!r}"
                raise InputError(f"{self.path}: {column} in row {row} {found}, expected a text")
        return values

    def images(self, column: str) -> list[Path]:
        """The files that a column names, relative to the table's folder.

        Raises:
            InputError: there is no such column, or a file is not there.
        """
        paths = [self.path.parent / text for text in self.texts(column)]
        missing = [row for row, path in enumerate(paths) if not path.is_file()]
        if missing:
            raise InputError(
                f"{self.path}: {column} in row {missing[0]} names {paths[missing[0]]}, which is no "
                f"file ({len(missing)} of {len(paths)} are missing); expected paths relative to "
                "the table's folder"
            )
        return paths


def _read(path: Path) -> Any:
    if path.suffix in _PARQUET:
        return pa.parquet.read_table(path)
    if path.suffix in _JSON:
        return pa.json.read_json(path)
    if path.suffix in _CSV:
        delimiter = "\t" if path.suffix == ".tsv" else ","
        with pa.input_stream(path) as stream:
            names: Sequence[str] = pa.csv.open_csv(
                stream, parse_options=_lines(delimiter)
            ).schema.names
        # Text as it stands: a caption of `None` or `NA` is one, and `007` no number.
        types = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
        return pa.csv.read_csv(path, parse_options=_lines(delimiter), convert_options=types)
    raise ValueError(f"a file that ends with {path.suffix or 'nothing'}")


def _lines(delimiter: str) -> Any:
    return pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
