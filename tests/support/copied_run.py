"""A run folder and the database that it was copied to, to be edited: made once, then copied."""

import contextlib
import shutil
import sqlite3
from pathlib import Path
from typing import Any

from drawn_runs import draw_packs, opened, study
from mlflow import MlflowClient
from mlflow.entities import Experiment, Run

from raysweep.folder.run_folder import RunFolder
from raysweep.tracking import sync
from raysweep.trials.storage import Output

NOTE = "mlflow.note.content"
SMALL = study(
    data={"dataset": "synthetic", "U": 0},
    search={"trials": 1, "generation": 1, "seeds": 1},
    confirm={"seeds": 2},
)


def make_copy(place: Path, empty_database: Path) -> Path:
    """A run folder ``out`` in a place, copied to a database ``mlflow.db`` beside it."""
    shutil.copyfile(empty_database, place / "mlflow.db")
    made = opened(place / "out", SMALL)
    draw_packs(made, SMALL)
    sync(made, f"sqlite:///{place}/mlflow.db")
    return place


def move_copy(made: Path, place: Path) -> RunFolder:
    """The folder and its database in another place, as if they had been made there."""
    shutil.copytree(made, place, dirs_exist_ok=True)
    for note in place.glob("out/tracking*.json"):
        note.write_text(note.read_text().replace(str(made), str(place)))
    with contextlib.closing(sqlite3.connect(place / "mlflow.db")) as database, database:
        for table, column in (
            *(("experiments", "artifact_location"), ("runs", "artifact_uri")),
            *(("tags", "value"), ("experiment_tags", "value")),
        ):
            change = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            database.execute(change, (str(made), str(place)))
    return RunFolder(Output(place / "out"))


def experiment_of(client: MlflowClient) -> Experiment:
    """The study's."""
    found = client.get_experiment_by_name("drawn")
    assert found is not None
    return found


def runs_of(client: MlflowClient, level: str = "") -> list[Run]:
    """The study's runs of a level, or all."""
    where = f"tags.level = '{level}'" if level else ""
    return list(client.search_runs([experiment_of(client).experiment_id], where))


def shown(client: MlflowClient) -> dict[str, Any]:
    """All that raysweep shows of a study, whichever runs of MLflow it has for that."""
    runs = {run.info.run_id: run for run in runs_of(client)}
    found = {}
    for run in runs.values():
        tags = {k: v for k, v in run.data.tags.items() if k != "mlflow.parentRunId"}
        parent = runs.get(run.data.tags.get("mlflow.parentRunId", ""))
        curves = {
            name: [(p.step, p.value) for p in client.get_metric_history(run.info.run_id, name)]
            for name in run.data.metrics
            if name.startswith("curve_")
        }
        info = run.info
        found[tags["raysweep.id"]] = (
            *(info.run_name, info.status, info.start_time, info.end_time),
            *(run.data.params, run.data.metrics, tags, curves),
            None if parent is None else parent.data.tags["raysweep.id"],
        )
    assert len(found) == len(runs), "two runs of one identity"
    return {"runs": found, "tags": experiment_of(client).tags}


def content(uri: str) -> list[str]:
    """All that is in a database."""
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as connection:
        dump = list(connection.iterdump())
    connection.close()
    return dump


def check_repaired(
    client: MlflowClient, folder: RunFolder, uri: str, before: dict[str, Any]
) -> None:
    """A sync brings everything back, and a second one writes nothing at all."""
    sync(folder, uri)
    assert shown(client) == before
    written = content(uri)
    assert sync(folder, uri).runs_written == 0
    assert content(uri) == written
