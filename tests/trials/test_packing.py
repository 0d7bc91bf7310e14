from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.study.cells import Cell
from raysweep.trials.packing import Pack, pack_trials
from raysweep.trials.trial import Arm, Stage, Trial

CELL = Cell("synthetic", (("U", 4),), (0,), "mlp", 1, 1, 8, 8)
FIRST = Trial(CELL, 0, 0, 0.0, Arm.NONE, Stage.SEARCH, "s")

sizes = st.lists(st.integers(0, 7), max_size=12)
few = settings(max_examples=50)
limits = st.integers(1, 8)


def groups_of(lengths: list[int]) -> list[list[Trial]]:
    groups, seed = [], 0
    for length in lengths:
        groups.append([replace(FIRST, seed=seed + i) for i in range(length)])
        seed += length
    return groups


def flat(packs: list[Pack]) -> list[int]:
    return [trial.seed for pack in packs for trial in pack.trials]


@few
@given(sizes, limits)
def test_every_trial_is_in_one_pack_in_order(lengths: list[int], limit: int) -> None:
    packs = pack_trials(groups_of(lengths), limit)
    assert flat(packs) == list(range(sum(lengths)))
    assert all(1 <= len(pack.trials) <= limit for pack in packs)


@few
@given(sizes, limits)
def test_a_group_that_fits_stays_together(lengths: list[int], limit: int) -> None:
    packs = pack_trials(groups_of(lengths), limit)
    pack_of = {trial.seed: number for number, pack in enumerate(packs) for trial in pack.trials}
    for group in groups_of(lengths):
        if 0 < len(group) <= limit:
            assert len({pack_of[trial.seed] for trial in group}) == 1


@few
@given(sizes, limits)
def test_no_pack_is_left_while_the_next_group_would_fit(lengths: list[int], limit: int) -> None:
    groups = [group for group in groups_of(lengths) if group]
    packs = pack_trials(groups, limit)
    starts = {group[0].seed: min(len(group), limit) for group in groups}
    for before, after in pairwise(packs):
        first = after.trials[0].seed
        assert first not in starts or len(before.trials) + starts[first] > limit


@few
@given(sizes, sizes, limits)
def test_more_groups_leave_all_packs_but_the_last(
    lengths: list[int], more: list[int], limit: int
) -> None:
    before = pack_trials(groups_of(lengths), limit)
    after = pack_trials(groups_of(lengths + more), limit)
    if before:
        *whole, last = before
        assert [p.key for p in after[: len(whole)]] == [p.key for p in whole]
        assert after[len(whole)].trials[: len(last.trials)] == last.trials


@few
@given(st.sets(st.integers(0, 5)))
def test_what_is_done_is_left_out(done: set[int]) -> None:
    [pack] = pack_trials(groups_of([6]), 6)
    keys = {trial.key for trial in pack.trials if trial.seed in done}
    left = pack.without(keys)
    assert flat([left] if left is not None else []) == [s for s in range(6) if s not in done]
    if left is not None and done:
        assert left.key != pack.key
    if not done:
        assert left == pack
