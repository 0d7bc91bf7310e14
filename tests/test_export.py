"""Searches as Optuna studies: what Optuna reads there against the trial table."""

import sqlite3
from pathlib import Path

import optuna
import pytest
from drawn_runs import draw_packs, opened, study

from raysweep.errors import InputError
from raysweep.export import export_searches
from raysweep.table import read_table


def content(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        dump = list(connection.iterdump())
    connection.close()
    return dump


@pytest.mark.parametrize("objective", ["alignment", "both"])
def test_optuna_reads_what_the_table_says(tmp_path: Path, objective: str) -> None:
    planned = study(search={"trials": 4, "generation": 2, "seeds": 2, "objective": objective})
    folder = opened(tmp_path / "out", planned)
    storage = f"sqlite:///{tmp_path}/searches.db"
    draw_packs(folder, planned, most=5)
    partly = export_searches(folder, storage)
    draw_packs(folder, planned)
    whole = export_searches(folder, storage)
    assert whole.studies == 2
    assert 0 < partly.written < whole.unchanged + whole.written == 8
    before = content(tmp_path / "searches.db")
    again = export_searches(folder, storage)
    assert (again.written, again.unchanged) == (0, 8)
    assert content(tmp_path / "searches.db") == before

    folder.compact(folder.open_sweep(planned))
    table = read_table(tmp_path / "out").query("stage == 'search' and arm == 'forced'")
    names = {s.study_name for s in optuna.get_all_study_summaries(storage)}
    assert names == {"drawn: synthetic U=0", "drawn: synthetic U=4"}
    for name in names:
        found = optuna.load_study(study_name=name, storage=storage)
        rows = table[table["cell"] == found.user_attrs["cell"]]
        columns = [f"alignment_{planned.metric}_validation"]
        if objective == "both":
            columns.append("performance_fused_validation")
        means = rows.groupby("strength")[columns].mean()
        assert len(found.trials) == len(means) == 4
        for trial in found.trials:
            assert trial.values == pytest.approx(list(means.loc[trial.params["strength"]]))
        assert len(found.best_trials) >= 1
        assert found.user_attrs["U"] == int(name[-1])
        assert found.metric_names[0] == "alignment"


def test_another_study_of_the_same_name_is_not_mixed_in(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/searches.db"
    export_searches(opened(tmp_path / "one", study()), storage)
    with pytest.raises(InputError, match="of another study"):
        export_searches(opened(tmp_path / "two", study(seed=7)), storage)


@pytest.mark.parametrize("storage", ["nonsense", "sqlite:////nowhere/at/all.db", "nosuch://x/y"])
def test_a_database_that_cannot_be_opened_is_told(tmp_path: Path, storage: str) -> None:
    with pytest.raises(InputError, match="--optuna"):
        export_searches(opened(tmp_path, study()), storage)
