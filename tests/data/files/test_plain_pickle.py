"""Pickles of plain arrays: read as pickle reads them, and nothing else is ever called."""

import codecs
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raysweep.data.files.plain_pickle import read_plain_pickle
from raysweep.errors import InputError


def written(folder: Path, content: bytes) -> Path:
    path = folder / "some.pkl"
    path.write_bytes(content)
    return path


PLAIN = {
    "numbers": [1, 2.5, True, None, "text", b"bytes", (3, 4)],
    "arrays": {
        "floats": np.arange(24.0).reshape(2, 3, 4),
        "columns": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "swapped": np.arange(5, dtype=">i4"),
        "whole": np.arange(3, dtype=np.uint8),
        "truth": np.array([True, False]),
        "words": np.array(["a", "bcd"]),
        "bytes": np.array([b"a", b"bc"]),
        "objects": np.array(["a", 1, None, np.arange(2)], dtype=object),
        "empty": np.zeros((0, 4)),
        "one": np.array(3.5),
        "scalar": np.float64(1.25),
    },
}


def assert_same(one: Any, other: Any) -> None:
    if isinstance(other, dict):
        assert one.keys() == other.keys()
        for key in other:
            assert_same(one[key], other[key])
    elif isinstance(other, np.ndarray):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        for a, b in zip(one.reshape(-1).tolist(), other.reshape(-1).tolist(), strict=True):
            assert np.array_equal(a, b)
    else:
        assert one == other


@pytest.mark.parametrize("protocol", range(6))
def test_plain_content_is_what_it_was(tmp_path: Path, protocol: int) -> None:
    path = written(tmp_path, pickle.dumps(PLAIN, protocol=protocol))
    assert_same(read_plain_pickle(path), PLAIN)


def test_names_of_numpy_1_are_known(tmp_path: Path) -> None:
    of_numpy_2 = pickle.dumps(PLAIN["arrays"]["floats"], protocol=2)
    assert b"numpy._core.multiarray" in of_numpy_2
    of_numpy_1 = of_numpy_2.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    found = read_plain_pickle(written(tmp_path, of_numpy_1))
    np.testing.assert_array_equal(found, PLAIN["arrays"]["floats"])


class Calls:
    """Something that a pickle would call."""

    def __init__(self, function: Any, *given: Any) -> None:
        self.of = function, given

    def __reduce__(self) -> Any:
        return self.of


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Calls(os.mkdir, "made"), "posix.mkdir"),
        (Calls(eval, "1 / 0"), "builtins.eval"),
        (Calls(np.load, "x"), "numpy.load"),
        (OrderedDict(a=1), "collections.OrderedDict"),
        (torch.zeros(2), "torch._utils._rebuild_tensor_v2"),
        (Calls(codecs.decode, "x"), "_codecs.decode"),
        (Path("x"), "pathlib"),
        (np.random.default_rng(0), "numpy.random"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_another_name_ends_the_reading_and_nothing_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: Any, name: str, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, pickle.dumps([np.arange(3), value], protocol=protocol))
    with pytest.raises(InputError, match="which is no array, number or text: nothing of the") as e:
        read_plain_pickle(path)
    # Old protocols have the names of Python 2.
    said = (
        str(e.value).replace("__builtin__", "builtins").replace(f"{os.name}.mkdir", "posix.mkdir")
    )
    assert f"{path}: names {name}" in said
    assert [p.name for p in tmp_path.iterdir()] == ["some.pkl"]


SET_ON_A_FUNCTION = b"\x80\x02c_codecs\nencode\n}\x8c\x01aK\x01sb."
SLOTS_ON_A_FUNCTION = b"\x80\x02c_codecs\nencode\nN}\x8c\x0c__defaults__N\x86sb."
AN_ARRAY_BY_ITS_CLASS = b"\x80\x02cnumpy\nndarray\n(K\x03tR."
A_NEW_DTYPE = b"\x80\x02cnumpy\ndtype\n(X\x02\x00\x00\x00f8t\x81."
PERSISTENT = b"\x80\x02X\x01\x00\x00\x00aQ."
TOO_FEW = pickle.dumps(np.arange(4.0), protocol=2)[:-1].replace(b"K\x04\x85", b"K\x40\x85") + b"."


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle at all",
        pickle.dumps(PLAIN)[:-20],
        SET_ON_A_FUNCTION,
        SLOTS_ON_A_FUNCTION,
        AN_ARRAY_BY_ITS_CLASS,
        A_NEW_DTYPE,
        PERSISTENT,
        TOO_FEW,
        pickle.dumps(np.zeros(2, dtype=[("a", "f8"), ("b", "i4")])),
        pickle.dumps(np.array(["2020-01-01"], dtype="datetime64[D]")),
        pickle.dumps([[[[[[[[[[1]]]]]]]]]]),
    ],
    ids=str,
)
def test_what_is_damaged_or_meant_to_harm_is_one_message(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match=r"some\.pkl: "):
        read_plain_pickle(written(tmp_path, content))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.pkl: cannot be read \(No such file"):
        read_plain_pickle(tmp_path / "none.pkl")


def test_nothing_grows_by_being_named_again_and_again(tmp_path: Path) -> None:
    value: Any = [np.arange(3)]
    for _ in range(6):
        value = [value] * 1000
    found = read_plain_pickle(written(tmp_path, pickle.dumps(value)))
    assert len(found) == 1000
