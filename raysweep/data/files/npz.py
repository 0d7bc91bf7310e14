"""Archives that ``numpy.savez`` wrote, and folders of files that ``numpy.save`` wrote."""

import lzma
import pickle
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raysweep.data.dtypes import Array, Role, not_numpys, noted
from raysweep.errors import InputError

UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    MemoryError,  # a damaged header asks for any size
    RuntimeError,  # a zip with a password, or compressed in a way that Python does not know
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)

_UNKNOWN_DTYPE = re.compile(r"not a valid dtype descriptor: '(.*)'")
_OBJECTS = ("allow_pickle", "Python objects")


@dataclass(frozen=True)
class Npz:
    """An ``.npz`` file, whose arrays are read one by one."""

    path: str
    names: tuple[str, ...]
    noun: str = "array"

    @classmethod
    def open(cls, path: str) -> "Npz":
        """The archive at a path.

        Raises:
            InputError: there is none.
        """
        if not Path(path).is_file():
            raise InputError("no such file, expected an .npz file (numpy.savez)")
        with Path(path).open("rb") as file:
            try:
                archive = np.load(file, allow_pickle=False)
            except (*UNREADABLE, pickle.UnpicklingError):
                archive = None
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise InputError("not an .npz file, expected one written by numpy.savez")
            twice = [name for name, count in Counter(archive.files).items() if count > 1]
            if twice:
                raise InputError(
                    f"has more than one array of the name {twice[0]}, expected each name once"
                )
            return cls(path, tuple(archive.files))

    def dimensions(self, name: str) -> int | None:
        """See `Source.dimensions`."""
        with np.load(self.path, allow_pickle=False) as archive:
            try:
                with archive.zip.open(f"{name}.npy") as member:
                    version = np.lib.format.read_magic(member)
                    if version == (1, 0):
                        return len(np.lib.format.read_array_header_1_0(member)[0])
                    return len(np.lib.format.read_array_header_2_0(member)[0])
            except (*UNREADABLE, KeyError):
                return None

    def read(self, names: Sequence[str], role: Role, faults: list[str]) -> dict[str, Array]:
        """See `Source.read`."""
        found: dict[str, Array] = {}
        with np.load(self.path, allow_pickle=False) as archive:
            for name in names:
                with noted(faults):
                    try:
                        array = archive[name]
                    except UNREADABLE as error:
                        raise _fault(name, error, role) from error
                    found[name] = _array(name, array)
        return found


@dataclass(frozen=True)
class NpyFolder:
    """A folder of ``.npy`` files, each mapped into memory; ``x1.npy`` is the array x1."""

    path: str
    names: tuple[str, ...]
    noun: str = "array"

    @classmethod
    def open(cls, path: str) -> "NpyFolder":
        """The files of a folder, by name."""
        return cls(path, tuple(sorted(file.stem for file in Path(path).glob("*.npy"))))

    def dimensions(self, name: str) -> int | None:
        """See `Source.dimensions`."""
        try:
            return int(self._mapped(name).ndim)
        except (*UNREADABLE, pickle.UnpicklingError, AttributeError):
            return None

    def read(self, names: Sequence[str], role: Role, faults: list[str]) -> dict[str, Array]:
        """See `Source.read`."""
        found: dict[str, Array] = {}
        for name in names:
            with noted(faults):
                try:
                    array = self._mapped(name)
                except (*UNREADABLE, pickle.UnpicklingError) as error:
                    raise _fault(name, error, role) from error
                found[name] = _array(name, array)
        return found

    def _mapped(self, name: str) -> Any:
        return np.load(Path(self.path) / f"{name}.npy", mmap_mode="r", allow_pickle=False)


def _array(name: str, found: object) -> Array:
    if not isinstance(found, np.ndarray):  # numpy hands out the bytes of what is no array
        raise InputError(f"{name} is unreadable: no array of numpy, expected one (numpy.savez)")
    return found


def _fault(name: str, error: BaseException, role: Role) -> InputError:
    kind = "plain numbers" if role is Role.FEATURES else "plain numbers or strings"
    if any(words in str(error) for words in _OBJECTS):
        way = f"numpy.array(list({name}), dtype={'float' if role is Role.FEATURES else 'str'})"
        return InputError(
            f"{name} is an object array (pickles are refused), expected {kind}; save {way}"
        )
    unknown = _UNKNOWN_DTYPE.search(str(error))
    if unknown:
        return InputError(not_numpys(name, unknown[1], role))
    return InputError(f"{name} is unreadable, expected {kind}")
