"""What MLflow shows of runs that go on, stop, fail, are moved, or share a study and a server."""

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import tiny_runs
from drawn_runs import draw_packs, opened, study
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow_server import running_server

from raysweep.folder.run_folder import RunFolder
from raysweep.runners import local
from raysweep.tracking import SyncReport, sync
from raysweep.trials.storage import Output

pytestmark = pytest.mark.mlflow


def runs_of(uri: str, experiment: str = "drawn", where: str = "") -> list[Run]:
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return list(client.search_runs([found.experiment_id], where, max_results=5000))


def statuses(uri: str, level: str, experiment: str = "drawn") -> list[str]:
    found = runs_of(uri, experiment, f"tags.level = '{level}'")
    return sorted(run.info.status for run in found)


def test_a_run_is_running_while_it_is_driven_and_killed_once_it_is_not(
    tmp_path: Path, uri: str
) -> None:
    folder = opened(tmp_path / "out", study())
    draw_packs(folder, study(), most=3)
    for _ in range(2):
        with folder.driver_lock():
            sync(folder, uri)
        assert statuses(uri, "study") == ["RUNNING"]
        assert set(statuses(uri, "cell")) == {"RUNNING"}
        sync(folder, uri)
        assert statuses(uri, "study") == ["KILLED"]
        assert set(statuses(uri, "cell")) == {"KILLED"}
        assert "RUNNING" not in statuses(uri, "strength")
        assert sync(folder, uri).runs_written == 0
    draw_packs(folder, study())
    sync(folder, uri)
    for level in ("study", "cell", "strength"):
        assert set(statuses(uri, level)) == {"FINISHED"}


def test_cells_whose_packs_failed_are_seen_with_the_reason(tmp_path: Path, uri: str) -> None:
    switch = tmp_path / "switch"
    wanted = tiny_runs.study(**tiny_runs.misbehaving(switch, "raise", data__U=[0, 8]))
    folder = tiny_runs.opened(tmp_path / "out", wanted)
    (switch / "armed").touch()
    local.run(wanted, folder)
    assert not tiny_runs.parts(tmp_path / "out")
    sync(folder, uri)
    assert statuses(uri, "study", "tiny") == ["FAILED"]
    cells = runs_of(uri, "tiny", "tags.level = 'cell'")
    assert {run.info.run_name for run in cells} == {"synthetic U=0", "synthetic U=8"}
    for run in cells:
        assert run.info.status == "FAILED"
        assert run.data.tags["state"] == "failed"
        assert "the loss was told to raise" in run.data.tags["mlflow.note.content"]
    assert sync(folder, uri).runs_written == 0
    (switch / "armed").unlink()
    local.run(wanted, folder)
    sync(folder, uri)
    assert statuses(uri, "study", "tiny") == ["FINISHED"]
    cells = runs_of(uri, "tiny", "tags.level = 'cell'")
    assert [run.info.status for run in cells] == ["FINISHED"] * 2
    assert not any("given up" in run.data.tags["mlflow.note.content"] for run in cells)


def test_a_cell_that_failed_shows_what_came_through(tmp_path: Path, uri: str) -> None:
    folder = opened(tmp_path / "out", study())
    draw_packs(folder, study(), most=9)
    pack = folder.open_sweep(study()).next_pack()
    assert pack is not None
    folder.record_failure(pack, "Traceback\nValueError: no such thing\n")
    sync(folder, uri)
    (cell,) = {trial.cell.id for trial in pack.trials}
    by_cell = {run.data.params["cell"]: run for run in runs_of(uri, where="tags.level = 'cell'")}
    assert by_cell[cell].info.status == "FAILED"
    assert "`ValueError: no such thing`" in by_cell[cell].data.tags["mlflow.note.content"]
    assert {run.info.status for name, run in by_cell.items() if name != cell} == {"FINISHED"}


def test_a_second_folder_of_a_study_leaves_the_runs_of_the_first_alone(
    tmp_path: Path, uri: str
) -> None:
    first, second = (opened(tmp_path / name, study()) for name in ("first", "second"))
    draw_packs(first, study())
    draw_packs(second, study(), most=2)
    done = sync(first, uri)
    before = shown(uri)
    part = sync(second, uri)
    after = shown(uri)
    assert len(after) == done.runs_written + part.runs_written
    assert {run: after[run] for run in before} == before
    for folder in (first, second, first):
        assert sync(folder, uri).runs_written == 0


def test_a_folder_that_was_moved_keeps_its_runs(tmp_path: Path, uri: str) -> None:
    folder = opened(tmp_path / "out", study())
    draw_packs(folder, study())
    written = sync(folder, uri).runs_written
    (tmp_path / "out").rename(tmp_path / "moved")
    again = sync(RunFolder(Output(tmp_path / "moved")), uri)
    assert (again.runs_written, again.runs_unchanged) == (0, written)


@pytest.mark.slow
def test_two_folders_copied_at_once_do_not_meet(tmp_path: Path, empty_database: Path) -> None:
    folders = [opened(tmp_path / name, study()) for name in ("first", "second")]
    for folder in folders:
        draw_packs(folder, study())
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    with running_server(tmp_path) as server:
        copies: list[SyncReport] = []
        both = threading.Barrier(2)

        def copy(folder: RunFolder) -> None:
            both.wait()
            copies.append(sync(folder, server.uri))

        threads = [threading.Thread(target=copy, args=(folder,)) for folder in folders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        a, b = copies
        assert a.runs_written == b.runs_written
        assert len(runs_of(server.uri)) == 2 * a.runs_written
        assert [sync(folder, server.uri).runs_written for folder in folders] == [0, 0]


def shown(uri: str) -> dict[str, Any]:
    return {
        run.info.run_id: (run.info.status, run.data.params, run.data.metrics, run.data.tags)
        for run in runs_of(uri)
    }
