"""Files that hold the layers of one model; none of their code is ever run."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from raysweep.data.dtypes import Role
from raysweep.data.files.npz import UNREADABLE
from raysweep.data.files.opened import open_source
from raysweep.data.files.safetensors import Safetensors
from raysweep.errors import InputError

FEATURES = "feats"
"""Where files of torch have the features [n, layers, d], as in the code of arXiv 2405.07987."""


def layers_of_file(path: Path) -> Sequence[object]:
    """The layers [n, d] of a file, in order; read when they are asked for.

    Args:
        path: ``.npy``: [n, layers, d]. ``.safetensors``: one tensor [n, layers, d], or one [n, d]
            for each layer, in the order of the numbers in their names. ``.pt``: a tensor
            [n, layers, d], or a dictionary with it under ``feats``. Any other file of arrays:
            as safetensors, read at once.

    Raises:
        InputError: no such file, or one of another kind; without the path.
    """
    suffix = path.suffix.lower()
    if suffix in (".pt", ".pth"):
        return _split({FEATURES: _of_torch(path)})
    if suffix == ".npy":
        return _split({path.stem: _of_numpy(path)})
    if suffix == ".safetensors" and path.is_file():
        file = Safetensors.open(str(path))
        return _split({name: _mapped(file, name) for name in file.names})
    source = open_source(str(path))
    faults: list[str] = []
    arrays = source.read(source.names, Role.FEATURES, faults)
    if faults:
        raise InputError("; ".join(faults))
    return _split(arrays)


def _split(arrays: Mapping[str, object]) -> Sequence[object]:
    """The layers of a file: of its only array, or its arrays one by one."""
    shapes = {name: tuple(getattr(array, "shape", ())) for name, array in arrays.items()}
    if len(arrays) == 1:
        (array,), (shape,) = arrays.values(), shapes.values()
        if len(shape) == 3:
            return [array[:, index] for index in range(shape[1])]  # type: ignore[index]
    wrong = [f"{name} {list(shape)}" for name, shape in shapes.items() if len(shape) != 2]
    if wrong or not arrays:
        raise InputError(
            "expected one array [n rows, layers, d] or one [n, d] for each layer, got "
            + (", ".join(wrong) or "none")
        )
    return [arrays[name] for name in sorted(arrays, key=_natural)]


def _natural(name: str) -> list[tuple[int, str]]:
    """What puts layer_2 before layer_10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _mapped(file: Safetensors, name: str) -> object:
    array = file.mapped(name)
    if file.tensors[name].dtype == "BF16":
        return torch.from_numpy(array).view(torch.bfloat16)
    return array


def _of_numpy(path: Path) -> object:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError("no such file") from None
    except (*UNREADABLE, pickle.UnpicklingError) as error:
        raise InputError(
            "expected an array of plain numbers (pickles are refused); save numpy.asarray(x)"
        ) from error


def _of_torch(path: Path) -> Tensor:
    if not path.is_file():
        raise InputError("no such file")
    expected = f"expected a tensor [n, layers, d], or a dictionary with it under {FEATURES!r}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Only archives can be mapped, not what torch wrote before them.
            archive = zipfile.is_zipfile(path)
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except (*UNREADABLE, pickle.UnpicklingError) as error:
        raise InputError(f"no tensors that can be read without running code, {expected}") from error
    if isinstance(found, dict):
        if FEATURES not in found:
            keys = ", ".join(map(str, list(found)[:9]))
            raise InputError(f"{expected}, got a dictionary with {keys or 'nothing'}")
        found = found[FEATURES]
    if not isinstance(found, Tensor):
        raise InputError(f"{expected}, got {type(found).__name__}")
    return found.detach()
