"""Estimates of information are made once for a content, and kept."""

import json
import subprocess
import sys
import time
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from tiny_estimates import views
from tiny_runs import environment

from raysweep.data import estimate, kept_estimates
from raysweep.data.estimate import estimate_information
from raysweep.data.held_out import PARTS
from raysweep.data.registry import DATASETS, load, load_estimate
from raysweep.data.views import Information, Views
from raysweep.runners.ahead import estimates_ahead
from raysweep.study.reader import parse_study


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One learner in place of four: what is kept, and when, does not depend on them."""
    monkeypatch.setattr(estimate, "_learners", lambda features, rows: [LogisticRegression()])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "raysweep" / "estimates"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every estimate that is made."""
    count: list[int] = []
    original = estimate.estimate_from

    def counted(rows: object) -> Information:
        count.append(1)
        return original(rows)  # type: ignore[arg-type]

    monkeypatch.setattr(estimate, "estimate_from", counted)
    return count


def same(one: Information, other: Information) -> bool:
    return one.intervals == other.intervals and np.array_equal(
        np.array(astuple(one)[:12], float), np.array(astuple(other)[:12], float), equal_nan=True
    )


def test_an_estimate_is_made_once_and_its_bits_are_kept(folder: Path, made: list[int]) -> None:
    first = kept_estimates.estimated_information(views(0))
    again = kept_estimates.estimated_information(views(0))
    assert made == [1]
    assert same(first, again)
    assert list(again.intervals) == list(PARTS)
    assert same(first, estimate_information(views(0)))
    assert [path.suffix for path in folder.iterdir() if path.name != "lock"] == [".json"]


def test_other_rows_labels_libraries_or_estimators_have_their_own(
    folder: Path, made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = views(0)
    kept_estimates.estimated_information(given)
    changed = given.x1.copy()
    changed[5, 0] += 1e-12
    labels = given.y.copy()
    labels[3] = 1 - labels[3]
    for other in (
        Views((changed, given.x2), given.y, 2, given.splits),
        Views(given.inputs, labels, 2, given.splits),
        Views(given.inputs[::-1], given.y, 2, given.splits),
    ):
        kept_estimates.estimated_information(other)
    monkeypatch.setattr(kept_estimates, "_maker", lambda: "another estimator")
    kept_estimates.estimated_information(given)
    assert len(made) == 5


@pytest.mark.parametrize("damage", [b"", b"{", b"[1.0]", b'{"I1": 0.5}', b"\xff\xfe"])
def test_a_damaged_file_is_made_anew(folder: Path, made: list[int], damage: bytes) -> None:
    first = kept_estimates.estimated_information(views(0))
    (path,) = folder.glob("*.json")
    whole = json.loads(path.read_bytes())
    path.write_bytes(damage)
    assert same(kept_estimates.estimated_information(views(0)), first)
    assert len(made) == 2
    made_anew = json.loads(path.read_bytes())
    assert made_anew | {"seconds": 0.0} == whole | {"seconds": 0.0}


def test_a_text_in_place_of_a_number_is_damage(folder: Path, made: list[int]) -> None:
    kept_estimates.estimated_information(views(0))
    (path,) = folder.glob("*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"I1": "[bold]"}))
    assert isinstance(kept_estimates.estimated_information(views(0)).I1, float)


def test_where_nothing_can_be_kept_it_is_made_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: list[int]
) -> None:
    (tmp_path / "raysweep").write_text("a file where the folder would be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    one, other = (kept_estimates.estimated_information(views(0)) for _ in range(2))
    assert same(one, other)
    assert len(made) == 2


def test_a_relative_cache_folder_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "somewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    kept_estimates.estimated_information(views(0))
    assert list((tmp_path / ".cache" / "raysweep" / "estimates").glob("*.json"))


def test_processes_that_want_the_same_estimate_make_it_once(tmp_path: Path) -> None:
    program = """
from sklearn.linear_model import LogisticRegression
from raysweep.data import estimate
from tiny_estimates import views
from raysweep.data.kept_estimates import estimated_information
made, original = [], estimate.estimate_from
estimate.estimate_from = lambda rows: made.append(1) or original(rows)
estimate._learners = lambda features, rows: [LogisticRegression()]
estimated_information(views(1, 300))
print(len(made))
"""
    there = {**environment(), "XDG_CACHE_HOME": str(tmp_path)}
    both = [
        subprocess.Popen([sys.executable, "-c", program], env=there, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    assert sorted(int(process.communicate()[0]) for process in both) == [0, 1]


def test_only_data_of_unknown_distribution_are_estimated() -> None:
    needed = {"synthetic": {"U": 0}, "channels": {}, "digits": {"overlap": 0}}
    sizes = {"train": 64, "validation": 32, "test": 32}
    for name, given in needed.items():
        exact = load(name, {**given, **sizes}).information is not None
        assert exact == DATASETS[name].exact
    assert not DATASETS["arrays"].exact


@pytest.mark.slow
def test_a_process_ahead_makes_a_studys_estimates(folder: Path, made: list[int]) -> None:
    sizes = {"train": 90, "validation": 30, "test": 30}
    blocks = [{"dataset": "synthetic", "U": 0}, {"dataset": "digits", "overlap": 8, **sizes}]
    study = parse_study(json.dumps({"name": "ahead", "data": blocks}), "ahead", Path())
    with estimates_ahead(study):
        end = time.monotonic() + 120
        while not list(folder.glob("*.json")) and time.monotonic() < end:
            time.sleep(0.1)
    assert load_estimate("digits", {"overlap": 8, **sizes}).I1 > 0
    assert not made
    assert len(list(folder.glob("*.json"))) == 1
