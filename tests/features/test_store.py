"""Files of features: read by others' code, whole or not there, padded header and all."""

import json
from pathlib import Path

import numpy as np
import pytest

from raysweep.data.dtypes import Role
from raysweep.data.files.safetensors import Safetensors
from raysweep.errors import InputError
from raysweep.features.store import FeatureFile, metadata_of

SHAPES = {"layer_000": (5, 3), "layer_001": (5, 4)}


def numbers(name: str) -> np.ndarray:
    rng = np.random.default_rng(len(SHAPES[name]) + SHAPES[name][1])
    return rng.normal(size=SHAPES[name]).astype(np.float32)


def written(path: Path) -> None:
    with FeatureFile(path, SHAPES, {"model": "tiny"}) as file:
        for rows in ([4, 1], [0, 2, 3]):
            for name, layer in file.layers.items():
                layer[rows] = numbers(name)[rows]
        file.finish({"found": "é"})


def test_rows_in_any_order_are_read_back_with_all_that_is_said(tmp_path: Path) -> None:
    written(tmp_path / "a.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]
    file = Safetensors.open(str(tmp_path / "a.safetensors"))
    for name, array in file.read(file.names, Role.FEATURES, []).items():
        np.testing.assert_array_equal(array, numbers(name))
    assert metadata_of(tmp_path / "a.safetensors") == {"model": "tiny", "found": "é"}


def test_the_library_of_the_format_reads_it(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors")
    written(tmp_path / "a.safetensors")
    with safetensors.safe_open(tmp_path / "a.safetensors", "numpy") as file:
        assert file.metadata() == {"model": "tiny", "found": "é"}
        for name in SHAPES:
            np.testing.assert_array_equal(file.get_tensor(name), numbers(name))


def test_one_that_is_not_finished_is_not_there(tmp_path: Path) -> None:
    with FeatureFile(tmp_path / "a.safetensors", SHAPES, {}) as file:
        file.layers["layer_000"][:] = 1.0
        (temporary,) = tmp_path.iterdir()
        assert temporary.name.endswith(".tmp")
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_something_else_is_not_taken_for_one(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for content in (b"", b"12345678", b"\x04" + bytes(7) + b"[[]]", json.dumps({}).encode()):
        path.write_bytes(content)
        with pytest.raises(InputError, match="is not a file of features, and is not overwritten"):
            metadata_of(path)
