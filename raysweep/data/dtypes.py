"""What an array of the user's own may hold, and how to save one otherwise."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raysweep.data.views import Floats
from raysweep.errors import InputError
from raysweep.text import counted

Array = NDArray[Any]

MOST = 1e150  # squares, for the sd, stay finite
TEXT = ("y", "split")

_EXPECTED = {
    "x1": "real numbers",
    "x2": "real numbers",
    "y": "integers or strings",
    "split": "strings",
}


@contextlib.contextmanager
def noted(faults: list[str]) -> Iterator[None]:
    """Note a fault and go on, so that all of a file's faults are told at once."""
    try:
        yield
    except InputError as error:
        faults.append(str(error))


def not_numpys(name: str, dtype: object) -> str:
    """What is wrong with an array of a type that another package has brought to numpy."""
    way = {"y": "numpy.int64", "split": "str"}.get(name, "numpy.float32")
    return (
        f"has dtype {dtype}, bytes whose meaning the file does not say (bfloat16, float8 and int4 "
        f"are stored so), expected {_EXPECTED[name]}; save {name}.astype({way})"
    )


def check_dtype(name: str, array: Array, kinds: str) -> None:
    """An InputError that says how to save the array otherwise, unless it is of these kinds."""
    if array.dtype.kind in kinds:
        return
    if array.dtype.kind == "V" and array.dtype.names is None:
        raise InputError(f"{name} {not_numpys(name, array.dtype)}")
    way = ""
    if array.dtype.names is not None and name not in TEXT:
        way = f"; save numpy.lib.recfunctions.structured_to_unstructured({name})"
    elif name == "y" and array.dtype.kind == "f" and np.equal(array, np.rint(array)).all():
        way = "; save y.astype(int)"
    raise InputError(f"{name} has dtype {array.dtype}, expected {_EXPECTED[name]}{way}")


def as_text(name: str, array: Array) -> Array:
    """The array, its bytes read as UTF-8.

    Raises:
        InputError: bytes that are no UTF-8.
    """
    if array.dtype.kind != "S":
        return array
    try:
        return np.strings.decode(array, "utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name} has bytes that are no text in UTF-8 ({error.object!r}), expected strings; "
            f"save numpy.strings.decode({name}, ENCODING)"
        ) from error


def check_modality(name: str, array: Array) -> Floats:
    """The modality as float64, or an InputError that names what is wrong."""
    check_dtype(name, array, "fiub")
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(
            f"{name} has shape {array.shape}, expected 2-D [rows, features], none empty"
        )
    with np.errstate(over="ignore"):  # a long double that float64 has no number for is infinite
        values = array.astype(np.float64)
    if np.abs(values).max(initial=0.0, where=np.isfinite(values)) > MOST:
        raise InputError(f"{name} has magnitudes above {MOST:g}, expected smaller ones")
    faulty = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if faulty.size:
        raise InputError(
            f"{name} has NaN or infinity in {faulty.size} of {counted(len(values), 'row')}, "
            f"first in row {faulty[0]}; expected finite numbers"
        )
    return values
