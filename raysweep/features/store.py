"""Files of features, written batch by batch: no more than a batch is in memory.

The format is that of safetensors, 8 bytes of length, a header in JSON and the numbers, and any
reader of it reads a single layer without the others. Its own writer needs all tensors at once,
which for a large language model and many rows is more than a machine has; so the place of every
layer is laid out before the first batch, and the header, some of which is known at the end alone,
is padded with spaces, as the format allows.
"""

import contextlib
import json
import math
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raysweep.errors import InputError

_LATER = 4096
"""Bytes kept for what is known of a file at its end."""
_MOST_HEADER = 100_000_000
_DTYPE = np.dtype("<f4")


class FeatureFile:
    """A file under a temporary name, which `finish` gives its own; left early, nothing stays.

    Args:
        path: where the file will be.
        shapes: name -> shape of every tensor, all float32.
        metadata: what is known before the numbers are.
    """

    def __init__(
        self, path: Path, shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str]
    ) -> None:
        self.path, self._metadata = path, dict(metadata)
        self._entries: dict[str, Any] = {}
        place = 0
        for name, shape in shapes.items():
            end = place + math.prod(shape) * _DTYPE.itemsize
            self._entries[name] = {
                "dtype": "F32",
                "shape": list(shape),
                "data_offsets": [place, end],
            }
            place = end
        self._reserved = -(-(len(self._header(self._metadata)) + _LATER) // 8) * 8
        self._temporary = path.with_name(f"{path.name[:100]}.{uuid.uuid4().hex}.tmp")
        try:
            with self._temporary.open("xb") as file:
                # A full disk is told here; writing to mapped memory it would kill the process.
                os.posix_fallocate(file.fileno(), 0, 8 + self._reserved + place)
            self.layers = {name: self._mapped(name, shape) for name, shape in shapes.items()}
        except BaseException:
            self.abandon()
            raise

    def _mapped(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        start = 8 + self._reserved + self._entries[name]["data_offsets"][0]
        return np.memmap(self._temporary, _DTYPE, "r+", start, shape)

    def __enter__(self) -> "FeatureFile":
        return self

    def __exit__(self, *raised: object) -> None:
        self.abandon()

    def _header(self, metadata: Mapping[str, str]) -> bytes:
        return json.dumps({"__metadata__": metadata, **self._entries}).encode()

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Write the header, sync, and give the file its name."""
        header = self._header({**self._metadata, **metadata})
        if len(header) > self._reserved:
            raise ValueError(f"{len(header)} bytes of header for {self._reserved}")
        for layer in self.layers.values():
            layer.flush()  # type: ignore[attr-defined]
        self.layers.clear()
        with self._temporary.open("r+b") as file:
            file.write(self._reserved.to_bytes(8, "little") + header.ljust(self._reserved))
            file.flush()
            os.fsync(file.fileno())
        os.replace(self._temporary, self.path)
        descriptor = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def abandon(self) -> None:
        """Remove what is not finished."""
        self.__dict__.setdefault("layers", {}).clear()
        with contextlib.suppress(FileNotFoundError):
            self._temporary.unlink()


def metadata_of(path: Path) -> dict[str, str]:
    """What the header of a file of features says, beside the places of its tensors.

    Raises:
        InputError: there is a file that is none of safetensors.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(path.stat().st_size - 8, _MOST_HEADER):
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(file.read(length))
        return {str(key): str(value) for key, value in header.get("__metadata__", {}).items()}
    except (ValueError, AttributeError, RecursionError, OSError) as error:
        raise InputError(
            f"{path}: is not a file of features, and is not overwritten; move it, or give another "
            "folder with --out"
        ) from error
