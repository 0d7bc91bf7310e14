"""The paper's generator: published numbers, published seeds, and rows that follow the known law."""

import math
from hashlib import sha256
from itertools import pairwise

import numpy as np
import pytest
import reference_information as reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.data.label_model import LabelSettings, label_model, task_positions, task_weights
from raysweep.data.registry import load
from raysweep.data.transforms import Heterogeneity, apply_network, random_networks
from raysweep.errors import InputError

SMALL = {"train": 400, "validation": 200, "test": 200}

# Shared table "Exact information of the generator" (draw 0, the paper's settings), in nats:
# I1, I2, R, U1, U2, S, I_shared, Bayes accuracy 1, Bayes accuracy 2.
PUBLISHED = {
    0: (1.1588, 1.1588, 1.1588, 0, 0, 0, 1.1588, 0.9063, 0.9063),
    1: (0.9717, 1.1588, 0.9717, 0, 0.1872, 0, 0.9717, 0.7994, 0.9063),
    2: (0.9717, 0.8806, 0.7493, 0.2224, 0.1312, 0.0559, 0.7151, 0.7994, 0.7363),
    3: (0.7151, 0.8867, 0.5914, 0.1236, 0.2953, 0.1485, 0.4935, 0.6663, 0.7446),
    4: (0.7151, 0.7334, 0.4707, 0.2444, 0.2627, 0.1811, 0.3669, 0.6663, 0.7083),
    5: (0.4935, 0.7717, 0.3839, 0.1096, 0.3878, 0.2776, 0.2591, 0.5787, 0.7367),
    6: (0.4935, 0.6076, 0.3633, 0.1302, 0.2443, 0.4210, 0.1520, 0.5787, 0.6512),
    7: (0.3669, 0.6188, 0.3367, 0.0302, 0.2821, 0.5098, 0.0884, 0.5412, 0.6467),
    8: (0.3669, 0.4733, 0.2728, 0.0941, 0.2005, 0.5914, 0.0, 0.5412, 0.5952),
}


@pytest.mark.parametrize("U", range(9))
def test_published_information(U):
    known = load("synthetic", {"U": U, **SMALL}).information
    i1, i2, redundancy, unique_1, unique_2, synergy, shared, bayes_1, bayes_2 = PUBLISHED[U]
    exact = (known.I1, known.I2, known.I12, known.I_shared, known.bayes_1, known.bayes_2)
    np.testing.assert_allclose(exact, (i1, i2, 1.1588, shared, bayes_1, bayes_2), atol=6e-5)
    parts = (known.pid_R, known.pid_U1, known.pid_U2, known.pid_S)
    np.testing.assert_allclose(parts, (redundancy, unique_1, unique_2, synergy), atol=1.5e-4)
    np.testing.assert_allclose(known.bayes_fused, 0.9063, atol=5e-5)
    np.testing.assert_allclose(known.I_X1X2, 8 * math.log(2), atol=1e-12)


@pytest.mark.parametrize("U", [1, 6])
def test_information_from_loops_over_the_label_rule(U):
    known = load("synthetic", {"U": U, **SMALL}).information
    joint = reference.paper_joint(U)
    views = ((0, 1), (0, 2), (0, 1, 2), (0,))
    by_loops = [reference.information(joint, seen, (3,)) for seen in views]
    exact = (known.I1, known.I2, known.I12, known.I_shared)
    np.testing.assert_allclose(exact, by_loops, atol=1e-10)
    by_loops = [reference.best_accuracy(joint, seen, 3) for seen in views[:3]]
    exact = (known.bayes_1, known.bayes_2, known.bayes_fused)
    np.testing.assert_allclose(exact, by_loops, atol=1e-10)


def test_exact_balance_is_not_what_the_paper_has():
    known = load("synthetic", {"U": 2, "prior_tolerance": 0.0, **SMALL}).information
    np.testing.assert_allclose((known.I12, known.I2), (1.1592, 0.8760), atol=5e-5)
    model = label_model(LabelSettings(1, 1, prior_tolerance=0.0), draw=0)
    np.testing.assert_allclose(model.table.reshape(-1, 4).mean(axis=0), 0.25, atol=1e-12)


def test_published_weights_and_task_bits():
    legacy = np.random.RandomState(2).uniform(0, 1, size=(8, 4))
    expected = legacy / np.sqrt((legacy**2).sum(axis=1))[:, None]
    np.testing.assert_allclose(task_weights(4, draw=0), expected, rtol=1e-15)
    orders = task_positions(draw=0)
    for U in range(9):
        source = np.random.RandomState(1)
        for order, block, count in zip(orders, (8, 4, 4), (8 - U, U // 2, U - U // 2), strict=True):
            chosen = source.choice(np.arange(block), size=count, replace=False)
            assert tuple(chosen) == order[:count]


def torch_networks(depths, modalities, widths, activation):
    """The released construction, in torch: networks of every depth in turn from seed 0."""
    networks = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for depth in depths:
            for modality in modalities:
                sizes = widths(depth)
                layers = []
                for fan_in, out in pairwise(sizes):
                    layers += [activation(), torch.nn.Linear(fan_in, out)]
                networks[modality] = torch.nn.Sequential(*layers[1:])
    return networks


@pytest.mark.parametrize("transformed", ["modality_2", "both"])
@pytest.mark.parametrize("transform", ["depth", "width"])
@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_published_networks(transformed, transform, activation):
    D_phi = 3
    modalities = (1, 2) if transformed == "both" else (2,)
    theirs = torch_networks(
        range(D_phi + 1),
        modalities,
        lambda D: [12] * (D + 2) if transform == "depth" else [12, max(12, 12 * D * D), 12],
        torch.nn.Tanh if activation == "tanh" else torch.nn.Sigmoid,
    )
    heterogeneity = Heterogeneity(D_phi, transformed, transform, activation)
    ours = random_networks(12, heterogeneity, "synthetic", draw=0)
    x = np.random.default_rng(0).integers(0, 2, size=(64, 12)).astype(np.float64)
    for modality, network in enumerate(ours, start=1):
        if modality not in modalities:
            assert network == []
            continue
        with torch.no_grad():
            expected = theirs[modality](torch.tensor(x, dtype=torch.float32)).numpy()
        np.testing.assert_allclose(apply_network(network, x, activation), expected, atol=2e-6)


def test_networks_are_one_to_one_at_every_depth():
    for draw, D_phi, activation in ((0, 16, "tanh"), (1, 16, "tanh"), (1, 10, "sigmoid")):
        parameters = {"U": 0, "D_phi": D_phi, "activation": activation, **SMALL}
        inputs = load("synthetic", parameters, draw).population.x2
        assert len(np.unique(np.round(inputs, 7), axis=0)) == 4096
    with pytest.raises(InputError, match="D_phi is 11, expected at most 10 with sigmoid"):
        load("synthetic", {"U": 0, "D_phi": 11, "activation": "sigmoid"})


def test_defaults_stay_as_they_were():
    """Labels and bits of two draws, as first generated (before any parameter was added)."""
    for draw, expected in GOLDEN.items():
        views = load("synthetic", {"U": 3, "D_phi": 2, **SMALL}, draw)
        content = views.y.astype("<i8").tobytes() + (views.x1 > 0).astype("u1").tobytes()
        assert sha256(content).hexdigest()[:16] == expected


GOLDEN = {0: "0b597ef6b7c2b70a", 3: "3b9e85fe6b6b2dec"}


def test_shapes_splits_and_scaling():
    views = load("synthetic", {"U": 5, "D_phi": 3, **SMALL}, draw=2)
    assert views.x1.shape == views.x2.shape == (800, 12)
    assert (views.x1.dtype, views.y.dtype, views.classes) == (np.float64, np.int64, 4)
    splits = (views.splits.train, views.splits.validation, views.splits.test)
    assert [len(rows) for rows in splits] == [400, 200, 200]
    assert len(np.unique(np.concatenate(splits))) == 800
    for x in (views.x1, views.x2):
        np.testing.assert_allclose(x[views.splits.train].mean(axis=0), 0, atol=1e-9)
        np.testing.assert_allclose(x[views.splits.train].std(axis=0), 1, atol=1e-9)
    prior = views.population.joint.weight @ views.population.joint.conditional
    for rows in splits:
        counts = np.bincount(views.y[rows], minlength=4)
        assert np.abs(counts - len(rows) * prior).max() < 1


def test_rows_are_inputs_of_the_population_and_both_views_show_one_input():
    views = load("synthetic", {"U": 3, "D_phi": 2, **SMALL}, draw=1)
    population = views.population
    row_1 = {x.tobytes(): i for i, x in enumerate(population.x1)}
    row_2 = {x.tobytes(): i for i, x in enumerate(population.x2)}
    pairs = set(
        zip(population.joint.pairs[0].tolist(), population.joint.pairs[1].tolist(), strict=True)
    )
    assert len(row_1) == len(row_2) == 4096
    assert len(pairs) == 65_536
    for x1, x2 in zip(views.x1, views.x2, strict=True):
        assert (row_1[x1.tobytes()], row_2[x2.tobytes()]) in pairs


def test_more_training_rows_leave_the_rest_as_it_is():
    few = load("synthetic", {"U": 4, **SMALL})
    many = load("synthetic", {"U": 4, **SMALL, "train": 1000})
    np.testing.assert_array_equal(few.y[few.splits.test], many.y[many.splits.test])
    signs = [views.x1[views.splits.test] > 0 for views in (few, many)]
    np.testing.assert_array_equal(*signs)

    def rows(views):
        train = views.splits.train
        return sorted(map(tuple, np.column_stack([views.x1[train] > 0, views.y[train]])))

    remaining = rows(many)
    for row in rows(few):
        remaining.remove(row)
    assert len(remaining) == 600


def test_draws_differ_and_heterogeneity_changes_modality_2_alone():
    first, other = (load("synthetic", {"U": 4, **SMALL}, draw) for draw in (0, 1))
    assert not np.array_equal(first.y, other.y)
    assert abs(first.information.I12 - other.information.I12) > 1e-3
    deeper = load("synthetic", {"U": 4, "D_phi": 4, **SMALL})
    np.testing.assert_array_equal(first.x1, deeper.x1)
    np.testing.assert_array_equal(first.y, deeper.y)
    assert not np.allclose(first.x2, deeper.x2)


def test_labels_follow_the_conditional():
    """Rows by joint input against p(label | input): a chi-square over 256 task patterns."""
    sizes = {"train": 40_000, "validation": 8, "test": 8}
    plain = load("synthetic", {"U": 8, "transformed": "none", **sizes})
    model = label_model(LabelSettings(4, 4), draw=0)
    bits_1 = (plain.x1 > 0).astype(int)[:, [8 + k for k in model.unique_1]]
    bits_2 = (plain.x2 > 0).astype(int)[:, [8 + k for k in model.unique_2]]
    pattern = np.concatenate([bits_1, bits_2], axis=1) @ (2 ** np.arange(8)[::-1])
    counts = np.zeros((256, 4))
    np.add.at(counts, (pattern, plain.y), 1)
    expected = model.table.reshape(256, 4) * len(plain.y) / 256
    enough = expected >= 5
    statistic = ((counts - expected)[enough] ** 2 / expected[enough]).sum()
    freedom = enough.sum()
    assert abs(statistic - freedom) < 4 * math.sqrt(2 * freedom)


@settings(max_examples=6, deadline=None)
@given(
    U=st.integers(0, 8),
    draw=st.integers(0, 50),
    temperature=st.floats(0.02, 0.5),
)
def test_information_is_that_of_the_population(U, draw, temperature):
    views = load("synthetic", {"U": U, "temperature": temperature, **SMALL}, draw)
    population, known = views.population, views.information
    joint = population.joint.conditional * population.joint.weight[:, None]
    prior = joint.sum(axis=0)

    def total_entropy(table):
        return -(table[table > 0] * np.log(table[table > 0])).sum()

    def seen(pair):
        table = np.zeros((pair.max() + 1, joint.shape[1]))
        np.add.at(table, pair, joint)
        bits = total_entropy(table.sum(axis=1)) + total_entropy(prior) - total_entropy(table)
        return bits, table.max(axis=1).sum()

    assert seen(population.joint.pairs[0]) == pytest.approx((known.I1, known.bayes_1), abs=1e-9)
    assert seen(population.joint.pairs[1]) == pytest.approx((known.I2, known.bayes_2), abs=1e-9)
    every = np.arange(len(joint))
    assert seen(every) == pytest.approx((known.I12, known.bayes_fused), abs=1e-9)
    assert known.bayes_fused >= max(known.bayes_1, known.bayes_2) - 1e-12
