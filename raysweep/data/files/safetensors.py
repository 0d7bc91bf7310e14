"""Files in the format of safetensors: 8 bytes of length, a header in JSON, and the numbers.

Read here and not by the package of that name, which can give NumPy no bfloat16: that is widened to
float32, in which each of its numbers is exact.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from raysweep.data.dtypes import Array, Role, noted
from raysweep.errors import InputError

_MOST_HEADER = 100_000_000
_BFLOAT16 = "BF16"
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    _BFLOAT16: "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}


@dataclass(frozen=True)
class Tensor:
    """What the header says of a tensor: its type, shape, and where its bytes lie in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class Safetensors:
    """A ``.safetensors`` file, whose tensors are mapped into memory."""

    path: str
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    noun: str = "array"

    @classmethod
    def open(cls, path: str) -> "Safetensors":
        """The tensors of a file.

        Raises:
            InputError: its header is none, or leads out of the file.
        """
        wrong = InputError("not a safetensors file, expected one written by safetensors' save_file")
        try:
            size = Path(path).stat().st_size
            with Path(path).open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                if not 2 <= length <= min(size - 8, _MOST_HEADER):
                    raise wrong
                header = json.loads(file.read(length))
            tensors = {
                name: _tensor(entry, 8 + length, size)
                for name, entry in header.items()
                if name != "__metadata__"
            }
        except (OSError, ValueError, RecursionError, AttributeError, KeyError, TypeError) as error:
            raise wrong from error
        return cls(path, tensors)

    @property
    def names(self) -> tuple[str, ...]:
        """See `Source.names`."""
        return tuple(self.tensors)

    def dimensions(self, name: str) -> int | None:
        """See `Source.dimensions`."""
        return len(self.tensors[name].shape)

    def read(self, names: Sequence[str], role: Role, faults: list[str]) -> dict[str, Array]:
        """See `Source.read`."""
        found: dict[str, Array] = {}
        for name in names:
            with noted(faults):
                found[name] = self._array(name)
        return found

    def mapped(self, name: str) -> Array:
        """A tensor as it is stored, bfloat16 as integers of 16 bits, in a form that torch takes.

        What is written to it stays in memory.

        Raises:
            InputError: there are fewer or more bytes than its shape says, or of an unknown type.
        """
        return self._mapped(name, "c")

    def _array(self, name: str) -> Array:
        array = self._mapped(name, "r")
        if self.tensors[name].dtype == _BFLOAT16:
            return (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return array

    def _mapped(self, name: str, mode: Literal["c", "r"]) -> Array:
        tensor = self.tensors[name]
        if tensor.dtype not in _DTYPES:
            raise InputError(
                f"{name} has dtype {tensor.dtype}, expected real numbers of 16 bits or more; save "
                f"{name}.to(torch.float32)"
            )
        dtype = np.dtype(_DTYPES[tensor.dtype])
        if math.prod(tensor.shape) * dtype.itemsize != tensor.stop - tensor.start:
            raise InputError(
                f"{name} is unreadable: {tensor.stop - tensor.start} bytes for the shape "
                f"{tensor.shape} of {tensor.dtype}"
            )
        if not math.prod(tensor.shape):
            return np.zeros(tensor.shape, dtype)
        return np.memmap(self.path, dtype, mode, tensor.start, tensor.shape)


def _tensor(entry: Mapping[str, Any], begin: int, size: int) -> Tensor:
    start, stop = (begin + int(at) for at in entry["data_offsets"])
    shape = tuple(int(length) for length in entry["shape"])
    if not begin <= start <= stop <= size or min(shape, default=0) < 0:
        raise ValueError(f"a tensor at {start}..{stop} of {size} bytes")
    return Tensor(str(entry["dtype"]), shape, start, stop)
