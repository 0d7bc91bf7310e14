"""Splits with the same class proportions."""

from collections.abc import Sequence

import numpy as np

from raysweep.data.views import Floats, Integers, Splits


def class_counts(proportions: Floats, rows: int) -> Integers:
    """How many of ``rows`` each class gets: [c] int64, by largest remainders.

    Args:
        proportions: [c] float64, non-negative, of any sum above 0.
        rows: the sum of the result.
    """
    wanted = proportions * (rows / proportions.sum())
    counts = np.floor(wanted + 1e-9).astype(np.int64)
    most_missing = np.argsort(counts - wanted, kind="stable")
    counts[most_missing[: rows - int(counts.sum())]] += 1
    return counts


def stratified_parts(
    y: Integers, sizes: Sequence[int], source: np.random.Generator
) -> list[Integers]:
    """Disjoint random rows for parts of these sizes, each in the class proportions of ``y``.

    Parts are taken one after the other, so that what comes later leaves the earlier ones as they
    are. Rows beyond the sizes stay unused.

    Args:
        y: [n] int64 labels 0..c-1.
        sizes: rows of each part; they sum to at most n.
        source: where the randomness comes from.
    """
    available = np.bincount(y)
    by_class = [source.permutation(np.flatnonzero(y == label)) for label in range(len(available))]
    rank = source.random(len(y))
    used = np.zeros_like(available)
    chosen: list[Integers] = []
    for rows in sizes:
        counts = class_counts((available - used).astype(np.float64), rows)
        picked = np.concatenate(
            [
                order[start : start + count]
                for order, start, count in zip(by_class, used, counts, strict=True)
            ]
        )
        chosen.append(picked[np.argsort(rank[picked])])
        used = used + counts
    return chosen


def stratified_splits(
    y: Integers, train: int, validation: int, test: int, source: np.random.Generator
) -> Splits:
    """Disjoint random rows for the three splits, each in the class proportions of ``y``.

    Test rows are taken first and training rows last, so more training rows leave the other splits
    as they are and contain the fewer ones. Rows beyond the three sizes stay unused.

    Args:
        y: [n] int64 labels 0..c-1.
        train: rows of the training split; the three sizes sum to at most n.
        validation: rows of the validation split.
        test: rows of the test split.
        source: where the randomness comes from.
    """
    tested, validated, trained = stratified_parts(y, (test, validation, train), source)
    return Splits(train=trained, validation=validated, test=tested)
