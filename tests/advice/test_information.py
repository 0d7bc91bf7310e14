"""Intervals of the information parts, on data whose parts are known."""

import numpy as np
import pytest

from raysweep.advice.information import PARTS, TOTALS, decomposition, planted_synergy
from raysweep.data.estimable import Estimable
from raysweep.data.registry import load


@pytest.fixture(autouse=True)
def kept_nowhere_else(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.mark.slow
def test_parts_lie_near_the_truth_and_add_up():
    views = load("synthetic", {"U": 4, "D_phi": 1, "train": 300, "validation": 100, "test": 100}, 0)
    truth = views.information
    found = decomposition(views)
    parts = found.parts
    assert set(parts) == {*TOTALS, *PARTS}
    for part in parts.values():
        assert 0 <= part.low <= part.estimate <= part.high
    # Estimates are low rather than high (see raysweep.data.estimate).
    assert abs(parts["pid_R"].estimate - truth.pid_R) < 0.3
    totals, split, missed, planted = found.sentences
    assert f"both together {parts['I12'].estimate:.2f} (" in totals
    assert f"shared by both {parts['pid_R'].estimate:.2f} (" in split
    assert "500 rows and 12 features" in missed
    assert found.planted.share == pytest.approx(found.planted.found / found.planted.exact)
    assert f"({100 * found.planted.share:.0f} %)" in planted


def test_without_time_nothing_is_planted():
    views = load("synthetic", {"U": 0, "D_phi": 1, "train": 100, "validation": 50, "test": 50}, 0)
    found = decomposition(views, 0.0)
    assert found.planted is None
    assert all(np.isfinite(part.low) for part in found.parts.values())


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
