"""What somebody deleted, renamed or edited in MLflow is repaired by the next sync, at any level."""

import math
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drawn_runs import draw_packs, opened, study
from mlflow import MlflowClient
from mlflow.entities import Experiment, Run, ViewType
from mlflow_server import running_server

from raysweep.run_folder import RunFolder
from raysweep.tracking import sync

pytestmark = pytest.mark.mlflow
LEVELS = ("study", "cell", "strength")
NOTE = "mlflow.note.content"
SMALL = study(
    data={"dataset": "synthetic", "U": 0},
    search={"trials": 1, "generation": 1, "seeds": 1},
    confirm={"seeds": 2},
)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = opened(tmp_path / "out", SMALL)
    draw_packs(made, SMALL)
    return made


@pytest.fixture
def client(folder: RunFolder, uri: str) -> MlflowClient:
    """Of a database that the folder was copied to."""
    sync(folder, uri)
    return MlflowClient(uri)


def experiment_of(client: MlflowClient) -> Experiment:
    found = client.get_experiment_by_name("drawn")
    assert found is not None
    return found


def runs_of(client: MlflowClient, level: str = "") -> list[Run]:
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


def log_later(client: MlflowClient, run: Run) -> None:
    for name in ("strength", "trials"):
        if name in run.data.metrics:
            client.log_metric(run.info.run_id, name, 77.0, timestamp=2**42, step=9)


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
    "of another level": lambda c, r: c.set_tag(r.info.run_id, "level", "none"),
    "without its level": lambda c, r: c.delete_tag(r.info.run_id, "level"),
    "of another science": lambda c, r: c.set_tag(r.info.run_id, "raysweep.science", "0"),
    "without its digest": lambda c, r: c.delete_tag(r.info.run_id, "raysweep.digest"),
    "without its output": lambda c, r: c.delete_tag(r.info.run_id, "raysweep.output"),
    "with a later value": log_later,
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("edit", EDITS)
def test_a_run_that_was_edited_is_repaired(
    edit: str, level: str, client: MlflowClient, folder: RunFolder, uri: str
) -> None:
    before = shown(client)
    EDITS[edit](client, runs_of(client, level)[0])
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


def test_all_runs_that_were_deleted_come_back_and_restored_ones_go(
    client: MlflowClient, folder: RunFolder, uri: str
) -> None:
    before = shown(client)
    deleted = [run.info.run_id for run in runs_of(client)]
    for run in deleted:
        client.delete_run(run)
    sync(folder, uri)
    after = shown(client)
    assert after["runs"].keys() == before["runs"].keys()
    for run in deleted:
        client.restore_run(run)
    check_repaired(client, folder, uri, after)


EXPERIMENT_EDITS: dict[str, Callable[[MlflowClient, str], object]] = {
    "deleted": lambda c, e: c.delete_experiment(e),
    "renamed": lambda c, e: c.rename_experiment(e, "mine"),
    "renamed and deleted": lambda c, e: (c.rename_experiment(e, "mine"), c.delete_experiment(e)),
    "renamed and of no study": lambda c, e: (
        c.rename_experiment(e, "mine"),
        c.delete_experiment_tag(e, "raysweep.study"),
    ),
    "with another digest": lambda c, e: c.set_experiment_tag(e, "study_digest", "0"),
    "without its digest": lambda c, e: c.delete_experiment_tag(e, "study_digest"),
    "with another study": lambda c, e: c.set_experiment_tag(e, "raysweep.study", "0"),
    "without its note": lambda c, e: c.delete_experiment_tag(e, NOTE),
}


@pytest.mark.parametrize("edit", EXPERIMENT_EDITS)
def test_an_experiment_that_was_edited_is_repaired(
    edit: str, client: MlflowClient, folder: RunFolder, uri: str
) -> None:
    before = shown(client)
    experiment = experiment_of(client).experiment_id
    EXPERIMENT_EDITS[edit](client, experiment)
    check_repaired(client, folder, uri, before)
    assert experiment_of(client).experiment_id == experiment
    assert len(client.search_experiments(view_type=ViewType.ALL)) == 3  # with MLflow's, conftest's


def test_an_experiment_of_another_study_is_left_alone(
    client: MlflowClient, folder: RunFolder, uri: str, tmp_path: Path
) -> None:
    """A renamed experiment that a study of its new name has taken over stays that one's."""
    first = experiment_of(client).experiment_id
    client.rename_experiment(first, "other")
    other = study(name="other", data={"dataset": "synthetic", "U": 4})
    elsewhere = opened(tmp_path / "other", other)
    draw_packs(elsewhere, other, most=1)
    assert sync(elsewhere, uri).experiment_id == first
    assert sync(folder, uri).experiment_id != first
    assert client.get_experiment(first).name == "other"
    assert sync(elsewhere, uri).experiment_id == first
    assert sync(folder, uri).runs_written == 0


def test_what_a_user_adds_beside_it_stays(
    client: MlflowClient, folder: RunFolder, uri: str
) -> None:
    mine: dict[str, dict[str, str]] = {}
    for level in LEVELS:
        run = runs_of(client, level)[0].info.run_id
        client.set_tag(run, "mine", "yes")
        client.log_param(run, "my_param", "1")
        client.log_metric(run, "my_metric", math.inf)
        if level != "cell":
            client.set_tag(run, NOTE, "my words")
        mine[run] = client.get_run(run).data.tags
    experiment = experiment_of(client)
    client.set_experiment_tag(experiment.experiment_id, "mine", "yes")
    note = f"my words before, {experiment.tags[NOTE]} and after"
    client.set_experiment_tag(experiment.experiment_id, NOTE, note)
    written = content(uri)
    assert sync(folder, uri).runs_written == 0
    assert content(uri) == written
    # Also in a run that has to be made anew.
    child = runs_of(client, "strength")[0]
    client.log_metric(child.info.run_id, "curve_task_loss", 1.0, step=99)
    sync(folder, uri)
    (again,) = [r for r in runs_of(client, "strength") if r.info.run_name == child.info.run_name]
    assert again.info.run_id != child.info.run_id
    assert again.data.tags["mine"] == "yes"
    assert again.data.tags[NOTE] == "my words"
    assert experiment_of(client).tags[NOTE] == note


def test_a_note_that_was_edited_is_repaired_and_the_users_words_are_kept(
    client: MlflowClient, folder: RunFolder, uri: str
) -> None:
    (cell,) = runs_of(client, "cell")
    experiment = experiment_of(client)
    client.set_tag(cell.info.run_id, NOTE, "my words")
    client.set_experiment_tag(experiment.experiment_id, NOTE, "my words")
    sync(folder, uri)
    for tags, was in (
        (client.get_run(cell.info.run_id).data.tags, cell.data.tags),
        (experiment_of(client).tags, experiment.tags),
    ):
        assert tags[NOTE] == was[NOTE]
        assert tags["raysweep.replaced_note"] == "my words"
    assert sync(folder, uri).runs_written == 0


def test_words_around_a_note_stay_when_the_cell_goes_on(tmp_path: Path, uri: str) -> None:
    folder = opened(tmp_path / "out", SMALL)
    draw_packs(folder, SMALL, most=1)
    sync(folder, uri)
    client = MlflowClient(uri)
    (cell,) = runs_of(client, "cell")
    client.set_tag(cell.info.run_id, NOTE, f"{cell.data.tags[NOTE]} Look at this.")
    draw_packs(folder, SMALL)
    sync(folder, uri)
    note = client.get_run(cell.info.run_id).data.tags[NOTE]
    assert ": done." in note
    assert note.count("Cell **") == 1
    assert note.endswith(" Look at this.")


@pytest.mark.parametrize("name", ["study.yaml", "figures/effects.svg"])
def test_files_that_were_deleted_or_changed_are_stored_again(
    name: str, folder: RunFolder, uri: str, tmp_path: Path
) -> None:
    folder.output.write("figures/effects.svg", b"<svg/>")
    sync(folder, uri)
    client = MlflowClient(uri)
    (summary,) = runs_of(client, "study")
    (stored,) = (tmp_path / "mlartifacts").rglob(Path(name).name)
    for spoil in (stored.unlink, lambda: stored.write_bytes(b"")):
        spoil()
        sync(folder, uri)
        assert stored.read_bytes() == folder.output.read(name)
    client.log_text(summary.info.run_id, "mine", "figures/mine.txt")
    assert sync(folder, uri).runs_written == 0
    assert client.list_artifacts(summary.info.run_id, "figures")[1].path == "figures/mine.txt"


def test_what_was_purged_is_written_again(
    client: MlflowClient, folder: RunFolder, uri: str
) -> None:
    """As by `mlflow gc`, which leaves nothing of what was deleted."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    before = shown(client)
    (cell,) = runs_of(client, "cell")
    client.delete_run(cell.info.run_id)
    SqlAlchemyStore(uri, "./mlruns")._hard_delete_run(cell.info.run_id)
    check_repaired(client, folder, uri, before)


def test_edits_are_repaired_through_a_server(folder: RunFolder, tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        sync(folder, server.uri)
        client = MlflowClient(server.uri)
        before = shown(client)
        for edit in ("renamed", "of another science", "with a later value", "ended otherwise"):
            for level in LEVELS:
                EDITS[edit](client, runs_of(client, level)[0])
        CHILD_EDITS["with a longer curve"](client, runs_of(client, "strength")[-1])
        client.delete_run(runs_of(client, "cell")[0].info.run_id)
        client.rename_experiment(experiment_of(client).experiment_id, "mine")
        sync(folder, server.uri)
        assert shown(client) == before
        assert sync(folder, server.uri).runs_written == 0
        client.delete_experiment(experiment_of(client).experiment_id)
        sync(folder, server.uri)
        assert shown(client) == before
        assert sync(folder, server.uri).runs_written == 0
