"""Metrics on rows that belong together: neighbours, folds, and the level of chance."""

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from raysweep.errors import InputError
from raysweep.metrics import REGISTRY, calibrate, calibrate_layers, measure, measure_layers
from raysweep.metrics.groups import group_numbers, shuffled
from raysweep.metrics.modalities import calibrate_modalities

OF_NEIGHBOURS = [name for name, metric in REGISTRY.items() if metric.of_neighbours]
PAIRED = [name for name, metric in REGISTRY.items() if metric.paired and metric.ideal is not None]


def copies(draw: np.random.Generator, images: int, each: int, d: int = 6) -> np.ndarray:
    """Near-copies of random rows, those of one image beside each other."""
    rows = np.repeat(draw.normal(size=(images, d)), each, axis=0)
    return rows + 0.05 * draw.normal(size=rows.shape)


def neighbours(x: np.ndarray, groups: np.ndarray, topk: int) -> list[list[int]]:
    """The nearest rows of other groups by cosine, one row at a time."""
    u = x / np.linalg.norm(x, axis=1, keepdims=True)
    found = []
    for i in range(len(x)):
        others = [j for j in range(len(x)) if j != i and groups[j] != groups[i]]
        found.append(sorted(others, key=lambda j: -(u[i] @ u[j]))[:topk])
    return found


def longest_common(a: list[int], b: list[int]) -> int:
    best = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, j in itertools.product(range(len(a)), range(len(b))):
        same = best[i][j] + 1 if a[i] == b[j] else 0
        best[i + 1][j + 1] = max(same, best[i][j + 1], best[i + 1][j])
    return best[-1][-1]


@pytest.mark.parametrize("seed", range(3))
def test_rows_of_a_group_are_no_neighbours(seed: int) -> None:
    draw = np.random.default_rng(seed)
    groups = draw.integers(0, 12, 60)
    x = draw.normal(size=(60, 5))
    y = x[:, :4] + draw.normal(size=(60, 4))
    near, of_y = neighbours(x, groups, 7), neighbours(y, groups, 7)
    shared = np.mean([len(set(a) & set(b)) / 7 for a, b in zip(near, of_y, strict=True)])
    assert measure("mutual_knn", x, y, topk=7, groups=groups) == pytest.approx(shared, abs=1e-12)
    back = np.mean([any(i in near[j] for j in of_y[i]) for i in range(60)])
    assert measure("cycle_knn", x, y, topk=7, groups=groups) == pytest.approx(back, abs=1e-12)
    common = np.mean([longest_common(a, b) / 7 for a, b in zip(near, of_y, strict=True)])
    assert measure("lcs_knn", x, y, topk=7, groups=groups) == pytest.approx(common, abs=1e-12)


def test_cknna_takes_the_kernels_of_neighbours_in_other_groups() -> None:
    draw = np.random.default_rng(5)
    n, topk, groups = 40, 9, draw.integers(0, 9, 40)
    x = draw.normal(size=(n, 5))
    y = x + draw.normal(size=(n, 5))

    def kernel(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u = z / np.linalg.norm(z, axis=1, keepdims=True)
        mask = np.zeros((n, n))
        for i, of in enumerate(neighbours(z, groups, topk)):
            mask[i, of] = 1
        return u @ u.T, mask

    def hsic(k: np.ndarray, g: np.ndarray) -> float:
        total = np.trace(k @ g) + k.sum() * g.sum() / ((n - 1) * (n - 2))
        return float((total - 2 / (n - 2) * (k @ g).sum()) / (n * (n - 3)))

    (k, of_x), (g, of_y) = kernel(x), kernel(y)
    both = of_x * of_y
    own = np.sqrt(hsic(of_x * k, of_x * k) * hsic(of_y * g, of_y * g))
    expected = hsic(both * k, both * g) / own
    assert measure("cknna", x, y, topk=topk, groups=groups) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("similarity", ["cosine", "euclidean", "inner"])
def test_few_rows_outside_a_large_group_are_still_found(similarity: str) -> None:
    """Of 200 rows 188 are one group, so that its rows have 12 others."""
    draw = np.random.default_rng(0)
    x, groups = draw.normal(size=(200, 4)), np.maximum(np.arange(200) - 187, 0)
    given = {"similarity": similarity, "groups": groups}
    assert measure("mutual_knn", x, x, topk=12, **given) == pytest.approx(1)
    assert 0 < measure("mutual_knn", x, draw.normal(size=(200, 4)), topk=6, **given) < 1


@pytest.mark.parametrize("name", list(REGISTRY))
def test_rows_that_stand_alone_change_no_bit(name: str) -> None:
    draw = np.random.default_rng(1)
    x, y = draw.normal(size=(50, 4)), draw.normal(size=(50, 4))
    names = [f"image {i}" for i in draw.permutation(50)]
    assert measure(name, x, y, groups=names) == measure(name, x, y)
    if name in PAIRED:
        plain = calibrate(name, x, y, permutations=9, seed=3)
        alone = calibrate(name, x, y, permutations=9, seed=3, groups=names)
        assert plain.p_value == alone.p_value
        assert plain.chance == alone.chance


@pytest.mark.parametrize("name", [n for n in REGISTRY if not REGISTRY[n].keeps_groups])
def test_other_metrics_take_no_notice(name: str) -> None:
    draw = np.random.default_rng(1)
    x, y = draw.normal(size=(30, 4)), draw.normal(size=(30, 4))
    assert measure(name, x, y, groups=np.arange(30) // 3) == measure(name, x, y)


def test_whole_groups_are_held_out_together() -> None:
    """A linear map of many features knows near-copies by heart; of new groups it knows nothing."""
    draw = np.random.default_rng(2)
    x, y = copies(draw, 30, 5, d=25), copies(draw, 30, 5, d=3)
    assert measure("linear_stitching", x, y) > 0.5
    assert measure("linear_stitching", x, y, groups=np.repeat(np.arange(30), 5)) < 0


def test_orders_take_whole_groups_to_places_of_others() -> None:
    groups = group_numbers(np.array([3, 9, 3, 1, 9, 7, 8, 8, 8, 1, 2]), 11)
    assert groups.tolist() == [0, 1, 0, 2, 1, 3, 4, 4, 4, 2, 5]
    draw, seen = np.random.default_rng(0), set()
    for _ in range(400):
        order = shuffled(groups, 11, draw)
        assert sorted(order) == list(range(11))
        for group in range(6):
            came = groups[order[groups == group]]
            assert len(set(came)) == 1
            # In the order that they had.
            assert (np.diff(order[groups == group]) > 0).all()
        seen.add(tuple(order.tolist()))
    # 3! orders of the groups of two, 2 of those alone, and the group of three stays.
    assert len(seen) == 12


def test_every_order_is_as_likely() -> None:
    groups, draw = np.repeat(np.arange(3), 2), np.random.default_rng(1)
    found = [tuple(groups[shuffled(groups, 6, draw)][::2].tolist()) for _ in range(3000)]
    for order in itertools.permutations(range(3)):
        assert abs(found.count(order) - 500) < 110  # 5 standard deviations


@pytest.mark.parametrize("each", ["equal", "unequal"])
@pytest.mark.parametrize("name", ["unbiased_cka", "mutual_knn"])
def test_p_values_are_valid_with_groups_and_far_too_small_without(name: str, each: str) -> None:
    """Independent modalities of 24 images with 5 near-copies each, or with 3 to 6."""
    draw = np.random.default_rng(7)
    m, sizes = 160, np.full(24, 5)
    if each == "unequal":
        sizes = np.repeat([3, 4, 5, 6], 6)
    groups = np.repeat(np.arange(24), sizes)
    x, y = (
        torch.from_numpy(np.repeat(draw.normal(size=(m, 24, 4)), sizes, axis=1)) for _ in range(2)
    )
    x, y = (side + 0.05 * torch.from_numpy(draw.normal(size=side.shape)) for side in (x, y))
    options = {"topk": 8} if name == "mutual_knn" else {}
    asked = {"permutations": 39, "seed": 5}
    grouped = calibrate_layers(name, [x], [y], options, groups=groups, **asked)
    plain = calibrate_layers(name, [x], [y], options, **asked)
    for level in (0.05, 0.1, 0.25, 0.5):
        below = int((grouped.p_value <= level + 1e-9).sum())
        assert binomtest(below, m, level, alternative="greater").pvalue > 0.001
        assert binomtest(below, m, level, alternative="less").pvalue > 0.001
    assert (plain.p_value <= 0.05).double().mean() > 0.25
    # Chance is the mean of what independent modalities have.
    error = grouped.raw.std() / m**0.5
    assert abs(grouped.raw.mean() - grouped.chance.mean()) < 4 * error
    assert abs(grouped.corrected.mean()) < 0.05


def test_what_truly_belongs_together_is_found_through_groups() -> None:
    draw = np.random.default_rng(3)
    x = copies(draw, 30, 4)
    y = x[:, :4] + 0.5 * np.repeat(draw.normal(size=(30, 4)), 4, axis=0)
    groups = np.repeat(np.arange(30), 4)
    for name in ("unbiased_cka", "mutual_knn", "cknna"):
        found = calibrate(name, x, y, groups=groups, permutations=99)
        assert found.p_value == 0.01


def test_groups_of_three_modalities_are_shuffled_each_by_itself() -> None:
    draw, m = np.random.default_rng(4), 120
    sides = [
        [torch.from_numpy(np.stack([copies(draw, 20, 3) for _ in range(m)]))] for _ in range(3)
    ]
    groups = np.repeat(np.arange(20), 3)
    asked = {"permutations": 39, "seed": 1}
    found = calibrate_modalities("unbiased_cka", sides, {}, groups=groups, **asked)
    for level in (0.05, 0.25, 0.5):
        assert binomtest(int((found.p_value <= level + 1e-9).sum()), m, level).pvalue > 0.001
    two = calibrate_modalities("unbiased_cka", sides[:2], {}, groups=groups, **asked)
    pair = calibrate_layers("unbiased_cka", sides[0], sides[1], groups=groups, **asked)
    assert torch.equal(two.p_value, pair.p_value)
    assert torch.equal(two.chance, pair.chance)


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ([1, 2, 3], r"groups have shape \[3\], expected \[20\]"),
        (np.ones((20, 1), int), r"groups have shape \[20, 1\]"),
        (np.linspace(0, 1, 20), "groups are float64, expected whole numbers or texts"),
        ([0] * 19 + [1], "topk 10 neighbours in other groups, and the largest group has 19 of 20"),
    ],
)
def test_groups_that_cannot_be(groups: object, words: str) -> None:
    x = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.raises(InputError, match=words):
        measure("mutual_knn", x, x, groups=groups)


def test_chance_is_not_known_where_no_groups_can_change_places() -> None:
    x = np.random.default_rng(0).normal(size=(10, 3))
    with pytest.raises(InputError, match="no two groups have as many rows"):
        calibrate("cka", x, x, groups=[0, 1, 1, 2, 2, 2, 3, 3, 3, 3])
    with pytest.raises(InputError, match="all rows are one"):
        measure("linear_stitching", x, x, groups=[0] * 10)


def test_layers_of_a_pack_have_the_same_groups() -> None:
    draw = np.random.default_rng(6)
    xs = [torch.from_numpy(draw.normal(size=(3, 40, 4))) for _ in range(2)]
    groups = np.arange(40) // 4
    found = measure_layers("mutual_knn", xs, xs, {"topk": 5}, groups=groups)
    for m, a, b in itertools.product(range(3), range(2), range(2)):
        one = measure("mutual_knn", xs[a][m], xs[b][m], topk=5, groups=groups)
        assert found[m, a, b] == pytest.approx(one)
