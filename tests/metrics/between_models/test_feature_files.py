"""Files of features: what they hold is what is measured, and what is kept beside them is used."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from raysweep.data.files.safetensors import Safetensors
from raysweep.data.files.safetensors_writer import written
from raysweep.errors import InputError
from raysweep.metrics import PAPER, Preprocessing, measure_models

FEATURES = np.random.default_rng(0).normal(size=(30, 11, 6)).astype(np.float32)
OTHER = np.random.default_rng(1).normal(size=(30, 4, 8)) + FEATURES[:, :4, :1]


def save(path: Path) -> Path:
    if path.suffix == ".npy":
        np.save(path, FEATURES)
    elif path.suffix == ".npz":
        np.savez(path, **{f"layer_{i}": FEATURES[:, i] for i in range(11)})
    elif path.suffix == ".pt":
        torch.save({"feats": torch.from_numpy(FEATURES), "num_params": 3}, path)
    elif path.stem == "whole":
        with written(path, {}, 1) as file:
            file.add("feats", FEATURES)
    else:
        with written(path, {}, 11) as file:
            for index in sorted(range(11), key=str):
                file.add(f"block.{index}", FEATURES[:, index])
    return path


FILES = ("x.npy", "x.npz", "x.pt", "whole.safetensors", "layers.safetensors")


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_what_it_holds(tmp_path: Path, name: str) -> None:
    sides = {"a": [save(tmp_path / name)], "b": {"other": OTHER}}
    given = {
        "permutations": 0,
        "every_pair": True,
        "preprocessing": Preprocessing(0.9, clip="model"),
    }
    found = measure_models(sides, "mutual_knn", **given)
    known = measure_models({"a": [FEATURES], "b": {"other": OTHER}}, "mutual_knn", **given)
    assert found["value"].tolist() == known["value"].tolist()
    assert set(found["model_1"]) == {name.split(".")[0]}


def test_bfloat16_of_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    half = torch.from_numpy(FEATURES).to(torch.bfloat16)
    path = tmp_path / "half.safetensors"
    header = {"x": {"dtype": "BF16", "shape": [30, 11, 6], "data_offsets": [0, 30 * 11 * 6 * 2]}}
    text = json.dumps(header).encode()
    path.write_bytes(
        len(text).to_bytes(8, "little") + text + half.view(torch.int16).numpy().tobytes()
    )
    sides = {"a": {"m": path}, "b": {"o": OTHER}}
    found = measure_models(sides, "cka", permutations=2, preprocessing=PAPER)
    known = measure_models({**sides, "a": {"m": half}}, "cka", permutations=2, preprocessing=PAPER)
    assert found.equals(known)


def test_what_is_stored_is_used_until_features_or_settings_change(tmp_path: Path) -> None:
    sides = {"a": [save(tmp_path / "x.npy")], "b": [save(tmp_path / "y.pt")]}
    names = ["mutual_knn", "rsa"]
    first = measure_models(sides, names, permutations=3, store=True)
    kept = sorted(tmp_path.glob("*.prepared.safetensors"))
    assert len(kept) == 4
    assert {json.loads(preparation(path))["metric"] for path in kept} == set(names)
    times = [os.stat(path).st_mtime_ns for path in kept]
    assert measure_models(sides, names, permutations=3, store=True).equals(first)
    assert [os.stat(path).st_mtime_ns for path in kept] == times
    measure_models(sides, names, permutations=3, store=True, preprocessing=PAPER)
    assert len(list(tmp_path.glob("*.prepared.safetensors"))) == 8
    np.save(tmp_path / "x.npy", FEATURES[::-1].copy())
    changed = measure_models(sides, names, permutations=3, store=True)
    assert changed["value"].tolist() != first["value"].tolist()
    assert not list(tmp_path.glob("*.unfinished"))


def preparation(path: Path) -> str:
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return str(header["__metadata__"]["preparation"])


def test_what_is_stored_is_really_read(tmp_path: Path) -> None:
    sides = {"a": [save(tmp_path / "x.npy")], "b": {"o": save(tmp_path / "y.npy")}}
    given = {"permutations": 0, "store": True, "metrics": "rsa"}
    assert measure_models(sides, **given)["value"][0] == pytest.approx(1)
    for path in tmp_path.glob("x.npy.*.prepared.safetensors"):
        tensor = Safetensors.open(str(path)).tensors["vectors"]
        with path.open("r+b") as file:
            file.seek(tensor.start)
            file.write(bytes(tensor.stop - tensor.start))
    assert measure_models(sides, **given)["value"][0] == 0


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    sides = {"a": [save(tmp_path / "x.npy")], "b": {"o": save(tmp_path / "y.npy")}}
    measure_models(sides, "rsa", permutations=0, store=True)
    damaged = next(tmp_path.glob("x.npy.*.prepared.safetensors"))
    damaged.write_bytes(damaged.read_bytes()[:99])
    with pytest.raises(InputError, match=rf"{damaged.name}: .*remove it, and it is made again"):
        measure_models(sides, "rsa", permutations=0, store=True)


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("harmed",)


@pytest.mark.parametrize("name", ["x.pt", "x.npy"])
def test_no_code_of_a_file_is_run(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(pickle.dumps({"feats": Harmful()}))
    with pytest.raises(InputError, match=name):
        measure_models({"a": [name], "b": [OTHER]})
    assert not Path("harmed").exists()


@pytest.mark.parametrize(
    ("held", "message"),
    [({"features": torch.zeros(3, 2)}, "got a dictionary with features"), (3, "got int")],
)
def test_other_contents_are_told(tmp_path: Path, held: object, message: str) -> None:
    torch.save(held, tmp_path / "x.pt")
    with pytest.raises(InputError, match=message):
        measure_models({"a": [tmp_path / "x.pt"], "b": [OTHER]})


def test_a_file_that_failed_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"

    def fail() -> None:
        with written(path, {}, 1) as file:
            file.begin("x", "<f8", (3,))
            file.append(np.zeros(2))

    with pytest.raises(RuntimeError, match="not written whole"):
        fail()
    assert list(tmp_path.iterdir()) == []
