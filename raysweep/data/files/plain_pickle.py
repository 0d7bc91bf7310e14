"""Pickles of plain arrays, read without running anything of them.

A pickle may name any function of any module to be called as it is read. Here every name is looked
up in a table of a few that stand for arrays, and they become classes of this module, which keep
what they are given; arrays are made of it afterwards. Another name ends the reading before anything
is called.
"""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from raysweep.data.dtypes import Array
from raysweep.errors import InputError

_DEEPEST = 8
_UNREADABLE = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,  # also text that is none in the encoding
    TypeError,
    IndexError,
    KeyError,
    AttributeError,
    ImportError,
    MemoryError,
    RecursionError,
    OverflowError,
)


def read_plain_pickle(path: Path) -> Any:
    """What a pickle holds: dictionaries, lists, tuples, numbers, text and arrays of NumPy.

    Args:
        path: of the file; of any protocol, also one that Python 2 wrote.

    Raises:
        InputError: there is no such file, it is damaged, or it names something else.

    Example:
        >>> import pickle, tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from raysweep.data.files.plain_pickle import read_plain_pickle
        >>> path = Path(tempfile.mkdtemp()) / "some.pkl"
        >>> _ = path.write_bytes(pickle.dumps({"train": {"x": np.arange(3)}}))
        >>> read_plain_pickle(path)
        {'train': {'x': array([0, 1, 2])}}
    """
    try:
        with path.open("rb") as file:
            return _plain(_Reader(file, encoding="latin1").load(), {})
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except _UNREADABLE as error:
        raise InputError(f"{path}: no pickle, or a damaged one ({error})") from error


class _Standing:
    """What stands for a name: it can be called, and nothing of it can be set."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *given: Any) -> Any:
        return self._make(*given)

    def __setstate__(self, state: object) -> None:
        raise TypeError("the state of a function")


class _Dtype:
    """A type of numbers or text, as a pickle describes it."""

    def __init__(self, name: str, align: object = False, copy: object = True) -> None:
        if not isinstance(name, str):
            raise TypeError("a dtype without a name")
        self._name, self._order = name, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order, *parts = state[1:5]
        if any(part is not None for part in parts):
            raise InputError("has an array of records, expected plain numbers or text")
        self._order = order if order in ("<", ">") else "="

    @property
    def found(self) -> np.dtype[Any]:
        """As NumPy has it."""
        dtype = np.dtype(self._name)
        if dtype.kind not in "biufSUO":
            raise InputError(f"has an array of dtype {dtype}, expected plain numbers or text")
        return dtype.newbyteorder(self._order)  # type: ignore[arg-type]


class _Array:
    """An array, as a pickle describes it."""

    def __init__(self, *state: Any) -> None:
        self._state = state

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, by_columns, content = state
        self._state = content, dtype, shape, "F" if by_columns else "C"

    def found(self, memo: "_Memo") -> Array:
        """As NumPy has it."""
        content, dtype, shape, order = self._state
        return _made(content, dtype, shape, order, memo)


_Memo = dict[int, Any]


def _made(
    content: Any, dtype: _Dtype, shape: tuple[int, ...], order: Literal["C", "F"], memo: _Memo
) -> Array:
    if not isinstance(dtype, _Dtype) or min(shape, default=0) < 0:
        raise TypeError("an array without a dtype or a shape")
    if dtype.found.kind == "O":
        found = np.empty(len(content), dtype=object)
        for at, one in enumerate(content):
            found[at] = _plain(one, memo)
        return found.reshape(shape, order=order)
    if isinstance(content, str):  # bytes of Python 2
        content = content.encode("latin1")
    if not len(content):  # of which NumPy makes no array
        return np.empty(0, dtype.found).reshape(shape, order=order)
    # There are as many numbers as there are bytes of them.
    return np.frombuffer(content, dtype.found).reshape(shape, order=order).copy()


def _reconstructed(of: object, shape: object, kind: object) -> _Array:
    if of is not _ARRAYS:
        raise TypeError("an array of another class")
    return _Array()


def _from_buffer(content: Any, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    return _Array(content, dtype, shape, "F" if order == "F" else "C")


def _scalar(dtype: _Dtype, content: Any = None) -> Any:
    return content if dtype.found.kind == "O" else _made(content, dtype, (1,), "C", {})[0].item()


def _encoded(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise InputError(f"has bytes in {encoding}, expected latin1")
    return text.encode("latin1")


def _no_array(*given: Any) -> Any:
    raise TypeError("an array that is made by its class")


_ARRAYS = _Standing(_no_array)
_KNOWN = {
    ("numpy", "ndarray"): _ARRAYS,
    ("numpy", "dtype"): _Standing(_Dtype),
    ("_codecs", "encode"): _Standing(_encoded),
    ("__builtin__", "bytes"): _Standing(lambda: b""),  # how old protocols write empty ones
}
for _core in ("numpy.core", "numpy._core"):  # as NumPy 1 and NumPy 2 call it
    _KNOWN[f"{_core}.multiarray", "_reconstruct"] = _Standing(_reconstructed)
    _KNOWN[f"{_core}.multiarray", "scalar"] = _Standing(_scalar)
    _KNOWN[f"{_core}.numeric", "_frombuffer"] = _Standing(_from_buffer)


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name; only of those in the table."""
        if (module, name) not in _KNOWN:
            raise InputError(
                f"names {module}.{name}, which is no array, number or text: nothing of the file "
                "was run; save plain arrays of NumPy"
            )
        return _KNOWN[module, name]


def _plain(value: Any, memo: _Memo, depth: int = 0) -> Any:
    """The value, with arrays in place of their descriptions; each is made once."""
    if depth > _DEEPEST:
        raise InputError("is nested too deeply")
    if not isinstance(value, _Array | dict | list | tuple):
        return value
    if id(value) not in memo:
        if isinstance(value, _Array):
            made: Any = value.found(memo)
        elif isinstance(value, dict):
            made = {key: _plain(one, memo, depth + 1) for key, one in value.items()}
        else:
            made = type(value)(_plain(one, memo, depth + 1) for one in value)
        memo[id(value)] = made
    return memo[id(value)]
