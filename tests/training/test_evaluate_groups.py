"""Alignment of trained packs on rows that belong together."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_evaluation import DATASET, MEMBERS, VIEWS, pack_of, views_of

from raysweep.kinds.forcing.undefined import undefined_words
from raysweep.metrics import NONE, calibrate, measure
from raysweep.seeds import derive_seed
from raysweep.study.spec import Evaluation
from raysweep.training import evaluate
from raysweep.training.measured_rows import alignment_rows, row_groups, some_rows
from raysweep.trials.measured import alignment_columns

METRICS = {"unbiased_cka": {}, "mutual_knn": {"topk": 4}, "linear_stitching": {}}
PLAIN = {"clip_quantile": 1.0, "normalize": False}


def grouped(draw: int, each: int = 3, rows: int = 60) -> object:
    """Views whose rows are in groups at random, of other sizes in every split and draw."""
    view = views_of(draw, rows=rows)
    groups = np.random.default_rng(draw + 9).integers(0, rows // each, rows)
    return dataclasses.replace(view, groups=groups)


GROUPED = [grouped(0), grouped(1, each=5), VIEWS[2]]


@pytest.mark.parametrize("rows", [24, 20])
def test_alignment_is_that_of_each_member_on_the_groups_of_its_own_data(rows: int) -> None:
    pack = pack_of()
    evaluation = Evaluation.model_validate(
        {"metrics": METRICS, "rows": rows, "calibrate": 9, "preprocessing": PLAIN}
    )
    scores = evaluate.alignment(pack, GROUPED, "test", evaluation)
    chosen = [alignment_rows(view, "test", rows) for view in GROUPED]
    for member in range(MEMBERS):
        view, own = GROUPED[DATASET[member]], chosen[DATASET[member]]
        h = [
            pack.forward(k, np.stack([view.inputs[k - 1][own]] * 3))[0][-1][member].T.numpy()
            for k in (1, 2)
        ]
        groups = None if view.groups is None else view.groups[own]
        for name, options in METRICS.items():
            given = {"groups": groups, "preprocessing": NONE, **options}
            assert scores[name].value[member] == pytest.approx(measure(name, *h, **given), abs=1e-9)
            seed = derive_seed("calibration", "test")
            found = calibrate(name, *h, permutations=9, seed=seed, **given)
            of = scores[name].calibration
            assert of.p_value[member] == found.p_value[0]
            assert of.chance[member] == pytest.approx(float(found.chance[0]), abs=1e-9)


def test_as_many_rows_of_each_group_are_measured_as_fit() -> None:
    groups = np.repeat([0, 1, 2, 3, 4], [1, 9, 5, 5, 20])
    rows = np.arange(100, 140)
    for most, sizes in ((40, [1, 9, 5, 5, 20]), (26, [1, 7, 5, 5, 7]), (9, [1, 2, 2, 2, 2])):
        found = some_rows(rows, "test", most, groups)
        assert (np.diff(found) > 0).all()
        assert np.bincount(groups[found - 100], minlength=5).tolist() == sizes
        np.testing.assert_array_equal(found, some_rows(rows, "test", most, groups))
    few = some_rows(rows, "test", 3, groups)
    assert len(few) == 3 == len(set(groups[few - 100]))
    alone = np.arange(40)
    np.testing.assert_array_equal(some_rows(rows, "test", 9, alone), some_rows(rows, "test", 9))


def test_groups_are_numbered_among_the_rows() -> None:
    view = dataclasses.replace(VIEWS[0], groups=np.repeat([7, 5, 9], 20))
    assert row_groups(view, np.array([59, 0, 20, 45])).tolist() == [0, 1, 2, 0]
    assert row_groups(VIEWS[0], np.arange(4)) is None


@pytest.mark.parametrize("each", ["one", "other sizes"])
def test_what_groups_leave_unknown_is_empty_and_said(each: str) -> None:
    sizes = [60] if each == "one" else [2, 3, 5, 15]
    view = views_of(0)
    groups = np.zeros(60, dtype=np.int64)
    if each != "one":
        groups[view.splits.test] = np.repeat(range(4), sizes)
    views = [dataclasses.replace(view, groups=groups), *VIEWS[1:]]
    evaluation = Evaluation.model_validate({"metrics": METRICS, "calibrate": 9})
    pack = pack_of()
    scores = evaluate.alignment(pack, views, "test", evaluation)
    study = SimpleNamespace(evaluation=evaluation, aligned_layer=None)
    words = undefined_words(study, pack, views, "test", scores)
    for member in range(MEMBERS):
        columns = alignment_columns(scores, "test", evaluation, member, words[member])
        found = {name for name, value in columns.items() if value is None}
        if DATASET[member]:
            assert (found, words[member]) == (set(), "")
        elif each == "one":
            assert "the largest group has 25 of 25 rows" in words[member]
            assert "linear_stitching holds out whole groups" in words[member]
            assert {"alignment_mutual_knn_test", "alignment_linear_stitching_test"} <= found
            assert "alignment_unbiased_cka_test" not in found
        else:
            assert words[member].startswith("no two groups have as many rows")
            assert found == {n for n in columns if n.startswith(("chance", "corrected"))}
