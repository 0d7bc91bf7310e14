"""Archives that ``numpy.savez`` wrote."""

import lzma
import pickle
import re
import zipfile
import zlib
from pathlib import Path

import numpy as np

from raysweep.data.dtypes import TEXT, Array, not_numpys, noted
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


def read(path: str, faults: list[str]) -> dict[str, Array]:
    """The arrays x1, x2, y and, if there, split, where readable. Pickles are refused.

    Raises:
        InputError: no such archive.
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
        missing = [name for name in ("x1", "x2", "y") if name not in archive.files]
        if missing:
            faults.append(
                f"no array {', '.join(missing)}; "
                f"found {', '.join(archive.files) or 'none'}, expected x1 [n, d1], x2 [n, d2], "
                "y [n] and, if wanted, split [n]"
            )
        found: dict[str, Array] = {}
        for name in ("x1", "x2", "y", "split"):
            if name in archive.files:
                with noted(faults):
                    found[name] = _read_array(name, archive)
        return found


def _read_array(name: str, archive: np.lib.npyio.NpzFile) -> Array:
    try:
        array: Array = archive[name]
    except UNREADABLE as error:
        kind = "plain numbers or strings" if name in TEXT else "plain numbers"
        if "allow_pickle" in str(error):
            way = f"numpy.array(list({name}), dtype={'str' if name in TEXT else 'float'})"
            raise InputError(
                f"{name} is an object array (pickles are refused), expected {kind}; save {way}"
            ) from error
        unknown = _UNKNOWN_DTYPE.search(str(error))
        if unknown:
            raise InputError(f"{name} {not_numpys(name, unknown[1])}") from error
        raise InputError(f"{name} is unreadable, expected {kind}") from error
    if not isinstance(array, np.ndarray):  # numpy hands out the bytes of what is no array
        raise InputError(f"{name} is unreadable: no array of numpy, expected one (numpy.savez)")
    return array
