"""Labels of the user's own, in any of their usual forms: classes, numbers, ranks, several."""

from dataclasses import dataclass

import numpy as np

from raysweep.data.dtypes import MOST, Array, as_text, check_dtype
from raysweep.data.multilabel import has_several, read_several, untrained_label
from raysweep.data.views import Floats, Integers, z_scaling
from raysweep.errors import InputError
from raysweep.text import counted
from raysweep.trials.tasks import Task

MOST_WHOLE = 2.0**53
"""Floats beyond it are all whole: which integer was meant cannot be told."""
MOST_CLASSES = 100
"""Different whole numbers that are classes; of more it is asked whether they are amounts."""
FEW_CLASSES = 20
"""Of more that are whole numbers it is told that they were read as classes."""
PARTS = 5
"""Parts of a label that is a number: splits are stratified, and its information told, by them."""


@dataclass(frozen=True, eq=False)
class Label:
    """A label as it was read.

    Attributes:
        task: what it is.
        y: [n] int64 from 0: the class, or of a number the fifth of all rows in which it lies.
        names: of the classes, or of the fifths, in their order.
        values: [n] the numbers in their own unit; None of classes.
        targets: [n, k] of 0 and 1, as `raysweep.data.views.Views` has them; None of classes and
            numbers.
        told: what it was read as, where it might have been something else; else empty.
    """

    task: Task
    y: Integers
    names: Array
    values: Floats | None = None
    told: str = ""
    targets: Floats | None = None

    @property
    def in_classes(self) -> bool:
        """Whether ``y`` is the label itself, and not a part of it."""
        return self.task in (Task.CLASSIFICATION, Task.ORDINAL)


def read_label(
    labels: Array, rows: int, task: str | None = None, name: str = "y", beside: str = "x1"
) -> Label:
    """Labels as classes or numbers: as it is said, else as they look.

    Floats that are not all whole are numbers, 0 and 1 with several ones in a row are several labels
    (`raysweep.data.multilabel`), and everything else is classes. Whole numbers with more than
    `MOST_CLASSES` different values may be classes or numbers, and are read only where ``task`` says
    as what. Ranks are read only where ``task`` says so.

    Args:
        labels: as read; for the forms of classes see `check_labels`.
        rows: how many there must be.
        task: of `Task`; None where nothing is said.
        name: what they are called, for messages.
        beside: what they are labels of, for messages.

    Raises:
        InputError: what is wrong with them, or that it must be said what they are.
    """
    flat = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if task == Task.REGRESSION or (task is None and _has_fractions(flat)):
        return _numbers(name, flat, rows, beside, guessed=task is None)
    if task == Task.MULTILABEL or (task is None and has_several(labels)):
        values, y, names = read_several(name, labels, rows, beside)
        told = ""
        if task is None:
            told = f"{name} was read as {values.shape[1]} labels, of which a row may have several"
        return Label(Task.MULTILABEL, y, names, told=told, targets=values)
    if task is None and is_ambiguous(labels):
        raise InputError(
            f"{name} has {len(np.unique(flat)):,} different whole numbers, {flat.min():g} to "
            f"{flat.max():g}, which may be classes or amounts; say task: regression to predict "
            "them as numbers, or task: classification (of init and advise: --task)"
        )
    if task == Task.ORDINAL and labels.dtype.kind in "US":
        raise InputError(
            f"{name} is text, and task: ordinal expects numbers in the order of the ranks; save "
            f"{name} as 0, 1, 2, ..."
        )
    y, names = check_labels(labels, rows, name, beside)
    if task == Task.ORDINAL:
        above = (y[:, None] > np.arange(len(names) - 1)).astype(np.float64)
        return Label(Task.ORDINAL, y, names, targets=above)
    told = ""
    if task is None and len(names) > FEW_CLASSES and flat.dtype.kind in "iuf" and flat.ndim == 1:
        told = f"{name} was read as {len(names)} classes; if it is an amount, say task: regression"
    alike = _alike(names)
    if alike:
        told = f"{name}: the classes {alike} differ in spaces or capitals alone; are they one?"
    return Label(Task.CLASSIFICATION, y, names, told=told)


def _alike(names: Array) -> str:
    """The first names of classes that people may take for one; mostly none."""
    if names.dtype.kind != "U":
        return ""
    by_look: dict[str, list[str]] = {}
    for name in names.tolist():
        by_look.setdefault(" ".join(name.casefold().split()), []).append(repr(name))
    return next((" and ".join(same) for same in by_look.values() if len(same) > 1), "")


def is_ambiguous(labels: Array) -> bool:
    """Whether labels are so many whole numbers that they may be classes or amounts."""
    flat = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if flat.ndim != 1 or flat.dtype.kind not in "iuf" or not np.isfinite(flat).all():
        return False
    return not _has_fractions(flat) and len(np.unique(flat)) > MOST_CLASSES


def _has_fractions(labels: Array) -> bool:
    if labels.ndim != 1 or labels.dtype.kind != "f":
        return False
    finite = labels[np.isfinite(labels)]
    return not np.equal(finite, np.rint(finite)).all()


def _numbers(name: str, labels: Array, rows: int, beside: str, guessed: bool) -> Label:
    """A label that is a number."""
    _check_shape(name, labels, rows, beside)
    if labels.dtype.kind in "US":
        raise InputError(
            f"{name} is text, and task: regression expects numbers; save {name}.astype(float)"
        )
    check_dtype(name, labels, "iubf")
    if labels.ndim == 2:
        raise InputError(
            f"{name} has shape {labels.shape}, and task: regression expects one number for each "
            f"row; save {name}[:, 0]"
        )
    _check_finite(name, labels)
    with np.errstate(over="ignore"):  # a long double that float64 has no number for is infinite
        values = labels.astype(np.float64)
    if np.abs(values).max() > MOST:
        raise InputError(f"{name} has magnitudes above {MOST:g}, expected smaller ones")
    if not z_scaling(values[:, None]).sd.any():
        raise InputError(f"{name} is {values[0]:g} in every row, expected numbers that differ")
    y, names = _parts(values)
    told = ""
    if guessed:
        told = (
            f"{name} was read as a number to predict (regression): "
            f"{len(np.unique(values)):,} different values from {values.min():.6g} to "
            f"{values.max():.6g}; if they are classes, save {name}.astype(str)"
        )
    return Label(Task.REGRESSION, y, names, values, told)


def _parts(values: Floats) -> tuple[Integers, Array]:
    """The fifth of all rows in which each number lies, from 0, and names of the fifths.

    Of numbers that many rows share there are fewer, and never fewer than two.
    """
    edges = np.unique(np.quantile(values, np.arange(1, PARTS) / PARTS))
    at = np.searchsorted(edges, values, side="left")
    if not np.ptp(at):  # most rows have the largest number
        at = np.searchsorted(edges, values, side="right")
    there, y = np.unique(at, return_inverse=True)
    names = [f"{values[at == k].min():g} to {values[at == k].max():g}" for k in there]
    return y.reshape(-1).astype(np.int64), np.array(names)


def check_labels(
    labels: Array, rows: int, name: str = "y", beside: str = "x1"
) -> tuple[Integers, Array]:
    """Labels as int64 0..c-1, and the c names in sorted order.

    They are [n] or [n, 1] integers, whole floats, truth values, strings or bytes, or one-hot
    [n, c] with a single 1 in every row. Numbers need not begin at 0 or be without gaps.

    Args:
        labels: as read.
        rows: how many there must be.
        name: what they are called, for messages.
        beside: what they are labels of, for messages.

    Raises:
        InputError: what is wrong with them.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    _check_shape(name, labels, rows, beside)
    check_dtype(name, labels, "iubUSf")
    if labels.ndim == 2:
        labels = _from_one_hot(name, labels)
    elif labels.dtype.kind == "f":
        labels = _whole(name, labels)
    names, y = np.unique(as_text(name, labels), return_inverse=True)
    if len(names) < 2:
        raise InputError(f"{name} has one class ({names[0]!s}), expected at least two")
    return y.reshape(-1).astype(np.int64), names


def check_trained(label: Label, name: str, train: Integers) -> None:
    """Whether the training split has of the label what a model needs.

    Args:
        label: as it was read.
        name: what it is called, for messages.
        train: the rows of the split.

    Raises:
        InputError: what it lacks.
    """
    if label.task is Task.MULTILABEL and label.targets is not None:
        fault = untrained_label(name, label.targets[train]) if train.size else ""
        if fault:
            raise InputError(fault)
        return
    if label.values is not None:
        values = label.values[train]
        if train.size and not z_scaling(values[:, None]).sd.any():
            raise InputError(
                f"{name} is {values[0]:g} in every row of the train split, expected numbers that "
                "differ"
            )
        return
    untrained = np.setdiff1d(label.y, label.y[train])
    if train.size and untrained.size:
        raise InputError(
            f"class {label.names[untrained[0]]!s} has no row in the train split, "
            "expected every class there"
        )


def _check_shape(name: str, labels: Array, rows: int, beside: str) -> None:
    if labels.ndim not in (1, 2) or len(labels) != rows or 0 in labels.shape[1:]:
        raise InputError(
            f"{name} has shape {labels.shape}, expected ({rows},), one label for each row of "
            f"{beside}"
        )
    if not rows:
        raise InputError(f"{name} is empty, expected one label per row")


def _check_finite(name: str, labels: Array) -> None:
    undefined = np.flatnonzero(~np.isfinite(labels))
    if undefined.size:
        raise InputError(
            f"{name} has NaN or infinity in {undefined.size} of {counted(len(labels), 'row')}, "
            f"first in row {undefined[0]}; expected a label in every row; leave these rows out "
            f"(keep = numpy.isfinite({name}))"
        )


def _whole(name: str, labels: Array) -> Integers:
    """Floats that are classes, as integers."""
    _check_finite(name, labels)
    if not np.equal(labels, np.rint(labels)).all():
        different = len(np.unique(labels))
        raise InputError(
            f"{name} has {different:,} different values that are not whole, such as "
            f"{labels[labels != np.rint(labels)][0]:g}, and task: classification expects classes; "
            f"say task: regression, or save {name}.astype(str)"
        )
    if np.abs(labels).astype(np.float64).max() > MOST_WHOLE:
        raise InputError(
            f"{name} has floats above 2**53, of which not all integers can be told apart; save "
            f"{name}.astype(str)"
        )
    return labels.astype(np.int64)


def _from_one_hot(name: str, labels: Array) -> Integers:
    """The places of the ones of a [n, c] one-hot label."""
    if labels.dtype.kind in "US":
        raise InputError(
            f"{name} has shape {labels.shape}, {labels.shape[1]} texts a row, expected one label; "
            f"save {name}[:, 0]"
        )
    if not np.isin(labels, (0, 1)).all():
        raise InputError(
            f"{name} has shape {labels.shape} and other values than 0 and 1, expected one label "
            f"per row, or a single 1 in every row; of scores, save {name}.argmax(axis=1)"
        )
    ones = labels.astype(bool).sum(axis=1)
    if (ones == 1).all():
        return labels.argmax(axis=1).astype(np.int64)
    if ones.max() == 0 or (ones.max() == 1 and ones.min() == 0):
        raise InputError(
            f"{name} has no 1 in {int((ones == 0).sum())} of {counted(len(labels), 'row')}, first "
            f"in row {int((ones == 0).argmax())}; expected a single 1 in every row, or say task: "
            "multilabel"
        )
    raise InputError(
        f"{name} has {ones.min()} to {ones.max()} ones in a row, and the task is of one class for "
        f"each row; say task: multilabel, or save one of the labels, {name}[:, 0]"
    )
