"""Files of anndata and mudata, laid out as anndata 0.12 and mudata 0.3 write them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from own_files import arrays
from scipy import sparse

from raysweep.data.dtypes import Role
from raysweep.data.files.opened import open_source
from raysweep.data.registry import load
from raysweep.errors import InputError

h5py = pytest.importorskip("h5py", reason="an extra: raysweep[h5ad]")


def element(group: Any, name: str, value: Any) -> None:
    """A part of a file as anndata writes it."""
    if sparse.issparse(value):
        at = group.create_group(name)
        at.attrs["encoding-type"] = f"{value.format}_matrix"
        at.attrs["shape"] = value.shape
        for part in ("data", "indices", "indptr"):
            at.create_dataset(part, data=getattr(value, part))
    elif isinstance(value, Mapping):  # categories, or values that may be missing
        at = group.create_group(name)
        at.attrs["encoding-type"] = "categorical" if "codes" in value else "nullable-integer"
        for part, held in value.items():
            element(at, part, held)
    elif value.dtype.kind == "U":
        group.create_dataset(name, data=value.tolist(), dtype=h5py.string_dtype())
    else:
        group.create_dataset(name, data=value)


def anndata(group: Any, x: Any, obs: Mapping[str, Any], **others: Any) -> None:
    group.attrs["encoding-type"] = "anndata"
    element(group, "X", x)
    frame = group.create_group("obs")
    frame.attrs["column-order"] = np.array(list(obs), dtype=h5py.string_dtype())
    for name, column in obs.items():
        element(frame, name, column)
    for part in ("obsm", "layers"):
        at = group.create_group(part)
        for name, value in others.get(part, {}).items():
            element(at, name, value)


@pytest.fixture
def reference(tmp_path: Path) -> Any:
    np.savez(tmp_path / "reference.npz", **arrays())
    return load("arrays", {"path": str(tmp_path / "reference.npz")})


def assert_same(one: Any, other: Any) -> None:
    for a, b in zip(one.inputs, other.inputs, strict=True):
        assert a.tobytes() == b.tobytes()
    np.testing.assert_array_equal(one.y, other.y)


@pytest.mark.parametrize("form", ["dense", "csr", "csc"])
def test_an_anndata(tmp_path: Path, form: str, reference: Any) -> None:
    of = arrays()
    x = {"dense": np.asarray, "csr": sparse.csr_array, "csc": sparse.csc_array}[form](of["x1"])
    kind = {"codes": of["y"].astype(np.int8), "categories": np.array(["a", "b", "c"])}
    with h5py.File(tmp_path / "mine.h5ad", "w") as file:
        others = {"protein": of["x2"], "X_pca": of["x1"][:, :2]}
        anndata(file, x, {"y": of["y"], "kind": kind}, obsm=others, layers={"counts": x})
    path = {"path": str(tmp_path / "mine.h5ad")}
    views = load("arrays", path)
    assert_same(views, reference)
    assert views.names == ("X", "obsm/protein")
    said = {"modality_1": "layers/counts", "modality_2": "obsm/protein", "label": "kind"}
    assert_same(load("arrays", {**path, **said}), reference)


def test_a_mudata_whose_modalities_have_rows_in_other_orders(
    tmp_path: Path, reference: Any
) -> None:
    of = arrays()
    order = np.random.default_rng(4).permutation(120)
    with h5py.File(tmp_path / "mine.h5mu", "w") as file:
        many = file.create_group("mod")
        many.attrs["mod-order"] = np.array(["rna", "prot"], dtype=h5py.string_dtype())
        anndata(many.create_group("prot"), of["x2"][order], {})
        anndata(many.create_group("rna"), of["x1"], {"kind": of["y"] + 1})
        frame = file.create_group("obs")
        frame.attrs["column-order"] = np.array(["y"], dtype=h5py.string_dtype())
        element(frame, "y", of["y"])
        maps = file.create_group("obsmap")
        maps["rna"] = np.arange(1, 121, dtype=np.uint32)
        place = np.empty(120, np.uint32)
        place[order] = np.arange(1, 121)
        maps["prot"] = place
    path = str(tmp_path / "mine.h5mu")
    views = load("arrays", {"path": path})
    assert_same(views, reference)
    assert views.names == ("rna", "prot")
    assert_same(load("arrays", {"path": path, "label": "rna:kind"}), reference)
    with h5py.File(path, "r+") as file:
        file["obsmap/prot"][7] = 0
    lacking = load("arrays", {"path": path})
    assert "1 of 120 rows lacks modality prot" in lacking.notes
    np.testing.assert_array_equal(np.flatnonzero(~lacking.present[:, 1]), [7])


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    of = arrays()
    codes = of["y"].astype(np.int8)
    codes[4] = -1
    obs = {
        "y": {"codes": codes, "categories": np.array(["a", "b", "c"])},
        "age": {"values": np.arange(120), "mask": np.arange(120) == 9},
    }
    with h5py.File(tmp_path / "mine.h5ad", "w") as file:
        anndata(file, of["x1"], obs, obsm={"protein": of["x2"]})
    said = {"modality_1": "X", "modality_2": "obsm/protein, age"}
    with pytest.raises(InputError) as caught:
        load("arrays", {"path": str(tmp_path / "mine.h5ad"), **said})
    assert "y has 1 missing value in 120 rows, first in row 4; expected a label" in str(
        caught.value
    )
    assert "age has 1 missing value in 120 rows, first in row 9; expected a value" in str(
        caught.value
    )


@pytest.mark.parametrize(
    "harm", ["not HDF5", "no obs", "soft", "external", "stored elsewhere", "virtual", "indices"]
)
def test_nothing_of_other_files_is_read(tmp_path: Path, harm: str) -> None:
    path, of = tmp_path / "mine.h5ad", arrays()
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = of["x2"]
    with h5py.File(path, "w") as file:
        x1 = sparse.csr_array(of["x1"])
        anndata(file, x1, {"y": of["y"]}, obsm={"protein": of["x2"]})
        if harm == "no obs":
            del file["obs"]
        elif harm == "indices":
            file["X/indices"][3] = 10**6
        elif harm != "not HDF5":
            del file["obsm/protein"]
        if harm == "soft":
            file["obsm/protein"] = h5py.SoftLink("/X")
        elif harm == "external":
            file["obsm/protein"] = h5py.ExternalLink("other.h5", "secret")
        elif harm == "stored elsewhere":
            elsewhere = [(str(tmp_path / "other.h5"), 0, h5py.h5f.UNLIMITED)]
            file.create_dataset("obsm/protein", (120, 3), "f8", external=elsewhere)
        elif harm == "virtual":
            layout = h5py.VirtualLayout((120, 3), "f8")
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "secret", (120, 3))
            file.create_virtual_dataset("obsm/protein", layout)
    if harm == "not HDF5":
        path.write_bytes(b"X")
    said = {
        "not HDF5": "not an HDF5 file, expected one that anndata or mudata wrote",
        "no obs": r"not a file of anndata 0\.8 or later",
        "soft": "obsm/protein is a link, expected the data themselves",
        "external": "obsm/protein is a link, expected the data themselves",
        "stored elsewhere": "obsm/protein lies in another file",
        "virtual": "obsm/protein lies in another file",
        "indices": "X is unreadable",
    }[harm]
    with pytest.raises(InputError, match=said):
        load("arrays", {"path": str(path), "modality_1": "X", "modality_2": "obsm/protein"})


def test_texts_and_truth_values(tmp_path: Path) -> None:
    words = np.array(["zoë", "a"])[np.arange(120) % 2]
    with h5py.File(tmp_path / "mine.h5ad", "w") as file:
        anndata(file, arrays()["x1"], {"word": words, "flag": words == "a"})
    found = open_source(str(tmp_path / "mine.h5ad")).read(["word", "flag"], Role.LABEL, [])
    assert found["word"].tolist() == words.tolist()
    assert found["flag"].tolist() == (words == "a").tolist()
