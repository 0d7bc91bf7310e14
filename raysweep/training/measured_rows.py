"""On which rows of a split alignment is measured."""

from collections.abc import Iterator, Sequence

import numpy as np

from raysweep.data.views import Views
from raysweep.metrics.groups import group_numbers
from raysweep.models.trained import MultimodalForward
from raysweep.seeds import derive_seed


def alignment_rows(views: Views, split: str, most: int) -> np.ndarray:
    """The rows of a split on which alignment is measured: all, or ``most`` of them at random.

    Of rows that lack a modality those that have all of them.

    A pure function of its arguments, so that members and runs are compared on the same rows.
    """
    rows = views.having(getattr(views.splits, split))
    return some_rows(rows, split, most, row_groups(views, rows))


def some_rows(
    rows: np.ndarray, split: str, most: int, groups: np.ndarray | None = None
) -> np.ndarray:
    """All of these rows of a split, or ``most`` of them at random; see `alignment_rows`.

    Args:
        rows: of the split.
        split: its name.
        most: how many at most.
        groups: int64 [rows], those that belong together. Then as many rows of each group as fit,
            where it has so many: more groups tell more than more rows of one, and groups of equal
            size can change places (`raysweep.metrics.groups.shuffled`).
    """
    if len(rows) <= most:
        return rows
    order = np.random.default_rng(derive_seed("alignment rows", split)).permutation(len(rows))
    if groups is not None:
        order = order[_number_in_group(groups[order]) < max(_most_of_each(groups, most), 1)]
    return rows[np.sort(order[:most])]


def on_equal_rows(
    trained: MultimodalForward, views: Sequence[Views], rows: Sequence[np.ndarray]
) -> Iterator[tuple[MultimodalForward, Sequence[Views], Sequence[np.ndarray]]]:
    """The members, in their order, with their datasets and rows of these: as many of each.

    Where rows are in groups, a dataset has its own groups, and may have other numbers of rows; the
    latter also where rows lack a modality.
    """
    if not any(view.in_groups or view.present is not None for view in views):
        yield trained, views, rows
        return
    ends = [*(np.flatnonzero(np.diff(trained.dataset)) + 1), len(trained.dataset)]
    for start, end in zip([0, *ends], ends, strict=False):
        which = int(trained.dataset[start])
        alone = np.zeros(end - start, dtype=np.int64)
        own = MultimodalForward(trained.shape, alone, trained.parameters[start:end])
        yield own, [views[which]], [rows[which]]


def row_groups(views: Views, rows: np.ndarray) -> np.ndarray | None:
    """The groups of some rows, by numbers; None where every row of the data stands alone."""
    if views.groups is None or not views.in_groups:
        return None
    return group_numbers(views.groups[rows], len(rows))


def _number_in_group(groups: np.ndarray) -> np.ndarray:
    """How many rows of its group each row has before it."""
    by_group = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups)
    number = np.empty(len(groups), dtype=np.int64)
    number[by_group] = np.arange(len(groups)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return number


def _most_of_each(groups: np.ndarray, most: int) -> int:
    """The largest number of rows of each group of which there are at most so many in all."""
    sizes = np.bincount(groups)
    fits = [c for c in range(1, int(sizes.max()) + 1) if np.minimum(sizes, c).sum() <= most]
    return max(fits, default=0)
