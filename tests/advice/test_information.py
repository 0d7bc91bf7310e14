"""Intervals of the information parts, on data whose parts are known."""

import numpy as np
import pytest

from raysweep.advice import information
from raysweep.advice.information import PARTS, decomposition, planted_synergy
from raysweep.data.estimable import Estimable
from raysweep.data.registry import load


@pytest.mark.slow
def test_parts_lie_near_the_truth_and_add_up():
    views = load("synthetic", {"U": 4, "D_phi": 1, "train": 300, "validation": 100, "test": 100}, 0)
    truth = views.information
    parts = decomposition(views).parts
    assert list(parts) == list(PARTS)
    for part in parts.values():
        assert 0 <= part.low <= part.estimate <= part.high
    # Estimates are low rather than high (see raysweep.data.estimate).
    assert abs(parts["pid_R"].estimate - truth.pid_R) < 0.3


def test_without_time_there_is_no_interval():
    views = load("synthetic", {"U": 0, "D_phi": 1, "train": 100, "validation": 50, "test": 50}, 0)
    found = decomposition(views, 0.0)
    assert found.planted is None
    parts = found.parts
    assert all(np.isnan(part.low) and np.isfinite(part.estimate) for part in parts.values())


def rows_of(n: int, features: int, seed: int = 0) -> Estimable:
    rng = np.random.default_rng(seed)
    x1, x2 = rng.normal(size=(2, n, features))
    return Estimable(x1, x2, rng.integers(0, 2, n))


@pytest.mark.slow
def test_a_planted_label_is_found_where_it_can_be():
    few = planted_synergy(rows_of(1000, 1))
    assert few is not None
    # The bits are halves of independent features: an exclusive or of fair coins is log 2 in both.
    assert few.exact == pytest.approx(np.log(2), abs=0.02)
    assert few.found > 0.6 * few.exact
    # Among many features of equal variance it is one direction of each that no learner singles out.
    many = planted_synergy(rows_of(1000, 40))
    assert many is not None
    assert many.exact == pytest.approx(np.log(2), abs=0.02)
    assert many.found < 0.3 * many.exact


def test_nothing_is_planted_where_there_is_no_bit_of_ones_own():
    rows = rows_of(50, 2)
    assert planted_synergy(Estimable(rows.x1, rows.x1, rows.y)) is None
    assert planted_synergy(Estimable(np.ones((50, 2)), rows.x2, rows.y)) is None


def test_no_fifth_parts_a_group():
    rows = rows_of(60, 2)
    groups = np.arange(60) // 3
    left = list(information._without_fifths(Estimable(rows.x1, rows.x2, rows.y, groups)))
    seen = []
    for part in left:
        assert part.groups is not None
        assert len(part.groups) == len(part.y) == len(part.x1) == len(part.x2)
        assert set(np.bincount(part.groups, minlength=20)) <= {0, 3}
        seen += sorted(set(range(20)) - set(part.groups))
    assert sorted(seen) == list(range(20))
