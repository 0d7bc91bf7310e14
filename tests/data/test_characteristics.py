"""The further axes of the synthetic generator: each against brute force or the rows it yields."""

import itertools
import math

import numpy as np
import pytest
import reference_information as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.data.information import exact_information
from raysweep.data.label_model import LabelSettings, class_prior, label_model
from raysweep.data.observation import Observation, information_between
from raysweep.data.registry import load
from raysweep.errors import InputError

SMALL = {"train": 400, "validation": 200, "test": 200}
LARGE = {"train": 8, "validation": 8, "test": 20_000, "transformed": "none"}


def observed_joint(model, observation):
    """p(what modality 1 shows, what modality 2 shows, y) by loops over bits and flips.

    None stands for a missing modality. Exponential: for a handful of task bits.
    """
    shared, only_1, only_2 = len(model.shared), len(model.unique_1), len(model.unique_2)
    count = shared + only_1 + only_2

    def views(bits, chance, lack):
        """Everything that can be shown of these bits, with its probability."""
        for flips in itertools.product((0, 1), repeat=len(bits)):
            p = math.prod(chance if flip else 1 - chance for flip in flips)
            yield tuple(b ^ f for b, f in zip(bits, flips, strict=True)), p * (1 - lack)
        yield None, lack

    joint = {}
    for bits in itertools.product((0, 1), repeat=count):
        bits_1 = bits[: shared + only_1]
        bits_2 = bits[:shared] + bits[shared + only_1 :]
        seen_1 = list(views(bits_1, observation.noise_1, observation.missing_1))
        seen_2 = list(views(bits_2, observation.noise_2, observation.missing_2))
        for (a, p_a), (b, p_b) in itertools.product(seen_1, seen_2):
            if p_a * p_b > 0:
                for y, p_y in enumerate(model.table[bits]):
                    key = (a, b, y)
                    joint[key] = joint.get(key, 0.0) + p_a * p_b * p_y / 2**count
    return joint


def few_bits(model, shared, only_1, only_2):
    """The model with the first of its bits, averaged over the others, for brute force to follow."""
    axes = []
    start = 0
    for block, keep in (
        (model.shared, shared),
        (model.unique_1, only_1),
        (model.unique_2, only_2),
    ):
        axes += range(start + keep, start + len(block))
        start += len(block)
    return type(model)(
        model.shared[:shared],
        model.unique_1[:only_1],
        model.unique_2[:only_2],
        model.table.mean(axis=tuple(axes)),
    )


@pytest.mark.parametrize(
    "observation",
    [
        Observation(noise_1=0.1),
        Observation(noise_2=0.25),
        Observation(noise_1=0.05, noise_2=0.2),
        Observation(missing_1=0.3),
        Observation(missing_1=0.2, missing_2=0.4),
        Observation(noise_1=0.1, noise_2=0.1, missing_2=0.5),
        Observation(noise_1=0.5, noise_2=0.5),
    ],
    ids=str,
)
def test_information_of_what_is_observed(observation):
    model = few_bits(label_model(LabelSettings(2, 2, synergy=0.4), draw=0), 2, 1, 2)
    known = exact_information(model, observation)
    joint = observed_joint(model, observation)
    by_loops = [reference.information(joint, seen, (2,)) for seen in ((0,), (1,), (0, 1))]
    np.testing.assert_allclose((known.I1, known.I2, known.I12), by_loops, atol=1e-12)
    by_loops = [reference.best_accuracy(joint, seen, 2) for seen in ((0,), (1,), (0, 1))]
    exact = (known.bayes_1, known.bayes_2, known.bayes_fused)
    np.testing.assert_allclose(exact, by_loops, atol=1e-12)


@pytest.mark.parametrize("missing_2", [0.0, 0.35])
def test_population_with_missing_modalities(missing_2):
    parameters = {"U": 4, "missing_1": 0.2, "missing_2": missing_2, **SMALL}
    views = load("synthetic", parameters)
    population, known = views.population, views.information
    assert population.joint.weight.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(population.joint.conditional.sum(axis=1), 1.0, atol=1e-12)
    joint = population.joint.conditional * population.joint.weight[:, None]
    accuracies = []
    for pair in (population.joint.pairs[0], population.joint.pairs[1], np.arange(len(joint))):
        table = np.zeros((pair.max() + 1, 4))
        np.add.at(table, pair, joint)
        accuracies.append(table.max(axis=1).sum())
    expected = (known.bayes_1, known.bayes_2, known.bayes_fused)
    np.testing.assert_allclose(accuracies, expected, atol=1e-12)
    missing = (population.x1 == 0).all(axis=1)
    assert population.joint.weight[missing[population.joint.pairs[0]]].sum() == pytest.approx(
        0.2, abs=1e-12
    )


def test_rows_are_noisy_and_missing_as_often_as_asked():
    parameters = {"noise_1": 0.1, "noise_2": 0.3, "missing_2": 0.25, "nuisance": 0.4}
    views = load("synthetic", {"U": 4, **parameters, **LARGE})
    assert views.population is None
    test = views.splits.test
    x1, x2 = views.x1[test], views.x2[test]
    missing = (x2 == 0).all(axis=1)
    assert missing.mean() == pytest.approx(0.25, abs=4 * math.sqrt(0.25 * 0.75 / 20_000))
    assert not (x1 == 0).all(axis=1).any()
    agree = ((x1 > 0) == (x2 > 0))[~missing].mean(axis=0)
    shared = label_model(LabelSettings(2, 2), draw=0).shared
    for position in range(12):
        kept = 0.8 * 0.4 * (1.0 if position in shared else 0.4 if position < 8 else 0.0)
        assert agree[position] == pytest.approx((1 + kept) / 2, abs=4 * 0.5 / math.sqrt(15_000))


def test_flipped_bits_are_the_clean_ones_but_for_the_flips():
    clean = load("synthetic", {"U": 4, **LARGE})
    noisy = load("synthetic", {"U": 4, "noise_1": 0.05, **LARGE})
    np.testing.assert_array_equal(clean.y, noisy.y)
    np.testing.assert_array_equal(clean.x2, noisy.x2)
    flipped = ((clean.x1 > 0) != (noisy.x1 > 0))[clean.splits.test].mean()
    assert flipped == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 240_000))


@settings(max_examples=20, deadline=None)
@given(
    noise_1=st.floats(0, 0.5),
    noise_2=st.floats(0, 0.5),
    nuisance=st.floats(0, 1),
    missing_1=st.floats(0, 0.9),
    task_shared=st.integers(0, 8),
)
def test_information_between_the_modalities(noise_1, noise_2, nuisance, missing_1, task_shared):
    """One shared bit at a time, by its table of 2 x 2 (or 3 x 2 with missing)."""
    total = 0.0
    for loose in [1.0] * task_shared + [nuisance] * (8 - task_shared):
        joint = {}
        for bit, flip_1, flip_2, slip in itertools.product((0, 1), repeat=4):
            p = (noise_1, 1 - noise_1)[1 - flip_1] * (noise_2, 1 - noise_2)[1 - flip_2] / 2
            p *= ((1 - loose) / 2, (1 + loose) / 2)[1 - slip]
            key = (bit ^ flip_1, bit ^ flip_2 ^ slip)
            joint[key] = joint.get(key, 0.0) + p
        total += reference.information(joint, (0,), (1,))
    observation = Observation(noise_1, noise_2, nuisance, missing_1)
    expected = (1 - missing_1) * total
    assert information_between(observation, task_shared) == pytest.approx(expected, abs=1e-9)


def test_label_noise_mixes_the_label_with_its_prior():
    clean = label_model(LabelSettings(1, 2), draw=0).table.reshape(-1, 4)
    noisy = label_model(LabelSettings(1, 2, label_noise=0.3), draw=0).table.reshape(-1, 4)
    np.testing.assert_allclose(noisy, 0.7 * clean + 0.3 * clean.mean(axis=0), atol=1e-12)
    none = load("synthetic", {"U": 3, "label_noise": 1.0, **SMALL}).information
    np.testing.assert_allclose((none.I1, none.I2, none.I12, none.pid_S), 0.0, atol=1e-12)


@pytest.mark.parametrize(("classes", "imbalance"), [(2, 1.0), (4, 3.0), (7, 10.0)])
def test_classes_and_imbalance(classes, imbalance):
    parameters = {"U": 4, "classes": classes, "imbalance": imbalance, "prior_tolerance": 0.0}
    views = load("synthetic", {**parameters, **SMALL})
    prior = views.population.joint.weight @ views.population.joint.conditional
    np.testing.assert_allclose(prior, class_prior(classes, imbalance), atol=1e-12)
    assert prior[0] / prior[-1] == pytest.approx(imbalance)
    np.testing.assert_allclose(prior[1:] / prior[:-1], imbalance ** (-1 / (classes - 1)))
    assert views.classes == classes
    assert set(views.y) == set(range(classes))
    assert views.information.bayes_1 >= prior.max() - 1e-12


@pytest.mark.parametrize(("temperature", "synergy"), [(0.02, 1.0), (0.05, 1.0), (0.02, 0.0)])
def test_priors_that_plain_rescaling_takes_for_ever_to_reach(temperature, synergy):
    settings = LabelSettings(2, 2, temperature, 0.0, classes=2, synergy=synergy)
    table = label_model(settings, draw=0).table.reshape(-1, 2)
    np.testing.assert_allclose(table.mean(axis=0), 0.5, atol=2e-13)
    # The factors change the odds of all patterns alike, so their ratios are the plain softmax's.
    plain = label_model(
        LabelSettings(2, 2, temperature, 1.0, classes=2, synergy=synergy), draw=0
    ).table.reshape(-1, 2)
    odds, plain_odds = (np.log(t[:, 0]) - np.log(t[:, 1]) for t in (table, plain))
    assert np.ptp(odds - plain_odds) < 1e-8


def test_synergy_moves_information_to_both_modalities_together():
    synergies = []
    for weight in (0.0, 0.3, 1.0):
        known = load("synthetic", {"U": 0, "synergy": weight, **SMALL}).information
        synergies.append(known.pid_S)
    assert synergies == sorted(synergies)
    assert synergies[0] == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose((known.I1, known.I2, known.pid_R), 0.0, atol=1e-9)
    np.testing.assert_allclose(known.pid_S, known.I12, atol=1e-9)
    assert known.pid_S > 0.5


def test_interactions_are_exclusive_ors():
    """With all the weight on them, flipping both bits of a pair changes nothing."""
    model = label_model(LabelSettings(0, 0, synergy=1.0), draw=3)
    assert (len(model.shared), len(model.unique_1), len(model.unique_2)) == (8, 2, 2)
    table = model.table
    np.testing.assert_allclose(np.flip(table, (8, 10)), table, atol=1e-15)
    np.testing.assert_allclose(np.flip(table, (9, 11)), table, atol=1e-15)
    np.testing.assert_allclose(np.flip(table, 0), table, atol=1e-15)
    assert np.abs(np.flip(table, 8) - table).max() > 0.1


def test_more_temperature_less_information():
    levels = [
        load("synthetic", {"U": 4, "temperature": 0.05 * math.exp(t), **SMALL}).information.I12
        for t in np.linspace(0, 2, 5)
    ]
    assert levels == sorted(levels, reverse=True)


def test_asymmetric_uniqueness():
    views = load("synthetic", {"U": 4, "U1": 4, **SMALL})
    only_1 = views.information
    assert (views.characteristics["U1"], views.characteristics["U2"]) == (4, 0)
    assert only_1.pid_U2 == pytest.approx(0, abs=1e-12)
    assert only_1.bayes_1 == pytest.approx(only_1.bayes_fused)
    default = load("synthetic", {"U": 4, **SMALL})
    explicit = load("synthetic", {"U": 4, "U1": 2, **SMALL})
    np.testing.assert_array_equal(default.x2, explicit.x2)
    for U, U1, valid in ((3, 4, "0..3"), (7, 2, "3..4")):
        with pytest.raises(InputError, match=rf"U1 is {U1}, expected {valid} when U is {U}"):
            load("synthetic", {"U": U, "U1": U1})


def test_transforming_either_modality():
    plain = load("synthetic", {"U": 2, "transformed": "none", **SMALL})
    assert len(np.unique(plain.x2[:, 0])) == 2
    first = load("synthetic", {"U": 2, "transformed": "modality_1", **SMALL})
    np.testing.assert_array_equal(first.x2, plain.x2)
    assert len(np.unique(np.round(first.x1[:, 0], 9))) > 300
    second = load("synthetic", {"U": 2, **SMALL})
    np.testing.assert_array_equal(second.x1, plain.x1)
    both = load("synthetic", {"U": 2, "transformed": "both", **SMALL})
    np.testing.assert_array_equal(both.y, plain.y)
    assert len(np.unique(np.round(both.x1[:, 0], 9))) > 300


def test_a_scarce_modality_is_still_scaled_by_what_is_there():
    views = load("synthetic", {"U": 4, "missing_1": 0.95, **SMALL})
    train = views.x1[views.splits.train]
    shown = train[(train != 0).any(axis=1)]
    assert 5 <= len(shown) <= 40
    np.testing.assert_allclose(shown.mean(axis=0), 0, atol=1e-9)
