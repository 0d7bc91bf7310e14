"""What an array of the user's own may hold, and how to save one otherwise."""

import contextlib
from collections.abc import Iterator
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raysweep.data.views import Floats
from raysweep.errors import InputError
from raysweep.text import counted

Array = NDArray[Any]

MOST = 1e150  # squares, for the sd, stay finite


class Role(Enum):
    """What an array is for: what it may hold, and the type to save it with where it does not."""

    FEATURES = "real numbers", "numpy.float32"
    GAPS = "real numbers, or none of a row", "numpy.float32"
    LABEL = "integers or strings", "numpy.int64"
    TEXT = "strings", "str"

    @property
    def expected(self) -> str:
        """What it may hold, in words."""
        return self.value[0]

    @property
    def dtype(self) -> str:
        """The type to save it with, as Python."""
        return self.value[1]

    @classmethod
    def of(cls, kinds: str) -> "Role":
        """The role of what may be of these kinds of NumPy."""
        if "U" not in kinds:
            return cls.FEATURES
        return cls.LABEL if "i" in kinds else cls.TEXT


@contextlib.contextmanager
def noted(faults: list[str]) -> Iterator[None]:
    """Note a fault and go on, so that all of a file's faults are told at once."""
    try:
        yield
    except InputError as error:
        faults.append(str(error))


def not_numpys(name: str, dtype: object, role: Role) -> str:
    """What is wrong with an array of a type that another package has brought to numpy."""
    return (
        f"{name} has dtype {dtype}, bytes whose meaning the file does not say (bfloat16, float8 "
        f"and int4 are stored so), expected {role.expected}; save {name}.astype({role.dtype})"
    )


def check_dtype(name: str, array: Array, kinds: str) -> None:
    """Whether the array is of these kinds.

    Args:
        name: of the array, for messages.
        array: any.
        kinds: letters of `numpy.dtype.kind`.

    Raises:
        InputError: it is not; the message says how to save it otherwise.
    """
    if array.dtype.kind in kinds:
        return
    role = Role.of(kinds)
    if array.dtype.kind == "V" and array.dtype.names is None:
        raise InputError(not_numpys(name, array.dtype, role))
    way = ""
    if array.dtype.names is not None and role is Role.FEATURES:
        way = f"; save numpy.lib.recfunctions.structured_to_unstructured({name})"
    raise InputError(f"{name} has dtype {array.dtype}, expected {role.expected}{way}")


def check_ids(name: str, array: Array) -> None:
    """Whether ids that are floats can be told apart.

    Raises:
        InputError: NaN or infinity, fractions, or whole numbers beyond those that are all floats.
    """
    if array.dtype.kind != "f":
        return
    faulty = np.flatnonzero(~np.isfinite(array))
    if faulty.size:
        raise InputError(
            f"{name} has NaN or infinity in {faulty.size} of {counted(len(array), 'row')}, first "
            f"in row {faulty[0]}; expected an id in every row"
        )
    if not np.equal(array, np.rint(array)).all():
        raise InputError(
            f"{name} has ids that are not whole, such as "
            f"{array[array != np.rint(array)].flat[0]:g}; save {name}.astype(str)"
        )
    bits = np.finfo(array.dtype).nmant + 1
    if array.size and float(np.abs(array).max()) > 2.0**bits:
        raise InputError(
            f"{name} has dtype {array.dtype} and ids above 2**{bits}, which become one another in "
            f"it; save them as they were before they became floats, as int64 or str"
        )


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
    """The modality as [n, d] float64.

    Raises:
        InputError: what is wrong with it.
    """
    check_dtype(name, array, "fiub")
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(
            f"{name} has shape {array.shape}, expected 2-D [rows, features], none empty; or "
            "3-D [rows, tokens, features] for sequences, or 4-D [rows, channels, height, width] "
            "for images"
        )
    with np.errstate(over="ignore"):  # a long double that float64 has no number for is infinite
        # In one order in memory, on which the rounding of sums depends.
        values = array.astype(np.float64, order="C")
    check_finite(name, values)
    return values


def check_finite(name: str, values: Floats) -> None:
    """Whether all numbers of rows [n, d] are finite, and so are their squares.

    Raises:
        InputError: they are not.
    """
    if np.abs(values).max(initial=0.0, where=np.isfinite(values)) > MOST:
        raise InputError(f"{name} has magnitudes above {MOST:g}, expected smaller ones")
    faulty = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if faulty.size:
        raise InputError(
            f"{name} has NaN or infinity in {faulty.size} of {counted(len(values), 'row')}, "
            f"first in row {faulty[0]}; expected finite numbers"
        )
