"""Studies with files beside them: a user's own loss, a user's own data."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checked import faults, load
from tiny_two_cells import StudyFactory

from raysweep.errors import InputError
from raysweep.study.cells import expand
from raysweep.study.files import check_files
from raysweep.study.reader import StudyFileError

OWN_LOSS = """
import torch

def pull(h1, h2, weight=1.0):
    return weight * (h1[:, :4] - h2[:, :4]).square().mean()
"""


def write_arrays(path: Path, rows: int = 120, **changes: Any) -> Path:
    rng = np.random.default_rng(0)
    arrays = {
        "x1": rng.normal(size=(rows, 3)),
        "x2": rng.normal(size=(rows, 2)),
        "y": np.arange(rows) % 3,
    }
    np.savez(path, **{**arrays, **changes})
    return path


@pytest.fixture
def arrays_yaml(tmp_path: Path) -> Path:
    write_arrays(tmp_path / "mine.npz")
    path = tmp_path / "study.yaml"
    path.write_text(
        "name: mine\ndata: {dataset: arrays, path: mine.npz}\n"
        "training: {batch_size: 16}\nevaluation: {metrics: {unbiased_cka: {}}}\n"
    )
    return path


def test_an_array_of_splits_leaves_one_draw(arrays_yaml: Path) -> None:
    split = np.repeat(["train", "validation", "test"], 40)
    write_arrays(arrays_yaml.parent / "mine.npz", split=split)
    load(arrays_yaml)
    with pytest.raises(StudyFileError, match="has its own splits, so draw is 1"):
        load(arrays_yaml, "data.draws=2")


# A user's own loss


@pytest.fixture
def own_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    for name, text in (("mine", OWN_LOSS), ("broken", "1 / 0"), ("syntax", "def f(:")):
        (folder / f"own_{name}_loss.py").write_text(text)
        monkeypatch.delitem(sys.modules, f"own_{name}_loss", raising=False)
    return folder / "own_mine_loss.py"


def test_a_users_own_loss_is_taken(study_of: StudyFactory, own_loss: Path) -> None:
    name = "alignment.loss=own_mine_loss:pull"
    study = study_of(name, "alignment.options.weight=2")
    assert study.alignment.options == {"weight": 2}
    [fault] = faults(study_of, name, "alignment.options.wait=2")
    assert "the function cannot be called as pull(h1, h2, **options)" in fault
    before = study.science()
    own_loss.write_text(OWN_LOSS.replace("square", "abs"))
    assert study_of(name, "alignment.options.weight=2").science() != before


@pytest.mark.parametrize(
    ("loss", "fault"),
    [
        ("nowhere_at_all:f", "cannot import nowhere_at_all"),
        ("own_mine_loss:push", "own_mine_loss has nothing of that name"),
        ("own_mine_loss:", "not a dotted path"),
        (":pull", "not a dotted path"),
        ("own_broken_loss:f", "ZeroDivisionError: division by zero"),
        ("own_syntax_loss:f", "SyntaxError"),
    ],
)
def test_a_users_own_loss_that_cannot_be_used(
    study_of: StudyFactory, own_loss: Path, loss: str, fault: str
) -> None:
    [found] = faults(study_of, f"alignment.loss='{loss}'")
    assert found.startswith("alignment.loss: ")
    assert fault in found


# Files


def test_a_path_is_relative_to_the_study_file(
    arrays_yaml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    study = load(arrays_yaml)
    path = str(arrays_yaml.parent / "mine.npz")
    assert study.data[0].axes["path"] == (path,)
    assert list(study.files) == [path]


def test_another_content_is_another_cell(arrays_yaml: Path) -> None:
    [before] = expand(load(arrays_yaml))
    moved = arrays_yaml.parent / "moved.npz"
    (arrays_yaml.parent / "mine.npz").rename(moved)
    [same] = expand(load(arrays_yaml, "data.path=moved.npz"))
    assert same.id == before.id
    write_arrays(moved, x2=np.random.default_rng(1).normal(size=(120, 2)))
    [other] = expand(load(arrays_yaml, "data.path=moved.npz"))
    assert other.id != before.id


def test_a_file_that_changes_while_a_study_runs_is_noticed(arrays_yaml: Path) -> None:
    study = load(arrays_yaml)
    [cell] = expand(study)
    check_files(study, cell)
    file = arrays_yaml.parent / "mine.npz"
    stamp = file.stat().st_mtime_ns
    write_arrays(file, rows=121)
    os.utime(file, ns=(stamp, stamp))
    with pytest.raises(InputError, match=r"mine\.npz: has changed since this run was planned"):
        check_files(study, cell)
    file.unlink()
    with pytest.raises(InputError, match=r"mine\.npz: cannot be read \(No such file"):
        check_files(study, cell)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"x1": np.zeros((119, 3))}, "mine.npz"),
        ({"x1": np.full((120, 3), np.nan)}, "x1 is missing in all of 120 rows"),
        ({"y": np.zeros(120, dtype=int)}, "y has one class"),
        ({"y": np.array([None] * 120)}, "an object array (pickles are refused)"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_fault(
    arrays_yaml: Path, changes: dict[str, Any], fault: str
) -> None:
    write_arrays(arrays_yaml.parent / "mine.npz", **changes)
    with pytest.raises(StudyFileError) as caught:
        load(arrays_yaml)
    [found] = caught.value.faults
    assert found.startswith("line 2: data.path: ")
    assert fault in found


def test_splits_of_a_file_are_known(arrays_yaml: Path) -> None:
    # 120 rows: 84 to train, 18 for validation, 18 for the test.
    load(arrays_yaml, "training.batch_size=84", "evaluation.metrics.mutual_knn.topk=17")
    for override in ("training.batch_size=85", "evaluation.metrics.mutual_knn.topk=18"):
        with pytest.raises(StudyFileError):
            load(arrays_yaml, override)
    with pytest.raises(StudyFileError, match="dataset arrays cannot be listed"):
        load(arrays_yaml, "verdict.performance=performance_fused_population")


@pytest.mark.parametrize(
    "path", ["gone.npz", ".", "~nobody_of_that_name/x.npz", "'a\\0b'", "5", ""]
)
def test_a_path_that_leads_nowhere_is_a_fault(arrays_yaml: Path, path: str) -> None:
    with pytest.raises(StudyFileError):
        load(arrays_yaml, f"data.path={path}")


def test_files_of_one_content_are_a_fault(arrays_yaml: Path) -> None:
    write_arrays(arrays_yaml.parent / "copy.npz")
    write_arrays(arrays_yaml.parent / "other.npz", rows=130)
    load(arrays_yaml, "data.path=[mine.npz, other.npz]")
    with pytest.raises(StudyFileError) as caught:
        load(arrays_yaml, "data.path=[mine.npz, ./mine.npz, other.npz, copy.npz, gone.npz]")
    told = [fault.split("npz]: ", 1)[1] for fault in caught.value.faults]
    assert told[:2] == [
        "data.path.1: ./mine.npz holds the same data as mine.npz; give each once",
        "data.path.3: copy.npz holds the same data as mine.npz; give each once",
    ]
    assert "there is no file" in told[2]
    with pytest.raises(StudyFileError, match="is not a file; give the path of one"):
        load(arrays_yaml, "data.path=.")
