"""The same study by the built-in encoder and by a function that trains it in plain PyTorch."""

from typing import Any

import own_builtin_trial
import pandas as pd
import pytest
from tiny_runs import opened, study
from trial_runs import ran
from trial_runs import study as trial_study

from raysweep.runners import local
from raysweep_analysis import forcing_effects, load_trials

FIXED: dict[str, Any] = {
    # One strength, in both: a grid of one point is the low end of the range.
    "search": {
        "sampler": "grid",
        "trials": 1,
        "generation": 1,
        "seeds": 1,
        "objective": "performance",
        "strength": {"low": 3.0, "high": 4.0},
    },
    "confirm": {"seeds": 12},
    "alignment": {"loss": "infonce", "options": {"temperature": 0.1}},
    "evaluation": {"metrics": {"unbiased_cka": {}}},
}

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def effects(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.Series, pd.Series]:
    folder = tmp_path_factory.mktemp("builtin")
    built_in = study(
        data={"dataset": "synthetic", **own_builtin_trial.DATA},
        model={"width": own_builtin_trial.WIDTH},
        training=own_builtin_trial.TRAINING,
        resources={},
        **FIXED,
    )
    local.run(built_in, opened(folder / "built_in", built_in))
    own = trial_study(
        trial="own_builtin_trial:run",
        grid=None,
        verdict={"performance": "performance_fused_test", "alignment": "unbiased_cka_test"},
        **FIXED,
    )
    assert not ran(own, folder / "own").failures
    found = [forcing_effects(load_trials(folder / name)) for name in ("built_in", "own")]
    assert [len(of) for of in found] == [1, 1]
    return found[0].iloc[0], found[1].iloc[0]


def test_effects_agree_within_their_intervals(effects: tuple[pd.Series, pd.Series]) -> None:
    built_in, own = effects
    assert built_in["n"] == own["n"] == 12
    assert built_in["strength"] == own["strength"] == 3.0
    for name, low, high in (
        ("effect", "ci_low", "ci_high"),
        ("effect_vs_placebo", "placebo_ci_low", "placebo_ci_high"),
        ("alignment_gain", "alignment_ci_low", "alignment_ci_high"),
    ):
        widths = (built_in[high] - built_in[low]) / 2, (own[high] - own[low]) / 2
        # Two independent means: their difference spreads as the root of both squares.
        allowed = 1.5 * (widths[0] ** 2 + widths[1] ** 2) ** 0.5
        assert abs(built_in[name] - own[name]) < allowed, (name, built_in[name], own[name])


def test_the_effects_are_there_to_be_compared(effects: tuple[pd.Series, pd.Series]) -> None:
    """Else intervals around 0 would agree whatever was trained."""
    for of in effects:
        assert of["alignment_gain"] > 0.1
        assert of["alignment_ci_low"] > 0
