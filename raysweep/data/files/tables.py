"""Tables with named columns: CSV, as text that may be compressed, and Parquet."""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from raysweep.data.dtypes import Array, Role
from raysweep.data.files.arrow import dimensions, read_columns
from raysweep.errors import InputError
from raysweep.study.spec.fields import listed

CSV_SUFFIXES = (".csv", ".tsv", ".tab")
COMPRESSED = (".gz", ".bz2", ".zst")
MISSING = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NaT", "NULL", "null", "None")
"""What stands for a missing value in a CSV, unless it is quoted."""

_MOST_HEADER = 2**24
_UNNAMED_INDEX = re.compile(r"__index_level_\d+__")


@dataclass(frozen=True)
class Csv:
    """A table of text, read as a whole: its first line names the columns.

    The types of columns are inferred from all of their rows. Text is UTF-8.
    """

    table: Any
    header: tuple[str, ...]
    noun: str = "column"

    @classmethod
    def open(cls, path: str) -> "Csv":
        """The table at a path.

        Raises:
            InputError: its first line does not name columns, or it is no table.
        """
        try:
            with pa.input_stream(path) as stream:
                content = stream.read(_MOST_HEADER)
        except (OSError, ValueError) as error:
            raise InputError(f"cannot be read ({error}), expected a CSV file") from error
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise InputError("is text in UTF-16, expected UTF-8; save it as CSV UTF-8")
        start = content.decode("utf-8-sig", errors="replace")
        if not start.strip():
            raise InputError("is empty, expected a CSV file whose first line names the columns")
        first = start.splitlines()[0]
        tabbed = re.search(r"\.(tsv|tab)\b", Path(path).name) is not None
        delimiter = "\t" if tabbed else max(",;\t|", key=first.count)
        header = tuple(next(csv.reader([first], delimiter=delimiter)))
        _check_names(header)
        if all(_is_number(name) for name in header) and header != _counted(len(header)):
            raise InputError(
                f"its first line holds numbers ({listed(header, 5)}), expected the names of the "
                "columns; save with DataFrame.to_csv(..., header=[...], index=False)"
            )
        return cls(_parsed(path, delimiter).rename_columns(list(header)), header)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """See `Source.names`; a column without a name, as of a DataFrame's index, is none."""
        return tuple(filter(None, self.header))

    def dimensions(self, name: str) -> int | None:
        """See `Source.dimensions`."""
        return 1

    def read(self, names: Sequence[str], role: Role, faults: list[str]) -> dict[str, Array]:
        """See `Source.read`."""
        at = {name: place for place, name in enumerate(self.header)}
        chosen = self.table.select([at[name] for name in names])
        return read_columns(chosen, names, role, faults, "empty or NA")


@dataclass(frozen=True)
class Parquet:
    """A Parquet file, of which the columns that are wanted are read."""

    path: str
    schema: Any
    noun: str = "column"

    @classmethod
    def open(cls, path: str) -> "Parquet":
        """The file at a path.

        Raises:
            InputError: it is none.
        """
        try:
            with pa.parquet.ParquetFile(path) as file:
                schema = file.schema_arrow
        except (pa.ArrowException, OSError, ValueError) as error:
            raise InputError("not a Parquet file, expected one (DataFrame.to_parquet)") from error
        _check_names(schema.names)
        return cls(path, schema)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """See `Source.names`; the index of a DataFrame is none, unless it has a name."""
        return tuple(name for name in self.schema.names if not _UNNAMED_INDEX.fullmatch(name))

    def dimensions(self, name: str) -> int | None:
        """See `Source.dimensions`."""
        return dimensions(self.schema.field(name).type)

    def read(self, names: Sequence[str], role: Role, faults: list[str]) -> dict[str, Array]:
        """See `Source.read`."""
        try:
            with pa.parquet.ParquetFile(self.path) as file:
                table = file.read(columns=list(names))
        except (pa.ArrowException, OSError) as error:
            words = " ".join(str(error).split())
            raise InputError(f"{listed(names, 5)} cannot be read ({words})") from error
        return read_columns(table, names, role, faults)


def _check_names(names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise InputError(
            f"has more than one column of the name {listed(twice, 5)}, expected each name once"
        )


def _counted(columns: int) -> tuple[str, ...]:
    """The names that pandas gives columns without one."""
    return tuple(map(str, range(columns)))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parsed(path: str, delimiter: str) -> Any:
    try:
        return pa.csv.read_csv(
            path,
            parse_options=pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                null_values=list(MISSING),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except (pa.ArrowException, OSError) as error:
        words = " ".join(str(error).split())
        message = f"is no CSV table ({words}), expected as many values in every line"
        raise InputError(message) from error
