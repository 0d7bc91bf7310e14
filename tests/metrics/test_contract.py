"""What every metric of the registry inherits: checks of the properties that it claims."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from raysweep.errors import InputError
from raysweep.metrics import REGISTRY, Preprocessing, calibrate, measure, measure_layers

METRICS = sorted(REGISTRY)
FEW = settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.differing_executors],
)
KEYS = st.integers(0, 2**32 - 1)
ROWS = st.integers(24, 40)
WIDTHS = st.integers(2, 6)


def options_of(name):
    return {"topk": 7} if any(o.name == "topk" for o in REGISTRY[name].options) else {}


def pair(name, key, n, d1, d2):
    """Two representations with something in common and a mean of their own."""
    draw = np.random.default_rng(key)
    if name == "rsa":
        # Two numbers correlate by 1 or -1, in all pairs of rows alike if it so happens.
        d1, d2 = d1 + 1, d2 + 1
    d2 = d1 if REGISTRY[name].equal_widths else d2
    shared = draw.normal(size=(n, 2))
    x = shared @ draw.normal(size=(2, d1)) + draw.normal(size=(n, d1)) + draw.normal(size=d1)
    y = shared @ draw.normal(size=(2, d2)) + draw.normal(size=(n, d2)) + draw.normal(size=d2)
    return x, y


def score(name, x, y):
    return measure(name, x, y, **options_of(name))


def close(value):
    return pytest.approx(value, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("name", METRICS)
@FEW
@given(key=KEYS, n=ROWS, d1=WIDTHS, d2=WIDTHS)
def test_values_are_in_range(name, key, n, d1, d2):
    low, high = REGISTRY[name].range
    assert low - 1e-9 <= score(name, *pair(name, key, n, d1, d2)) <= high + 1e-9


@pytest.mark.parametrize(
    # Being a neighbour is not mutual, so a cycle need not close even then.
    "name",
    [n for n in METRICS if REGISTRY[n].ideal is not None and n != "cycle_knn"],
)
@FEW
@given(key=KEYS, n=ROWS, d1=WIDTHS)
def test_a_representation_with_itself_is_ideal(name, key, n, d1):
    x, _ = pair(name, key, n, d1, d1)
    # The root of a difference (procrustes) and a tiny ridge (stitching) cost half the digits.
    assert score(name, x, x) == pytest.approx(REGISTRY[name].ideal, abs=1e-4)


# The estimates in the denominator of cknna vary, so it has no bound.
@pytest.mark.parametrize(
    "name", [n for n in METRICS if REGISTRY[n].ideal is not None and n != "cknna"]
)
@FEW
@given(key=KEYS, n=ROWS, d1=WIDTHS, d2=WIDTHS)
def test_no_pair_is_better_than_ideal(name, key, n, d1, d2):
    metric = REGISTRY[name]
    value = score(name, *pair(name, key, n, d1, d2))
    assert (value <= metric.ideal + 1e-9) if metric.higher_is_better else (value >= metric.ideal)


@pytest.mark.parametrize("name", METRICS)
@FEW
@given(key=KEYS, n=ROWS, d1=WIDTHS, d2=WIDTHS)
def test_symmetry_as_claimed(name, key, n, d1, d2):
    x, y = pair(name, key, n, d1, d2)
    if REGISTRY[name].symmetric:
        assert score(name, x, y) == close(score(name, y, x))


@pytest.mark.parametrize("name", [n for n in METRICS if not REGISTRY[n].symmetric])
def test_asymmetry_as_claimed(name):
    x, y = pair(name, 1, 40, 6, 3)
    assert abs(score(name, x, y) - score(name, y, x)) > 1e-6


def transformed(kind, features, draw):
    n, d = features.shape
    if kind == "rotation":
        return features @ ortho_group(d, seed=draw).rvs()
    if kind == "scale":
        return features * draw.uniform(1e-3, 1e3)
    if kind == "translation":
        return features + draw.normal(size=d)
    if kind == "row_scale":
        return features * draw.uniform(0.1, 10, size=(n, 1))
    assert kind == "linear"
    return features @ (ortho_group(d, seed=draw).rvs() * draw.uniform(0.5, 2, size=d))


KINDS = ("rotation", "scale", "translation", "row_scale", "linear")


@pytest.mark.parametrize(
    ("name", "kind"), [(n, k) for n in METRICS for k in KINDS if k in REGISTRY[n].invariances]
)
@FEW
@given(key=KEYS, n=ROWS, d1=WIDTHS, d2=WIDTHS)
def test_invariance_as_claimed(name, kind, key, n, d1, d2):
    x, y = pair(name, key, n, d1, d2)
    draw = np.random.default_rng(key + 1)
    value = score(name, x, y)
    assert score(name, transformed(kind, x, draw), y) == pytest.approx(value, rel=1e-6, abs=1e-6)
    assert score(name, x, transformed(kind, y, draw)) == pytest.approx(value, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cmd", "translation"),
        ("cka", "row_scale"),
        ("unbiased_cka", "linear"),
        ("mutual_knn", "translation"),
        ("pwcca", "rotation"),
        ("svcca", "row_scale"),
        ("rsa", "rotation"),
        ("alignment", "rotation"),
    ],
)
def test_some_invariances_that_are_not_claimed_do_not_hold(name, kind):
    x, y = pair(name, 5, 30, 5, 5)
    assert kind not in REGISTRY[name].invariances
    changed = transformed(kind, x, np.random.default_rng(2))
    assert abs(score(name, changed, y) - score(name, x, y)) > 1e-4


# The folds of linear_stitching are rows by position.
@pytest.mark.parametrize("name", [n for n in METRICS if n != "linear_stitching"])
@FEW
@given(key=KEYS, n=ROWS, d1=WIDTHS, d2=WIDTHS)
def test_the_order_of_the_samples_does_not_matter(name, key, n, d1, d2):
    x, y = pair(name, key, n, d1, d2)
    order = np.random.default_rng(key).permutation(n)
    assert score(name, x[order], y[order]) == close(score(name, x, y))


# Each draw is of 36 pairs, of all the widths that there are.
@pytest.mark.parametrize("name", METRICS)
@settings(FEW, max_examples=2)
@given(key=KEYS, n=ROWS, d1=WIDTHS, d2=WIDTHS)
def test_a_pack_of_layers_is_a_loop_of_pairs(name, key, n, d1, d2):
    members, left, right = 3, 2, 3
    same = REGISTRY[name].equal_widths
    xs, ys = [], []
    for layer in range(max(left, right)):
        width = 0 if same else layer
        drawn = [pair(name, key + 7 * layer + m, n, d1 + width, d2 + width) for m in range(members)]
        xs.append(torch.tensor(np.stack([x for x, _ in drawn])))
        ys.append(torch.tensor(np.stack([y for _, y in drawn])))
    xs = xs[:left]
    both = Preprocessing(clip_quantile=0.9, normalize=True)
    for preprocessing in (Preprocessing(), both):
        batch = measure_layers(name, xs, ys, options_of(name), preprocessing=preprocessing)
        assert batch.shape == (members, left, right)
        assert batch.dtype == torch.float64
        loop = [
            [
                [
                    measure(name, x[m], y[m], preprocessing=preprocessing, **options_of(name))
                    for y in ys
                ]
                for x in xs
            ]
            for m in range(members)
        ]
        np.testing.assert_allclose(batch.numpy(), loop, rtol=1e-10, atol=1e-10)


EXTREMES = (1e-300, 1e-200, 1e-170, 1e-150, 1e155, 1e200, 1e300)


@pytest.mark.parametrize("name", METRICS)
def test_extreme_scales_change_nothing(name):
    """Squares of such numbers overflow or vanish; a power of two changes no digit of them."""
    x, y = pair(name, 3, 30, 4, 5)
    both = Preprocessing(clip_quantile=0.9, normalize=True)
    clipped = Preprocessing(clip_quantile=0.9)
    for preprocessing in (Preprocessing(), clipped, both):
        expected = measure(name, x, y, preprocessing=preprocessing, **options_of(name))
        for factor in EXTREMES:
            for left, right in ((x * factor, y), (x, y * factor), (x * factor, y / factor)):
                found = measure(name, left, right, preprocessing=preprocessing, **options_of(name))
                assert found == close(expected), factor
        exact = measure(name, x * 2.0**-700, y * 2.0**900, **options_of(name))
        assert exact == measure(name, x, y, **options_of(name))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *(("mutual_knn", {"similarity": s, "topk": 7}) for s in ("inner", "euclidean")),
        *(("rsa", {"dissimilarity": d}) for d in ("cosine", "euclidean")),
        *((n, {"kernel": "rbf", "sigma_unit": "median"}) for n in ("cka", "unbiased_cka")),
        ("cknna", {"similarity": "inner", "topk": 7}),
        ("svcca", {"standardize": False}),
        ("effective_rank_1", {"centered": False}),
        ("linear_stitching", {"ridge": 0.0}),
    ],
)
def test_extreme_scales_with_other_options(name, options):
    x, y = pair(name, 4, 30, 4, 5)
    for factor in EXTREMES:
        found = measure(name, x * factor, y, **options)
        assert found == close(measure(name, x, y, **options)), factor


def test_an_absolute_bandwidth_goes_with_the_scale():
    """Kernels of features and bandwidth scaled alike are equal; far apart rows are unlike all."""
    x, y = pair("cka", 5, 30, 4, 4)
    for factor in (1e-5, 1e5):
        scaled = measure("cka", x * factor, y * factor, kernel="rbf", sigma=2 * factor)
        assert scaled == close(measure("cka", x, y, kernel="rbf", sigma=2.0))
    assert abs(scaled - measure("cka", x, y, kernel="rbf", sigma=0.1)) > 1e-3
    # Nothing near: both kernels are the identity. All near: the kernel is constant.
    assert measure("cka", x * 1e200, y * 1e160, kernel="rbf") == close(1.0)
    with pytest.raises(InputError, match="a side has no variation left"):
        measure("cka", x * 1e-170, y, kernel="rbf")


@pytest.mark.parametrize("name", METRICS)
def test_a_member_of_extreme_scale_touches_no_other(name):
    x, y = pair(name, 0, 30, 4, 4)
    factors = (1.0, 1e200, 1.0, 1e-200)
    expected = measure(name, x, y, **options_of(name))
    xs = [torch.tensor(np.stack([x * factor for factor in factors]))]
    ys = [torch.tensor(np.stack([y, y, y * 1e200, y]))]
    for preprocessing in (Preprocessing(), Preprocessing(normalize=True)):
        found = measure_layers(name, xs, ys, options_of(name), preprocessing=preprocessing)
        own = measure(name, x, y, preprocessing=preprocessing, **options_of(name))
        np.testing.assert_allclose(found.flatten(), [own] * 4, rtol=1e-9, atol=1e-9)
    # Nor does one that is bad altogether, at any scale.
    xs[0][1, 3, 0] = torch.inf
    found = measure_layers(name, xs, ys, options_of(name)).flatten()
    assert torch.isnan(found).tolist() == [False, True, False, False]
    np.testing.assert_allclose(found[[0, 2, 3]], [expected] * 3, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", METRICS)
def test_a_bad_member_touches_no_other(name):
    x, y = pair(name, 0, 30, 4, 4)
    xs = [torch.tensor(np.stack([x, x, x, x])) for _ in range(2)]
    ys = [torch.tensor(np.stack([y, y, y, y])) for _ in range(2)]
    expected = measure_layers(name, xs, ys, options_of(name))
    xs[0][1, 3, 0] = torch.nan
    xs[1][2] = 2.5
    ys[1][3, 0, 0] = torch.inf
    found = measure_layers(name, xs, ys, options_of(name))
    undefined = torch.zeros(4, 2, 2, dtype=torch.bool)
    undefined[1, 0, :] = undefined[2, 1, :] = undefined[3, :, 1] = True
    assert torch.isnan(found[undefined]).all()
    assert torch.equal(found[~undefined], expected[~undefined])


@pytest.mark.parametrize("name", METRICS)
def test_float32_features_give_the_same_to_their_precision(name):
    x, y = pair(name, 3, 40, 5, 5)
    value = score(name, x, y)
    assert score(name, np.float32(x), np.float32(y)) == pytest.approx(value, rel=1e-4, abs=1e-4)
    assert score(name, torch.tensor(x), y.tolist()) == value


@pytest.mark.parametrize(
    "name", [n for n in METRICS if REGISTRY[n].paired and REGISTRY[n].ideal is not None]
)
def test_the_null_distribution_is_that_of_permuted_features(name):
    """The metrics reorder what they prepared; here the features themselves are reordered."""
    x, y = pair(name, 2, 24, 4, 4)
    found = calibrate(name, x, y, permutations=5, seed=8, **options_of(name))
    draw = np.random.default_rng(8)
    null = [score(name, x, y[draw.permutation(24)]) for _ in range(5)]
    assert found.raw.item() == score(name, x, y)
    assert found.chance.item() == close(np.mean(null))
    assert found.chance_std.item() == close(np.std(null, ddof=1))
    sign = 1 if REGISTRY[name].higher_is_better else -1
    as_good = sum(sign * value >= sign * found.raw.item() for value in null)
    assert found.p_value.item() == (1 + as_good) / 6
