import numpy as np
import pandas as pd

from raysweep_analysis.trained import training_limits


def runs(steps: int, best: list[int], epochs: int = 100, cell: str = "c") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "study": "s",
            "cell": cell,
            "stage": "confirm",
            "arm": "none",
            "status": "ok",
            "steps": steps,
            "epochs": epochs,
            "best_epoch": best,
        }
    )


def test_long_trainings_with_early_checkpoints_are_nothing_to_say() -> None:
    assert list(training_limits(runs(500, [20, 60, 90, 30]))) == []


def test_few_steps_and_late_checkpoints_are_told_by_cells() -> None:
    table = pd.concat(
        [runs(499, [20, 30]), runs(2000, [91, 30], cell="d"), runs(2000, [91, 1, 1, 1], cell="e")]
    )
    few, late = training_limits(table)
    assert "1 of 3 cells" in few
    assert "499" in few
    assert few.endswith("; give more training.epochs.")
    assert "1 of 3 cells" in late  # a quarter in the last tenth is not more than a quarter


def test_only_confirmed_runs_without_forcing_count() -> None:
    others = [("stage", "search"), ("arm", "forced"), ("status", "diverged")]
    for column, value in others:
        assert list(training_limits(runs(10, [99, 98]).assign(**{column: value}))) == []


def test_the_last_epoch_that_is_always_kept_says_nothing() -> None:
    assert list(training_limits(runs(1000, [100, 100]))) == []


def test_tables_without_the_columns_are_passed_over() -> None:
    table = runs(10, [99, 98])
    assert list(training_limits(table.drop(columns=["steps", "best_epoch"]))) == []
    assert list(training_limits(table.assign(steps=np.nan).drop(columns="epochs"))) == []


def test_what_a_users_own_code_trains_has_no_such_field() -> None:
    trials = runs(40, [1, 2]).assign(epochs=np.nan).drop(columns="best_epoch")
    for table in (trials, trials.drop(columns="epochs")):
        [few] = training_limits(table)
        assert few.endswith("seems to help; train longer.")
