"""Several labels a row, and ranks: when they are read so, how rows are split, what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from own_files import arrays

from raysweep.advice.look import look
from raysweep.advice.proposal import propose
from raysweep.advice.study_file import sights
from raysweep.api.own_data import save_data
from raysweep.data.labels import read_label
from raysweep.data.registry import load
from raysweep.data.views import Views
from raysweep.errors import InputError
from raysweep.trials.tasks import Task

N = 300
DRAW = np.random.default_rng(0)
TAGS = (DRAW.random((N, 4)) < (0.5, 0.3, 0.2, 0.1)).astype(int)
RANKS = np.arange(N) % 5


def views(folder: Path, draw: int = 0, task: str | None = None, **changes: Any) -> Views:
    np.savez(folder / "own.npz", **{**arrays(rows=N), **changes})
    said = {} if task is None else {"task": task}
    return load("arrays", {"path": str(folder / "own.npz"), **said}, draw)


@pytest.mark.parametrize("kind", [int, float, bool, np.uint8])
def test_several_ones_in_a_row_are_several_labels(tmp_path: Path, kind: type) -> None:
    found = views(tmp_path, y=TAGS.astype(kind))
    assert (found.task, found.outputs) == (Task.MULTILABEL, 4)
    np.testing.assert_array_equal(found.targets, TAGS)
    assert "y was read as 4 labels, of which a row may have several" in found.notes
    assert found.characteristics["task"] == "multilabel"
    assert found.label_words == "4 labels, of which a row may have several"


def test_columns_of_a_table_are_several_labels(tmp_path: Path) -> None:
    of = arrays(rows=N)
    rows = pd.DataFrame({f"img_{k}": x for k, x in enumerate(of["x1"].T)})
    rows = rows.assign(**{f"txt_{k}": x for k, x in enumerate(of["x2"].T)})
    rows = rows.assign(**{f"tag_{k}": x for k, x in enumerate(TAGS.T)})
    rows.to_csv(tmp_path / "own.csv", index=False)
    which = {"modality_1": "img_*", "modality_2": "txt_*", "label": "tag_*"}
    found = load("arrays", {"path": str(tmp_path / "own.csv"), **which})
    np.testing.assert_array_equal(found.targets, TAGS)


def test_one_hot_is_a_class_unless_it_is_said_to_be_labels(tmp_path: Path) -> None:
    one_hot = np.eye(3, dtype=int)[np.arange(N) % 3]
    assert views(tmp_path, y=one_hot).task is Task.CLASSIFICATION
    found = views(tmp_path, y=one_hot, task="multilabel")
    assert (found.task, found.outputs) == (Task.MULTILABEL, 3)
    with pytest.raises(InputError, match="one class for each row; say task: multilabel, or save"):
        views(tmp_path, y=TAGS, task="classification")
    sparse = np.where(np.arange(N)[:, None] % 7 == 0, 0, one_hot)
    with pytest.raises(InputError, match="expected a single 1 in every row, or say task: multil"):
        views(tmp_path, y=sparse)
    assert views(tmp_path, y=sparse, task="multilabel").targets.sum() == sparse.sum()


def test_splits_keep_the_share_of_every_label(tmp_path: Path) -> None:
    for draw in range(5):
        found = views(tmp_path, draw, y=TAGS)
        for rows in (found.splits.validation, found.splits.test):
            np.testing.assert_allclose(TAGS[rows].mean(0), TAGS.mean(0), atol=0.06)
        assert np.bincount(found.y).min() >= 10


@pytest.mark.parametrize("kind", [int, float, np.uint8])
def test_ranks_are_in_the_order_of_numbers(tmp_path: Path, kind: type) -> None:
    found = views(tmp_path, y=(RANKS * 2 + 1).astype(kind), task="ordinal")
    assert (found.task, found.outputs, found.classes) == (Task.ORDINAL, 4, 5)
    np.testing.assert_array_equal(found.y, RANKS)
    np.testing.assert_array_equal(found.targets.sum(axis=1), RANKS)
    assert (np.diff(found.targets, axis=1) <= 0).all()
    assert found.label_words == "5 ranks"
    assert views(tmp_path, y=RANKS).task is Task.CLASSIFICATION  # never guessed


@pytest.mark.parametrize(
    ("labels", "task", "said"),
    [
        (RANKS.astype(str), "ordinal", "is text, and task: ordinal expects numbers in the order"),
        (RANKS + 0.5, "ordinal", "has 5 different values that are not whole"),
        (RANKS, "multilabel", r"has shape \(300,\), and task: multilabel expects \(300, k\)"),
        (
            TAGS.astype(str),
            "multilabel",
            "is text, and task: multilabel expects 0 and 1; save y.astype",
        ),
        (TAGS * 2, "multilabel", r"other values than 0 and 1 in 2\d\d of 300 rows, first in row"),
        (np.where(TAGS > 1, 1, np.nan), "multilabel", "other values than 0 and 1 in 300 of 300"),
        (TAGS * (1, 1, 1, 0), None, r"y: label 3 \(from 0\) is 0 in every row, expected rows with"),
    ],
)
def test_what_is_refused(labels: np.ndarray, task: str | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_label(labels, N, task)


def test_a_label_that_stands_still_in_training_is_refused(tmp_path: Path) -> None:
    split = np.repeat(["train", "validation", "test"], [200, 50, 50])
    rare = np.where(np.arange(N)[:, None] < 200, TAGS * (1, 1, 0, 1), TAGS)
    with pytest.raises(InputError, match=r"label 2 \(from 0\) is 0 in every row of the train spl"):
        views(tmp_path, y=rare, split=split)


def test_what_is_seen_is_told_and_proposed(tmp_path: Path) -> None:
    seen = look(views(tmp_path, y=TAGS))
    counts = TAGS.sum(axis=0)
    told = f"4 labels, of {counts.min()} to {counts.max()} rows; a row has {TAGS.sum() / N:.3g} of"
    assert any(line.startswith(told) for line in sights(seen))
    assert propose(seen).outcome.value == "micro_f1_fused_test"
    ranks = look(views(tmp_path, y=RANKS, task="ordinal"))
    assert "5 ranks, of 60 to 60 rows" in list(sights(ranks))
    assert propose(ranks).outcome.value == "weighted_kappa_fused_test"
    given_away = np.concatenate([arrays(rows=N)["x1"], TAGS[:, 2:3] + 0.0], axis=1)
    [leak] = look(views(tmp_path, y=TAGS, x1=given_away)).leaks
    assert (leak.modality, leak.feature, leak.accuracy) == (1, 5, 1.0)


def test_python_saves_them(tmp_path: Path) -> None:
    of = arrays(rows=N)
    path = save_data(tmp_path / "own.npz", {"a": of["x1"], "b": of["x2"]}, y=TAGS)
    assert load("arrays", {"path": str(path)}).task is Task.MULTILABEL
