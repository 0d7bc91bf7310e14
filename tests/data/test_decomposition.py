"""The decomposition against gates with known answers, other solvers and its own axioms."""

import itertools
from math import log

import numpy as np
import pytest
import reference_information as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.data.decomposition import decompose, merge_equivalent, mutual_information

BIT = log(2)


def gate(rule, inputs):
    joint = {}
    for x1, x2 in inputs:
        key = (x1, x2, rule(x1, x2))
        joint[key] = joint.get(key, 0.0) + 1 / len(inputs)
    return joint


def decomposed(joint):
    return decompose(
        reference.table_of(joint, (0,), 2),
        reference.table_of(joint, (1,), 2),
        reference.information(joint, (0, 1), (2,)),
    )


def random_table(rng, p1, p2, c):
    joint = rng.dirichlet(np.full(p1 * p2 * c, 0.5)).reshape(p1, p2, c)
    return joint, joint.sum(axis=1), joint.sum(axis=0)


@pytest.mark.parametrize(
    ("rule", "inputs", "expected"),
    [
        # Bertschinger et al. (2014), table 1: AND, XOR; the others by their definition, in bits.
        (lambda a, b: a & b, None, (0.311278, 0, 0, 0.5)),
        (lambda a, b: a ^ b, None, (0, 0, 0, 1)),
        (lambda a, b: a, None, (0, 1, 0, 0)),
        (lambda a, b: b, None, (0, 0, 1, 0)),
        (lambda a, b: (a, b), None, (0, 1, 1, 0)),
        (lambda a, b: a, ((0, 0), (1, 1)), (1, 0, 0, 0)),
        (lambda a, b: 0, None, (0, 0, 0, 0)),
    ],
    ids=["and", "xor", "copy 1", "copy 2", "copy both", "same", "constant"],
)
def test_gates(rule, inputs, expected):
    parts = decomposed(gate(rule, inputs or tuple(itertools.product((0, 1), repeat=2))))
    got = np.array([parts.redundancy, parts.unique_1, parts.unique_2, parts.synergy]) / BIT
    np.testing.assert_allclose(got, expected, atol=3e-5)


@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_a_general_solver(seed):
    rng = np.random.default_rng(seed)
    shape = [(2, 2, 2), (3, 2, 2), (3, 3, 2), (2, 4, 3), (4, 3, 3), (4, 4, 2)][seed]
    joint, joint_1, joint_2 = random_table(rng, *shape)
    parts = decompose(joint_1, joint_2, mutual_information(joint.reshape(-1, shape[2])))
    least = reference.least_information(joint_1, joint_2)
    assert parts.redundancy + parts.unique_1 + parts.unique_2 == pytest.approx(least, abs=2e-5)


@pytest.mark.parametrize("concentration", [0.05, 0.5])
def test_the_error_is_never_understated(concentration):
    rng = np.random.default_rng(0)
    for shape in [(2, 2, 2), (3, 4, 2), (5, 4, 3)]:
        joint = rng.dirichlet(np.full(np.prod(shape), concentration)).reshape(shape)
        tables = joint.sum(axis=1), joint.sum(axis=0)
        near = decompose(*tables, 9.0, tolerance=1e-6, iterations=20_000)
        for iterations in (32, 100, 8192):
            rough = decompose(*tables, 9.0, iterations=iterations)
            assert abs(rough.redundancy - near.redundancy) <= rough.error + near.error
        assert rough.error <= 2e-5


def test_a_given_tolerance_is_kept():
    _, joint_1, joint_2 = random_table(np.random.default_rng(1), 4, 3, 3)
    least = reference.least_information(joint_1, joint_2)
    for tolerance in (1e-2, 1e-4):
        parts = decompose(joint_1, joint_2, 9.0, tolerance=tolerance)
        assert parts.error <= tolerance
        found = parts.redundancy + parts.unique_1 + parts.unique_2
        assert found == pytest.approx(least, abs=tolerance + 1e-6)


def test_as_good_as_the_dual_allows_on_a_published_table():
    joint = reference.paper_joint(U=8)
    joint_1 = reference.table_of(joint, (0, 1), 3)
    joint_2 = reference.table_of(joint, (0, 2), 3)
    parts = decompose(joint_1, joint_2, reference.information(joint, (0, 1, 2), (3,)))
    bound = reference.lower_bound_of_least_information(joint_1, joint_2)
    assert bound - 2e-5 <= parts.redundancy + parts.unique_1 + parts.unique_2 <= bound + 5e-5


@settings(max_examples=12, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(2, 3)),
    seed=st.integers(0, 2**32 - 1),
)
def test_axioms(shape, seed):
    joint, joint_1, joint_2 = random_table(np.random.default_rng(seed), *shape)
    total = mutual_information(joint.reshape(-1, shape[2]))
    parts = decompose(joint_1, joint_2, total)
    assert min(parts.redundancy, parts.unique_1, parts.unique_2, parts.synergy) >= -1e-12
    assert parts.redundancy + parts.unique_1 == pytest.approx(mutual_information(joint_1), abs=1e-9)
    assert parts.redundancy + parts.unique_2 == pytest.approx(mutual_information(joint_2), abs=1e-9)
    assert parts.redundancy + parts.unique_1 + parts.unique_2 + parts.synergy == pytest.approx(
        total, abs=1e-9
    )
    swapped = decompose(joint_2, joint_1, total)
    assert swapped.redundancy == pytest.approx(parts.redundancy, abs=5e-5)
    assert swapped.unique_1 == pytest.approx(parts.unique_2, abs=5e-5)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_inputs_with_one_posterior_are_one_input(seed):
    rng = np.random.default_rng(seed)
    _, joint_1, joint_2 = random_table(rng, 3, 3, 3)
    shares = rng.uniform(0.1, 0.9, size=(3, 1))
    doubled = np.concatenate([joint_1 * shares, np.zeros((1, 3)), joint_1 * (1 - shares)])
    merged = merge_equivalent(doubled[rng.permutation(7)])
    assert merged.shape == (3, 3)
    np.testing.assert_allclose(
        merged[np.lexsort(merged.T)], joint_1[np.lexsort(joint_1.T)], atol=1e-12
    )
    plain, split = decompose(joint_1, joint_2, 9.0), decompose(doubled, joint_2, 9.0)
    assert split.redundancy == pytest.approx(plain.redundancy, abs=1e-7)


def test_nested_modalities_need_no_iterations():
    # X1 is the first bit of X2, whose two bits both tell about Y.
    joint = {}
    for a, b, y in itertools.product((0, 1), repeat=3):
        joint[(a, (a, b), y)] = (0.9 if y == (a | b) else 0.1) / 4
    joint_1, joint_2 = reference.table_of(joint, (0,), 2), reference.table_of(joint, (1,), 2)
    total = reference.information(joint, (0, 1), (2,))
    quick = decompose(joint_1, joint_2, total, nested=True)
    slow = decompose(joint_1, joint_2, total)
    assert quick.unique_1 == pytest.approx(0.0, abs=1e-12)
    assert quick.synergy == pytest.approx(0.0, abs=1e-12)
    assert slow.redundancy == pytest.approx(quick.redundancy, abs=2e-5)
    assert slow.unique_2 == pytest.approx(quick.unique_2, abs=2e-5)


def test_mutual_information_of_a_known_channel():
    flips = 0.11
    joint = np.array([[1 - flips, flips], [flips, 1 - flips]]) / 2
    by_hand = log(2) + flips * log(flips) + (1 - flips) * log(1 - flips)
    assert mutual_information(joint) == pytest.approx(by_hand, abs=1e-12)
    assert mutual_information(np.full((3, 2), 1 / 6)) == 0.0


def test_a_class_that_never_occurs_changes_nothing():
    _, joint_1, joint_2 = random_table(np.random.default_rng(0), 3, 4, 2)
    padded = [np.insert(joint, 1, 0.0, axis=1) for joint in (joint_1, joint_2)]
    assert decompose(*padded, 9.0) == decompose(joint_1, joint_2, 9.0)
