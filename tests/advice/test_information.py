"""Intervals of the information parts, on data whose parts are known."""

import numpy as np
import pytest

from raysweep.advice.information import PARTS, decomposition
from raysweep.data.registry import load


@pytest.mark.slow
def test_parts_lie_near_the_truth_and_add_up():
    views = load("synthetic", {"U": 4, "D_phi": 1, "train": 300, "validation": 100, "test": 100}, 0)
    truth = views.information
    parts = decomposition(views)
    assert list(parts) == list(PARTS)
    for part in parts.values():
        assert 0 <= part.low <= part.estimate <= part.high
    # Estimates are low rather than high (see raysweep.data.estimate).
    assert abs(parts["pid_R"].estimate - truth.pid_R) < 0.3


def test_without_time_there_is_no_interval():
    views = load("synthetic", {"U": 0, "D_phi": 1, "train": 100, "validation": 50, "test": 50}, 0)
    parts = decomposition(views, 0.0)
    assert all(np.isnan(part.low) and np.isfinite(part.estimate) for part in parts.values())
