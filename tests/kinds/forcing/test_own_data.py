"""The user's own rows from a file to a verdict: splits, rows that belong together, what is told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_wine
from tiny_runs import raysweep

import raysweep as rs
from raysweep.api.run import Run
from raysweep.data.registry import load
from raysweep.study.checks import resolve_files


def wine(folder: Path) -> str:
    x, y = load_wine(return_X_y=True)
    np.savez(folder / "wine.npz", x1=x[:, :6], x2=x[:, 6:], y=y)
    return str(folder / "wine.npz")


def captions(folder: Path, images: int) -> str:
    """Each image with five captions; labels say nothing."""
    rng = np.random.default_rng(3)
    y = np.arange(images) % 2
    rng.shuffle(y)
    x1, x2 = rng.normal(size=(images, 16)), rng.normal(size=(images, 16))
    near = np.repeat(x2, 5, 0) + 0.01 * rng.normal(size=(5 * images, 16))
    path = folder / "captions.npz"
    np.savez(path, x1=np.repeat(x1, 5, 0), x2=near, y=np.repeat(y, 5))
    return str(path)


def ran(folder: Path, path: str, **parts: Any) -> Run:
    study = rs.Study(name="own", data={"dataset": "arrays", "path": path}, **parts)
    return rs.run(study, folder / "out", runner="local", progress=False)


def check_wine(run: Run) -> None:
    assert set(run.verdicts["unit"]) == {"split"}
    assert set(run.verdicts["n"]) == {10}
    assert not run.verdicts["verdict"].isin(["helps", "hurts"]).any()
    trials = run.trials
    assert trials.groupby("draw")[
        ["n_train", "n_test"]
    ].first().drop_duplicates().values.tolist() == [[124, 27]]


def check_captions(run: Run, images: int) -> None:
    trials = run.trials
    assert not run.verdicts["verdict"].isin(["helps", "hurts"]).any()
    # .65 where images were parted.
    assert abs(trials["performance_1_test"].mean() - 0.5) < 0.06
    assert trials["I12_estimated"].max() < 0.05
    said = " ".join(run._concluded.sentences)  # type: ignore[union-attr]
    assert (
        f"captions.npz: {images} groups of 5 rows that belong together (equal rows of x1)" in said
    )
    assert f"splits of the same {5 * images} rows" in said


@pytest.mark.slow
def test_a_table_of_few_rows_is_not_judged_by_one_split_of_it(tmp_path: Path) -> None:
    run = ran(
        tmp_path,
        wine(tmp_path),
        model={"depth": 2, "width": 32},
        training={"batch_size": 32},
        search={"trials": 2, "generation": 2, "seeds": 1},
        confirm={"seeds": 2},
    )
    check_wine(run)
    said = run._concluded.sentences  # type: ignore[union-attr]
    over = "- wine.npz: the verdict is over 10 splits of the same 178 rows, 27 tested in each"
    assert any(sentence.startswith(over) for sentence in said)
    plan = (tmp_path / "out" / "plan.json").read_text()
    assert "splits of the same rows with what they share" in plan
    page = (tmp_path / "out" / "report.html").read_text()
    assert "10 splits of the same 178 rows, 27 tested in each" in page
    assert "Splits of the same rows" in page


@pytest.mark.slow
def test_labels_are_not_learned_by_heart_where_images_stand_several_times(tmp_path: Path) -> None:
    run = ran(
        tmp_path,
        captions(tmp_path, 150),
        training={"epochs": 10},
        search={"trials": 2, "generation": 2, "seeds": 1},
        confirm={"seeds": 2},
    )
    check_captions(run, 150)


@pytest.mark.faults
def test_wine_as_it_was_first_run(tmp_path: Path) -> None:
    check_wine(
        ran(
            tmp_path,
            wine(tmp_path),
            model={"depth": 2, "width": 32},
            training={"batch_size": 32},
            search={"objective": "both"},
        )
    )


@pytest.mark.faults
def test_captions_as_they_were_first_run(tmp_path: Path) -> None:
    run = ran(
        tmp_path,
        captions(tmp_path, 300),
        training={"epochs": 20},
        search={"trials": 4, "generation": 4, "seeds": 1},
        confirm={"seeds": 4},
    )
    check_captions(run, 300)


def own_file(folder: Path, name: str, rows: int, **more: Any) -> str:
    rng = np.random.default_rng(0)
    arrays = {"x1": rng.normal(size=(rows, 5)), "x2": rng.normal(size=(rows, 5))}
    np.savez(folder / name, y=np.arange(rows) % 2, **arrays, **more)
    return name


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    split = np.repeat(["train", "validation", "test"], [100, 50, 50])
    return [
        own_file(tmp_path, "few.npz", 210),
        own_file(tmp_path, "given.npz", 200, split=split, id=np.arange(200)),
        own_file(tmp_path, "many.npz", 1_400),
        own_file(tmp_path, "more.npz", 1_500),
    ]


def test_each_file_is_split_as_often_as_its_rows_ask_for(files: list[str]) -> None:
    data = {"dataset": "arrays", "path": files}
    batches = {"training": {"batch_size": 32}}
    study = rs.Study(name="own", data=data, **batches).resolved
    assert [len(block.draws) for block in study.data] == [10, 1, 5]
    assert [len(block.axes["path"]) for block in study.data] == [1, 1, 2]
    # What is given is respected, also by a kind that has no verdict.
    given = rs.Study(name="own", data=[{**data, "path": files[0], "draws": 3}], **batches).resolved
    assert given.data[0].draws == (0, 1, 2)
    emergence = rs.Study(name="own", kind="emergence", data={**data, "path": files[0]}).resolved
    assert emergence.data[0].draws == (0,)
    searched = rs.Study(
        name="own", data={**data, "path": files[2]}, search={"draws": [1, 3]}, **batches
    ).resolved
    assert searched.data[0].draws == (0, 2, 4, 5, 6)
    # A stored study says its draws, and is what it was when it is read again.
    again = resolve_files(study, Path.cwd())
    assert [block.draws for block in again.data] == [block.draws for block in study.data]


@pytest.mark.slow
def test_a_study_of_one_split_may_go_on_with_several(files: list[str], tmp_path: Path) -> None:
    parts = {
        "training": {"epochs": 1, "batch_size": 32},
        "search": {"trials": 1, "generation": 1, "seeds": 1, "draws": [100]},
        "confirm": {"seeds": 2},
    }
    data = {"dataset": "arrays", "path": files[0]}
    one = rs.Study(name="own", data={**data, "draws": 1}, **parts)
    before = rs.run(one, tmp_path / "out", runner="local", progress=False).trials
    assert before["resplit"].unique().tolist() == ["crossed"]
    several = rs.Study(name="own", data=data, **parts)
    run = rs.run(several, tmp_path / "out", runner="local", progress=False)
    kept = run.trials[run.trials["key"].isin(before["key"])]
    assert len(kept) == len(before)
    assert run.verdicts["n"].tolist() == [10]


@pytest.mark.slow
def test_commands_say_what_they_found_of_the_rows(files: list[str], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    near = rng.normal(size=(210, 5))
    near[1::2] = near[::2] + 1e-5 * rng.normal(size=(105, 5))
    np.savez(
        "own.npz",
        x1=near,
        x2=rng.normal(size=(210, 5)),
        y=np.arange(210) // 2 % 2,
        groups=np.arange(210) // 3,
        split=np.array(["train", "train", "validation", "test", "train"])[np.arange(210) % 5],
        id=np.arange(210),
    )
    Path("own.yaml").write_text(
        "name: own\ndata: {dataset: arrays, path: own.npz}\n"
        "training: {epochs: 1, batch_size: 32}\n"
        "search: {trials: 1, generation: 1, seeds: 1}\nconfirm: {seeds: 2}\n"
    )
    rows = load("arrays", {"path": "own.npz"})
    trained = np.isin(rows.groups, rows.groups[rows.splits.train])
    parted = int(trained[rows.splits.test].sum())
    found = [
        "own.npz: 70 groups of 3 rows that belong together (the array groups)",
        "own.npz: the array split parts rows that belong together: "
        f"{parted} of 42 rows of the test",
        "own.npz: not used: ",
    ]
    validated = raysweep(tmp_path, "validate", "own.yaml").stdout
    planned = raysweep(tmp_path, "plan", "own.yaml", "--no-timing").stdout
    done = raysweep(tmp_path, "run", "own.yaml", "--out", "out", "--runner", "local", "--no-mlflow")
    first = done.stderr[: done.stderr.index("plan registered")]
    page = (tmp_path / "out" / "report.html").read_text()
    for line in found:
        for told in (validated, planned, first, done.stdout, page):
            assert line in told
    assert "x1: " in validated
    assert "lie very close to another row that they are not tied to" in validated
    assert "the verdict holds for the one split that the file gives, 42 of 210 rows" in done.stdout
    bad = dict(np.load("own.npz"))
    np.savez("own.npz", **bad, weight=np.ones(210))
    refused = raysweep(tmp_path, "validate", "own.yaml")
    assert refused.returncode == 2
    assert "own.npz: has an array weight, and rows are not weighted" in refused.stderr
