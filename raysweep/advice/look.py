"""What is seen in somebody's data before anything is trained."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from raysweep.data.near_duplicates import near_duplicates
from raysweep.data.views import Features, Floats, Integers, Layout, Views
from raysweep.trials.tasks import Task

SUSPICIOUS = 0.98
"""Accuracy, 0..1, from which a feature that tells the label alone is suspected to be the label."""

_BINS = 64
_MOST_ROWS = 10_000


@dataclass(frozen=True)
class SeenModality:
    """One modality.

    Attributes:
        name: as the data file calls it; empty where it does not.
        features: how many it has.
        constant: the features (from 0) that do not vary in the training split.
        counting: the features that go up or down by the same step from row to row.
        layout: of sequences and images; the features are then those of a summary: the mean token
            and the number of tokens, or means of a grid of cells.
    """

    name: str
    features: int
    constant: tuple[int, ...]
    counting: tuple[int, ...]
    layout: Layout | None = None

    @property
    def words(self) -> str:
        """What it is, for people."""
        return Features(self.features, self.layout).words


@dataclass(frozen=True)
class Leak:
    """A feature that may be the label in disguise.

    Attributes:
        modality: from 1.
        feature: from 0.
        accuracy: 0..1 on the test split, of the commonest training label in each of 64 ranges of
            the feature's values; of a label that is a number R2 of a line in each range.
    """

    modality: int
    feature: int
    accuracy: float


@dataclass(frozen=True)
class SeenValues:
    """A label that is a number, in its own unit.

    Attributes:
        low, high: the smallest and the largest.
        mean, sd: of all rows.
        distinct: different ones.
    """

    low: float
    high: float
    mean: float
    sd: float
    distinct: int


@dataclass(frozen=True)
class Seen:
    """What is seen in one draw of data.

    Attributes:
        modalities: each of them.
        counts: rows of each class; of a label that is a number of each part of its range.
        splits: rows for training, validation and test.
        resplit: whether the splits are drawn, anew in every draw.
        leaks: suspected ones, the most accurate first.
        notes: what else people should know of the rows, a sentence each.
        values: the label, where it is a number.
        task: what the label is.
        labels: rows of each label, where a row may have several.
    """

    modalities: tuple[SeenModality, ...]
    counts: tuple[int, ...]
    splits: tuple[int, int, int]
    resplit: bool
    leaks: tuple[Leak, ...]
    notes: tuple[str, ...]
    values: SeenValues | None = None
    task: Task = Task.CLASSIFICATION
    labels: tuple[int, ...] = ()

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(self.counts)

    @property
    def majority(self) -> float:
        """Share of the commonest class, 0..1: what guessing it gets right."""
        return max(self.counts) / self.rows


def look(views: Views) -> Seen:
    """Look at one draw of data.

    Args:
        views: as `raysweep.data.registry.load` makes them.

    Example:
        >>> from raysweep.advice.look import look
        >>> from raysweep.data.registry import load
        >>> seen = look(load("digits", {"overlap": 0}))
        >>> seen.rows, len(seen.counts), [m.features for m in seen.modalities]
        (1797, 10, [32, 32])
    """
    splits = views.splits
    names = views.names or ("",) * len(views.inputs)
    modalities = tuple(
        replace(_modality(name, x, views.having(splits.train, k)), layout=of.layout)
        for k, (name, x, of) in enumerate(
            zip(names, views.summaries, views.features, strict=True), start=1
        )
    )
    return Seen(
        modalities=modalities,
        counts=tuple(np.bincount(views.y, minlength=views.classes).tolist()),
        splits=(len(splits.train), len(splits.validation), len(splits.test)),
        resplit=views.resplit,
        leaks=tuple(sorted(_leaks(views), key=lambda leak: -leak.accuracy)),
        notes=(*views.notes, *near_duplicates(views, views.names)),
        values=None if views.values is None else _values(views.values),
        task=views.task,
        labels=_rows_of_labels(views),
    )


def _rows_of_labels(views: Views) -> tuple[int, ...]:
    if views.task is not Task.MULTILABEL or views.targets is None:
        return ()
    return tuple(int(rows) for rows in views.targets.sum(axis=0))


def _values(y: Floats) -> SeenValues:
    low, high = float(y.min()), float(y.max())
    return SeenValues(low, high, float(y.mean()), float(y.std()), len(np.unique(y)))


def _modality(name: str, x: Floats, train: Integers) -> SeenModality:
    varies = np.ptp(x[train], axis=0) > 0
    steps = np.diff(x, axis=0)
    step = steps[:1]
    # The inputs are scaled, so that what goes up by one goes up by some step.
    counts = np.all(np.abs(steps - step) <= 1e-6 * np.abs(step), axis=0) & (step[0] != 0)
    return SeenModality(
        name,
        x.shape[1],
        tuple(np.flatnonzero(~varies).tolist()),
        tuple(np.flatnonzero(counts & varies).tolist()),
    )


def _leaks(views: Views) -> Iterator[Leak]:
    train, test = views.splits.train[:_MOST_ROWS], views.splits.test[:_MOST_ROWS]
    if views.values is not None:
        yield from _explaining(views, views.values, train, test)
        return
    if views.task is Task.MULTILABEL and views.targets is not None:
        for label in views.targets.T.astype(np.int64):
            yield from _telling(views, label, 2, train, test)
        return
    yield from _telling(views, views.y, views.classes, train, test)


def _telling(
    views: Views, y: Integers, classes: int, train: Integers, test: Integers
) -> Iterator[Leak]:
    """Features whose ranges alone tell classes."""
    guess = np.bincount(y[train], minlength=classes).argmax()
    if np.mean(y[test] == guess) >= SUSPICIOUS:
        return  # of so rare classes every feature would be suspected
    for number, x in enumerate(views.summaries, start=1):
        fitted, held = views.having(train, number), views.having(test, number)
        for feature, column in enumerate(x.T):
            accuracy = _alone(column[fitted], y[fitted], column[held], y[held], classes)
            if accuracy >= SUSPICIOUS:
                yield Leak(number, feature, accuracy)


def _explaining(views: Views, y: Floats, train: Integers, test: Integers) -> Iterator[Leak]:
    """Features whose ranges alone explain a label that is a number."""
    for number, x in enumerate(views.summaries, start=1):
        fitted, held = views.having(train, number), views.having(test, number)
        spread = np.square(y[held] - y[held].mean()).sum()
        for feature, column in enumerate(x.T):
            off = np.square(_by_lines(column[fitted], y[fitted], column[held]) - y[held]).sum()
            if spread > 0 and 1 - off / spread >= SUSPICIOUS:
                yield Leak(number, feature, float(1 - off / spread))


def _by_lines(trained: Floats, y: Floats, tested: Floats) -> Floats:
    """A label that is a number by one feature: a line in each range of its values."""
    edges = _edges(trained)
    at, count = np.searchsorted(edges, trained), len(edges) + 1
    rows = np.maximum(np.bincount(at, minlength=count), 1)
    x_mean, y_mean = (np.bincount(at, of, count) / rows for of in (trained, y))
    off = trained - x_mean[at]
    spread = np.bincount(at, off**2, count)
    slope = np.bincount(at, off * (y - y_mean[at]), count) / np.where(spread > 0, spread, 1.0)
    there = np.searchsorted(edges, tested)
    return np.asarray(y_mean[there] + slope[there] * (tested - x_mean[there]))


def _edges(trained: Floats) -> Floats:
    """Where the ranges of a feature's values end."""
    values = np.unique(trained)
    if len(values) > _BINS:
        values = np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:-1])
    # Ranges end halfway between values, so that a value not seen goes with its nearest.
    return np.asarray((values[1:] + values[:-1]) / 2)


def _alone(
    trained: Floats, labels: Integers, tested: Floats, wanted: Integers, classes: int
) -> float:
    """Accuracy of one feature: the commonest label in each range of its values."""
    edges = _edges(trained)
    table = np.zeros((len(edges) + 1, classes), dtype=np.int64)
    np.add.at(table, (np.searchsorted(edges, trained), labels), 1)
    best = np.where(table.any(axis=1), table.argmax(axis=1), np.bincount(labels).argmax())
    return float(np.mean(best[np.searchsorted(edges, tested)] == wanted))
