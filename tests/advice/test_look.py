"""What is seen in data, against data in which it was put."""

import numpy as np

from raysweep.advice.look import look
from raysweep.data.views import Splits, Views, z_scaling


def views(x1, x2, y):
    order = np.random.default_rng(0).permutation(len(y))
    splits = Splits(*np.split(order, [int(0.7 * len(y)), int(0.85 * len(y))]))
    inputs = tuple(z_scaling(x[splits.train])(x) for x in (x1, x2))
    return Views(inputs, y, int(y.max()) + 1, splits)


def drawn(rows=400, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 5)), rng.normal(size=(rows, 3)), rng.integers(0, 3, rows)


def test_ordinary_data_raise_no_suspicion():
    x1, x2, y = drawn()
    seen = look(views(x1, x2, y))
    assert [m.features for m in seen.modalities] == [5, 3]
    assert seen.counts == tuple(np.bincount(y))
    assert seen.rows == 400
    assert seen.majority == np.bincount(y).max() / 400
    assert seen.splits == (280, 60, 60)
    assert not seen.notes
    assert not seen.leaks
    assert all(not m.constant and not m.counting for m in seen.modalities)


def test_a_constant_feature_and_a_row_number_are_named():
    x1, x2, y = drawn()
    x1[:, 2] = 7.0
    x2[:, 1] = 1000 + np.arange(len(y))
    seen = look(views(x1, x2, y))
    assert seen.modalities[0].constant == (2,)
    assert seen.modalities[1].counting == (1,)


def test_a_feature_that_is_the_label_is_suspected_whatever_its_coding():
    x1, x2, y = drawn()
    x1[:, 4] = np.array([3.0, -1.0, 8.0])[y]
    x2[:, 0] = np.array([0.5, 5.0, -4.0])[y] + 0.01 * np.random.default_rng(2).normal(size=len(y))
    seen = look(views(x1, x2, y))
    assert {(leak.modality, leak.feature) for leak in seen.leaks} == {(1, 4), (2, 0)}
    assert all(leak.accuracy >= 0.98 for leak in seen.leaks)


def test_a_feature_that_tells_much_is_no_leak():
    x1, x2, y = drawn()
    x1[:, 0] = y + 0.4 * np.random.default_rng(3).normal(size=len(y))
    assert not look(views(x1, x2, y)).leaks


def test_of_a_rare_class_no_feature_is_suspected():
    x1, x2, y = drawn()
    y = (np.arange(len(y)) % 100 == 0).astype(np.int64)
    assert not look(views(x1, x2, y)).leaks


def test_rows_that_are_nearly_equal_are_told():
    x1, x2, y = drawn()
    x1[1], x2[1] = x1[0] + 1e-4, x2[0] + 1e-4
    assert len(look(views(x1, x2, y)).notes) == 1
