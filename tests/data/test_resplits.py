"""The user's rows, split several times: what no draw may do, whatever the classes."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.data.registry import default_draws, load
from raysweep.data.resplits import TURN, crossed_splits, held_out_rows
from raysweep.data.stratify import stratified_splits
from raysweep.data.streams import stream


@given(
    st.lists(st.integers(10, 200), min_size=2, max_size=5).filter(lambda c: sum(c) >= 54),
    st.integers(0, 2**32 - 1),
)
def test_draws_test_disjoint_rows_and_choose_on_others(counts, seed):
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    n, held_out = len(y), held_out_rows(len(y))
    draws = [crossed_splits(y, draw) for draw in range(2 * TURN)]
    for splits in draws:
        parts = (splits.train, splits.validation, splits.test)
        assert [len(part) for part in parts] == [n - 2 * held_out, held_out, held_out]
        np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(n))
        assert set(y[splits.train]) == set(range(len(counts)))
        np.testing.assert_array_equal(splits.validation, draws[0].validation)
        for part in parts:
            shares = np.bincount(y[part], minlength=len(counts)) / len(part)
            np.testing.assert_allclose(shares, np.array(counts) / n, atol=3 / len(part))
    for turn in (draws[:TURN], draws[TURN:]):
        for one, other in itertools.combinations(turn, 2):
            assert not set(one.test) & set(other.test)
    assert any(set(draws[0].test) != set(splits.test) for splits in draws[TURN:])


def test_the_first_draw_is_the_split_that_it_always_was():
    y = np.arange(200) % 3
    expected = stratified_splits(y, 140, 30, 30, stream("arrays", 0, "splits"))
    found = crossed_splits(y, 0)
    for part in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(found, part), getattr(expected, part))
    again = crossed_splits(y, 3)
    np.testing.assert_array_equal(again.train, crossed_splits(y, 3).train)


@pytest.mark.parametrize(("rows", "draws"), [(178, 10), (1_320, 10), (1_334, 5), (5_000, 5)])
def test_few_rows_are_split_more_often(tmp_path, rows, draws):
    rng = np.random.default_rng(0)
    path = tmp_path / "own.npz"
    given = {"x1": rng.normal(size=(rows, 2)), "x2": rng.normal(size=(rows, 2))}
    np.savez(path, y=np.arange(rows) % 2, **given)
    parameters = {"path": str(path)}
    assert default_draws("arrays", parameters) == tuple(range(draws))
    assert default_draws("arrays", parameters, taken=(0, 2)) == (1, *range(3, draws + 2))
    assert load("arrays", parameters).resplit
    words = np.repeat(["train", "validation", "test"], [rows - 100, 50, 50])
    np.savez(path, y=np.arange(rows) % 2, split=words, **given)
    assert default_draws("arrays", parameters) == (0,)
    assert default_draws("synthetic", {"U": 4}) == (0,)
