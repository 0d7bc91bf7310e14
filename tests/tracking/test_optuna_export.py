"""Searches as Optuna studies: what Optuna reads there against the trial table."""

import sqlite3
from pathlib import Path

import optuna
import pytest
import tiny_emergence
from drawn_runs import draw_packs, opened, study

from raysweep.errors import InputError
from raysweep.runners import local
from raysweep.runners.attempt import attempt
from raysweep.tracking.optuna_export import export_searches
from raysweep.trials.table import read_table, results_of, write_part


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
    search = read_table(tmp_path / "out").query("stage == 'search'")
    table, none = search.query("arm == 'forced'"), search.query("arm == 'none'")
    names = {s.study_name for s in optuna.get_all_study_summaries(storage)}
    assert names == {"drawn: synthetic U=0", "drawn: synthetic U=4"}
    for name in names:
        found = optuna.load_study(study_name=name, storage=storage)
        rows = table[table["cell"] == found.user_attrs["cell"]]
        columns = [f"alignment_{planned.metric}_validation"]
        if objective == "both":
            columns.append("performance_fused_validation")
        baseline = none.loc[none["cell"] == found.user_attrs["cell"], columns].mean()
        for column in columns:
            name_of = f"strength_0_{column.partition('_')[0]}"
            assert found.user_attrs[name_of] == pytest.approx(baseline[column])
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


def test_searches_of_rates_are_told_family_by_family(tmp_path: Path) -> None:
    planned = tiny_emergence.study(tuning={**tiny_emergence.TUNING, "trials": 5})
    folder = opened(tmp_path / "out", planned)
    storage = f"sqlite:///{tmp_path}/searches.db"
    sweep = folder.open_sweep(planned)
    for _ in range(8):
        pack = sweep.next_pack()
        assert pack is not None
        rows = attempt(planned, pack)
        write_part(folder.output, pack.key, rows)
        sweep.complete(pack, results_of(rows))
    partly = export_searches(folder, storage)
    local.run(planned, folder)
    whole = export_searches(folder, storage)
    assert whole.studies == 4
    plans = folder.open_sweep(planned).family_plans.values()
    told = sum(len(outcomes) for plan in plans for outcomes in plan.outcomes)
    assert told >= 4 * 5
    assert 0 < partly.written < partly.written + whole.written == told
    before = content(tmp_path / "searches.db")
    again = export_searches(folder, storage)
    assert (again.written, again.unchanged) == (0, told)
    assert content(tmp_path / "searches.db") == before

    found_rows = read_table(tmp_path / "out")
    tuned = found_rows[found_rows["stage"] == "tune"]
    measured = found_rows[found_rows["stage"] == "measure"]
    names = {s.study_name for s in optuna.get_all_study_summaries(storage)}
    expected = {f"tiny: synthetic U={U}, modality {m}" for U in (0, 8) for m in (1, 2)}
    assert names == expected
    for name in names:
        found = optuna.load_study(study_name=name, storage=storage)
        m, U = found.user_attrs["modality"], found.user_attrs["U"]
        assert name == f"tiny: synthetic U={U}, modality {m}"
        own = tuned[(tuned["modality"] == m) & (tuned["U"] == U)]
        assert set(found.user_attrs["cells"]) == set(own["cell"])
        rates = [f"learning_rate_{m}", f"weight_decay_{m}"]
        means = own.groupby(rates)[f"performance_{m}_validation"].mean()
        assert len(found.trials) >= 5
        assert {tuple(t.params.values()) for t in found.trials} == set(means.index)
        for trial in found.trials:
            assert list(trial.params) == ["learning_rate", "weight_decay"]
            assert trial.value == pytest.approx(means[tuple(trial.params.values())], abs=1e-12)
            assert set(trial.distributions) == {"learning_rate", "weight_decay"}
        used = measured[measured["U"] == U][rates].drop_duplicates()
        assert tuple(found.best_params.values()) == tuple(used.iloc[0])


def test_other_tuning_under_one_name_is_not_mixed_in(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/searches.db"
    tuning = tiny_emergence.TUNING
    export_searches(opened(tmp_path / "one", tiny_emergence.study(tuning=tuning)), storage)
    other = tiny_emergence.study(tuning={**tuning, "learning_rate": [0.1, 0.2]})
    with pytest.raises(InputError, match="of another study"):
        export_searches(opened(tmp_path / "two", other), storage)


def test_rates_that_are_given_are_no_search(tmp_path: Path) -> None:
    folder = opened(tmp_path / "out", tiny_emergence.study())
    with pytest.raises(InputError, match="no search to export: tiny is an emergence study without"):
        export_searches(folder, f"sqlite:///{tmp_path}/searches.db")
    assert not (tmp_path / "searches.db").exists()
