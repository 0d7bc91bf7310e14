"""The copy of an emergence study with tuned rates in MLflow, in a real database."""

import json
import shutil
import sqlite3
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from tiny_emergence import TUNING, study
from tiny_runs import opened, table

from raysweep.folder.run_folder import RunFolder
from raysweep.runners import local
from raysweep.runners.attempt import attempt
from raysweep.tracking import sync
from raysweep.trials.table import results_of, write_part

pytestmark = pytest.mark.mlflow

PLANNED = study(tuning={**TUNING, "trials": 4, "seeds": 2}, evaluation__calibrate=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, module_uri: str) -> RunFolder:
    """A run folder that was copied while it was tuned, and again when it was done."""
    folder = opened(tmp_path_factory.mktemp("out"), PLANNED)
    sweep = folder.open_sweep(PLANNED)
    for _ in range(10):
        pack = sweep.next_pack()
        assert pack is not None
        rows = attempt(PLANNED, pack)
        write_part(folder.output, pack.key, rows)
        sweep.complete(pack, results_of(rows))
    with folder.driver_lock():
        sync(folder, module_uri)
    assert {r.info.status for r in runs_of(module_uri, "tags.level = 'cell'")} == {"RUNNING"}
    local.run(PLANNED, folder)
    sync(folder, module_uri)
    return folder


@pytest.fixture(scope="module")
def rows(folder: RunFolder) -> pd.DataFrame:
    assert folder.output.local is not None
    return table(folder.output.local)


def runs_of(uri: str, where: str) -> list[Run]:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], where, max_results=5000))


def cell_of(uri: str, run: Run) -> str:
    cell: str = MlflowClient(uri).get_run(run.data.tags["mlflow.parentRunId"]).data.params["cell"]
    return cell


def test_every_proposal_and_modality_has_a_run(module_uri: str, rows: pd.DataFrame) -> None:
    tuned = rows[rows["stage"] == "tune"].copy()
    for name in ("learning_rate", "weight_decay"):
        tuned[name] = tuned[f"{name}_1"].fillna(tuned[f"{name}_2"]).map("{:.6g}".format)
    groups = dict(iter(tuned.groupby(["cell", "modality", "learning_rate", "weight_decay"])))
    runs = runs_of(module_uri, "tags.stage = 'tune'")
    # Both modalities are tuned on a cell of their own and on one that they share.
    assert tuned.groupby("cell")["modality"].nunique().max() == 2
    assert len(runs) == len(groups) > 12
    assert len({run.info.run_name for run in runs}) == len(runs)
    for run in runs:
        p, metrics = run.data.params, run.data.metrics
        m = int(p["modality"])
        group = groups.pop((cell_of(module_uri, run), m, p["learning_rate"], p["weight_decay"]))
        assert run.info.status == "FINISHED"
        assert metrics["seeds"] == len(group) == 2
        column = f"performance_{m}_validation"
        assert metrics[column] == pytest.approx(group[column].mean(), abs=1e-12)
        assert metrics[f"{column}_sd"] == pytest.approx(group[column].std(), abs=1e-12)
        assert f"performance_{3 - m}_validation" not in metrics
        words = f"learning_rate={p['learning_rate']} weight_decay={p['weight_decay']}"
        assert run.info.run_name.startswith(f"tune modality {m} {words} · synthetic ")
    assert not groups


def test_a_measured_pair_shows_its_rates_layers_and_chance(
    module_uri: str, rows: pd.DataFrame
) -> None:
    measured = rows[rows["stage"] == "measure"]
    runs = runs_of(module_uri, "tags.stage = 'measure'")
    assert len(runs) == measured["cell"].nunique()
    mixed = 0
    for run in runs:
        group = measured[measured["cell"] == cell_of(module_uri, run)]
        for name in ("learning_rate_1", "weight_decay_1", "learning_rate_2", "weight_decay_2"):
            assert float(run.data.params[name]) == pytest.approx(group[name].iloc[0], rel=1e-5)
        assert "modality" not in run.data.params
        for metric in ("unbiased_cka", "mutual_knn"):
            for split in ("validation", "test"):
                for prefix in ("alignment", "chance", "corrected", "chance_p"):
                    name = f"{prefix}_{metric}_{split}"
                    assert run.data.metrics[name] == pytest.approx(group[name].mean(), abs=1e-12)
                name = f"alignment_layers_{metric}_{split}"
                counts = Counter(group[name])
                shown = run.data.tags[name]
                mixed += len(counts) > 1
                for pair, count in counts.items():
                    assert shown == pair or f"{pair} ({count} of 2)" in shown
        assert run.data.metrics["best_epoch_2"] == pytest.approx(group["best_epoch_2"].mean())
    assert mixed


def test_a_second_copy_writes_nothing(folder: RunFolder, module_uri: str) -> None:
    def content() -> list[str]:
        with sqlite3.connect(module_uri.removeprefix("sqlite:///")) as connection:
            dump = list(connection.iterdump())
        connection.close()
        return dump

    before = content()
    report = sync(folder, module_uri)
    assert report.runs_written == 0
    assert report.runs_unchanged == len(runs_of(module_uri, ""))
    assert content() == before


def test_views_ask_for_what_is_there(folder: RunFolder, module_uri: str) -> None:
    client = MlflowClient(module_uri)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    tags = experiment.tags
    views = {k: json.loads(v) for k, v in tags.items() if k.startswith("mlflow.sharedViewState.")}
    assert len(views) == 3
    for view in views.values():
        state = json.loads(view["state"])
        order = f"{state['orderByKey']} DESC"
        where = state["searchFilter"]
        found = client.search_runs([experiment.experiment_id], where, order_by=[order])
        assert found, view["name"]
        for column in state["selectedColumns"]:
            kind, _, name = column.partition(".")
            assert all(name.strip("`") in getattr(run.data, kind) for run in found), column


def test_rates_of_another_folder_do_not_take_the_runs_of_this_one(
    tmp_path: Path, rows: pd.DataFrame, empty_database: Path
) -> None:
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    address = f"sqlite:///{tmp_path}/mlflow.db"
    counts = []
    for rate in (0.01, 0.02):
        wanted = study(data__U=0, data__D_phi=1, training__learning_rate=rate, seeds=1)
        place = opened(tmp_path / str(rate), wanted)
        local.run(wanted, place)
        sync(place, address)
        found = runs_of(address, "tags.stage = 'measure'")
        counts.append(Counter(run.data.params["learning_rate_1"] for run in found))
    assert counts == [{"0.01": 2}, {"0.01": 2, "0.02": 2}]
