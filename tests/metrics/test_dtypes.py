"""Whatever holds numbers is measured as float64 would be, or refused in one clear sentence."""

import re

import ml_dtypes
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from raysweep.errors import InputError
from raysweep.metrics import REGISTRY, distinct_rows, measure
from raysweep.metrics.features import as_features
from raysweep.metrics.neighbours import Space, neighbour_weights

DRAW = np.random.default_rng(0)
X, Y = DRAW.normal(size=(30, 4)), DRAW.normal(size=(30, 4))
TENS = np.round(X * 10)
METRICS = sorted(REGISTRY)


def both(name: str, x: object, exact: np.ndarray) -> None:
    topk = {"topk": 5} if any(o.name == "topk" for o in REGISTRY[name].options) else {}
    assert measure(name, x, Y, **topk) == pytest.approx(measure(name, exact, Y, **topk), rel=1e-9)


@pytest.mark.parametrize(
    "dtype", ["<f2", ">f2", "<f4", ">f4", ">f8", ">i2", "<i4", ">i8", "i1", "g", ">u2", "u8"]
)
def test_numpy_dtypes_of_any_byte_order(dtype: str) -> None:
    table = np.abs(TENS).astype(dtype) if "u" in dtype else (X * 10).astype(dtype)
    for name in METRICS:
        both(name, table, table.astype(np.float64))


@pytest.mark.parametrize(
    "dtype",
    [
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float8_e4m3fn,
        torch.float8_e5m2,
        torch.float8_e4m3fnuz,
        torch.float8_e5m2fnuz,
        torch.int8,
        torch.int16,
        torch.int64,
        torch.uint8,
        torch.uint16,
        torch.bool,
    ],
)
def test_torch_dtypes(dtype: torch.dtype) -> None:
    table = torch.tensor(np.abs(TENS)).to(dtype)
    if dtype == torch.bool:
        table = torch.tensor(X > 0)
    exact = table.to(torch.float64).numpy()
    for name in ("cka", "mutual_knn", "mean_cca", "rsa", "uniformity"):
        both(name, table, exact)


def test_layouts_and_containers() -> None:
    wide = np.zeros((60, 8))
    wide[::2, ::2] = X
    frame = pd.DataFrame(X.astype(np.float32), columns=list("abcd"))
    frame["d"] = TENS[:, 3].astype(np.int16)
    gradient = torch.tensor(X, requires_grad=True)
    views = (wide[::2, ::2], np.asfortranarray(X), X[::-1][::-1], gradient, X.tolist())
    for name in METRICS:
        for table in views:
            both(name, table, X)
        both(name, torch.tensor(X.T.copy()).T, X)
        both(name, frame, frame.to_numpy(dtype=float))


def test_numbers_of_ml_dtypes() -> None:
    for kind in (ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2):
        table = X.astype(kind)
        both("mutual_knn", table, table.astype(np.float64))
    with pytest.raises(InputError, match="raw bytes, as a file of bfloat16"):
        measure("cka", X.astype(ml_dtypes.bfloat16).view("V2"), Y)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (X + 1j, "x: expected numbers [n, d], got an array of complex128"),
        (torch.tensor(X + 1j), "x: expected real numbers [n, d], got torch.complex128"),
        (X.astype(str), "x: expected numbers [n, d], got an array of <U"),
        (X.astype("S8"), "x: expected numbers [n, d], got an array of |S8"),
        (X.astype(object), "an array of object (make it numbers with .astype(float))"),
        (sparse.csr_array(X), "an array of object (make it numbers with .toarray())"),
        (X.astype("datetime64[s]"), "got an array of datetime64[s]"),
        (X.astype(np.float16).view("V2"), "raw bytes, as a file of bfloat16 or float8"),
        ([[1.0, 2.0], [3.0]], "x: expected numbers [n, d], got no table: "),
        (None, "x: expected numbers [n, d], got an array of object"),
        (np.ma.masked_greater(X, 1.0), "x: expected numbers [n, d], got masked entries"),
        (torch.tensor(X).to_sparse(), "x: expected a dense tensor of numbers [n, d]"),
        (torch.empty(30, 4, device="meta"), "on meta"),
        (torch.nested.nested_tensor(list(torch.tensor(X)), layout=torch.jagged), "a dense tensor"),
        ([row.bfloat16() for row in torch.tensor(X)], "x: expected numbers [n, d], got no table"),
        (np.where(X > 2, np.inf, X), "x: expected finite numbers, got NaN or infinity"),
        (torch.tensor(X).half() * 1e5, "x: expected finite numbers, got NaN or infinity"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(x: object, message: str) -> None:
    for name in ("cka", "mutual_knn"):
        with pytest.raises(InputError, match=re.escape(message)):
            measure(name, x, Y)
        with pytest.raises(InputError, match=re.escape(message.replace("x:", "y:"))):
            measure(name, Y, x)


@pytest.mark.skipif(np.finfo(np.longdouble).maxexp <= 1024, reason="long double is float64 here")
@pytest.mark.parametrize("power", [400, -400])
def test_long_doubles_beyond_float64_are_refused(power: int) -> None:
    table = X.astype(np.longdouble) * np.longdouble(10) ** power
    first = re.escape(str(table[0, 0]))
    beyond = rf"x: {first} \(\w+\) is beyond the range of float64; scale the features"
    with pytest.raises(InputError, match=beyond):
        measure("cka", table, Y)


def test_rows_are_told_apart_by_their_numbers() -> None:
    half = X.astype(np.float16)
    near = np.concatenate([half, np.nextafter(half, np.float16(9))])
    assert distinct_rows(near) == len(near)
    for rows, topk, tied in ((near, 5, 0), (np.concatenate([half, half, half]), 1, 3 * len(half))):
        space = Space(as_features(rows, "rows"), "cosine")
        assert len(neighbour_weights(space, topk, 0, len(rows)).tied) == tied
    assert distinct_rows(np.array([[0.0, 1e-310], [-0.0, 1e-310], [0.0, 0.0]])) == 2
