"""The copy of a study of models in MLflow, in a real database, while it runs and afterwards."""

import json

import pandas as pd
import pytest
import tiny_features
from mlflow import MlflowClient
from mlflow.entities import Run
from tiny_runs import opened, table

import raysweep
from raysweep.folder.run_folder import RunFolder
from raysweep.runners import local
from raysweep.runners.attempt import attempt
from raysweep.tracking import sync
from raysweep.trials.table import results_of, write_part

pytestmark = pytest.mark.mlflow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, module_uri: str) -> RunFolder:
    """A run folder that was copied after its first pack, and again when it was done."""
    rows = tiny_features.write(tmp_path_factory.mktemp("features"))
    planned = raysweep.Study(**tiny_features.given(rows[:3] + rows[-2:])).resolved
    folder = opened(tmp_path_factory.mktemp("out"), planned)
    sweep = folder.open_sweep(planned)
    pack = sweep.next_pack()
    assert pack is not None
    found = attempt(planned, pack)
    write_part(folder.output, pack.key, found)
    sweep.complete(pack, results_of(found))
    with folder.driver_lock():
        sync(folder, module_uri)
    assert len(runs_of(module_uri, "tags.level = 'cell'")) == 3
    local.run(planned, folder)
    sync(folder, module_uri)
    return folder


def runs_of(uri: str, where: str) -> list[Run]:
    client = MlflowClient(uri)
    (experiment,) = client.search_experiments(filter_string="name = 'tiny_models'")
    return list(client.search_runs([experiment.experiment_id], where))


def test_every_pair_is_a_run_with_its_numbers(folder: RunFolder, module_uri: str) -> None:
    assert folder.output.local is not None
    rows = table(folder.output.local).set_index(["model_1", "model_2", "caption"])
    runs = runs_of(module_uri, "tags.stage = 'measure'")
    assert len(runs) == len(rows) == 6
    for run in runs:
        params = run.data.params
        row = rows.loc[(params["model_1"], params["model_2"], int(params["caption"]))]
        for family in ("alignment", "chance", "chance_high", "corrected", "chance_p"):
            name = f"{family}_unbiased_cka_test"
            assert run.data.metrics[name] == pytest.approx(row[name], abs=1e-12)
        assert run.data.metrics["model_performance_1"] == row["model_performance_1"]
        given = run.data.metrics.get("model_performance_2")
        assert given == (None if pd.isna(row["model_performance_2"]) else 0.5)
        layers = run.data.tags["alignment_layers_unbiased_cka_test"]
        assert layers.startswith(row["alignment_layers_unbiased_cka_test"])
        assert run.info.status == "FINISHED"


def test_the_study_is_done_and_a_second_copy_writes_nothing(
    folder: RunFolder, module_uri: str
) -> None:
    (summary,) = runs_of(module_uri, "tags.level = 'study'")
    assert summary.info.status == "FINISHED"
    assert summary.data.metrics["trials"] == summary.data.metrics["trials_planned"] == 6
    assert {run.info.status for run in runs_of(module_uri, "tags.level = 'cell'")} == {"FINISHED"}
    assert sync(folder, module_uri).runs_written == 0


def test_a_view_lists_the_pairs_by_their_alignment(folder: RunFolder, module_uri: str) -> None:
    (experiment,) = MlflowClient(module_uri).search_experiments(
        filter_string="name = 'tiny_models'"
    )
    state = json.loads(
        json.loads(experiment.tags["mlflow.sharedViewState.raysweep-pairs"])["state"]
    )
    assert state["orderByKey"] == "metrics.`alignment_mutual_knn_test`"
    assert "params.`caption`" in state["selectedColumns"]
    known = {key for run in runs_of(module_uri, state["searchFilter"]) for key in run.data.metrics}
    wanted = [c.split("`")[1] for c in state["selectedColumns"] if c.startswith("metrics.")]
    assert set(wanted) <= known
