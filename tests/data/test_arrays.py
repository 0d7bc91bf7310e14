"""The user's own data: what is read, and one clear message for everything that can be wrong."""

import os
import zipfile

import numpy as np
import pytest

from raysweep.data.arrays import still_draws
from raysweep.data.registry import load
from raysweep.errors import InputError


def contents(n=120, **changes):
    rng = np.random.default_rng(0)
    good = {
        "x1": rng.normal(3, 2, size=(n, 5)),
        "x2": rng.integers(0, 9, size=(n, 3)),
        "y": np.arange(n) % 3,
    }
    return {name: array for name, array in {**good, **changes}.items() if array is not None}


def saved(folder, **changes):
    path = folder / "own.npz"
    np.savez(path, **contents(**changes))
    return {"path": str(path)}


def split_column(n=120, train=60, validation=30):
    return np.array(["train"] * train + ["validation"] * validation + ["test"] * (n - 90))


def test_reads_and_splits(tmp_path):
    views = load("arrays", saved(tmp_path))
    splits = (views.splits.train, views.splits.validation, views.splits.test)
    assert [len(rows) for rows in splits] == [84, 18, 18]
    assert sorted(np.concatenate(splits)) == list(range(120))
    for rows in splits:
        assert np.ptp(np.bincount(views.y[rows])) <= 1
    original = contents()
    mean, sd = (f(original["x1"][views.splits.train], axis=0) for f in (np.mean, np.std))
    np.testing.assert_allclose(views.x1, (original["x1"] - mean) / sd)
    assert (views.x2.dtype, views.y.dtype, views.classes) == (np.float64, np.int64, 3)
    assert (views.information, views.population) == (None, None)
    assert views.characteristics == {"file": "own.npz", "resplit": "crossed"}
    assert views.resplit
    other = load("arrays", saved(tmp_path), draw=1)
    assert set(other.splits.test) != set(views.splits.test)


def test_constant_features_become_zero(tmp_path):
    x1 = contents()["x1"]
    x1[:, 2] = 0.1
    views = load("arrays", saved(tmp_path, x1=x1))
    np.testing.assert_array_equal(views.x1[:, 2], 0.0)


def test_labels_of_any_kind_are_numbered_in_order(tmp_path):
    words = np.array(["dog", "cat", "eel"])[np.arange(120) % 3]
    views = load("arrays", saved(tmp_path, y=words))
    np.testing.assert_array_equal(views.y, np.array([1, 0, 2])[np.arange(120) % 3])
    far = np.array([10**12, -7, 5])[np.arange(120) % 3]
    views = load("arrays", saved(tmp_path, y=far))
    np.testing.assert_array_equal(views.y, np.array([2, 0, 1])[np.arange(120) % 3])
    assert load("arrays", saved(tmp_path, y=np.arange(120) % 2 == 0)).classes == 2


@pytest.mark.parametrize("dtype", ["S10", "U10", "S12", ">U10"])
def test_text_as_bytes_is_the_same_text(tmp_path, dtype):
    words = np.array(["zoë", "cat", "émeu"])[np.arange(120) % 3]
    as_text = load("arrays", saved(tmp_path, y=words, split=split_column()))
    kept = words if "U" in dtype else np.strings.encode(words, "utf-8")
    other = saved(tmp_path, y=kept, split=split_column().astype(dtype))
    os.utime(other["path"], ns=(1, 1))
    as_bytes = load("arrays", other)
    np.testing.assert_array_equal(as_bytes.y, as_text.y)
    np.testing.assert_array_equal(as_bytes.splits.validation, as_text.splits.validation)
    np.testing.assert_array_equal(as_bytes.x1, as_text.x1)


def with_dtype(path, name, descr):
    """Say of an array of 1-byte items in a file that it is of another type."""
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        arrays = {entry: archive.read(entry) for entry in archive.namelist()}
    assert content.count(b"'|i1'") == 1
    with zipfile.ZipFile(path, "w") as archive:
        for entry, data in arrays.items():
            archive.writestr(entry, data.replace(b"'|i1'", descr) if entry[:-4] == name else data)


@pytest.mark.parametrize("name", ["x1", "y", "split"])
@pytest.mark.parametrize("descr", [b"'|V1'", b"'<f1'"])
def test_types_that_other_packages_bring(tmp_path, name, descr):
    # As ml_dtypes 0.5 writes float8_e4m3fn and float8_e5m2.
    small = np.ones((120, 2) if name == "x1" else 120, dtype=np.int8)
    parameters = saved(tmp_path, **{name: small})
    with_dtype(tmp_path / "own.npz", name, descr)
    with pytest.raises(InputError) as caught:
        load("arrays", parameters)
    way = {"x1": "numpy.float32", "y": "numpy.int64", "split": "str"}[name]
    assert f"{name} has dtype {descr.decode()[1:-1]}, bytes whose meaning" in str(caught.value)
    assert f"save {name}.astype({way})" in str(caught.value)


def test_given_splits(tmp_path):
    parameters = saved(tmp_path, split=split_column())
    views = load("arrays", parameters)
    np.testing.assert_array_equal(views.splits.train, np.arange(60))
    np.testing.assert_array_equal(views.splits.test, np.arange(90, 120))
    np.testing.assert_allclose(views.x1[:60].mean(axis=0), 0, atol=1e-12)
    with pytest.raises(InputError, match=r"own\.npz: has its own splits, so draw is 1"):
        load("arrays", parameters, draw=1)


def with_hole(name, row, value):
    array = contents()[name].astype(float)
    array[row, 1] = value
    return {name: array}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x2": None}, r"no array x2; found x1, y, expected x1 \[n, d1\]"),
        ({"x1": np.zeros(120)}, r"x1 has shape \(120,\), expected 2-D"),
        ({"x1": np.zeros((120, 0))}, r"x1 has shape \(120, 0\), expected 2-D"),
        ({"x2": np.zeros((2, 3, 4, 1, 1))}, r"x2 has shape \(2, 3, 4, 1, 1\), expected 2-D"),
        ({"x2": np.zeros((119, 3))}, r"x1 has 120 rows and x2 119"),
        ({"y": np.zeros((120, 1))}, r"y has one class \(0\), expected at least two"),
        ({"y": np.zeros((1, 120))}, r"y has shape \(1, 120\), expected \(120,\)"),
        ({"y": np.zeros(7, dtype=int)}, r"y has shape \(7,\), expected \(120,\)"),
        ({"y": np.arange(120.0)}, r"y has 120 different whole numbers, 0 to 119, which may be"),
        ({"n": 0}, r"x1 has shape \(0, 5\), .* y is empty, expected one label per row"),
        ({"y": np.full(120, 4)}, r"y has one class \(4\), expected at least two"),
        ({"y": np.arange(120) // 60 + (np.arange(120) > 116)}, r"class 2 has 3 rows, expected at"),
        (with_hole("x1", 17, np.nan), r"x1 has NaN or infinity in 1 of 120 rows, first in row 17"),
        (with_hole("x2", 3, -np.inf), r"x2 has NaN or infinity in 1 of 120 rows, first in row 3"),
        (with_hole("x1", 3, 1e200), r"x1 has magnitudes above 1e\+150"),
        ({"x1": np.full((120, 2), "a")}, r"x1 has dtype <U1, expected real numbers"),
        ({"x1": np.full((120, 2), 1j)}, r"x1 has dtype complex128, expected real numbers"),
        ({"x1": np.full((120, 2), None)}, r"x1 is an object array \(pickles are refused\)"),
        (
            {"y": np.array(["a", 1] * 60, dtype=object)},
            r"y is an object array .*; save numpy\.array\(list\(y\), dtype=str\)",
        ),
        (
            {"split": split_column().astype(object)},
            r"split is an object array .* save numpy\.array\(list\(split\), dtype=str\)",
        ),
        (
            {"x1": np.zeros((120, 2), "V2")},
            r"x1 has dtype \|V2, .*; save x1\.astype\(numpy\.float32",
        ),
        (
            {"y": np.zeros(120, "V2")},
            r"y has dtype \|V2, bytes whose .*; save y\.astype\(numpy\.int64",
        ),
        ({"x1": np.zeros(120, [("a", "f4")])}, r"x1 has dtype \[\('a', '<f4'\)\], expected real"),
        ({"x1": np.zeros((120, 2), "M8[s]")}, r"x1 has dtype datetime64\[s\], expected real"),
        ({"y": np.zeros(120, "M8[D]")}, r"y has dtype datetime64\[D\], expected integers or str"),
        (
            {"y": np.array([b"\xff", b"a"] * 60)},
            r"y has bytes that are no text in UTF-8 \(b'\\xff'\)",
        ),
        ({"split": np.ones(120, bool)}, r"split has dtype bool, expected strings"),
        ({"split": np.array("train")}, r"split has shape \(\), expected \(120,\)"),
        ({"x1": np.float64(3)}, r"x1 has shape \(\), expected 2-D"),
        ({"x1": np.full((120, 2), np.inf, np.float16)}, r"x1 has NaN or infinity in 120 of 120"),
        ({"x1": np.full((120, 2), "1e400", np.longdouble)}, r"x1 has (NaN|magnitudes)"),
        ({"split": split_column()[:50]}, r"split has shape \(50,\), expected \(120,\)"),
        ({"split": np.arange(120)}, r"split has dtype int64, expected strings"),
        ({"split": np.array(["train"] * 119 + ["dev"])}, r"split is dev in row 119, expected one"),
        ({"split": split_column(validation=0, train=90)}, r"split validation has 0 rows"),
        (
            {"split": split_column(), "y": np.repeat([0, 1], 60)},
            r"class 1 has no row in the train split",
        ),
        ({"n": 30}, r"30 rows leave 4 for validation, expected at least 8"),
    ],
)
def test_unusable_files(tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        load("arrays", saved(tmp_path, **changes))
    assert "own.npz: " in str(caught.value)


@pytest.mark.parametrize("kind", ["missing", "folder", "text", "empty", "npy", "pickle", "cut"])
def test_not_an_npz_file(tmp_path, kind):
    path = tmp_path / "own.npz"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("x1,x2,y\n1,2,3\n")
    elif kind == "empty":
        path.touch()
    elif kind == "npy":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif kind == "pickle":
        path.write_bytes(np.array([{}], dtype=object).dumps())
    elif kind == "cut":
        np.savez(path, **contents())
        path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(InputError, match=r"own\.npz: (no such file|not an \.npz file), expected"):
        load("arrays", {"path": str(path)})


def test_a_damaged_array_in_a_whole_archive(tmp_path):
    parameters = saved(tmp_path)
    content = bytearray((tmp_path / "own.npz").read_bytes())
    start = content.index(b"x2.npy") + 200
    content[start : start + 50] = bytes(50)
    (tmp_path / "own.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"own\.npz: x2 is unreadable, expected plain numbers"):
        load("arrays", parameters)


@pytest.mark.parametrize("harm", ["a huge size", "an unknown compression", "a password"])
def test_an_array_that_cannot_be_unpacked(tmp_path, harm):
    parameters = saved(tmp_path)
    path = tmp_path / "own.npz"
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\x01\x02")
    if harm == "a huge size":
        with zipfile.ZipFile(path) as archive:
            arrays = {entry: archive.read(entry) for entry in archive.namelist()}
        arrays["x1.npy"] = arrays["x1.npy"].replace(
            b"(120, 5), }" + b" " * 9, b"(%d, 5), }" % 10**12
        )
        with zipfile.ZipFile(path, "w") as archive:
            for entry, data in arrays.items():
                archive.writestr(entry, data)
    else:
        at, value = {"an unknown compression": (10, 97), "a password": (8, 1)}[harm]
        content[directory + at] = value
        local = content.index(b"PK\x03\x04")
        content[local + at - 2] = value
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"own\.npz: x1 is unreadable, expected plain numbers"):
        load("arrays", parameters)


def test_names_that_lead_out_of_the_file_are_only_names(tmp_path):
    np.savez(tmp_path / "own.npz", **contents(x2=None), **{"../x2": np.ones((120, 2))})
    with pytest.raises(InputError, match=r"no array x2; found x1, y, \.\./x2, expected x1"):
        load("arrays", {"path": str(tmp_path / "own.npz")})
    assert [p.name for p in tmp_path.parent.iterdir()].count("x2.npy") == 0


def test_a_member_that_is_no_array(tmp_path):
    parameters = saved(tmp_path, x1=None)
    with zipfile.ZipFile(parameters["path"], "a") as archive:
        archive.writestr("x1.npy", "1,2,3")
    with pytest.raises(InputError, match=r"own\.npz: x1 is unreadable: no array of numpy, expe"):
        load("arrays", parameters)


def test_a_changed_file_is_read_again(tmp_path):
    first = load("arrays", saved(tmp_path))
    assert load("arrays", {"path": str(tmp_path / "own.npz")}) is first
    parameters = saved(tmp_path, x1=contents()["x1"][:, :2])
    os.utime(parameters["path"], ns=(1, 1))
    assert load("arrays", parameters).x1.shape == (120, 2)


def test_all_faults_are_told_at_once(tmp_path):
    x1 = contents()["x1"]
    x1[3, 1] = np.nan
    y = np.array([{}] * 120)
    with pytest.raises(InputError) as caught:
        load("arrays", saved(tmp_path, x1=x1, x2=np.ones((100, 2, 2, 1)), y=y))
    assert str(caught.value).count("own.npz") == 1
    for fault in (
        "y is an object array",
        "x1 has NaN",
        "x2 has shape",
        "x1 has 120 rows and x2 100",
    ):
        assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "draw", "told"),
    [
        (
            {"y": np.full(120, 4), "split": np.array(["train"] * 119 + ["dev"])},
            0,
            ["y has one class (4)", "split is dev in row 119"],
        ),
        (
            {"y": None, "split": split_column()[:50]},
            1,
            ["no array y", "so draw is 1", "split has shape (50,), expected (120,)"],
        ),
        (
            {"x1": None, "x2": None, "y": np.arange(3), "split": np.arange(9)},
            0,
            ["no array x1, x2", "split has dtype int64"],
        ),
        (
            {"split": np.array(["train"] * 118 + ["validation", "test"]), "y": np.zeros((1, 120))},
            0,
            [
                "y has shape (1, 120)",
                "split validation has 1 row, expected at least 8",
                "split test has 1 row,",
            ],
        ),
    ],
)
def test_bad_labels_hide_no_bad_splits(tmp_path, changes, draw, told):
    with pytest.raises(InputError) as caught:
        load("arrays", saved(tmp_path, **changes), draw=draw)
    message = str(caught.value)
    assert all(fault in message for fault in told), message
    assert message.count("; ") >= len(told) - 1


@pytest.mark.parametrize("given", [None, split_column()])
def test_a_modality_has_to_vary_in_the_training_split(tmp_path, given):
    still = np.full((120, 5), 0.1)
    with pytest.raises(InputError, match=r"own\.npz: x2 does not vary in the training split"):
        load("arrays", saved(tmp_path, split=given, x2=still))
    still[:, 2] += np.tile([0.0, 1e-17, 1e-16], 40)  # rounding, of which scaling leaves nothing
    with pytest.raises(InputError, match=r"own\.npz: x2 does not vary in the training split"):
        load("arrays", saved(tmp_path, split=given, x2=still))
    still[:, 3] = np.arange(120)
    load("arrays", saved(tmp_path, split=given, x2=still))
    if given is not None:
        still[given == "train"] = 0.1
        with pytest.raises(InputError, match=r"x1 does not vary.*; x2 does not vary"):
            load("arrays", saved(tmp_path, split=given, x1=still, x2=still))


def test_every_draw_that_leaves_out_what_varies_is_found(tmp_path):
    (tmp_path / "whole").mkdir()
    whole = saved(tmp_path / "whole", x2=np.arange(120.0)[:, None])["path"]
    row = load("arrays", {"path": whole}).splits.test[0]
    x2 = np.zeros((120, 3))
    x2[row] = 1.0
    parameters = saved(tmp_path, x2=x2)
    kept = [d for d in range(8) if row in load("arrays", {"path": whole}, d).splits.train]
    lost = [draw for draw in range(8) if draw not in kept]
    assert kept
    assert lost
    [said] = still_draws(parameters, range(8))
    assert f"x2 does not vary in the training split of draw{'s' if len(lost) > 1 else ''} " in said
    assert f" {', '.join(map(str, lost))}: " in said
    assert still_draws(parameters, kept) == []


def test_a_modality_that_stands_there_twice_is_told(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(120, 3)), np.arange(120) % 2
    np.savez(tmp_path / "twice.npz", x1=x, x2=-x, x3=x, y=y)
    [told] = load("arrays", {"path": str(tmp_path / "twice.npz")}).notes
    assert told.startswith("x1 and x3 hold the same numbers")
