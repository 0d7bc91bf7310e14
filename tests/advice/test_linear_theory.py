"""The linear theory against spiked data whose correlations are known."""

import numpy as np
import pytest

from raysweep.advice.linear_theory import regime
from raysweep.data.views import Splits, Views
from raysweep.errors import InputError

ROWS = 6000


def spiked(signal, nuisance, rows=ROWS, seed=0, informative=True):
    """Two modalities of 6 features, mixed: 1 shared signal and 1 shared nuisance direction.

    The correlation across the modalities of either is given; everything else is independent.
    """
    rng = np.random.default_rng(seed)
    source, noise = rng.normal(size=(2, rows))
    sides = []
    for _ in range(2):
        own = rng.normal(size=(rows, 6))
        own[:, 0] = np.sqrt(signal) * source + np.sqrt(1 - signal) * own[:, 0]
        own[:, 1] = np.sqrt(nuisance) * noise + np.sqrt(1 - nuisance) * own[:, 1]
        sides.append(own @ np.linalg.qr(rng.normal(size=(6, 6)))[0])
    y = (source > 0).astype(np.int64) if informative else rng.integers(0, 2, rows)
    cut = [int(0.7 * rows), int(0.85 * rows)]
    return Views(tuple(sides), y, 2, Splits(*np.split(np.arange(rows), cut)))


def test_correlations_are_those_of_the_model():
    found = regime(spiked(0.8, 0.4))
    assert found.signals == 1
    assert found.aligned_signal == pytest.approx(0.8, abs=0.03)
    assert found.aligned_nuisance == pytest.approx(0.4, abs=0.05)
    assert found.name in ("both", "align only")


def test_nuisance_that_is_tied_more_strongly_is_what_alignment_finds():
    found = regime(spiked(0.4, 0.8))
    assert found.aligned_signal < found.aligned_nuisance
    assert found.name in ("predict only", "neither")


def test_loud_nuisance_misleads_prediction_and_not_alignment():
    views = spiked(0.8, 0.5)
    # The second modality's nuisance becomes ten times as loud; correlations stay as they are.
    covariance = views.x1.T @ views.x2 / ROWS
    _, _, right = np.linalg.svd(covariance)
    louder = views.x2 + 9 * np.outer(views.x2 @ right[1], right[1])
    found = regime(Views((views.x1, louder), views.y, 2, views.splits))
    assert found.name == "align only"


def test_labels_that_nothing_tells_have_no_regime():
    found = regime(spiked(0.8, 0.4, informative=False))
    assert found.name == ""
    assert found.signals == 0


def test_it_is_of_two_modalities():
    views = spiked(0.8, 0.4)
    with pytest.raises(InputError, match="of two modalities, not 1"):
        regime(views.alone(1))
