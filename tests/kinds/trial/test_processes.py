"""Trials that train in processes of their own: they are sent there, and what these told is kept."""

import math
import pickle
from pathlib import Path
from typing import Any

import pytest
from trial_contexts import maker, pair
from trial_runs import study

from raysweep.kinds.trial.run import run_trial
from raysweep.kinds.trial.told import Told
from raysweep.study.cells import expand
from raysweep.trials.storage import Output
from raysweep.trials.trial import Arm, Stage, Trial

WANTED: dict[str, Any] = {
    "grid": {"genre": "horror"},
    "alignment": {"loss": "infonce", "options": {"temperature": 0.5, "learned": True}},
    "evaluation": {"metrics": ["unbiased_cka"]},
    "verdict": {"performance": "fit_test", "alignment": "unbiased_cka_test"},
}


def test_a_trial_is_itself_in_another_process(tmp_path: Path) -> None:
    trial = maker(tmp_path)(Arm.PLACEBO, **WANTED)
    trial.parameters()
    again = pickle.loads(pickle.dumps(trial))
    assert repr(again) == repr(trial)
    assert again.folder == trial.folder
    with pytest.raises(TypeError):
        again.cell["genre"] = "war"
    assert again.options == trial.options
    assert again.penalty(*pair()).item() == trial.penalty(*pair()).item()
    again.log(1, f1=0.5)
    again.save({"epoch": 1})
    assert trial.load() == {"epoch": 1}
    assert Told(trial, None, "f").logged == {1: {"f1": 0.5}}


@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path: Path) -> None:
    """Gradients of both halves of the rows, averaged, are those of the mean over both."""
    found = {}
    for name in ("in_two", "in_one"):
        wanted = study(trial=f"own_processes:{name}", **WANTED)
        trial = Trial(expand(wanted)[0], 0, 3, 0.5, Arm.FORCED, Stage.CONFIRM, "s")
        row, told = run_trial(wanted, trial, "cpu", Output(tmp_path / name))
        assert row["trained_epochs"] == 3
        found[name] = {**told.metrics, **told.measured, **told.logged[3]}
    assert found["in_two"].keys() == found["in_one"].keys()
    for metric, value in found["in_one"].items():
        if isinstance(value, float):
            assert found["in_two"][metric] == pytest.approx(value, abs=1e-10)
    assert abs(found["in_one"]["scale"] - math.log(1 / 0.5)) > 1e-4  # what the loss learns
