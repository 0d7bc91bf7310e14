"""Input of `measure` and `measure_layers`, preprocessing, the best pair of layers."""

import doctest
import re

import numpy as np
import pytest
import torch

import raysweep.metrics.measurement as module
from raysweep.errors import InputError
from raysweep.metrics import (
    PAPER,
    REGISTRY,
    Preprocessing,
    best_over_layers,
    clip_outliers,
    measure,
    measure_layers,
)
from raysweep.metrics.undefined import same_rows

DRAW = np.random.default_rng(0)
X, Y = DRAW.normal(size=(20, 3)), DRAW.normal(size=(20, 4))


def changed(value):
    table = X.copy()
    table[4, 1] = value
    return table


@pytest.mark.parametrize(
    ("name", "x", "y", "options", "message"),
    [
        ("ckka", X, Y, {}, "unknown metric 'ckka'; expected one of: cka, unbiased_cka"),
        ("cka", X[:19], Y, {}, "x has 19 rows and y has 20"),
        ("cka", X[:3], Y[:3], {}, "at least 4 rows (samples), got 3"),
        ("cka", X[0], Y, {}, "x: expected a table [n samples, d features]"),
        ("cka", X, Y[:, :0], {}, "y: expected a table [n samples, d features] with d >= 1"),
        ("cka", changed(np.nan), Y, {}, "x: expected finite numbers, got NaN or infinity"),
        ("cka", Y, changed(np.inf), {}, "y: expected finite numbers, got NaN or infinity"),
        ("cka", np.full((20, 2), 0.1), Y, {}, "x: all rows are the same (constant features)"),
        ("cka", X, np.zeros((20, 2)), {}, "y: all rows are the same (constant features)"),
        ("cka", X.astype(str), Y, {}, "x: expected numbers [n, d], got an array of <U"),
        ("cka", X + 1j, Y, {}, "x: expected numbers [n, d], got an array of complex128"),
        ("cka", X, Y, {"kernle": "rbf"}, "no option 'kernle', valid are kernel, sigma"),
        ("cka", X, Y, {"kernel": "poly"}, "kernel is 'poly', expected one of linear, rbf"),
        ("cka", X, Y, {"kernel": "rbf", "sigma": 0}, "sigma is 0, expected a number in 1e-06"),
        ("procrustes", X, Y, {"a": 1}, "no option 'a', valid are none"),
        ("mutual_knn", X, Y, {"topk": 20}, "topk must be below the number of rows, got topk 20"),
        ("mutual_knn", X, Y, {"topk": 0}, "topk is 0, expected an integer >= 1"),
        ("mutual_knn", X, Y, {"topk": 2.5}, "topk is 2.5, expected an integer >= 1"),
        ("mutual_knn", X, Y, {"topk": True}, "topk is True, expected an integer >= 1"),
        ("cknna", X, Y, {"topk": 1}, "topk is 1, expected an integer >= 2"),
        ("svcca", X, Y, {"standardize": 1}, "standardize is 1, expected true or false"),
        (
            "svcca",
            X,
            Y,
            {"dimensions": 0},
            "dimensions is 0, expected an integer in 1..2.14748e+09 or none",
        ),
        ("alignment", X, Y, {}, "compares rows of equal width, got widths 3, 4"),
        ("unbiased_cka", np.eye(20), Y, {}, "all rows of a side are equally far from each other"),
        ("rsa", X[:, :1], Y, {}, "all dissimilarities of a side are equal"),
    ],
)
def test_bad_input_is_an_error_that_says_what_is_wrong(name, x, y, options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        measure(name, x, y, **options)


@pytest.mark.parametrize(
    ("xs", "ys", "message"),
    [
        ([], [torch.ones(1, 5, 2)], "xs: expected at least one layer"),
        ([torch.ones(1, 5, 2)], [torch.ones(5, 2)], "ys[0]: expected floating-point [m, n, d]"),
        ([torch.ones(1, 5, 2)], [torch.ones(1, 5, 2).int()], "got torch.int32 [1, 5, 2]"),
        ([torch.ones(2, 5, 2)], [torch.ones(1, 5, 2)], "1 members x 5 rows, but xs[0] has 2 x 5"),
        ([torch.ones(1, 3, 2)], [torch.ones(1, 3, 2)], "at least 4 rows (samples), got 3"),
    ],
)
def test_layers_that_do_not_fit_are_an_error(xs, ys, message):
    with pytest.raises(InputError, match=re.escape(message)):
        measure_layers("cka", xs, ys)


@pytest.mark.parametrize("factor", [1e-30, 1e30])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiny_and_huge_features_are_not_constant(factor, dtype):
    scaled = (X * factor).astype(dtype)
    assert measure("unbiased_cka", scaled, Y) == pytest.approx(
        measure("unbiased_cka", X, Y), rel=1e-5
    )
    assert measure("mutual_knn", scaled, Y, topk=3) == pytest.approx(
        measure("mutual_knn", X, Y, topk=3)
    )


def test_nearly_constant_float32_features_keep_their_value():
    """The published float32 form of unbiased CKA gives down to -1 here."""
    draw = np.random.default_rng(0)
    signal = draw.normal(size=(500, 8))
    for spread in (1e-2, 1e-3):
        x = (1 + spread * signal).astype(np.float32)
        assert measure("unbiased_cka", x, signal) == pytest.approx(1, abs=1e-3)
    # A handful of numbers one step of float32 below 1: they are what is stored, and vary.
    rounding = (1 + 1e-8 * signal).astype(np.float32)
    steps = (rounding.astype(float) - 1) * 2**24
    assert 0 < np.count_nonzero(steps) < 40
    assert measure("unbiased_cka", rounding, signal) == pytest.approx(
        measure("unbiased_cka", steps, signal), rel=1e-9
    )
    with pytest.raises(InputError, match="constant features"):
        measure("unbiased_cka", (1 + 1e-9 * signal).astype(np.float32), signal)
    with pytest.raises(InputError, match="up to the rounding of float64"):
        measure("unbiased_cka", 1 + 1e-15 * signal, signal)


def test_negative_scores_are_kept():
    draw = np.random.default_rng(0)
    values = [
        measure("unbiased_cka", draw.normal(size=(16, 9)), draw.normal(size=(16, 9)))
        for _ in range(200)
    ]
    assert min(values) < -0.05
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(200)


def test_measuring_does_not_change_the_features():
    x, y = X.copy(), torch.tensor(Y)
    for name in sorted(REGISTRY):
        if not REGISTRY[name].equal_widths:
            measure(name, x, y, preprocessing=PAPER)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y.numpy(), Y)


def test_features_with_gradients_and_other_dtypes():
    x = torch.tensor(X, requires_grad=True)
    assert measure("cka", x, Y) == measure("cka", X, Y)
    assert measure_layers("cka", [x[None]], [torch.tensor(Y)[None]]).requires_grad is False
    counts = np.round(X * 10).astype(np.int32)
    assert measure("cka", counts, Y) == measure("cka", counts.astype(float), Y)
    half = torch.tensor(X, dtype=torch.bfloat16)
    assert measure("cka", half, Y) == pytest.approx(measure("cka", X, Y), rel=0.05)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_preprocessing_is_in_float64(dtype):
    features = torch.tensor(X).to(dtype)[None]
    assert torch.equal(PAPER(features), PAPER(features.double()))


def test_each_member_is_clipped_by_its_own_threshold():
    pack = torch.stack([torch.tensor(X), 100 * torch.tensor(X)])
    clipped = clip_outliers(pack, 0.8)
    torch.testing.assert_close(clipped[1], 100 * clipped[0])
    torch.testing.assert_close(clipped[0], clip_outliers(torch.tensor(X), 0.8))
    assert torch.equal(Preprocessing(clip_quantile=1.0)(pack), pack)


@pytest.mark.parametrize("quantile", [0.0, -0.1, 1.5])
def test_a_quantile_out_of_range_is_an_error(quantile):
    with pytest.raises(InputError, match="clip_quantile: expected None or 0 < q <= 1"):
        Preprocessing(clip_quantile=quantile)


def test_rows_of_zeros_stay_zero():
    features = torch.tensor(X)
    features[3] = 0
    assert torch.equal(PAPER(features)[3], torch.zeros(3, dtype=torch.float64))


def test_best_over_layers_keeps_negative_scores_and_names_the_pair():
    nan = torch.nan
    scores = torch.tensor(
        [
            [[-0.3, -0.2], [-0.4, -0.5]],
            [[nan, -0.9], [-0.1, nan]],
            [[nan, nan], [nan, nan]],
            [[0.2, 0.7], [0.7, 0.1]],
        ],
        dtype=torch.float64,
    )
    best = best_over_layers(scores)
    np.testing.assert_array_equal(best.value, [-0.2, -0.1, np.nan, 0.7])
    assert best.layer_1.tolist() == [0, 1, -1, 0]
    assert best.layer_2.tolist() == [1, 0, -1, 1]
    assert best.undefined.tolist() == [0, 2, 4, 0]
    lowest = best_over_layers(scores, higher_is_better=False)
    np.testing.assert_array_equal(lowest.value, [-0.5, -0.9, np.nan, 0.1])
    assert lowest.layer_1.tolist() == [1, 0, -1, 1]
    assert lowest.layer_2.tolist() == [1, 1, -1, 1]


def test_blocks_of_memory_do_not_change_the_value(monkeypatch):
    draw = np.random.default_rng(0)
    xs = [torch.tensor(draw.normal(size=(2, 20, d))) for d in (3, 40, 5)]
    ys = [torch.tensor(draw.normal(size=(2, 20, d))) for d in (30, 2)]
    names = ("cka", "unbiased_cka", "rsa", "procrustes")
    whole = {name: measure_layers(name, xs, ys) for name in names}
    for budget in (1, 8 * 20 * 40 * 2 * 3):
        monkeypatch.setattr("raysweep.metrics.cka.MEMORY_BUDGET_BYTES", budget)
        monkeypatch.setattr("raysweep.metrics.pairs.MEMORY_BUDGET_BYTES", budget)
        for name in names:
            torch.testing.assert_close(
                measure_layers(name, xs, ys), whole[name], rtol=1e-12, atol=1e-12
            )


def test_every_metric_describes_itself():
    for name, metric in REGISTRY.items():
        assert metric.name == name
        assert metric.summary.endswith(".")
        assert metric.source
        assert metric.cost
        low, high = metric.range
        assert low < high
        assert metric.ideal is None or low <= metric.ideal <= high
        assert metric.resolve({}) == {o.name: o.default for o in metric.options}


def test_examples_in_the_documentation():
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_that_differ_by_the_rounding_of_a_product_are_the_same(dtype: torch.dtype) -> None:
    weights = torch.randn(7, 5, dtype=dtype, generator=torch.Generator().manual_seed(0))
    row = torch.rand(7, dtype=dtype, generator=torch.Generator().manual_seed(1))
    # The same sum, put together in as many orders as there are samples.
    orders = [torch.randperm(7, generator=torch.Generator().manual_seed(i)) for i in range(9)]
    layer = torch.stack([row[order] @ weights[order] for order in orders])
    assert bool(same_rows(layer))
    layer[3, 2] += 1e-3
    assert not bool(same_rows(layer))
    assert same_rows(torch.stack([layer, torch.ones_like(layer)])).tolist() == [False, True]
