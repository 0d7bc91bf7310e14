"""Calibration against chance: chance levels, p-values, corrected scores."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from raysweep.errors import InputError
from raysweep.metrics import REGISTRY, calibrate, calibrate_layers, measure


def independent(members, n, d, seed):
    draw = np.random.default_rng(seed)
    return [torch.tensor(draw.normal(size=(members, n, d))) for _ in range(2)]


@pytest.mark.parametrize(
    ("name", "options", "n", "d", "expected"),
    [
        # Simulated elsewhere, for independent Gaussian features; single draws, two digits.
        ("cka", {}, 64, 64, 0.51),
        ("unbiased_cka", {}, 64, 64, 0.0),
        ("mutual_knn", {"topk": 10}, 64, 64, 0.16),
        ("svcca", {}, 64, 64, 0.33),
        ("mean_cca", {}, 64, 64, 1.0),
        ("cka", {}, 256, 512, 0.67),
        ("mutual_knn", {"topk": 100}, 256, 512, 0.39),
        ("svcca", {}, 256, 512, 0.16),
        ("cka", {}, 512, 12, 0.026),
        ("mutual_knn", {"topk": 10}, 512, 12, 0.021),
        ("svcca", {}, 512, 12, 0.126),
        ("mean_cca", {}, 512, 12, 0.136),
    ],
)
def test_chance_levels(name, options, n, d, expected):
    x, y = independent(1, n, d, seed=0)
    found = calibrate(name, x[0], y[0], permutations=40, **options)
    assert found.chance.item() == pytest.approx(expected, rel=0.1, abs=0.006)
    assert abs(found.raw.item() - found.chance.item()) <= max(5 * found.chance_std.item(), 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [("cka", {}), ("unbiased_cka", {}), ("mutual_knn", {"topk": 5}), ("procrustes_distance", {})],
)
def test_p_values_of_independent_features_are_uniform(name, options):
    """Each member is a data set of its own; the best of 2 x 2 layers, n near d."""
    members, permutations = 400, 19
    left = [independent(members, 16, 12, seed)[0] for seed in (1, 2)]
    right = [independent(members, 16, 12, seed)[1] for seed in (3, 4)]
    # The permutations are shared by the members of one call, so each call draws its own.
    p_values = []
    for start in range(0, members, 50):
        part = slice(start, start + 50)
        xs, ys = [x[part] for x in left], [y[part] for y in right]
        found = calibrate_layers(name, xs, ys, options, permutations=permutations, seed=start)
        p_values.extend(found.p_value.tolist())
    # 20 possible values in 5 equally likely groups.
    ranks = np.round(np.array(p_values) * (permutations + 1)).astype(int)
    assert set(ranks) <= set(range(1, 21))
    counts = np.bincount((ranks - 1) // 4, minlength=5)
    assert chisquare(counts).pvalue > 0.01
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(0.05, abs=0.035)


@pytest.mark.parametrize(
    ("name", "options"),
    [("cka", {}), ("svcca", {}), ("mutual_knn", {"topk": 20}), ("procrustes", {}), ("rsa", {})],
)
def test_the_corrected_score_is_zero_at_chance_though_the_raw_one_is_not(name, options):
    members = 12
    x, y = independent(members, 48, 40, seed=0)
    found = calibrate_layers(name, [x], [y], options, permutations=40)
    corrected = found.corrected.numpy()
    error = corrected.std(ddof=1) / np.sqrt(members)
    assert abs(corrected.mean()) < 4 * error
    assert abs(corrected.mean()) < 0.02
    if name in ("cka", "svcca", "mutual_knn"):
        assert found.raw.min().item() > 0.3


CALIBRATED = [n for n, m in REGISTRY.items() if m.paired and m.ideal is not None]


@pytest.mark.parametrize("name", CALIBRATED)
def test_the_corrected_score_is_one_at_identity(name):
    x, _ = independent(3, 48, 20, seed=0)
    found = calibrate_layers(name, [x], [x], permutations=19)
    np.testing.assert_allclose(found.corrected, 1.0, atol=1e-5)
    if name != "cycle_knn":  # whose null comes near: any of ten neighbours closes a cycle
        np.testing.assert_allclose(found.p_value, 1 / 20)


@pytest.mark.parametrize(
    ("name", "options"), [("cycle_knn", {"topk": 2}), ("linear_stitching", {"ridge": 1.0})]
)
def test_ideal_is_what_both_sides_reach_with_themselves(name, options):
    """With these options even identity is not 1."""
    draw = np.random.default_rng(2)
    xs = [torch.tensor(draw.normal(size=(4, 24, 18))) for _ in range(2)]
    ys = [x + 0.5 * torch.tensor(draw.normal(size=(4, 24, 18))) for x in reversed(xs)]
    same = calibrate_layers(name, xs, xs[:1], options, permutations=9)
    np.testing.assert_allclose(same.corrected, 1.0, atol=1e-9)
    assert (same.raw < 0.98).all()
    found = calibrate_layers(name, xs, ys, options, permutations=9)
    for member in range(4):
        sides = (xs[found.layer_1[member]][member], ys[found.layer_2[member]][member])
        ideal = np.mean([measure(name, side, side, **options) for side in sides])
        corrected = (found.raw - found.chance)[member] / (ideal - found.chance[member])
        assert found.corrected[member] == pytest.approx(float(corrected), rel=1e-9)


def test_the_best_of_many_layers_is_compared_with_the_best_of_many_layers():
    draw = np.random.default_rng(0)
    xs = [torch.tensor(draw.normal(size=(30, 40, 6))) for _ in range(4)]
    ys = [torch.tensor(draw.normal(size=(30, 40, 6))) for _ in range(4)]
    one = calibrate_layers("unbiased_cka", xs[:1], ys[:1], permutations=50)
    best = calibrate_layers("unbiased_cka", xs, ys, permutations=50)
    assert best.raw.mean() > one.raw.mean() + 0.02
    assert abs(best.corrected.mean()) < 4 * best.corrected.std() / np.sqrt(30)
    for member in range(30):
        pair = [xs[best.layer_1[member]][member], ys[best.layer_2[member]][member]]
        assert measure("unbiased_cka", *pair) == pytest.approx(best.raw[member].item())


def test_features_that_separate_nothing_are_not_significant():
    dead = np.zeros((60, 4))
    dead[0, 0] = 1.0
    found = calibrate("mutual_knn", dead, dead, topk=5, permutations=19)
    assert found.p_value.item() > 0.05
    assert found.corrected.item() == pytest.approx(0, abs=0.02)


def test_a_member_does_not_depend_on_its_pack():
    x, y = independent(5, 30, 6, seed=0)
    pack = calibrate_layers("mutual_knn", [x], [y], permutations=9, seed=4)
    for member in range(5):
        alone = calibrate("mutual_knn", x[member], y[member], permutations=9, seed=4)
        for field in ("raw", "chance", "chance_std", "p_value", "corrected"):
            assert getattr(alone, field)[0] == getattr(pack, field)[member]


def test_undefined_scores_stay_undefined():
    x, y = independent(2, 30, 6, seed=0)
    y[1] = 1.0
    found = calibrate_layers("unbiased_cka", [x], [y], permutations=9)
    assert torch.isnan(found.raw).tolist() == [False, True]
    assert torch.isnan(found.p_value).tolist() == [False, True]
    assert torch.isnan(found.corrected).tolist() == [False, True]
    assert found.layer_1.tolist() == [0, -1]


def test_all_neighbours_leave_no_room_above_chance():
    x, y = independent(1, 12, 3, seed=0)
    found = calibrate("mutual_knn", x[0], y[0], topk=11, permutations=9)
    assert found.raw.item() == 1.0
    assert np.isnan(found.corrected.item())
    assert found.p_value.item() == 1.0


@pytest.mark.parametrize(
    ("name", "permutations", "message"),
    [
        ("modality_gap", 9, "modality_gap does not depend on which rows belong together"),
        ("effective_rank_1", 9, "effective_rank_1 does not depend on which rows belong together"),
        ("cka", 0, "permutations: expected at least 1, got 0"),
    ],
)
def test_bad_input_is_an_error(name, permutations, message):
    x, y = independent(1, 12, 3, seed=0)
    with pytest.raises(InputError, match=message):
        calibrate(name, x[0], y[0], permutations=permutations)
