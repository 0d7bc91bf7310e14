"""What is seen in data whose label is a number, and the study that fits it."""

from pathlib import Path

import numpy as np
import pytest

from raysweep.advice.study_file import sights, study_file
from raysweep.advice.subject import DEFAULT_RATES, Looked, look_at, study_of
from raysweep.trials.tasks import Task


def looked_at(folder: Path, leak: bool = False) -> Looked:
    draw, n = np.random.default_rng(0), 300
    y = np.exp(draw.normal(size=n))
    x1, x2 = (draw.normal(size=(n, 3)) + y[:, None] / 5 for _ in range(2))
    if leak:
        x2[:, 1] = 7 - 2 * y
    np.savez(folder / "own.npz", x1=x1, x2=x2, y=y)
    return look_at(folder / "own.npz", {})


def test_the_label_is_seen_in_its_unit(tmp_path: Path) -> None:
    seen = looked_at(tmp_path).seen
    y = np.load(tmp_path / "own.npz")["y"]
    assert seen.task is Task.REGRESSION
    assert seen.values is not None
    assert (seen.values.low, seen.values.high) == (y.min(), y.max())
    assert seen.values.sd == pytest.approx(y.std())
    assert seen.rows == 300
    assert seen.leaks == ()
    told = list(sights(seen))
    assert f"label: a number, {y.min():.4g} to {y.max():.4g}, mean {y.mean():.4g}" in told[2]
    assert any("was read as a number to predict (regression)" in line for line in told)


def test_a_feature_that_is_the_label_is_suspected(tmp_path: Path) -> None:
    seen = looked_at(tmp_path, leak=True).seen
    [leak] = seen.leaks
    assert (leak.modality, leak.feature) == (2, 1)
    assert 0.98 <= leak.accuracy <= 1
    assert "% of the label's variance: is it the label itself?" in list(sights(seen))[-1]


def test_the_study_tests_what_is_explained(tmp_path: Path) -> None:
    looked = looked_at(tmp_path)
    text = study_file(looked.subject, looked.seen, looked.chosen, DEFAULT_RATES, "the default")
    study = study_of(text, tmp_path)
    assert study.task is Task.REGRESSION
    assert (study.verdict.performance, study.verdict.margin) == ("r2_fused_test", 0.01)
    assert study.search.performance == "r2_fused"
