"""Channels: what is set is what the rows' distribution holds."""

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.data.channels import flip_probability
from raysweep.data.decomposition import decompose, mutual_information
from raysweep.data.information import bayes_accuracy
from raysweep.data.observation import binary_entropy
from raysweep.data.registry import load
from raysweep.errors import InputError

SMALL = {"train": 400, "validation": 200, "test": 200}
nats = st.floats(0, log(2))


def tables(population):
    """p(x1, y), p(x2, y) and p(x1, x2, y) from the listed population."""
    joint = population.joint.conditional * population.joint.weight[:, None]
    table_1 = np.zeros((len(population.x1), joint.shape[1]))
    table_2 = np.zeros((len(population.x2), joint.shape[1]))
    np.add.at(table_1, population.joint.pairs[0], joint)
    np.add.at(table_2, population.joint.pairs[1], joint)
    return table_1, table_2, joint


@settings(max_examples=8, deadline=None)
@given(R=nats, U1=nats, U2=nats, S=nats, draw=st.integers(0, 5))
def test_information_is_what_was_set(R, U1, U2, S, draw):
    parts = {"pid_R": R, "pid_U1": U1, "pid_U2": U2, "pid_S": S}
    views = load("channels", {**parts, "nuisance_bits": 1, "private_bits": 0, **SMALL}, draw)
    known = views.information
    table_1, table_2, joint = tables(views.population)
    total = mutual_information(joint)
    expected = (known.I1, known.I2, known.I12)
    got = (mutual_information(table_1), mutual_information(table_2), total)
    np.testing.assert_allclose(got, expected, atol=1e-9)
    solved = decompose(table_1, table_2, total)
    got = (solved.redundancy, solved.unique_1, solved.unique_2, solved.synergy)
    np.testing.assert_allclose(got, (R, U1, U2, S), atol=5e-5)
    got = [bayes_accuracy(table) for table in (table_1, table_2, joint)]
    np.testing.assert_allclose(got, (known.bayes_1, known.bayes_2, known.bayes_fused), atol=1e-9)


@given(capacity=nats)
def test_channel_capacity(capacity):
    flips = flip_probability(capacity)
    assert 0 <= flips <= 0.5
    assert log(2) - binary_entropy(flips) == pytest.approx(capacity, abs=1e-9)


def test_nuisance_and_private_bits():
    parameters = {"pid_R": 0.3, "nuisance_bits": 2, "private_bits": 1, "transformed": "none"}
    views = load("channels", {**parameters, "train": 8, "validation": 8, "test": 8000})
    assert views.x1.shape[1] == views.x2.shape[1] == 6
    bits_1, bits_2 = (x[views.splits.test] > 0 for x in (views.x1, views.x2))
    agree = (bits_1 == bits_2).mean(axis=0)
    # shared source, own source, half of the exclusive or, two nuisance bits, a private one
    np.testing.assert_allclose(agree, (1, 0.5, 0.5, 1, 1, 0.5), atol=4 * 0.5 / 8000**0.5)
    np.testing.assert_allclose(views.information.I_X1X2, 3 * log(2))


def test_sub_labels_repeat_their_sources():
    most = {part: 0.6931 for part in ("pid_R", "pid_U1", "pid_U2", "pid_S")}
    views = load("channels", {**most, "transformed": "none", **SMALL}, draw=4)
    bits_1, bits_2 = views.x1 > 0, views.x2 > 0
    sources = np.stack(
        [bits_1[:, 0], bits_1[:, 1], bits_2[:, 1], bits_1[:, 2] ^ bits_2[:, 2]], axis=1
    )
    agree = (sources @ (8, 4, 2, 1) == views.y).mean()
    assert agree > 0.99


def test_without_information_nothing_can_be_told():
    known = load("channels", SMALL).information
    assert (known.I12, known.pid_S) == (0, 0)
    np.testing.assert_allclose((known.bayes_1, known.bayes_fused), 1 / 16)


def test_more_than_a_bit_is_refused():
    with pytest.raises(InputError, match=r"pid_S is 0\.7, expected a number in 0\.\.0\.693147"):
        load("channels", {"pid_S": 0.7})
