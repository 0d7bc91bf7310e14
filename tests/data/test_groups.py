"""Rows that belong together: which are found, and that nothing parts them."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import raysweep
from raysweep.data.estimable import estimable
from raysweep.data.estimate import estimate_from
from raysweep.data.grouped_parts import grouped_parts
from raysweep.data.groups import belonging, parted
from raysweep.data.kept_estimates import _name
from raysweep.data.near_duplicates import near_duplicates
from raysweep.data.registry import default_draws, load
from raysweep.data.resplits import TURN, crossed_splits
from raysweep.data.views import Splits, Views
from raysweep.errors import InputError


def captions(images=60, each=5, noise=0.01, features=6, seed=3):
    rng = np.random.default_rng(seed)
    x1, x2 = rng.normal(size=(2, images, features))
    y = rng.permutation(np.arange(images) % 2)
    x1, x2 = np.repeat(x1, each, 0), np.repeat(x2, each, 0)
    return {
        "x1": x1,
        "x2": x2 + noise * rng.normal(size=x2.shape),
        "y": np.repeat(y, each),
    }


def saved(folder, **arrays):
    np.savez(folder / "own.npz", **arrays)
    return {"path": str(folder / "own.npz")}


def same_partition(one, other):
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    return len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.booleans())
def test_rows_are_tied_by_chains_of_equal_rows(seed, things, with_given):
    rng = np.random.default_rng(seed)
    n = 120
    ids = [np.arange(n) for _ in range(2)]
    for code in ids:
        for start in rng.choice(n - 1, size=things // 4, replace=False):
            code[start + 1] = code[start]
    values = rng.normal(size=(2, n, 3))
    inputs = [v[code] for v, code in zip(values, ids, strict=True)]
    stated = rng.permutation(n) // 3 * 3 if with_given else None
    # Slow and obvious: give everything its neighbours' least number until nothing changes.
    least, before = np.arange(n), None
    while before is None or (least != before).any():
        before = least.copy()
        for code in [*ids, *([stated] if stated is not None else [])]:
            for value in np.unique(code):
                least[code == value] = least[code == value].min()
    found = belonging(("a", "b"), inputs, stated)
    groups = np.arange(n) if found.groups is None else found.groups
    if np.bincount(least).max() <= 18:
        assert same_partition(groups, least)
    assert (found.groups is None) == (len(np.unique(groups)) == n)
    assert bool(found.found) == (found.groups is not None)


def test_minus_zero_is_zero_and_the_other_modality_need_not_be_equal():
    x = np.random.default_rng(0).normal(size=(40, 3))
    x[:, 0] = 0.0
    x[1] = x[0]
    x[1, 0] = -0.0
    other = np.random.default_rng(1).normal(size=(40, 2))
    assert belonging(("a", "b"), (other, x), None).groups[0] == 0
    assert np.bincount(belonging(("a", "b"), (other, x), None).groups).max() == 2


def test_filler_ties_nothing_and_is_told():
    rng = np.random.default_rng(0)
    x1, x2 = rng.normal(size=(2, 200, 4))
    x2[50:53] = 0.0  # few, but they stand for nothing
    x2[100:130] = x2[100]  # any content that so many have
    found = belonging(("text", "image"), (x1, x2), None)
    assert found.groups is None
    [told] = found.told
    assert told.startswith("image: 33 rows with 2 contents that stand for nothing")
    x2[100:110] = rng.normal(size=4)
    x2[110:130] = rng.normal(size=(20, 4))
    found = belonging(("text", "image"), (x1, x2), None)
    assert "1 group of 10 rows" in found.found
    assert "the other 190 rows stand alone" in found.found


@pytest.mark.parametrize("kind", ["bits", "one-hot", "one column"])
def test_rows_of_few_values_are_equal_by_chance(kind):
    rng = np.random.default_rng(0)
    x1 = rng.normal(size=(400, 5))
    x2 = {
        "bits": rng.integers(0, 2, size=(400, 10)),
        "one-hot": np.eye(30)[rng.integers(0, 30, 400)],
        "one column": rng.integers(0, 150, size=(400, 1)),
    }[kind].astype(float)
    found = belonging(("x1", "x2"), (x1, x2), None)
    assert found.groups is None
    assert "about as many as so few values make by chance" in found.told[0]


def test_what_would_tie_everything_ties_what_is_equal_throughout():
    rng = np.random.default_rng(0)
    # Every row has a partner in one modality and another one in the other: one long chain.
    x1 = rng.normal(size=(200, 5))[np.arange(200) // 2]
    x2 = rng.normal(size=(201, 5))[(np.arange(200) + 1) // 2]
    found = belonging(("x1", "x2"), (x1, x2), None)
    assert found.groups is None
    assert "would tie 200 of 200 rows together" in found.told[0]
    x1[7], x2[7] = x1[6], x2[6]
    found = belonging(("x1", "x2"), (x1, x2), None)
    assert "1 group of 2 rows" in found.found


sizes = st.lists(st.sampled_from([1, 1, 1, 2, 3, 5, 8]), min_size=90, max_size=200)


@pytest.mark.slow
@given(sizes, st.integers(2, 4), st.integers(0, 2**32 - 1), st.booleans())
def test_no_draw_parts_a_group(sizes, classes, seed, is_pure):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    n = len(groups)
    y = rng.integers(0, classes, len(sizes))[groups] if is_pure else np.arange(n) % classes
    order = rng.permutation(n)
    groups, y = groups[order], y[order].astype(np.int64)
    draws = [crossed_splits(y, draw, groups) for draw in range(2 * TURN)]
    for splits in draws:
        parts = (splits.train, splits.validation, splits.test)
        np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(n))
        for one, other in itertools.combinations(parts, 2):
            assert not set(groups[one]) & set(groups[other])
        for part, share in zip(parts, (0.7, 0.15, 0.15), strict=True):
            assert abs(len(part) - share * n) <= 8
            counts = np.bincount(y[part], minlength=classes)
            np.testing.assert_allclose(
                counts, len(part) * np.bincount(y, minlength=classes) / n, atol=10
            )
        np.testing.assert_array_equal(splits.validation, draws[0].validation)
    for one, other in itertools.combinations(draws[:TURN], 2):
        assert not set(groups[one.test]) & set(groups[other.test])
    again = crossed_splits(y, 7, groups)
    np.testing.assert_array_equal(again.train, draws[7].train)


def test_rows_that_stand_alone_fill_parts_up_to_their_sizes():
    rng = np.random.default_rng(0)
    groups = np.concatenate([np.repeat(np.arange(10), 3), np.arange(10, 180)])
    y = rng.integers(0, 3, 200)
    parts = grouped_parts(y, groups, [30, 30, 30, 110], rng)
    assert [len(part) for part in parts] == [30, 30, 30, 110]


def test_a_file_of_captions(tmp_path):
    arrays = captions()
    parameters = saved(tmp_path, **arrays)
    views = load("arrays", parameters)
    assert same_partition(views.groups, np.repeat(np.arange(60), 5))
    assert views.notes == (
        "60 groups of 5 rows that belong together (equal rows of x1), which no split or fold parts",
    )
    # 9 groups are tested in a split, however many rows these have.
    assert default_draws("arrays", parameters) == tuple(range(10))
    assert near_duplicates(views) == []
    unlike = load("arrays", saved(tmp_path, **{**arrays, "x1": captions(seed=4)["x2"]}))
    assert unlike.groups is None
    assert [told.split(" of 300 rows")[0] for told in near_duplicates(unlike)] == [
        "x1: 298",
        "x2: 300",
    ]


def test_groups_that_the_file_gives(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"x1": rng.normal(size=(200, 3)), "x2": rng.normal(size=(200, 3))}
    arrays["y"] = np.arange(200) % 2
    patient = rng.integers(0, 40, 200)
    for given_as in (patient, patient.astype(str), patient.astype(float), patient.astype("S3")):
        views = load("arrays", saved(tmp_path, **arrays, groups=given_as))
        assert same_partition(views.groups, patient)
        assert "(the array groups)" in views.notes[0]
    x1 = arrays["x1"].copy()
    first, second = np.flatnonzero(patient == 0)[0], np.flatnonzero(patient == 1)[0]
    x1[second] = x1[first]
    views = load("arrays", saved(tmp_path, **{**arrays, "x1": x1}, groups=patient))
    assert len(np.unique(views.groups)) == 39
    assert "(equal rows of x1 and the array groups)" in views.notes[0]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.zeros(7, int), r"groups has shape \(7,\), expected \(200,\)"),
        (np.linspace(0, 1, 200), "groups has ids that are not whole, such as"),
        (np.full(200, None), "groups is an object array"),
        (np.repeat([0, 1, 2, 3, 4], 40), "the largest group .* has 40 of 200 rows, .* at most 30"),
        (np.arange(200) // 34, "6 groups of rows that belong together, expected at least 7"),
        (
            np.where(np.arange(200) % 10 == 0, np.arange(200) % 20, np.arange(200) + 100),
            "class 0 is in 2 groups of rows that belong together, expected at least 3",
        ),
    ],
)
def test_unusable_groups(tmp_path, groups, message):
    rng = np.random.default_rng(0)
    y = (np.arange(200) % 10 > 0).astype(int)
    arrays = {"x1": rng.normal(size=(200, 3)), "x2": rng.normal(size=(200, 3)), "y": y}
    with pytest.raises(InputError, match=message):
        load("arrays", saved(tmp_path, **arrays, groups=groups))


def test_given_splits_that_part_groups_are_told(tmp_path):
    arrays = captions(images=40, each=3)
    split = np.tile(["train", "validation", "test"], 40)
    views = load("arrays", saved(tmp_path, **arrays, split=split))
    assert "40 of 40 rows of the test split have a partner in train" in views.notes[1]
    whole = Splits(np.arange(60), np.arange(60, 90), np.arange(90, 120))
    assert parted(np.repeat(np.arange(40), 3), whole) == []
    assert (
        len(parted(np.repeat(np.arange(40), 3), Splits(*np.split(np.arange(120), [59, 89])))) == 1
    )


def test_arrays_that_are_not_used_are_named_and_weights_refused(tmp_path):
    arrays = captions()
    views = load("arrays", saved(tmp_path, **arrays, id=np.arange(300), note=np.full(300, None)))
    assert views.notes[-1] == "not used: id, note"
    for name in ("weight", "weights", "sample_weight"):
        with pytest.raises(InputError, match=f"has an array {name}, and rows are not weighted"):
            load("arrays", saved(tmp_path, **arrays, **{name: np.ones(300)}))


def test_estimates_do_not_learn_labels_by_heart(tmp_path):
    views = load("arrays", saved(tmp_path, **captions(images=80, each=4, features=8)))
    rows = estimable(views)
    found = estimate_from(rows)
    assert (found.I12, found.pid_R) == (pytest.approx(0, abs=0.05), pytest.approx(0, abs=0.03))
    assert 0.35 < found.bayes_fused < 0.65
    by_row = estimable(Views(views.inputs, views.y, views.classes, views.splits))
    assert _name(rows) != _name(by_row)
    assert estimate_from(by_row).I12 > 0.2


def test_rows_that_are_nearly_equal_are_counted():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 6))
    x[1::2][:50] = x[::2][:50] + 1e-4 * rng.normal(size=(50, 6))
    splits = Splits(*np.split(np.arange(300), [200, 250]))
    views = Views((x, rng.normal(size=(300, 3))), np.arange(300) % 2, 2, splits)
    [told] = near_duplicates(views, ("text", "image"))
    assert told.startswith("text: 100 of 300 rows lie very close to another row")
    tied = np.concatenate([np.arange(100) // 2, np.arange(50, 250)])
    assert near_duplicates(Views(views.inputs, views.y, 2, splits, groups=tied)) == []
    many = Views((rng.normal(size=(6_000, 6)),) * 2, np.arange(6_000) % 2, 2, splits)
    assert near_duplicates(many) == []


def test_the_smallest_training_split_of_all_draws_has_to_hold_a_batch(tmp_path):
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), rng.integers(1, 12, 30))
    n = len(groups)
    saved(
        tmp_path,
        x1=rng.normal(size=(n, 3)),
        x2=rng.normal(size=(n, 3)),
        y=groups % 2,
        groups=groups,
    )
    data = {"dataset": "arrays", "path": str(tmp_path / "own.npz")}
    sizes = {len(load("arrays", {"path": data["path"]}, d).splits.train) for d in range(10)}
    assert len(sizes) > 1
    parts = {"name": "own", "data": data, "evaluation": {"metrics": ["unbiased_cka"]}}
    raysweep.Study(**parts, training={"batch_size": min(sizes)})
    with pytest.raises(InputError, match=f"smallest training split of {min(sizes)} rows"):
        raysweep.Study(**parts, training={"batch_size": min(sizes) + 1})
