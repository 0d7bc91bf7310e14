"""Estimated information against cells whose exact information is known."""

import numpy as np
import pytest

from raysweep.data.estimate import estimate_information
from raysweep.data.registry import load, load_estimate
from raysweep.data.views import Splits, Views
from raysweep.errors import InputError

ROWS = {"train": 500, "validation": 125, "test": 125}


def numbers(known):
    return np.array(
        [known.I1, known.I2, known.I12, known.pid_R, known.pid_U1, known.pid_U2, known.pid_S]
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("U", "tolerance"),
    [(0, 0.12), (4, 0.15), (8, 0.2)],
)
def test_synthetic_cells(U, tolerance):
    views = load("synthetic", {"U": U, "transformed": "none", **ROWS})
    exact, estimated = views.information, estimate_information(views)
    np.testing.assert_allclose(numbers(estimated), numbers(exact), atol=tolerance)
    accuracies = np.array([estimated.bayes_1, estimated.bayes_2, estimated.bayes_fused])
    best = np.array([exact.bayes_1, exact.bayes_2, exact.bayes_fused])
    assert (accuracies <= best + 4 * 0.5 / np.sqrt(750)).all()
    assert (accuracies >= best - 0.08).all()
    assert np.isnan(estimated.I_X1X2)
    assert np.isnan(estimated.I_shared)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "parameters"),
    [
        ("synthetic", {"U": 4, "D_phi": 1, "train": 700}),
        ("synthetic", {"U": 0, "synergy": 0.7, "D_phi": 3, "train": 700}),
        ("channels", {"pid_R": 0.4, "pid_U1": 0.3, "pid_U2": 0.2, "pid_S": 0.5, "train": 1700}),
    ],
)
def test_the_limits_that_are_stated_hold(dataset, parameters):
    """Behind networks, and with synergy: totals to a third, parts to half or a quarter nat."""
    views = load(dataset, {**parameters, "validation": 150, "test": 150})
    exact, found = numbers(views.information), numbers(estimate_information(views))
    assert (found[:3] >= exact[:3] * 2 / 3 - 0.02).all()
    assert (found[:3] <= exact[:3] + 0.06).all()
    assert (np.abs(found[3:] - exact[3:]) <= np.maximum(exact[3:] / 2, 0.25)).all()
    assert found[6] >= 0.5 * exact[6]


@pytest.mark.slow
def test_parts_add_up_and_find_what_is_there():
    """Uniqueness of one side alone, and synergy alone."""
    unique = {"U": 4, "U1": 4, "transformed": "none", **ROWS}
    views = load("synthetic", unique, draw=1)
    estimated = estimate_information(views)
    assert views.information.pid_U2 == pytest.approx(0, abs=1e-12)
    assert estimated.pid_U2 < 0.05
    assert estimated.pid_U1 > 0.8 * views.information.pid_U1
    assert (numbers(estimated) >= 0).all()
    total = estimated.pid_R + estimated.pid_U1 + estimated.pid_U2 + estimated.pid_S
    np.testing.assert_allclose(total, estimated.I12, atol=1e-12)
    np.testing.assert_allclose(estimated.pid_R + estimated.pid_U1, estimated.I1, atol=1e-12)
    together = {"U": 0, "synergy": 1.0, "transformed": "none", **ROWS, "train": 1250}
    views = load("synthetic", together)
    estimated = estimate_information(views)
    assert estimated.pid_S > 0.5 * views.information.pid_S
    assert max(estimated.I1, estimated.I2) < 0.03


def test_no_information_is_estimated_as_none():
    views = load("synthetic", {"U": 4, "label_noise": 1.0, **ROWS})
    assert (numbers(estimate_information(views)) < 0.03).all()


def test_digits_and_memory():
    """Both halves of a digit nearly tell it, so most information is redundant; log 10 = 2.30."""
    parameters = {"overlap": 0}
    estimated = load_estimate("digits", parameters)
    assert 1.8 < min(estimated.I1, estimated.I2) < estimated.I12 < np.log(10)
    assert estimated.pid_R > 1.5
    assert load_estimate("digits", parameters) is estimated


def test_too_few_rows():
    rows = np.arange(8)
    x = np.random.default_rng(0).normal(size=(8, 2))
    views = Views((x, x), rows % 7, 7, Splits(rows[:4], rows[4:6], rows[6:]))
    with pytest.raises(InputError, match="fewer than two classes have 3 rows or more"):
        estimate_information(views)
