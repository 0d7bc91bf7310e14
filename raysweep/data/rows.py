"""Rows drawn from a known joint distribution, with the same class proportions in every split."""

from collections.abc import Iterator

import numpy as np

from raysweep.data.stratify import class_counts
from raysweep.data.streams import stream
from raysweep.data.views import Floats, Integers, Splits

SPLIT_NAMES = ("train", "validation", "test")


def split_rows(sizes: tuple[int, int, int]) -> Splits:
    """Consecutive rows for training, validation and test."""
    train, validation, _ = sizes
    return Splits(*np.split(np.arange(sum(sizes)), [train, train + validation]))


def label_groups(labels: Integers, sizes: tuple[int, int, int]) -> Iterator[tuple[str, Integers]]:
    """The rows of each label in each split: the group's name for random streams, and its rows.

    Args:
        labels: [n] int64, the label of each row of the three splits one after another.
        sizes: rows of the three splits.
    """
    split = np.repeat(np.arange(len(sizes)), sizes)
    for number, name in enumerate(SPLIT_NAMES):
        for label in np.unique(labels):
            yield f"{name}/{label}", np.flatnonzero((split == number) & (labels == label))


def draw_rows(
    joint: Floats, sizes: tuple[int, int, int], dataset: str, draw: int
) -> tuple[Integers, Integers, Integers]:
    """Rows of the three splits, one after another, drawn with replacement.

    Every split has the class counts of the population, rounded, and its own random streams: more
    training rows change no test row, and contain the rows of a smaller training split.

    Args:
        joint: [q, c] float64, probabilities of (input, label); sum 1.
        sizes: rows of the training, validation and test split.
        dataset: names the random streams.
        draw: of the dataset.

    Returns:
        [n] int64 each: the joint input of each row, its label, and the rank of the row among those
        of its split and label, which is what other random streams of the row go by.
    """
    inputs, labels, ranks = [], [], []
    cumulative = np.cumsum(joint, axis=0)
    for split, rows in zip(SPLIT_NAMES, sizes, strict=True):
        counts = class_counts(joint.sum(axis=0), rows)
        picked = []
        for label, count in enumerate(counts):
            uniforms = stream(dataset, draw, f"rows/{split}/{label}").random(count)
            of_label = cumulative[:, label]
            picked.append(np.searchsorted(of_label, uniforms * of_label[-1], side="right"))
        order = stream(dataset, draw, f"order/{split}").permutation(rows)
        inputs.append(np.concatenate(picked)[order])
        labels.append(np.repeat(np.arange(len(counts)), counts)[order])
        ranks.append(np.concatenate([np.arange(count) for count in counts])[order])
    return np.concatenate(inputs), np.concatenate(labels), np.concatenate(ranks)
