"""Performance over the whole distribution, where it is known."""

import dataclasses

import numpy as np
import pytest
from tiny_evaluation import DATASET, KNOWN, POPULATIONS, SHAPE, VIEWS, logits_of, pack_of, softmax

from raysweep.data.views import Population, Splits, Views
from raysweep.training import evaluate


def test_population_performance_is_the_sum_over_all_that_can_happen() -> None:
    pack = pack_of(scale=0.5)
    found = evaluate.population_performance(pack, KNOWN)
    assert found is not None
    for member, which in enumerate(DATASET):
        population = POPULATIONS[which]
        right = dict.fromkeys(SHAPE.heads, 0.0)
        surprise = dict.fromkeys(SHAPE.heads, 0.0)
        for joint in range(9):
            x1 = population.x1[population.joint.pairs[0][joint]][None]
            x2 = population.x2[population.joint.pairs[1][joint]][None]
            for head, logits in logits_of(pack, member, x1, x2).items():
                probability = softmax(logits)[0]
                for label in range(SHAPE.classes):
                    p = population.joint.weight[joint] * population.joint.conditional[joint, label]
                    right[head] += p * (probability.argmax() == label)
                    surprise[head] -= p * np.log(probability[label])
        for head in SHAPE.heads:
            assert found.accuracy[head][member] == pytest.approx(right[head], abs=1e-12)
            assert found.loss[head][member] == pytest.approx(surprise[head], rel=1e-9)


def test_population_performance_is_the_limit_of_a_large_test_split() -> None:
    rng = np.random.default_rng(0)
    n, views = 100_000, []
    for population in POPULATIONS:
        joint = rng.choice(9, size=n, p=population.joint.weight)
        steps = population.joint.conditional[joint].cumsum(axis=1)
        y = (rng.random(n)[:, None] > steps[:, :-1]).sum(axis=1)
        of_1, of_2 = population.joint.pairs
        inputs = population.x1[of_1[joint]], population.x2[of_2[joint]]
        splits = Splits(np.arange(0), np.arange(0), np.arange(n))
        views.append(Views(inputs, y, SHAPE.classes, splits, population=population))
    pack = pack_of(scale=0.3)
    exact = evaluate.population_performance(pack, views)
    sampled = evaluate.performance(pack, views, "test")
    assert exact is not None
    for head in SHAPE.heads:
        # 4 standard errors of a share at 0.5; losses here have an sd of about 1.
        np.testing.assert_allclose(sampled.accuracy[head], exact.accuracy[head], atol=0.0065)
        np.testing.assert_allclose(sampled.loss[head], exact.loss[head], atol=0.03)


def test_population_inputs_may_come_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    pack = pack_of(scale=0.5)
    whole = evaluate.population_performance(pack, KNOWN)
    monkeypatch.setattr(evaluate, "_CHUNK_BYTES", 1)
    monkeypatch.setattr(evaluate, "_LEAST_CHUNK_ROWS", 2)
    pieces = evaluate.population_performance(pack, KNOWN)
    assert whole is not None
    assert pieces is not None
    for head in SHAPE.heads:
        np.testing.assert_allclose(pieces.loss[head], whole.loss[head], rtol=1e-12)
        np.testing.assert_array_equal(pieces.accuracy[head], whole.accuracy[head])


def test_without_a_population_there_is_no_population_performance() -> None:
    assert evaluate.population_performance(pack_of(), VIEWS) is None


def test_population_performance_is_of_the_members_whose_inputs_are_listed() -> None:
    pack = pack_of(scale=0.5)
    whole = evaluate.population_performance(pack, KNOWN)
    # Of the datasets one has no population, one no joint inputs and an input that never occurs.
    of_1 = POPULATIONS[1]
    longer = Population(
        (np.concatenate((of_1.x1, np.full((1, SHAPE.inputs[0]), 9.0))), of_1.x2),
        (np.concatenate((of_1.margins[0], np.zeros((1, SHAPE.classes)))), of_1.margins[1]),
        None,
    )
    mixed = [KNOWN[0], dataclasses.replace(VIEWS[1], population=longer), VIEWS[2]]
    found = evaluate.population_performance(pack, mixed)
    assert whole is not None
    assert found is not None
    for of_whole, of_found in ((whole.accuracy, found.accuracy), (whole.loss, found.loss)):
        for head in SHAPE.heads:
            listed = DATASET == 0 if head == "fused" else DATASET < 2
            expected = np.where(listed, of_whole[head], np.nan)
            np.testing.assert_allclose(of_found[head], expected, rtol=1e-12, atol=1e-14)
    alone = evaluate.population_performance(pack, [mixed[1]] * 3)
    assert alone is not None
    assert "fused" not in alone.accuracy
