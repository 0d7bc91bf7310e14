"""Trials of one's own through Ray Tune: the same rows, faults, placement, and what each costs."""

import json
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tiny_runs import assert_same_table, opened, raysweep, table
from trial_runs import document, ran, study

from raysweep.kinds.sweep import CellState, Sweep
from raysweep.kinds.trial.study import TrialStudy
from raysweep.trials.columns import CURVE_EPOCHS
from raysweep.trials.storage import Output
from raysweep.trials.table import PART_SUFFIX, PARTS, read_parts

FEW: dict[str, Any] = {
    "search": {"trials": 2, "generation": 2, "seeds": 1},
    "confirm": {"seeds": 2},
}


def run_ray(wanted: TrialStudy, folder: Path, **options: Any) -> Sweep[Any]:
    from raysweep.runners import tune

    return tune.run(wanted, opened(folder, wanted), **options)


@pytest.mark.slow
@pytest.mark.ray
def test_both_runners_give_the_same_rows(ray_here: None, tmp_path: Path) -> None:
    wanted = study(grid={"genre": ["helps", "hurts"]}, **FEW)
    assert run_ray(wanted, tmp_path / "ray").finished
    ran(wanted, tmp_path / "local")
    assert_same_table(table(tmp_path / "ray"), table(tmp_path / "local"))


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("raises", "ValueError: no such film"),
        pytest.param("memory", "lower what your code trains", marks=pytest.mark.faults),
    ],
)
def test_a_trial_that_goes_wrong_takes_nothing_with_it(
    ray_here: None, tmp_path: Path, fault: str, why: str
) -> None:
    wanted = study(trial="own_trials:faulty", grid={"fault": [fault, "none"]}, **FEW)
    sweep = run_ray(wanted, tmp_path / "out")
    assert [sweep.state(c) for c in sweep.cells] == [CellState.FAILED, CellState.DONE]
    assert all(why in reason for reason in sweep.failures.values())


@pytest.mark.slow
@pytest.mark.ray
def test_a_trial_that_hangs_is_ended_and_told(ray_here: None, tmp_path: Path) -> None:
    wanted = study(trial="own_trials:faulty", grid={"fault": ["hangs", "none"]}, **FEW)
    sweep = run_ray(wanted, tmp_path / "out", pack_limit_s=3.0)
    assert [sweep.state(c) for c in sweep.cells] == [CellState.FAILED, CellState.DONE]
    [reason, *_] = sweep.failures.values()
    assert "TimeLimit" in reason
    assert "own_trials.py" in reason  # where it hangs
    assert "thread reader had ended by KeyError: 'reel 5'" in reason


@pytest.mark.faults
@pytest.mark.ray
def test_a_trial_whose_worker_is_lost_again_and_again_is_given_up(
    ray_here: None, tmp_path: Path
) -> None:
    search = {"trials": 1, "generation": 1, "seeds": 1}
    wanted = study(
        trial="own_trials:faulty", grid={"fault": "dies"}, search=search, confirm={"seeds": 2}
    )
    sweep = run_ray(wanted, tmp_path / "out")
    assert [sweep.state(c) for c in sweep.cells] == [CellState.FAILED]
    assert all("WorkerLost: 4 times" in reason for reason in sweep.failures.values())


PAIR: dict[str, Any] = {
    "trial": "own_trials:pair",
    "grid": None,
    "alignment": {"loss": "infonce", "options": {"temperature": 0.5, "learned": True}},
    "evaluation": {"metrics": ["unbiased_cka"]},
    "verdict": {
        "performance": "likelihood_test",
        "alignment": "unbiased_cka_test",
        "margin": 0.01,
    },
    "search": {
        "trials": 2,
        "generation": 2,
        "seeds": 1,
        "objective": "alignment",
        "strength": {"low": 0.1, "high": 1},
    },
    "confirm": {"seeds": 2},
}


def curves(folder: Path) -> pd.DataFrame:
    """The learning curves of all trials, point by point."""
    parts = Output(folder)
    found = read_parts(parts, parts.names(PARTS, PART_SUFFIX), curves=True).table.to_pandas()
    wanted = ["key", *(name for name in found.columns if str(name).startswith("curve"))]
    points = found[wanted].explode(wanted[1:], ignore_index=True)
    return points.sort_values(["key", CURVE_EPOCHS], ignore_index=True)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("runner", [pytest.param("ray", marks=pytest.mark.faults), "local"])
def test_sigkill_in_mid_trial_changes_no_number(
    tmp_path: Path, runner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the worker through Ray, which goes on by itself; of the driver that trains itself."""
    wanted = study(**PAIR)
    undisturbed = ran(wanted, tmp_path / "undisturbed")
    assert not undisturbed.failures
    import yaml

    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(document(**PAIR)))
    (tmp_path / "die").touch()
    monkeypatch.setenv("OWN_TRIALS_SWITCH", str(tmp_path))
    how = ("--workers", "1") if runner == "ray" else ()
    arguments = ("--runner", runner, "--no-mlflow", *how)
    done = raysweep(tmp_path, "run", "mine.yaml", "--out", "out", *arguments)
    assert not (tmp_path / "die").exists()
    if runner == "local":
        assert done.returncode == -9
        done = raysweep(tmp_path, "resume", "out", *arguments)
    assert done.returncode == 0, done.stderr
    assert_same_table(table(tmp_path / "out"), table(tmp_path / "undisturbed"))
    assert_same_table(*(curves(tmp_path / name) for name in ("out", "undisturbed")))
    # It went on and did not begin anew: each epoch stands once in its log.
    logs = list((tmp_path / "out" / "trials").glob("*/log.jsonl"))
    assert logs
    for log in logs:
        epochs = [json.loads(line)["epoch"] for line in log.read_text().splitlines()]
        assert epochs == [1, 2, 3, 4, 5, 6]


@pytest.mark.faults
@pytest.mark.ray
def test_overhead_of_a_trial_is_small(ray_here: None, tmp_path: Path) -> None:
    """Wide of the mark of 100 ms a trial on a quiet machine, which the benchmark measures."""
    wanted = study(grid={"genre": ["helps", "hurts"]}, confirm={"seeds": 20})
    started = time.monotonic()
    sweep = run_ray(wanted, tmp_path / "out")
    per_trial = (time.monotonic() - started) / len(table(tmp_path / "out"))
    assert sweep.finished
    assert per_trial < 1.0
