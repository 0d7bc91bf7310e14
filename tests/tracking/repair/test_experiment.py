"""An experiment, files and notes that were deleted or edited in MLflow; what users add stays."""

import math
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from copied_run import (
    NOTE,
    check_repaired,
    content,
    experiment_of,
    make_copy,
    runs_of,
    shown,
)
from drawn_runs import draw_packs, opened, study
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from raysweep.folder.run_folder import RunFolder
from raysweep.tracking import sync
from raysweep.trials.storage import Output

pytestmark = pytest.mark.mlflow
LEVELS = ("study", "cell", "strength")


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


def test_words_around_a_note_stay_when_the_cell_goes_on(
    tmp_path: Path, uri: str, empty_database: Path
) -> None:
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    searching = study(
        data={"dataset": "synthetic", "U": 0},
        search={"trials": 2, "generation": 1, "seeds": 1},
        confirm={"seeds": 2},
    )
    folder = opened(tmp_path / "out", searching)
    draw_packs(folder, searching, most=1)
    sync(folder, uri)
    client = MlflowClient(uri)
    (cell,) = runs_of(client, "cell")
    assert "Chosen strength: none yet." in cell.data.tags[NOTE]
    client.set_tag(cell.info.run_id, NOTE, f"{cell.data.tags[NOTE]} Look at this.")
    draw_packs(folder, searching)
    sync(folder, uri)
    note = client.get_run(cell.info.run_id).data.tags[NOTE]
    assert "none yet" not in note
    assert note.count("Cell **") == 1
    assert note.endswith(" Look at this.")


@pytest.mark.parametrize("name", ["study.yaml", "figures/effects.svg"])
def test_files_that_were_deleted_or_changed_are_stored_again(
    name: str, uri: str, tmp_path: Path, empty_database: Path
) -> None:
    # MLflow remembers where a run's files are, so this run is in no other place.
    folder = RunFolder(Output(make_copy(tmp_path, empty_database) / "out"))
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


@pytest.mark.parametrize("level", ["cell", "experiment"])
def test_what_was_purged_is_written_again(
    level: str, client: MlflowClient, folder: RunFolder, uri: str
) -> None:
    """As by `mlflow gc`, which leaves nothing of what was deleted."""
    before, experiment = shown(client), experiment_of(client).experiment_id
    store = SqlAlchemyStore(uri, "./mlruns")
    if level == "cell":
        (cell,) = runs_of(client, "cell")
        client.delete_run(cell.info.run_id)
        store._hard_delete_run(cell.info.run_id)
        check_repaired(client, folder, uri, before)
        return
    runs = [run.info.run_id for run in runs_of(client)]
    client.delete_experiment(experiment)
    for run in runs:
        store._hard_delete_run(run)
    store._hard_delete_experiment(experiment)
    sync(folder, uri)
    after = shown(client)
    assert after["tags"] == before["tags"]
    assert after["runs"].keys() == before["runs"].keys()
    check_repaired(client, folder, uri, after)


@pytest.mark.parametrize("shared", [True, False], ids=["one folder", "two copies of it"])
def test_two_syncs_at_once_leave_one_run_of_each(
    shared: bool, folder: RunFolder, uri: str, empty_database: Path, tmp_path: Path
) -> None:
    """Where they do not know of each other, as on two machines, after the next sync."""
    database = Path(uri.removeprefix("sqlite:///"))
    shutil.copyfile(empty_database, database)
    second = tmp_path / "out"
    if not shared:
        second = shutil.copytree(second, tmp_path / "again")
    both = [folder, RunFolder(Output(second))]
    with ThreadPoolExecutor(2) as pool:
        written = [done.runs_written for done in pool.map(lambda one: sync(one, uri), both)]
    client = MlflowClient(uri)
    if shared:
        assert sorted(written) == [0, len(runs_of(client))]
    for one in both:
        sync(one, uri)
    check_repaired(client, folder, uri, shown(client))
    assert {run.info.status for run in runs_of(client)} == {"FINISHED"}
