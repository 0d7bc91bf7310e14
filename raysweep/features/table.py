"""A table of texts and of paths of images."""

from pathlib import Path
from typing import Any

from raysweep.data.files.row_table import read_row_table
from raysweep.errors import InputError
from raysweep.study.spec.fields import listed


class Table:
    """The columns of a file that are asked for.

    Args:
        path: CSV, Parquet or JSON lines, by its suffix.

    Raises:
        InputError: as `read_row_table`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._table = read_row_table(path, "names of columns")

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
