"""Digits: the columns each view sees, and stratified, nested splits."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from raysweep.data.registry import load
from raysweep.errors import InputError


def unscaled(x, pixels, train):
    """Undo the scaling of a view: the original pixels of its rows."""
    centred = pixels[train] - pixels[train].mean(axis=0)
    return x * np.sqrt((centred**2).mean()) + pixels[train].mean(axis=0)


@pytest.mark.parametrize(
    ("overlap", "left", "right"),
    [(0, 4, 4), (1, 5, 4), (2, 5, 5), (5, 7, 6), (8, 8, 8)],
)
def test_each_view_sees_its_columns(overlap, left, right):
    views = load("digits", {"overlap": overlap})
    images = load_digits().images
    assert left + right - 8 == overlap
    for x, columns in ((views.x1, slice(0, left)), (views.x2, slice(8 - right, 8))):
        pixels = images[:, :, columns].reshape(1797, -1)
        np.testing.assert_allclose(unscaled(x, pixels, views.splits.train), pixels, atol=1e-9)
    np.testing.assert_array_equal(views.y, load_digits().target)
    assert (views.information, views.population) == (None, None)
    assert views.characteristics == {"overlap": overlap}


def test_scaling_is_that_of_the_training_rows():
    views = load("digits", {"overlap": 3, "train": 500})
    for x in (views.x1, views.x2):
        train = x[views.splits.train]
        np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-12)
        assert (train**2).mean() == pytest.approx(1.0)


def test_splits_are_disjoint_stratified_and_nested():
    everything = load("digits", {"overlap": 0})
    splits = (everything.splits.train, everything.splits.validation, everything.splits.test)
    assert sorted(np.concatenate(splits)) == list(range(1797))
    shares = np.bincount(everything.y) / 1797
    for rows in splits:
        counts = np.bincount(everything.y[rows], minlength=10)
        assert np.abs(counts - shares * len(rows)).max() < 1.5
    fewer = load("digits", {"overlap": 0, "train": 300})
    np.testing.assert_array_equal(fewer.splits.test, everything.splits.test)
    np.testing.assert_array_equal(fewer.splits.validation, everything.splits.validation)
    assert set(fewer.splits.train) < set(everything.splits.train)
    other = load("digits", {"overlap": 0}, draw=1)
    assert set(other.splits.test) != set(everything.splits.test)


def test_both_halves_tell_the_digit():
    views = load("digits", {"overlap": 0})
    train, test = views.splits.train, views.splits.test
    for x in (views.x1, views.x2):
        model = LogisticRegression(max_iter=500).fit(x[train], views.y[train])
        assert model.score(x[test], views.y[test]) > 0.75


def test_too_many_rows():
    with pytest.raises(
        InputError, match="train \\+ validation \\+ test = 2040 rows, there are 1797"
    ):
        load("digits", {"overlap": 0, "train": 1500})
