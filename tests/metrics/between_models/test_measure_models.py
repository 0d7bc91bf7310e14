"""Alignment between models against the functions for one pair of models."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from raysweep.errors import InputError
from raysweep.metrics import (
    NONE,
    PAPER,
    REGISTRY,
    Preprocessing,
    best_over_layers,
    calibrate_layers,
    measure_layers,
    measure_models,
)
from raysweep.metrics.between_models.matrices import matrix_of
from raysweep.metrics.between_models.pair_vectors import packed
from raysweep.metrics.groups import group_numbers

N = 40
NAMES = [name for name, metric in REGISTRY.items() if not metric.equal_widths]
FAST = ("mutual_knn", "cka", "unbiased_cka", "cmd", "centered_cmd", "rsa")
CLIPPED = [Preprocessing(0.9, True, clip) for clip in ("layer", "model", "table")]


def layers(seed: int, *widths: int) -> list[np.ndarray]:
    """Layers that share something with those of other seeds; the last has ties."""
    shared = np.random.default_rng(0).normal(size=(N, 4))
    draw = np.random.default_rng(seed)
    found = [shared @ draw.normal(size=(4, d)) + draw.normal(size=(N, d)) for d in widths]
    return [*found, np.round(shared[:, :2]).clip(-1, 1) + 2]


LEFT, RIGHT = layers(1, 5, 70), layers(2, 90, 7, 60)


def pack(model: list[np.ndarray]) -> list[torch.Tensor]:
    return [torch.from_numpy(layer)[None] for layer in model]


def one_pair(name: str, preprocessing: Preprocessing, **given: object) -> pd.DataFrame:
    sides = {"a": {"left": LEFT}, "b": {"right": RIGHT}}
    return measure_models(sides, [name], preprocessing=preprocessing, **given)


@pytest.mark.parametrize("name", NAMES)
def test_a_pair_of_models_is_its_calibrated_layers(name: str) -> None:
    metric = REGISTRY[name]
    row = one_pair(name, PAPER, permutations=5, seed=3).iloc[0]
    given = pack(LEFT), pack(RIGHT)
    if metric.paired and metric.ideal is not None:
        known = calibrate_layers(name, *given, permutations=5, seed=3, preprocessing=PAPER)
        expected = [known.raw, known.chance, known.corrected, known.p_value]
    else:
        scores = measure_layers(name, *given, preprocessing=PAPER)
        known = best_over_layers(scores, metric.higher_is_better)
        expected = [known.value, np.nan, np.nan, np.nan]
    found = [row["value"], row["chance"], row["corrected"], row["p"]]
    np.testing.assert_allclose(found, [float(value) for value in expected], rtol=0, atol=1e-12)
    assert (row["layer_1"], row["layer_2"]) == (int(known.layer_1), int(known.layer_2))
    assert row["n"] == N


@pytest.mark.parametrize("preprocessing", [NONE, *CLIPPED], ids=str)
@pytest.mark.parametrize("name", FAST)
def test_every_pair_of_layers_is_measured(name: str, preprocessing: Preprocessing) -> None:
    found = one_pair(name, preprocessing, permutations=0, every_pair=True)
    known = measure_layers(name, pack(LEFT), pack(RIGHT), preprocessing=preprocessing)[0]
    np.testing.assert_allclose(found["value"], known.flatten(), rtol=0, atol=1e-12)
    pairs = itertools.product(range(len(LEFT)), range(len(RIGHT)))
    assert list(zip(found["layer_1"], found["layer_2"], strict=True)) == list(pairs)


OPTIONS = [
    ("cka", {"kernel": "rbf", "sigma_unit": "median"}),
    ("unbiased_cka", {"kernel": "rbf", "sigma": 3.0}),
    ("rsa", {"correlation": "pearson", "dissimilarity": "euclidean"}),
    *((name, {}) for name in FAST if name != "mutual_knn"),
]


@pytest.mark.parametrize(("name", "given"), OPTIONS)
def test_products_of_vectors_are_the_metric(name: str, given: dict[str, object]) -> None:
    matrix = matrix_of(name, REGISTRY[name].resolve(given))
    assert matrix is not None
    for left, right in itertools.product(LEFT, RIGHT):
        vectors = [packed(matrix(torch.from_numpy(side))) for side in (left, right)]
        known = float(measure_layers(name, pack([left]), pack([right]), given))
        assert vectors[0] @ vectors[1] == pytest.approx(known, abs=1e-12)


def test_a_row_far_from_all_others_costs_unbiased_cka_no_digits() -> None:
    far = [layer.copy() for layer in RIGHT]
    for layer in far:
        layer[7] += 1e6
    sides = {"a": [LEFT], "b": [far]}
    found = measure_models(sides, ["unbiased_cka"], permutations=0, every_pair=True)
    known = measure_layers("unbiased_cka", pack(LEFT), pack(far))
    np.testing.assert_allclose(found["value"], known.flatten(), rtol=0, atol=1e-12)


def test_many_models_are_their_pairs() -> None:
    sides = {
        "vision": {"one": layers(3, 50), "two": layers(4, 9, 60)},
        "language": {"three": layers(5, 70)},
        "sound": {"four": layers(6, 80, 6), "five": layers(7, 45)},
    }
    names = ["mutual_knn", "unbiased_cka", "mean_cca"]
    table = measure_models(sides, names, permutations=3)
    assert len(table) == 3 * (2 * 1 + 2 * 2 + 1 * 2)
    for _, row in table.iterrows():
        left, right = (sides[row[f"side_{i}"]][row[f"model_{i}"]] for i in (1, 2))
        known = calibrate_layers(row["metric"], pack(left), pack(right), permutations=3)
        expected = [float(known.raw), float(known.chance), float(known.p_value)]
        found = [row["value"], row["chance"], row["p"]]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_groups_are_kept_together() -> None:
    groups = np.arange(N) // 2
    row = one_pair("mutual_knn", NONE, permutations=9, groups=groups).iloc[0]
    of = group_numbers(groups, N)
    known = calibrate_layers("mutual_knn", pack(LEFT), pack(RIGHT), permutations=9, groups=of)
    assert row["value"] == pytest.approx(float(known.raw), abs=1e-12)
    assert row["chance"] == pytest.approx(float(known.chance), abs=1e-12)


@pytest.mark.parametrize("name", ["mutual_knn", "rsa", "mean_cca"])
def test_undefined_layers_are_passed_over(name: str) -> None:
    broken = [np.full((N, 3), np.nan), np.ones((N, 3)), RIGHT[0]]
    found = measure_models({"a": [LEFT], "b": [broken]}, name, permutations=3, every_pair=True)
    assert found["value"].isna().tolist() == [True, True, False] * len(LEFT)
    best = measure_models({"a": [LEFT], "b": [broken]}, name, permutations=3).iloc[0]
    assert best["layer_2"] == 2
    none = measure_models({"a": [LEFT], "b": [broken[:2]]}, name, permutations=3).iloc[0]
    assert np.isnan(none["value"])
    assert none["layer_1"] is pd.NA


@pytest.mark.parametrize("name", ["mutual_knn", "cka", "mean_cca"])
def test_all_layers_side_by_side_are_one_more(name: str) -> None:
    found = one_pair(name, PAPER, permutations=0, every_pair=True, concatenated=True)
    clip = Preprocessing(PAPER.clip_quantile)
    beside = [torch.cat([clip(layer) for layer in pack(model)], dim=2) for model in (LEFT, RIGHT)]
    both = found[(found["layer_1"] == -1) & (found["layer_2"] == -1)]
    known = measure_layers(
        name, [beside[0]], [beside[1]], preprocessing=Preprocessing(normalize=True)
    )
    np.testing.assert_allclose(both["value"], known.flatten(), rtol=0, atol=1e-12)
    assert len(found) == (len(LEFT) + 1) * (len(RIGHT) + 1)


WRONG = [
    ({"a": [LEFT]}, {}, "sides: expected two or more"),
    ({"a": [LEFT], "b": []}, {}, "b: expected at least one model"),
    ({"a": [LEFT], "b": [[]]}, {}, "b: 0: expected at least one layer"),
    ({"a": [LEFT], "b": {"m": [RIGHT[0][:9]]}}, {}, "b: m has 9 rows and a: 0 has 40"),
    ({"a": [LEFT], "b": {"m": [RIGHT[0], RIGHT[1][:9]]}}, {}, "layer 1 has 9 rows and layer 0"),
    ({"a": [LEFT], "b": ["no.npy"]}, {}, "no.npy: no such file"),
    ({"a": [LEFT], "b": [RIGHT]}, {"metrics": "cca"}, "unknown metric 'cca'"),
    ({"a": [LEFT], "b": [RIGHT]}, {"metrics": {"mutual_knn": {"topk": 40}}}, "topk must be below"),
    ({"a": [LEFT], "b": [RIGHT]}, {"metrics": "alignment"}, "rows of equal width"),
    ({"a": [LEFT], "b": [RIGHT]}, {"store": True}, "only what is known of a file can be stored"),
    ({"a": [LEFT], "b": [[[1.0, 2.0]]]}, {}, "layer 0: expected a table"),
]


@pytest.mark.parametrize(("sides", "given", "message"), WRONG)
def test_mistakes_are_told(sides: object, given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        measure_models(sides, **{"permutations": 1, **given})  # type: ignore[arg-type]
