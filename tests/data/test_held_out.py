"""What predictions tell, and its intervals, on data whose posteriors are known."""

import numpy as np
import pytest

from raysweep.data.estimable import Estimable
from raysweep.data.held_out import PARTS, told
from raysweep.data.views import Information

FLIP = 0.2


def entropy(p):
    return float(-p * np.log(p) - (1 - p) * np.log(1 - p))


def of_bits(rng, n, groups=None, repeats=1):
    """A fair bit that either modality sees flipped with probability FLIP: posteriors by Bayes."""
    y = rng.integers(0, 2, n)
    seen = [y ^ (rng.random(n) < FLIP) for _ in range(2)]
    one, other = (np.where(s == 1, 1 - FLIP, FLIP) for s in seen)
    both = one * other / (one * other + (1 - one) * (1 - other))
    folds = np.array_split(rng.permutation(n), 3)
    x, y = np.zeros((n * repeats, 1)), np.repeat(y, repeats)
    predictions = [
        np.repeat(np.column_stack([1 - p, p]), repeats, axis=0) for p in (one, other, both)
    ]
    if repeats > 1:
        groups = np.repeat(np.arange(n), repeats)
        folds = [np.flatnonzero(np.isin(groups, fold)) for fold in folds]
    return told(Estimable(x, x, y, groups), tuple(predictions), folds)


def truth():
    """I1 = I2 = 1 bit less the noise; equal margins leave nothing unique (Bertschinger 2014)."""
    one = np.log(2) - entropy(FLIP)
    agree = FLIP**2 + (1 - FLIP) ** 2
    both = np.log(2) - agree * entropy((1 - FLIP) ** 2 / agree) - (1 - agree) * np.log(2)
    unique = {"pid_U1": 0.0, "pid_U2": 0.0}
    return {"I1": one, "I2": one, "I12": both, "pid_R": one, **unique, "pid_S": both - one}


def test_intervals_hold_the_truth_where_the_learners_miss_nothing():
    rng = np.random.default_rng(0)
    found = [of_bits(rng, 400) for _ in range(60)]
    for name, value in truth().items():
        held = [f.intervals[name].low - 1e-9 <= value <= f.intervals[name].high for f in found]
        assert np.mean(held) >= 0.9, name
        assert np.mean([getattr(f, name) for f in found]) == pytest.approx(value, abs=0.02)
    widths = np.mean([f.intervals["I1"].high - f.intervals["I1"].low for f in found])
    spread = np.std([f.I1 for f in found], ddof=1)
    # Wide for other models to fit on, of which there are none here, and no wider.
    assert 3.9 * spread < widths < 9 * spread


def test_more_rows_make_them_narrower():
    few, many = (of_bits(np.random.default_rng(1), n).intervals["I12"] for n in (300, 4800))
    assert (many.high - many.low) < 0.5 * (few.high - few.low)


def test_rows_that_repeat_each_other_count_once():
    once, twice = (of_bits(np.random.default_rng(2), 500, repeats=r).intervals for r in (1, 3))
    for name in PARTS:
        width = once[name].high - once[name].low
        assert twice[name].high - twice[name].low == pytest.approx(width, rel=0.25, abs=0.01)


def test_an_estimate_is_within_its_interval_and_seeds_are_fixed():
    found, again = (of_bits(np.random.default_rng(3), 200) for _ in range(2))
    assert found.intervals == again.intervals
    for name, interval in found.intervals.items():
        assert 0 <= interval.low <= getattr(found, name) <= interval.high
    assert Information(*[0.0] * 12).intervals == {}
