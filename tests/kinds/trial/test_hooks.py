"""Trials that transformers' Trainer and Lightning train, on tiny random models; where installed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import table
from trial_runs import ran, study

import raysweep
from raysweep.kinds.trial.study import TrialStudy

CONCLUDED: dict[str, Any] = {
    "grid": None,
    "alignment": {"loss": "infonce", "options": {"temperature": 0.5, "learned": True}},
    "evaluation": {"metrics": ["unbiased_cka"]},
    "verdict": {"performance": "accuracy_test", "alignment": "unbiased_cka_test", "margin": 0.1},
    "search": {
        "trials": 4,
        "generation": 4,
        "seeds": 1,
        "strength": {"low": 30, "high": 100},
        "halving": {"epochs": [1, 3]},
    },
    "confirm": {"seeds": 4},
}
pytestmark = pytest.mark.filterwarnings("ignore")


def concluded(name: str) -> TrialStudy:
    return study(trial=f"framework_trials:{name}", **CONCLUDED)


@pytest.mark.parametrize(
    ("name", "library"), [("by_transformers", "transformers"), ("by_lightning", "lightning")]
)
def test_a_framework_trains_with_penalty_curves_halving_and_checkpoints(
    tmp_path: Path, name: str, library: str
) -> None:
    pytest.importorskip(library)
    sweep = ran(concluded(name), tmp_path / "out")
    assert not sweep.failures, next(iter(sweep.failures.values()))
    rows = table(tmp_path / "out")
    confirm = rows[rows["stage"] == "confirm"].set_index(["seed", "arm"])
    assert set(confirm["trained_epochs"]) == {3}
    assert set(confirm["steps"]) == {9}
    search = rows[(rows["stage"] == "search") & (rows["arm"] == "forced")]
    assert sorted(search["trained_epochs"]) == [1, 1, 3, 3]
    # Those that went on did so from where they were: none of the first 3 steps was taken twice.
    assert set(search["steps"]) == {3, 9}
    # What is forced is what was trained: finding each sample's pair on other samples.
    pairs = confirm["loss_pairs_test"].unstack("arm")
    assert pairs["forced"].mean() < pairs["none"].mean()
    assert pairs["forced"].mean() < pairs["placebo"].mean()
    assert confirm["alignment_unbiased_cka_test"].notna().all()
    assert (confirm["accuracy_test"] > 0.5).all()
    curves = [c for c in _curves(tmp_path / "out") if "accuracy_validation" in c]
    assert curves == ["curve_accuracy_validation"]


@pytest.mark.parametrize("model", ["Both", "ByItems"])
def test_a_batch_in_parts_is_forced_as_one(model: str) -> None:
    """Of two equal halves the mean is what one of them gives: by a loss of pairs within a row."""
    pytest.importorskip("transformers")
    import framework_trials

    found = []
    for parts in (1, 2):
        torch.manual_seed(0)
        trial = raysweep.TrialContext.by_hand(arm="forced", strength=5.0, loss="mse")
        made = getattr(framework_trials, model)()
        found.append(framework_trials.one_step(trial, made, parts))
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)


def _curves(folder: Path) -> list[str]:
    from raysweep.trials.storage import Output
    from raysweep.trials.table import read_parts

    names: list[str] = read_parts(Output(str(folder)), curves=True).table.column_names
    return [name for name in names if name.startswith("curve_")]
