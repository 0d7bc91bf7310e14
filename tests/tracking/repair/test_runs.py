"""Runs that somebody deleted, renamed or edited in MLflow are repaired by the next sync."""

import contextlib
import math
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from copied_run import check_repaired, experiment_of, runs_of, shown
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow_server import running_server

from raysweep.folder.run_folder import RunFolder
from raysweep.tracking import sync

pytestmark = pytest.mark.mlflow
LEVELS = ("study", "cell", "strength")


def log_later(value: float) -> Callable[[MlflowClient, Run], None]:
    def edit(client: MlflowClient, run: Run) -> None:
        for name in ("strength", "trials"):
            if name in run.data.metrics:
                client.log_metric(run.info.run_id, name, value, timestamp=2**42, step=9)

    return edit


def delete_tags(client: MlflowClient, run: Run) -> None:
    for name in run.data.tags:
        client.delete_tag(run.info.run_id, name)


def change_tags(client: MlflowClient, run: Run) -> None:
    for name in run.data.tags.keys() - AS_THEY_ONCE_WERE:
        client.set_tag(run.info.run_id, name, "0")


# Nobody knows who made a run, and with which version, once that is changed.
AS_THEY_ONCE_WERE = {
    *("raysweep.version", "raysweep.output", "raysweep.replaced_note", "mlflow.user"),
    *("mlflow.source.name", "mlflow.source.type", "mlflow.source.git.commit"),
}
EDITS: dict[str, Callable[[MlflowClient, Run], object]] = {
    "deleted": lambda c, r: c.delete_run(r.info.run_id),
    "renamed": lambda c, r: c.update_run(r.info.run_id, name="mine"),
    "renamed by its tag": lambda c, r: c.set_tag(r.info.run_id, "mlflow.runName", "mine"),
    "without its name": lambda c, r: c.delete_tag(r.info.run_id, "mlflow.runName"),
    "ended otherwise": lambda c, r: c.set_terminated(r.info.run_id, "FAILED"),
    "running again": lambda c, r: c.update_run(r.info.run_id, status="RUNNING"),
    "without its identity": lambda c, r: c.delete_tag(r.info.run_id, "raysweep.id"),
    "of another identity": lambda c, r: c.set_tag(r.info.run_id, "raysweep.id", "0"),
    "without its folder": lambda c, r: c.delete_tag(r.info.run_id, "raysweep.folder"),
    "of another folder": lambda c, r: c.set_tag(r.info.run_id, "raysweep.folder", "b"),
    "without its level": lambda c, r: c.delete_tag(r.info.run_id, "level"),
    "of another science": lambda c, r: c.set_tag(r.info.run_id, "raysweep.science", "0"),
    "without its digest": lambda c, r: c.delete_tag(r.info.run_id, "raysweep.digest"),
    "without its version": lambda c, r: c.delete_tag(r.info.run_id, "raysweep.version"),
    "without any tag": delete_tags,
    "with other tags": change_tags,
    "with a later value": log_later(77.0),
    "with a later infinity": log_later(math.inf),
    "with a later value that is undefined": log_later(math.nan),
}


@pytest.mark.parametrize("edit", EDITS)
def test_runs_of_every_level_that_were_edited_are_repaired(
    edit: str, client: MlflowClient, folder: RunFolder, uri: str
) -> None:
    before = shown(client)
    for run in [runs_of(client, level)[0] for level in LEVELS]:
        EDITS[edit](client, run)
    check_repaired(client, folder, uri, before)


@pytest.mark.parametrize("edit", [delete_tags, change_tags])
def test_runs_are_known_in_a_database_that_was_moved_though_no_tag_is_left(
    edit: Callable[[MlflowClient, Run], None], client: MlflowClient, folder: RunFolder, uri: str
) -> None:
    """By their ids, which the folder knows: an address may change, as where a server takes over."""
    before = shown(client)
    for run in runs_of(client):
        edit(client, run)
    moved = uri.replace("mlflow.db", "moved.db")
    shutil.copyfile(uri.removeprefix("sqlite:///"), moved.removeprefix("sqlite:///"))
    check_repaired(MlflowClient(moved), folder, moved, before)


@pytest.mark.parametrize("table", ["params", "latest_metrics", "metrics"])
def test_what_is_gone_from_the_database_is_written_again(
    table: str, client: MlflowClient, folder: RunFolder, uri: str
) -> None:
    before = shown(client)
    with contextlib.closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as database, database:
        for gone in {table, table.replace("latest_metrics", "metrics")}:
            database.execute(f"DELETE FROM {gone} WHERE key IN ('strength', 'cell', 'trials')")
    check_repaired(client, folder, uri, before)


CHILD_EDITS: dict[str, Callable[[MlflowClient, Run], object]] = {
    "under no run": lambda c, r: c.delete_tag(r.info.run_id, "mlflow.parentRunId"),
    "under itself": lambda c, r: c.set_tag(r.info.run_id, "mlflow.parentRunId", r.info.run_id),
    "of another arm": lambda c, r: c.set_tag(r.info.run_id, "arm", "none of them"),
    "without its stage": lambda c, r: c.delete_tag(r.info.run_id, "stage"),
    "without its curves' rows": lambda c, r: c.delete_tag(r.info.run_id, "raysweep.curves"),
    "with a longer curve": lambda c, r: c.log_metric(
        r.info.run_id, "curve_task_loss", 1.0, step=99
    ),
    "with another end of a curve": lambda c, r: c.log_metric(
        r.info.run_id, "curve_task_loss", 1.0, step=5
    ),
}


@pytest.mark.parametrize("edit", CHILD_EDITS)
def test_a_run_below_a_cell_that_was_edited_is_repaired(
    edit: str, client: MlflowClient, folder: RunFolder, uri: str
) -> None:
    before = shown(client)
    CHILD_EDITS[edit](client, runs_of(client, "strength")[-1])
    check_repaired(client, folder, uri, before)


def test_all_children_hang_under_the_new_run_of_a_cell_that_was_deleted(
    client: MlflowClient, folder: RunFolder, uri: str
) -> None:
    before = shown(client)
    (cell,) = runs_of(client, "cell")
    children = {run.info.run_id for run in runs_of(client, "strength")}
    client.delete_run(cell.info.run_id)
    check_repaired(client, folder, uri, before)
    (new,) = runs_of(client, "cell")
    assert new.info.run_id != cell.info.run_id
    below = runs_of(client, "strength")
    assert {run.info.run_id for run in below} == children
    assert {run.data.tags["mlflow.parentRunId"] for run in below} == {new.info.run_id}
    # Restored after another has taken its place, it goes again.
    client.restore_run(cell.info.run_id)
    check_repaired(client, folder, uri, before)
    assert runs_of(client, "cell")[0].info.run_id == new.info.run_id


@pytest.mark.parametrize("tags", ["with their tags", "without any tag"])
def test_all_runs_that_were_deleted_come_back_and_restored_ones_go(
    tags: str, client: MlflowClient, folder: RunFolder, uri: str
) -> None:
    before = shown(client)
    runs = runs_of(client)
    deleted = [run.info.run_id for run in runs]
    for run in runs:
        if tags == "without any tag":
            delete_tags(client, run)
        client.delete_run(run.info.run_id)
    sync(folder, uri)
    after = shown(client)
    assert after["runs"].keys() == before["runs"].keys()
    for run_id in deleted:
        client.restore_run(run_id)
    check_repaired(client, folder, uri, after)


@pytest.mark.slow
def test_edits_are_repaired_through_a_server(
    folder: RunFolder, tmp_path: Path, empty_database: Path
) -> None:
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    with running_server(tmp_path) as server:
        sync(folder, server.uri)
        client = MlflowClient(server.uri)
        before = shown(client)
        first = [runs_of(client, level)[0] for level in LEVELS]
        for edit in ("renamed", "with a later value", "ended otherwise", "without any tag"):
            for run in first:
                EDITS[edit](client, run)
        CHILD_EDITS["with a longer curve"](client, runs_of(client, "strength")[-1])
        client.delete_run(first[1].info.run_id)
        client.rename_experiment(experiment_of(client).experiment_id, "mine")
        sync(folder, server.uri)
        assert shown(client) == before
        assert sync(folder, server.uri).runs_written == 0
        client.delete_experiment(experiment_of(client).experiment_id)
        sync(folder, server.uri)
        assert shown(client) == before
        assert sync(folder, server.uri).runs_written == 0
