"""Ties among neighbours, and the number of distinct rows."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import cosines, lcs, levenshtein, mutual_knn_over_all_tie_breaks

from raysweep.metrics import (
    distinct_rows,
    distinguishable_rows,
    distinguishable_rows_of,
    measure,
    measure_layers,
)
from raysweep.metrics.bits import count_common, count_common_anywhere, pack, pack_anywhere
from raysweep.metrics.features import as_features
from raysweep.metrics.neighbours import (
    SIMILARITIES,
    Space,
    neighbour_weights,
    ordered_neighbours,
)
from raysweep.metrics.ranked_knn import edit_distance, longest_common_subsequence


def tied_share(x, topk):
    """Share of the rows whose k-th neighbour is a tie."""
    space = Space(as_features(x, "x"), "cosine")
    return len(neighbour_weights(space, topk, 0, len(x)).tied) / len(x)


def codes(n, bits, seed):
    return np.random.default_rng(seed).integers(0, 2, (n, bits)).astype(float)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(key=st.integers(0, 2**32 - 1), topk=st.integers(1, 4), bits=st.integers(2, 4))
def test_mutual_knn_is_the_mean_over_all_ways_to_break_ties(key, topk, bits):
    x, y = codes(9, bits, key), codes(9, bits, key + 1)
    x[0], y[0] = 1, 1
    x[1, 0], y[1, 0] = 2, 3
    expected = mutual_knn_over_all_tie_breaks(x, y, topk)
    assert measure("mutual_knn", x, y, topk=topk) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_seeded_ties_have_the_exact_expectation(similarity):
    x, y = codes(30, 4, 0) + 0.5, codes(30, 4, 1) + 0.5
    x[:15] = y[:15]
    draws = []
    for seed in range(400):
        a = ordered_neighbours(torch.tensor(x), 5, similarity, 2 * seed).numpy()
        b = ordered_neighbours(torch.tensor(y), 5, similarity, 2 * seed + 1).numpy()
        draws.append(np.mean([len(set(p) & set(q)) / 5 for p, q in zip(a, b, strict=True)]))
    exact = measure("mutual_knn", x, y, topk=5, similarity=similarity)
    assert np.mean(draws) == pytest.approx(exact, abs=4 * np.std(draws) / np.sqrt(len(draws)))


def test_ordered_neighbours_are_the_nearest_in_order():
    x = codes(60, 6, 0) + 0.1
    found = ordered_neighbours(torch.tensor(x), 12, "cosine", seed=5).numpy()
    similarity = cosines(x)
    values = np.take_along_axis(similarity, found, axis=1)
    assert (np.diff(values, axis=1) <= 1e-12).all()
    nearest = -np.sort(-similarity, axis=1)[:, :12]
    np.testing.assert_allclose(values, nearest, atol=1e-12)
    assert all(len(set(row)) == 12 for row in found)
    again = ordered_neighbours(torch.tensor(x), 12, "cosine", seed=5).numpy()
    other = ordered_neighbours(torch.tensor(x), 12, "cosine", seed=6).numpy()
    assert (found == again).all()
    assert (found != other).any()


def test_an_encoder_that_separates_nothing_scores_chance():
    draw = np.random.default_rng(0)
    n, topk = 200, 10
    dead = np.zeros((n, 8))
    dead[0, 0] = 1.0
    other = np.zeros((n, 8))
    other[1, 3] = 1.0
    live = draw.normal(size=(n, 8))
    chance = topk / (n - 1)
    assert measure("mutual_knn", dead, other, topk=topk) == pytest.approx(chance, rel=0.02)
    assert measure("mutual_knn", dead, dead, topk=topk) == pytest.approx(chance, rel=0.02)
    assert measure("mutual_knn", dead, live, topk=topk) == pytest.approx(chance, rel=0.02)
    for name in ("lcs_knn", "edit_distance_knn"):
        assert measure(name, dead, dead, topk=topk) < 0.2


def test_the_same_partition_under_other_maps_scores_what_random_ties_give():
    """Few codes: within a code nothing is shared but chance, whatever the map of the codes."""
    draw = np.random.default_rng(0)
    partition = draw.integers(0, 8, 512)
    x, y = (draw.normal(size=(8, 12))[partition] for _ in range(2))
    same = [int((partition == code).sum()) - 1 for code in partition]
    expected = np.mean([min(1.0, 20 / size) for size in same])
    assert measure("mutual_knn", x, y, topk=20) == pytest.approx(expected, abs=1e-9)
    assert distinct_rows(x) == 8
    assert tied_share(x, 20) == 1.0


def test_rounding_noise_between_equal_rows_changes_nothing():
    """float64 features of rows that are equal may differ in their last digit by how they came."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(40, 12))[draw.integers(0, 40, 300)]
    y = draw.normal(size=(40, 12))[draw.integers(0, 40, 300)]
    noisy = x * (1 + draw.choice([-2e-16, 0, 2e-16], size=x.shape))
    assert distinct_rows(noisy) > 200 > distinct_rows(x)
    exact = measure("mutual_knn", x, y, topk=10)
    assert measure("mutual_knn", noisy, y, topk=10) == pytest.approx(exact, abs=1e-6)
    assert tied_share(noisy, 10) == pytest.approx(tied_share(x, 10), abs=1e-6)


def test_a_float32_step_between_rows_is_a_difference():
    """What is stored is the truth, as it would be for the same numbers in float64."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(40, 12)).astype(np.float32)[draw.integers(0, 40, 300)]
    y = draw.normal(size=(300, 12))
    noisy = x * (1 + draw.choice([-1.2e-7, 0, 1.2e-7], size=x.shape)).astype(np.float32)
    assert tied_share(noisy, 10) < 0.02 < tied_share(x, 10)
    assert measure("mutual_knn", noisy, y) == measure("mutual_knn", noisy.astype(float), y)


def test_close_but_different_rows_are_not_tied():
    """Features with a large common mean: all cosines near 1, yet their order is meant."""
    draw = np.random.default_rng(0)
    x = (1 + 1e-3 * draw.normal(size=(300, 12))).astype(np.float32)
    assert measure("mutual_knn", x, x, topk=10) > 0.98
    assert tied_share(x, 10) < 0.1


def test_no_ties_among_continuous_features():
    x = np.random.default_rng(0).normal(size=(300, 5))
    assert tied_share(x, 10) == 0.0
    assert distinct_rows(x) == 300


def test_distinct_rows_are_counted():
    assert distinct_rows(torch.tensor([[1.0, 2], [1, 2], [0, -0.0], [-0.0, 0]])) == 2
    assert distinct_rows(torch.zeros(4, 3, dtype=torch.float64)) == 1
    draw = np.random.default_rng(0).integers(0, 3, (500, 5))
    assert distinct_rows(draw) == len(np.unique(draw, axis=0))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(key=st.integers(0, 2**32 - 1), length=st.integers(1, 12))
def test_sequence_distances(key, length):
    draw = np.random.default_rng(key)
    a, b = (np.stack([draw.permutation(15)[:length] for _ in range(6)]) for _ in range(2))
    expected = [lcs(p, q) for p, q in zip(a, b, strict=True)]
    assert longest_common_subsequence(torch.tensor(a), torch.tensor(b)).tolist() == expected
    expected = [levenshtein(p, q) for p, q in zip(a, b, strict=True)]
    assert edit_distance(torch.tensor(a), torch.tensor(b)).tolist() == expected


def test_blocks_of_rows_and_layers_do_not_change_the_value(monkeypatch):
    draw = np.random.default_rng(0)
    xs = [torch.tensor(draw.integers(0, 3, (2, 70, 4)).astype(float)) for _ in range(3)]
    ys = [torch.tensor(draw.normal(size=(2, 70, 4))) for _ in range(2)]
    whole = measure_layers("mutual_knn", xs, ys, {"topk": 9})
    monkeypatch.setattr("raysweep.metrics.mutual_knn.MEMORY_BUDGET_BYTES", 1)
    monkeypatch.setattr("raysweep.metrics.mutual_knn.ROWS_IN_CACHE", 7)
    monkeypatch.setattr("raysweep.metrics.neighbours.NUMBERS_IN_CACHE", 1)
    monkeypatch.setattr("raysweep.metrics.neighbours.ROWS_IN_CACHE", 9)
    torch.testing.assert_close(
        measure_layers("mutual_knn", xs, ys, {"topk": 9}), whole, rtol=0, atol=1e-12
    )


@settings(max_examples=30, deadline=None, derandomize=True)
@given(key=st.integers(0, 2**32 - 1), rows=st.integers(1, 5), members=st.integers(1, 200))
def test_bits_count_common_members(key, rows, members):
    draw = np.random.default_rng(key)
    a, b = (torch.tensor(draw.integers(0, 2, (rows, members)).astype(bool)) for _ in range(2))
    packed = pack(a)
    assert torch.equal(pack_anywhere(a, packed.shape[1]), packed)
    expected = (a & b).sum(dim=1)
    assert torch.equal(count_common(packed, pack(b)), expected)
    assert torch.equal(count_common_anywhere(packed, pack(b)), expected)


@pytest.mark.parametrize("factor", [1e-200, 1.0, 1e200])
def test_distinguishable_rows_at_any_scale(factor):
    draw = np.random.default_rng(3)
    x = torch.tensor(draw.normal(size=(3, 40, 5))) * factor
    x[0] = x[0, torch.arange(40) % 7]
    x[2, 1, 1] = torch.nan
    assert distinguishable_rows(x).tolist() == [7, 40, 0]
    rounded = x[:2] * (1 + 1e-16 * torch.tensor(draw.normal(size=(2, 40, 5))))
    assert distinguishable_rows(rounded).tolist() == [7, 40]
    chosen = torch.tensor([1, -1, 0])
    assert distinguishable_rows_of([x, x.flip(0)], chosen).tolist() == [0, 40, 0]
    assert distinguishable_rows_of([x, x.flip(0)], chosen - 2).tolist() == [0, 40, 0]


@pytest.mark.parametrize("offset", [0, 10])
def test_no_two_of_thousands_of_rows_meet_by_chance(offset):
    rows = torch.from_numpy(np.random.default_rng(3).normal(size=(2, 4096, 32)) + offset).float()
    assert distinguishable_rows(rows).tolist() == [4096, 4096]
    few = rows[:, np.random.default_rng(4).integers(0, 50, 4096)]
    jitter = 1 + 1e-16 * torch.from_numpy(np.random.default_rng(5).normal(size=(2, 4096, 1)))
    assert distinguishable_rows(few * jitter).tolist() == [50, 50]
    assert distinguishable_rows(few.half()).tolist() == [50, 50]
