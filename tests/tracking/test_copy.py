"""The copy of a trial table in MLflow, in a real database."""

import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_runs import draw_packs, drawn_row, opened, study
from mlflow import MlflowClient
from mlflow.entities import Run

from raysweep.folder.run_folder import RunFolder
from raysweep.kinds.sweep import Sweep, science_digest
from raysweep.runners import local
from raysweep.tracking import SyncReport, TrackingUnavailable, address, database, sync
from raysweep.trials.table import read_parts, write_part

pytestmark = pytest.mark.mlflow


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return opened(tmp_path / "out", study())


def runs_of(uri: str, experiment: str = "drawn", where: str = "") -> list[Run]:
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return list(client.search_runs([found.experiment_id], where, max_results=5000))


def content(uri: str) -> list[str]:
    """Everything the database holds."""
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as connection:
        dump = list(connection.iterdump())
    connection.close()
    return dump


def rows(folder: RunFolder) -> pd.DataFrame:
    return read_parts(folder.output).table.to_pandas()


def named(uri: str, name: str) -> Run:
    (run,) = [run for run in runs_of(uri) if run.info.run_name == name]
    return run


def test_every_run_is_the_mean_of_its_rows(folder: RunFolder, uri: str) -> None:
    draw_packs(folder, study())
    report = sync(folder, uri)
    table = rows(folder)
    groups = {
        (cell, stage, arm, f"{strength:.6g}"): group
        for (cell, stage, arm, strength), group in table.groupby(
            ["cell", "stage", "arm", "strength"]
        )
    }
    parents = {r.info.run_id: r for r in runs_of(uri, where="tags.level = 'cell'")}
    children = runs_of(uri, where="tags.level = 'strength'")
    assert len(parents) == 2
    assert len(children) == len(groups)
    assert report == SyncReport("drawn", report.experiment_id, len(groups) + 3, 0, uri)
    for run in children:
        parent = parents[run.data.tags["mlflow.parentRunId"]]
        p = run.data.params
        group = groups.pop((parent.data.params["cell"], p["stage"], p["arm"], p["strength"]))
        assert run.data.metrics["seeds"] == len(group)
        assert run.data.metrics["strength"] == group["strength"].iloc[0]
        for column in ("performance_fused_test", "alignment_unbiased_cka_validation"):
            assert run.data.metrics[column] == pytest.approx(group[column].mean(), rel=1e-12)
            assert run.data.metrics[f"{column}_sd"] == pytest.approx(group[column].std())
        assert run.info.status == "FINISHED"
        # The UI shows how long training took, not how long copying did.
        assert run.info.end_time - run.info.start_time == 250 * len(group)
    assert not groups


def test_a_parent_run_says_what_forcing_did(folder: RunFolder, uri: str) -> None:
    draw_packs(folder, study())
    sync(folder, uri)
    run = named(uri, "synthetic U=4")
    confirm = rows(folder).query("stage == 'confirm' and cell == @run.data.params['cell']")
    arms = confirm.pivot(index="seed", columns="arm", values="performance_fused_test")
    metrics = run.data.metrics
    assert metrics["effect_by_alignment_performance_fused_test"] == pytest.approx(
        (arms["forced"] - arms["none"]).mean()
    )
    assert metrics["placebo_effect_by_alignment_performance_fused_test"] == pytest.approx(
        (arms["placebo"] - arms["none"]).mean()
    )
    (chosen,) = confirm.query("arm == 'forced'")["strength"].unique()
    assert metrics["chosen_strength_by_alignment"] == chosen
    assert metrics["I1"] == 0.5
    assert run.data.params["U"] == "4"
    forced = named(uri, f"confirm forced {chosen:.6g} · synthetic U=4")
    assert forced.data.params["arm"] == "forced"
    assert forced.data.params["U"] == "4"
    # What is not set (training.patience, say) is no parameter.
    of_study = named(uri, f"study {study().name}")
    assert of_study.data.params["epochs"] == str(study().training.epochs)
    for shown in (run, forced, of_study):
        assert "None" not in shown.data.params.values()


def test_learning_curves_are_means_with_steps(folder: RunFolder, uri: str) -> None:
    draw_packs(folder, study())
    sync(folder, uri)
    table = read_parts(folder.output, curves=True).table.to_pandas()
    names = [n for n in table.columns if n.startswith("curve_") and n != "curve_epoch"]
    assert len(names) == 6
    client = MlflowClient(uri)
    children = runs_of(uri, where="tags.level = 'strength'")
    assert len(children) > 8
    for run in children[::5]:
        cell = client.get_run(run.data.tags["mlflow.parentRunId"]).data.params["cell"]
        p = run.data.params
        group = table[
            (table["cell"] == cell) & (table["stage"] == p["stage"]) & (table["arm"] == p["arm"])
        ]
        group = group[group["strength"] == run.data.metrics["strength"]]
        for name in names:
            points = client.get_metric_history(run.info.run_id, name)
            assert [point.step for point in points] == [1, 2, 3, 4, 5]
            means = np.stack(group[name].tolist()).astype(np.float64).mean(axis=0)
            assert [point.value for point in points] == pytest.approx(means)


def test_curves_of_an_extended_study_replace_the_earlier_ones(folder: RunFolder, uri: str) -> None:
    draw_packs(folder, study())
    sync(folder, uri)
    larger = study(confirm={"seeds": 5})
    folder.adopt(larger)
    draw_packs(folder, larger, most=1)
    sync(folder, uri)
    draw_packs(folder, larger)
    sync(folder, uri)
    assert sync(folder, uri).runs_written == 0
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("drawn")
    assert experiment is not None
    digests = {run.data.tags["study_digest"] for run in runs_of(uri)}
    assert digests == {experiment.tags["study_digest"]}
    runs = runs_of(uri, where="tags.stage = 'confirm'")
    assert len(runs) == 6
    for run in runs:
        assert run.data.metrics["seeds"] == 5
        points = client.get_metric_history(run.info.run_id, "curve_task_loss")
        assert [point.step for point in points] == [1, 2, 3, 4, 5]


def test_experiment_describes_the_study(folder: RunFolder, uri: str) -> None:
    draw_packs(folder, study(), most=1)
    report = sync(folder, uri)
    experiment = MlflowClient(uri).get_experiment(report.experiment_id)
    assert experiment.name == "drawn"
    assert experiment.tags["mlflow.note.content"] == "Drawn rows of two cells."
    assert {"study_digest", "raysweep.version"} <= experiment.tags.keys()
    summary = named(uri, "study drawn")
    path = MlflowClient(uri).download_artifacts(summary.info.run_id, "study.yaml")
    assert Path(path).read_bytes() == folder.output.read("study.yaml")
    assert summary.data.tags["raysweep.science"] == science_digest(study())


def test_report_and_figures_are_copied_once_they_are_there(folder: RunFolder, uri: str) -> None:
    draw_packs(folder, study(), most=1)
    sync(folder, uri)
    folder.output.write("report.html", b"<p>verdict</p>")
    folder.output.write("figures/effects.svg", b"<svg/>")
    assert sync(folder, uri).runs_written == 0
    summary = named(uri, "study drawn").info.run_id
    client = MlflowClient(uri)
    assert Path(client.download_artifacts(summary, "report.html")).read_bytes() == b"<p>verdict</p>"
    assert [f.path for f in client.list_artifacts(summary, "figures")] == ["figures/effects.svg"]


def test_second_copy_writes_nothing(folder: RunFolder, uri: str) -> None:
    draw_packs(folder, study())
    first = sync(folder, uri)
    before = content(uri)
    second = sync(folder, uri)
    assert (second.runs_written, second.runs_unchanged) == (0, first.runs_written)
    assert content(uri) == before


def test_grown_runs_are_updated_in_place(
    tmp_path: Path, folder: RunFolder, uri: str, empty_database: Path
) -> None:
    """Whatever was copied in between, the end is what one copy at the end would have made."""
    planned = study()
    ids: dict[str, str] = {}
    states = set()
    while draw_packs(folder, planned, most=2):
        with folder.driver_lock():
            sync(folder, uri)
        for run in runs_of(uri):
            identity = run.data.tags["raysweep.id"]
            assert ids.setdefault(identity, run.info.run_id) == run.info.run_id
            states.add(run.info.status)
    assert states == {"RUNNING", "FINISHED"}
    once = uri.replace("mlflow.db", "once.db")
    shutil.copyfile(empty_database, tmp_path / "once.db")
    sync(folder, once)
    assert shown(uri) == shown(once)


def shown(uri: str) -> dict[str, tuple[object, ...]]:
    return {
        run.data.tags["raysweep.id"]: (
            run.info.run_name,
            run.info.status,
            run.data.params,
            run.data.metrics,
            run.data.tags["raysweep.digest"],
        )
        for run in runs_of(uri)
    }


def test_diverged_rows_are_counted_and_left_out_of_means(folder: RunFolder, uri: str) -> None:
    planned = study()
    pack = folder.open_sweep(planned).next_pack()
    assert pack is not None
    ok, *lost = pack.trials
    made = [drawn_row(planned, ok), *(drawn_row(planned, t, diverged=True) for t in lost)]
    write_part(folder.output, pack.key, made)
    sync(folder, uri)
    children = runs_of(uri, where="tags.level = 'strength'")
    assert sum(run.data.metrics["diverged"] for run in children) == len(lost)
    mixed = next(r for r in children if r.data.metrics["seeds"] == 1)
    assert mixed.data.metrics["loss_1_test"] == pytest.approx(made[0]["loss_1_test"])
    failed = [r for r in children if r.info.status == "FAILED"]
    assert all("loss_1_test" not in r.data.metrics for r in failed)


def test_runs_of_a_strength_no_longer_chosen_are_deleted(folder: RunFolder, uri: str) -> None:
    draw_packs(folder, study())
    sync(folder, uri)
    longer = study(search={"trials": 12, "generation": 2, "seeds": 2})
    folder.adopt(longer)
    draw_packs(folder, longer)
    table = rows(folder).query("stage == 'confirm' and arm != 'none'")
    assert table.groupby("cell")["strength"].nunique().max() == 2, "draws chose the same strength"
    sync(folder, uri)
    sweep = folder.open_sweep(longer)
    assert isinstance(sweep, Sweep)
    chosen = {f"{p.chosen['alignment'].strength:.6g}" for p in sweep.plans.values()}
    confirm = runs_of(uri, where="tags.stage = 'confirm' and tags.arm = 'forced'")
    assert {run.data.params["strength"] for run in confirm} == chosen


def test_another_science_of_the_same_name_gets_runs_of_its_own(tmp_path: Path, uri: str) -> None:
    for name, epochs in (("a", 3), ("b", 4)):
        planned = study(training={"epochs": epochs})
        draw_packs(opened(tmp_path / name, planned), planned, most=2)
    a = sync(opened(tmp_path / "a", study(training={"epochs": 3})), uri)
    b = sync(opened(tmp_path / "b", study(training={"epochs": 4})), uri)
    assert a.experiment_id == b.experiment_id
    assert len(runs_of(uri)) == a.runs_written + b.runs_written


@pytest.mark.slow
def test_killed_copy_is_completed_without_duplicates(
    tmp_path: Path, folder: RunFolder, uri: str, empty_database: Path
) -> None:
    draw_packs(folder, study())
    database = uri.removeprefix("sqlite:///")
    process = subprocess.Popen(
        [sys.executable, "-m", "raysweep", "sync", folder.output.location, "--tracking-uri", uri],
        cwd=tmp_path,
    )
    with sqlite3.connect(database, timeout=30) as connection:
        until = time.monotonic() + 60
        while connection.execute("SELECT count(*) FROM runs").fetchone()[0] < 7:
            assert time.monotonic() < until
            assert process.poll() is None
    connection.close()
    process.send_signal(signal.SIGKILL)
    process.wait()
    partial = runs_of(uri)
    report = sync(folder, uri)
    assert report.runs_written > 0
    assert {r.info.run_id for r in partial} <= {r.info.run_id for r in runs_of(uri)}
    once = uri.replace("mlflow.db", "once.db")
    shutil.copyfile(empty_database, tmp_path / "once.db")
    sync(folder, once)
    assert shown(uri) == shown(once)
    assert len(runs_of(uri)) == len(runs_of(once))


MAKES_MANY_TABLES = """
import sqlite3, sys
from pathlib import Path
from raysweep.tracking.database import set_up

def fill(uri):
    connection = sqlite3.connect(uri.removeprefix("sqlite:///"))
    connection.execute("CREATE TABLE many (number)")
    connection.executemany("INSERT INTO many VALUES (?)", ((i,) for i in range(1_000_000)))
    connection.commit()
    connection.close()

set_up(Path(sys.argv[1]), fill)
"""


@pytest.mark.slow
def test_a_database_whose_making_was_killed_is_made_anew(tmp_path: Path, folder: RunFolder) -> None:
    """MLflow makes its tables in many steps, and finds no way on from half of them."""
    draw_packs(folder, study(), most=1)
    path = tmp_path / "new.db"
    process = subprocess.Popen([sys.executable, "-c", MAKES_MANY_TABLES, str(path)])
    until = time.monotonic() + 120
    while not path.with_name("new.db-journal").exists():
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert sync(folder, f"sqlite:///{path}").runs_written > 0
    with sqlite3.connect(path) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master")]
    connection.close()
    assert "many" not in tables
    assert mode == "wal" or not database.on_local_filesystem(path)


def test_results_of_a_real_run(tmp_path: Path, uri: str) -> None:
    planned = study(
        data={"dataset": "digits", "overlap": [0]},
        model={"width": 8},
        training={"epochs": 1},
        search={"trials": 1, "seeds": 1},
        confirm={"seeds": 2},
    )
    folder = opened(tmp_path / "real", planned)
    local.run(planned, folder)
    report = sync(folder, uri)
    assert report.runs_written == 1 + 1 + 2 + 3
    run = named(uri, "confirm none · digits")
    assert run.data.params["overlap"] == "0"
    assert 0 < run.data.metrics["performance_fused_test"] < 1
    assert run.data.metrics["alignment_mutual_knn_test_sd"] >= 0


def test_locked_database_is_said_in_seconds(
    folder: RunFolder, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address, "FIRST_ANSWER_S", 1.0)
    draw_packs(folder, study(), most=1)
    holder = sqlite3.connect(uri.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    started = time.monotonic()
    with pytest.raises(TrackingUnavailable, match="locked by another program"):
        sync(folder, uri)
    assert time.monotonic() - started < 6
    holder.execute("ROLLBACK")
    holder.close()
    assert sync(folder, uri).runs_written > 0
