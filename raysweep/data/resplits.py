"""The user's own rows, split again and again: which rows each draw trains on, looks at and tests.

All draws have the same validation rows, which nothing ever tests: the strength and the checkpoints
are chosen on them, and a row that has helped to choose would be a test of the choice no more. The
other rows are tested in turn, without one twice in ``TURN`` draws: splits that share test rows tell
less than as many that do not.
"""

import numpy as np

from raysweep.data.grouped_parts import grouped_parts
from raysweep.data.stratify import stratified_parts, stratified_splits
from raysweep.data.streams import stream
from raysweep.data.views import Integers, Splits

HELD_OUT = 0.15
"""Share of the rows in the validation split, and in every test split."""
TURN = 5
"""Draws in which no row is tested twice."""
CROSSED = "crossed"
"""What the trial table says of draws that are such splits."""


def held_out_rows(rows: int) -> int:
    """Rows of the validation split, and of every test split."""
    return round(HELD_OUT * rows)


def crossed_splits(y: Integers, draw: int, groups: Integers | None = None) -> Splits:
    """70 / 15 / 15 percent of the rows, stratified by class.

    Args:
        y: [n] int64 labels 0..c-1.
        draw: 0, 1, ...; draws 0 to 4 test disjoint rows, and so do 5 to 9, and so on.
        groups: [n] int64, equal for rows that stay in one split; the sizes are then approximate.
    """
    if groups is not None:
        return _grouped(y, draw, groups)
    held_out = held_out_rows(len(y))
    train = len(y) - 2 * held_out
    first = stratified_splits(y, train, held_out, held_out, stream("arrays", 0, "splits"))
    turn, place = divmod(draw, TURN)
    if draw == 0:
        return first
    source = stream("arrays", turn, "turn")
    tests = [first.test] if turn == 0 else []
    left = first.train if turn == 0 else np.concatenate([first.test, first.train])
    parts = stratified_parts(y[left], [held_out] * (TURN - len(tests)), source)
    tests += [left[part] for part in parts]
    tested = tests[place]
    rest = np.setdiff1d(np.concatenate([first.test, first.train]), tested)
    return Splits(train=source.permutation(rest), validation=first.validation, test=tested)


def _grouped(y: Integers, draw: int, groups: Integers) -> Splits:
    n, held_out = len(y), held_out_rows(len(y))
    turn, place = divmod(draw, TURN)
    sizes = [held_out] * (TURN + 1)
    parts = grouped_parts(y, groups, [*sizes, n - sum(sizes)], stream("arrays", 0, "groups"))
    validation, *tests = parts[: TURN + 1]
    if turn:
        left = np.setdiff1d(np.arange(n), validation)
        sizes = [held_out] * TURN
        source = stream("arrays", turn, "groups")
        again = grouped_parts(y[left], groups[left], [*sizes, len(left) - sum(sizes)], source)
        tests = [left[part] for part in again[:TURN]]
    tested = tests[place]
    rest = np.setdiff1d(np.arange(n), np.concatenate([validation, tested]))
    train = stream("arrays", draw, "order").permutation(rest)
    return Splits(train=train, validation=validation, test=tested)


def draws_for(tested: int) -> int:
    """How many splits a verdict takes by default, where each tests so many rows, or groups."""
    return next(draws for draws, rows in _DRAWS if tested >= rows)


_DRAWS = ((TURN, 200), (2 * TURN, 0))
"""So many draws where a split tests so many rows or more."""
