"""Folders that ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk`` of Hugging Face wrote.

They hold streams of Arrow, which are read as such: the package datasets is not needed, and would
turn float64 into float32 on the way to NumPy.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from raysweep.data.dtypes import Array, Role
from raysweep.data.files.arrow import dimensions, read_columns
from raysweep.errors import InputError

STATE, SPLITS = "state.json", "dataset_dict.json"
_SPLIT = "split"
_WORDS = {
    "train": "train",
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    "test": "test",
}


def is_dataset_folder(path: Path) -> bool:
    """Whether a folder is one that ``save_to_disk`` wrote."""
    return (path / STATE).is_file() or (path / SPLITS).is_file()


@dataclass(frozen=True)
class DatasetFolder:
    """A saved dataset, or a dict of them, whose names become the column ``split``."""

    path: str
    noun: str = "column"

    @classmethod
    def open(cls, path: str) -> "DatasetFolder":
        """The dataset in a folder.

        Raises:
            InputError: it is none, or not whole.
        """
        found = cls(path)
        try:
            found._table  # noqa: B018
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            words = " ".join(str(error).split())
            raise InputError(
                f"not a whole folder of a dataset ({words}), expected one that save_to_disk wrote"
            ) from error
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """See `Source.names`."""
        return tuple(self._table.column_names)

    def dimensions(self, name: str) -> int | None:
        """See `Source.dimensions`."""
        return dimensions(self._table.schema.field(name).type)

    def read(self, names: Sequence[str], role: Role, faults: list[str]) -> dict[str, Array]:
        """See `Source.read`."""
        found = read_columns(self._table, names, role, faults)
        for name in set(found) & self._class_labels:
            unlabelled = np.flatnonzero(found[name] == -1)
            if unlabelled.size:
                del found[name]
                faults.append(
                    f"{name} is -1, which stands for no label, in {unlabelled.size} rows, first in "
                    f"row {unlabelled[0]}; expected a label in every row; save "
                    f"dataset.filter(lambda row: row[{name!r}] >= 0)"
                )
        return found

    @cached_property
    def _folders(self) -> dict[str, Path]:
        """The folders of the datasets, by their names; one that is alone has none."""
        root = Path(self.path)
        if not (root / SPLITS).is_file():
            return {"": root}
        names = _json(root / SPLITS)["splits"]
        return {name: root / _inside(name) for name in names}

    @cached_property
    def _table(self) -> Any:
        """All rows, mapped into memory."""
        parts = {name: _rows(folder) for name, folder in self._folders.items()}
        if len(parts) == 1:
            return next(iter(parts.values()))
        unknown = [name for name in parts if name not in _WORDS]
        if unknown:
            raise InputError(
                f"holds datasets named {', '.join(parts)}, expected train, validation and test; "
                f"give one of them as the path, such as {Path(self.path).name}/{unknown[0]}"
            )
        split = [pa.array([_WORDS[name]] * len(part)) for name, part in parts.items()]
        whole = pa.concat_tables(parts.values())
        if _SPLIT in whole.column_names:
            raise InputError(f"holds several datasets with a column {_SPLIT}; rename that column")
        return whole.append_column(_SPLIT, pa.chunked_array(split))

    @cached_property
    def _class_labels(self) -> set[str]:
        folder = next(iter(self._folders.values()))
        try:
            features: Mapping[str, Any] = _json(folder / "dataset_info.json")["features"] or {}
        except (OSError, KeyError, ValueError):
            return set()
        return {
            name
            for name, feature in features.items()
            if isinstance(feature, Mapping) and feature.get("_type") == "ClassLabel"
        }


def _rows(folder: Path) -> Any:
    state = _json(folder / STATE)
    if state.get("_indices_data_files"):
        raise InputError(
            "holds an order of rows beside them, expected the rows themselves; save "
            "dataset.flatten_indices()"
        )
    tables = []
    for entry in state["_data_files"]:
        with pa.memory_map(str(folder / _inside(entry["filename"]))) as stream:
            tables.append(pa.ipc.open_stream(stream).read_all())
    return pa.concat_tables(tables)


def _inside(name: str) -> str:
    if Path(name).name != name:
        raise ValueError(f"{name!r} is no name of a file")
    return name


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
