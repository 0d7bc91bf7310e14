"""Columns of Arrow as arrays: of CSV, Parquet and the folders of Hugging Face's datasets alike."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from raysweep.data.dtypes import Array, Role, noted
from raysweep.errors import InputError
from raysweep.text import counted, visible

_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
_EMPTY = "has no rows, expected one for each sample"
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")
_NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)


def read_columns(
    table: pa.Table, names: Sequence[str], role: Role, faults: list[str], missing: str = "missing"
) -> dict[str, Array]:
    """Those of the columns that can be read, by name; what is wrong with the others is noted.

    Args:
        table: with each of the names once.
        names: the columns.
        role: what they are for.
        faults: where to note them, each with its name.
        missing: what a missing value is called, in messages.
    """
    if not table.num_rows:
        if _EMPTY not in faults:  # of another role
            faults.append(_EMPTY)
        return {}
    found: dict[str, Array] = {}
    for name in names:
        with noted(faults):
            found[name] = _as_array(name, table.column(name), role, missing)
    return found


def dimensions(kind: pa.DataType) -> int:
    """How many axes the array of a column of this type has."""
    kind = _storage(kind)
    return 1 + dimensions(kind.value_type) if _is(kind, _LISTS) else 1


def _is(kind: pa.DataType, types: Sequence[Any]) -> bool:
    return any(test(kind) for test in types)


def _storage(kind: pa.DataType) -> pa.DataType:
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def _as_array(name: str, column: pa.ChunkedArray, role: Role, missing: str) -> Array:
    if isinstance(column.type, pa.BaseExtensionType):
        chunks = [chunk.storage for chunk in column.chunks]
        column = pa.chunked_array(chunks, column.type.storage_type)
    if pa.types.is_dictionary(column.type):
        if role in (Role.FEATURES, Role.GAPS) and not _is(column.type.value_type, _NUMBERS):
            raise InputError(
                f"{name} is categorical ({_shown(column[0])} in row 0), expected {role.expected}; "
                f"save pandas.get_dummies(table[{name!r}], dtype=float)"
            )
        column = column.cast(column.type.value_type)
    if column.null_count and role is Role.GAPS:
        return _with_gaps(name, column, missing)
    if column.null_count:
        gone = np.flatnonzero(column.is_null().to_numpy())
        what = "a label" if role is Role.LABEL else "a value"
        raise InputError(
            f"{name} has {counted(len(gone), f'{missing} value')} in {counted(len(column), 'row')},"
            f" first in row {gone[0]}; expected {what} in every row; save "
            f"table.dropna(subset=[{name!r}])"
        )
    kind = column.type
    if _is(kind, _LISTS):
        return _stacked(name, column.combine_chunks(), role)
    if pa.types.is_decimal(kind):
        column, kind = column.cast(pa.float64()), pa.float64()
    if _is(kind, _NUMBERS):
        array: Array = column.to_numpy()
        return array
    if _is(kind, (*_TEXTS, *_BYTES)):
        texts = column.to_pylist()
        if role is Role.FEATURES:
            raise _not_numbers(name, texts)
        return np.array(texts, dtype=str if _is(kind, _TEXTS) else bytes)
    raise InputError(f"{name} has type {kind}, expected {role.expected}")


def _with_gaps(name: str, column: pa.ChunkedArray, missing: str) -> Array:
    """Numbers of which some are missing: floats, NaN in their place."""
    there = column.is_valid()
    known = _as_array(name, column.filter(there), Role.FEATURES, missing)
    found = np.full((len(column), *known.shape[1:]), np.nan)
    found[there.to_numpy()] = known
    return found


def _stacked(name: str, rows: Any, role: Role) -> Array:
    """[n, d, ...] of lists that are as long as each other."""
    shape = [len(rows)]
    while _is(rows.type, _LISTS):
        count = len(rows)
        lengths = np.unique(rows.value_lengths().to_numpy(zero_copy_only=False))
        if len(lengths) > 1:
            raise InputError(
                f"{name} has lists of {lengths[0]} to {lengths[-1]} values, expected as many in "
                "every row"
            )
        rows = rows.flatten()
        if isinstance(rows.type, pa.BaseExtensionType):
            rows = rows.storage
        shape.append(len(rows) // count if count else 0)
        if rows.null_count:
            raise InputError(
                f"{name} has {counted(rows.null_count, 'missing value')} within its lists, "
                f"expected {role.expected}"
            )
    if not _is(rows.type, _NUMBERS):
        raise InputError(f"{name} has lists of type {rows.type}, expected {role.expected}")
    array: Array = rows.to_numpy(zero_copy_only=False).reshape(shape)
    return array


def _not_numbers(name: str, texts: Sequence[str | bytes]) -> InputError:
    """What is wrong with text where numbers are wanted, and the line that would help."""
    faulty = [row for row, text in enumerate(texts) if not _is_number(text)]
    if not faulty:
        way = f"save table[{name!r}].astype(float)"
        return InputError(f"{name} is text that holds numbers ({texts[0]!r} in row 0); {way}")
    first = texts[faulty[0]]
    of = f"{name} is text in {len(faulty)} of {counted(len(texts), 'row')}, first {_cut(first)} in "
    of += f"row {faulty[0]}; expected real numbers"
    if all(isinstance(text, str) and _THOUSANDS.fullmatch(text) for text in texts):
        way = "thousands=',') or, where these are decimals, with decimal=','"
        return InputError(f"{of}; read it with pandas.read_csv(..., {way}, and save that")
    if isinstance(first, str) and _is_number(first.replace(",", ".")):
        return InputError(f"{of}; read it with pandas.read_csv(..., decimal=',') and save that")
    if len(faulty) == len(texts):
        return InputError(f"{of}; leave the column out of the modality, or save numbers for it")
    way = f"table[pandas.to_numeric(table[{name!r}], errors='coerce').notna()]"
    return InputError(f"{of}; repair these rows, save {way}, or leave the column out")


def _is_number(text: str | bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _cut(value: object) -> str:
    shown = visible(repr(value))
    return shown if len(shown) <= 40 else f"{shown[:37]}..."


def _shown(scalar: Any) -> str:
    return _cut(scalar.as_py())
