"""A metric is that of the stored numbers: every dtype, scale and mean, against 60 digits."""

import mpmath
import numpy as np
import pytest
import torch
from reference_exact import distances, exact, exactly, pearson, product, ranks

from raysweep.errors import InputError
from raysweep.metrics import REGISTRY, calibrate, measure, measure_layers
from raysweep.metrics.gram import squared_distances

METRICS = sorted(REGISTRY)
N, D = 16, 4


def options_of(name):
    return {"topk": 5} if any(o.name == "topk" for o in REGISTRY[name].options) else {}


def features(seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    shared = np.random.default_rng(99).normal(size=(N, 2))
    return shared @ draw.normal(size=(2, D)) + 0.7 * draw.normal(size=(N, D)) + draw.normal(size=D)


X, Y = features(1), features(2)

# Where directions of rows, or of rows less their own mean, are one direction to all of float64's
# digits: neighbours are tied, or there is an error; 60 digits see more.
BEYOND = {
    "one column that does not vary, at 1e200": "row_scale",
    "one column x 1e12, float32": "rsa",
    "one column of mean 1e12": "rsa",
}


def stored(kind: str, x: np.ndarray) -> torch.Tensor:
    """`x` as somebody might have stored it."""
    table = torch.tensor(x)
    noise = torch.tensor(x - x.mean(0))
    # Of one sign: rows of opposite directions are at 180 degrees, up to what no float64 holds.
    positive = table - table.min() + 0.5
    match kind:
        case "float16" | "bfloat16" | "float32" | "float8_e5m2":
            return table.to(getattr(torch, kind))
        case "one column x 300, bfloat16":
            return (table * torch.tensor([300.0, 1, 1, 1])).to(torch.bfloat16)
        case "one column x 1e7, float32":
            return (positive * torch.tensor([1, 1e7, 1, 1])).float()
        case "one column x 1e12, float32":
            return (positive * torch.tensor([1, 1, 1e12, 1])).float()
        case "one column x 1e-200":
            return table * torch.tensor([1, 1, 1, 1e-200], dtype=torch.float64)
        case "one column that does not vary, at 1e200":
            return torch.cat([table[:, :3], torch.full((N, 1), 1e200, dtype=torch.float64)], dim=1)
        case "mean 1e6, float32":
            return (noise + 1e6).float()
        case "mean 1e10":
            return noise + 1e10
        case "one column of mean 1e12":
            return noise + torch.tensor([0, 0, 1e12, 0], dtype=torch.float64)
        case "denormal float32":
            return (table * 1e-39).float()
        case "denormal":
            return table * 1e-308
        case "a column of denormals":
            return table * torch.tensor([1, 1, 1, 1e-308], dtype=torch.float64)
        case "near the largest":
            return table / table.abs().max() * 1.7e308
        case "one row x 1e7, float32":
            return (table * torch.where(torch.arange(N) == 3, 1e7, 1.0)[:, None]).float()
        case "rank 3":
            return torch.cat([table[:, :3], table[:, :1]], dim=1).float()
        case "rank 3 up to float32":
            return torch.cat([table[:, :3], table[:, :1] + table[:, 1:2]], dim=1).float()
        case _:
            raise AssertionError(kind)


KINDS = (
    "float32",
    "float16",
    "bfloat16",
    "float8_e5m2",
    "one column x 300, bfloat16",
    "one column x 1e7, float32",
    "one column x 1e12, float32",
    "one column x 1e-200",
    "one column that does not vary, at 1e200",
    "mean 1e6, float32",
    "mean 1e10",
    "one column of mean 1e12",
    "denormal float32",
    "denormal",
    "a column of denormals",
    "near the largest",
    "one row x 1e7, float32",
    "rank 3",
    "rank 3 up to float32",
)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (name, kind)
        for name in METRICS
        for kind in KINDS
        if BEYOND.get(kind) not in {name, *REGISTRY[name].invariances}
        or (BEYOND.get(kind) == "row_scale" and not REGISTRY[name].of_neighbours and name != "rsa")
    ],
)
def test_a_metric_is_that_of_the_stored_numbers(name: str, kind: str) -> None:
    x = stored(kind, X)
    exact = x.double().numpy()
    low, high = REGISTRY[name].range
    for left, right in ((x, Y), (Y, x)):
        value = measure(name, left, right, **options_of(name))
        expected = exactly(
            name, *(z if z is Y else exact for z in (left, right)), **options_of(name)
        )
        assert value == pytest.approx(expected, rel=1e-6, abs=1e-9)
        assert low <= value <= high


STORED = {kind: stored(kind, X) for kind in KINDS}


@pytest.mark.parametrize("name", METRICS)
def test_nothing_depends_on_whether_denormal_numbers_are_flushed(name: str) -> None:
    kinds = ("denormal float32", "denormal", "a column of denormals", "float16")
    half = torch.tensor(Y * 1e-6).half()
    expected = [measure(name, STORED[kind], half, **options_of(name)) for kind in kinds]
    assert torch.set_flush_denormal(True)
    try:
        flushed = [measure(name, STORED[kind], half, **options_of(name)) for kind in kinds]
    finally:
        torch.set_flush_denormal(False)
    assert flushed == expected


@pytest.mark.parametrize("factors", [[1e5], [1e9], [1e12], [1e12, 1e8, 1e-20]])
def test_outlying_rows_leave_unbiased_cka_its_digits(factors: list[float]) -> None:
    x = X.copy()
    x[3 : 3 + len(factors)] *= np.array(factors)[:, None]
    expected = exactly("unbiased_cka", x, Y)
    for left, right in ((x, Y), (Y, x), (1e200 * x, Y), (x, Y + 1e6)):
        assert measure("unbiased_cka", left, right) == pytest.approx(expected, rel=1e-9)
    turned = np.roll(x, 1, axis=1)
    both = exactly("unbiased_cka", x, turned)
    assert measure("unbiased_cka", x, turned) == pytest.approx(both, rel=1e-9)
    pack = [torch.tensor(np.stack([x, X]))], [torch.tensor(np.stack([Y, Y]))]
    found = measure_layers("unbiased_cka", *pack)[:, 0, 0].tolist()
    assert found == pytest.approx([expected, exactly("unbiased_cka", X, Y)], rel=1e-9)
    x[3] *= 1e150  # the value has a limit, which it is near by now
    assert measure("unbiased_cka", x, Y) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("n", [20, 1000])
def test_rows_that_are_equally_far_have_no_unbiased_cka(n: int) -> None:
    draw = np.random.default_rng(n)
    turned = np.linalg.qr(draw.normal(size=(n, n)))[0]
    for x in (np.eye(n), turned, 7.3 * turned + 1):
        with pytest.raises(InputError, match="equally far from each other"):
            measure("unbiased_cka", x, draw.normal(size=(n, 3)))


WILD = (1e-300, 1e-200, 1e-30, 1e-7, 1e7, 1e30, 1e200, 1e300)


@pytest.mark.parametrize("name", METRICS)
def test_claimed_invariances_hold_at_wild_scales(name: str) -> None:
    draw = np.random.default_rng(7)
    rotation = np.linalg.qr(draw.normal(size=(D, D)))[0]
    value = measure(name, X, Y, **options_of(name))
    low, high = REGISTRY[name].range
    claimed = REGISTRY[name].invariances

    def unchanged(x: np.ndarray, y: np.ndarray, share: float = 1e-6) -> None:
        found = measure(name, x, y, **options_of(name))
        assert found == pytest.approx(value, rel=share, abs=share)
        assert low <= found <= high

    for factor in WILD:
        changed = []
        if "scale" in claimed:
            changed.append(lambda z, f=factor: z * f)
        if "rotation" in claimed:
            changed.append(lambda z, f=factor: (z @ rotation) * f)
        if "translation" in claimed:
            changed.append(lambda z, f=factor: (z + 1e8) * f)
        if "row_scale" in claimed:
            rows = draw.choice([1.0, 3.0, factor], size=(N, 1))
            changed.append(lambda z, rows=rows: z * rows)
        if "linear" in claimed:
            columns = draw.choice([1.0, 3.0, factor], size=D)
            changed.append(lambda z, columns=columns: z @ rotation * columns)
        for change in changed:
            unchanged(change(X), Y)
            unchanged(X, change(Y))
    if "linear" in claimed:
        mixed = X @ (rotation @ np.diag([1, 1e3, 1e-3, 1]) @ rotation.T)
        unchanged(mixed, Y)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_ranges_hold_for_a_rotated_copy(name: str, dtype: torch.dtype) -> None:
    low, high = REGISTRY[name].range
    for seed in range(8):
        draw = np.random.default_rng(seed)
        x = draw.normal(size=(30, 5)) + draw.normal(size=5)
        y = torch.tensor(x @ np.linalg.qr(draw.normal(size=(5, 5)))[0]).to(dtype)
        assert low <= measure(name, torch.tensor(x).to(dtype), y, **options_of(name)) <= high
        assert low <= measure(name, x * 1e-9, x * 3.0, **options_of(name)) <= high


@pytest.mark.parametrize("name", METRICS)
def test_layers_and_calibration_are_those_of_float64(name: str) -> None:
    xs = [STORED["bfloat16"][None], STORED["one column x 300, bfloat16"][None]]
    ys = [torch.tensor(Y)[None].half()]
    wide = [[layer.double() for layer in side] for side in (xs, ys)]
    options = options_of(name)
    assert torch.equal(measure_layers(name, xs, ys, options), measure_layers(name, *wide, options))
    if REGISTRY[name].paired and REGISTRY[name].ideal is not None:
        found = calibrate(name, xs[1][0], ys[0][0], permutations=3, **options)
        expected = calibrate(name, wide[0][1][0], wide[1][0][0], permutations=3, **options)
        assert torch.equal(found.chance, expected.chance)
        assert torch.equal(found.corrected, expected.corrected)


@pytest.mark.parametrize("kind", ["bfloat16", "mean 1e6, float32", "rank 3", "denormal"])
def test_rbf_kernels_and_euclidean_rows_are_those_of_60_digits(kind: str) -> None:
    x, y = stored(kind, X), torch.tensor(Y)
    with mpmath.mp.workdps(60):
        sides = [exact(z.double().numpy()) for z in (x, y)]
        apart = [distances(z) for z in sides]
        spearman = float(pearson(*map(ranks, apart)))
        kernels = []
        for squares in apart:
            middle = sorted(map(mpmath.sqrt, squares))
            width = (middle[(len(middle) - 1) // 2] + middle[len(middle) // 2]) / 2
            kernel = mpmath.eye(N)
            pairs = [(i, j) for i in range(N) for j in range(i + 1, N)]
            for (i, j), square in zip(pairs, squares, strict=True):
                kernel[i, j] = kernel[j, i] = mpmath.exp(-square / (2 * width**2))
            kernels.append(kernel)
        h = mpmath.eye(N) - mpmath.ones(N) / N
        one, two = (h * kernel * h for kernel in kernels)
        cka = float(product(one, two) / mpmath.sqrt(product(one, one) * product(two, two)))
    options = {"kernel": "rbf", "sigma_unit": "median"}
    assert measure("cka", x, y, **options) == pytest.approx(cka, rel=1e-9)
    assert measure("rsa", x, y, dissimilarity="euclidean") == pytest.approx(spearman, rel=1e-9)


@pytest.mark.parametrize("width", [3, 128, 129, 300])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_distances_of_wide_rows_keep_the_digits_of_near_ones(width: int, offset: float) -> None:
    draw = np.random.default_rng(width)
    rows = draw.normal(size=(12, width)) + offset
    rows[1], rows[2] = rows[0], rows[0] + 1e-6 * draw.normal(size=width)
    long = rows.astype(np.longdouble)
    expected = [np.sum((long[i] - long[j]) ** 2) for i in range(12) for j in range(i + 1, 12)]
    found = squared_distances(torch.tensor(rows)).numpy()
    np.testing.assert_allclose(found, np.array(expected, dtype=float), rtol=1e-11, atol=0)
