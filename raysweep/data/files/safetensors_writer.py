"""Writing files in the format of safetensors piece by piece, so that no tensor has to be whole."""

import contextlib
import json
import math
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from raysweep.data.dtypes import Array

_NAMES = {"<f8": "F64", "<f4": "F32", "<i8": "I64", "<i4": "I32", "|b1": "BOOL", "|u1": "U8"}
_BYTES_PER_TENSOR = 256


class SafetensorsWriter:
    """A file that is being written: tensors one after another, each in pieces."""

    def __init__(self, stream: IO[bytes], metadata: Mapping[str, str], tensors: int) -> None:
        """Leaves room for the header, which spaces fill up."""
        self._stream = stream
        self._header: dict[str, Any] = {"__metadata__": dict(metadata)}
        room = len(json.dumps(self._header)) + _BYTES_PER_TENSOR * tensors
        self._room = 8 * -(-room // 8)
        self._at = 0
        stream.seek(8 + self._room)

    def begin(self, name: str, dtype: str, shape: tuple[int, ...]) -> None:
        """Starts a tensor, whose numbers follow row after row.

        Args:
            name: at most 64 characters.
            dtype: as numpy writes it, such as ``<f8``.
            shape: of the whole tensor.
        """
        stop = self._at + np.dtype(dtype).itemsize * math.prod(shape)
        offsets = [self._at, stop]
        self._header[name] = {"dtype": _NAMES[dtype], "shape": shape, "data_offsets": offsets}
        self._at = stop

    def append(self, piece: Array) -> None:
        """The next numbers of the tensor, in its dtype."""
        self._stream.write(np.ascontiguousarray(piece).data)

    def add(self, name: str, array: Array) -> None:
        """A whole tensor."""
        self.begin(name, array.dtype.str, array.shape)
        self.append(array)

    def close(self) -> None:
        """Writes the header.

        Raises:
            RuntimeError: not as many numbers have come as the shapes say.
        """
        if self._stream.tell() != 8 + self._room + self._at:
            raise RuntimeError("a tensor was not written whole")
        header = json.dumps(self._header).encode()
        self._stream.seek(0)
        self._stream.write(self._room.to_bytes(8, "little") + header.ljust(self._room))


@contextlib.contextmanager
def written(path: Path, metadata: Mapping[str, str], tensors: int) -> Iterator[SafetensorsWriter]:
    """A file that is there, whole, once the block has ended; and not at all where it failed.

    Args:
        path: where to.
        metadata: of the header.
        tensors: how many there will be at most.
    """
    temporary = path.with_name(f"{path.name[:100]}.{uuid.uuid4().hex}.unfinished")
    try:
        with temporary.open("wb") as stream:
            writer = SafetensorsWriter(stream, metadata, tensors)
            yield writer
            writer.close()
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
