"""The user's own data: an ``.npz`` file with two modalities, labels and optionally the splits."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from raysweep.data.dtypes import Array
from raysweep.data.dtypes import as_text as _text
from raysweep.data.dtypes import check_dtype as _check_dtype
from raysweep.data.dtypes import check_modality as _check_modality
from raysweep.data.dtypes import noted as _noted
from raysweep.data.files.npz import read as _read
from raysweep.data.labels import check_labels as _check_labels
from raysweep.data.stratify import stratified_splits
from raysweep.data.streams import stream
from raysweep.data.views import Floats, Integers, Splits, Views, z_scaling
from raysweep.errors import InputError
from raysweep.plugins.options import Option
from raysweep.study.spec.fields import listed
from raysweep.text import counted

SPLIT_NAMES = ("train", "validation", "test")
LEAST_ROWS_PER_CLASS = 10
LEAST_ROWS_PER_SPLIT = 8

PARAMETERS = (
    Option(
        "path",
        None,
        "an .npz file with x1 [n, d1], x2 [n, d2], y [n]",
        kind="path",
        required=True,
    ),
)


def _given_splits(split: Array, rows: int | None, faults: list[str]) -> Splits:
    """The splits that the file brings along, of so many rows where that is known.

    Raises:
        InputError: a fault behind which no others can be found.
    """
    if split.ndim != 1 or (rows is not None and len(split) != rows):
        raise InputError(
            f"split has shape {split.shape}, expected ({'n' if rows is None else rows},)"
        )
    _check_dtype("split", split, "US")
    split = _text("split", split)
    unknown = np.flatnonzero(~np.isin(split, SPLIT_NAMES))
    if unknown.size:
        raise InputError(
            f"split is {split[unknown[0]]!s} in row {unknown[0]}, "
            f"expected one of {', '.join(SPLIT_NAMES)}"
        )
    members = [np.flatnonzero(split == name).astype(np.int64) for name in SPLIT_NAMES]
    for name, found in zip(SPLIT_NAMES, members, strict=True):
        if len(found) < LEAST_ROWS_PER_SPLIT:
            faults.append(
                f"split {name} has {counted(len(found), 'row')}, "
                f"expected at least {LEAST_ROWS_PER_SPLIT}"
            )
    return Splits(*members)


def _check_classes(y: Integers, names: Array, train: Integers) -> None:
    untrained = np.setdiff1d(y, y[train])
    if train.size and untrained.size:
        raise InputError(
            f"class {names[untrained[0]]!s} has no row in the train split, "
            "expected every class there"
        )


def _drawn_splits(y: Integers, names: Array, draw: int) -> Splits:
    """70 / 15 / 15 percent of the rows, stratified by class."""
    counts = np.bincount(y)
    rarest = int(counts.argmin())
    if counts[rarest] < LEAST_ROWS_PER_CLASS:
        raise InputError(
            f"class {names[rarest]!s} has {counted(counts[rarest], 'row')}, expected at least "
            f"{LEAST_ROWS_PER_CLASS} of each class, or an array split"
        )
    held_out = round(0.15 * len(y))
    if held_out < LEAST_ROWS_PER_SPLIT:
        raise InputError(
            f"{len(y)} rows leave {held_out} for validation, "
            f"expected at least {LEAST_ROWS_PER_SPLIT} (15 percent)"
        )
    source = stream("arrays", draw, "splits")
    return stratified_splits(y, len(y) - 2 * held_out, held_out, held_out, source)


def arrays(*, path: str, draw: int = 0) -> Views:
    """Read an ``.npz`` file with x1 [n, d1], x2 [n, d2], labels y [n] and, if wanted, split [n].

    Labels are integers or strings; classes are numbered in sorted order. ``split`` holds the words
    train, validation and test; without it the rows are split 70 / 15 / 15, stratified by class,
    anew in every draw. Bytes are read as UTF-8. Features are z-scored with the training split's
    statistics.

    Raises:
        InputError: one message with the file and all its faults: the array, what it holds and what
            would be right.
    """
    faults: list[str] = []
    views = None
    with _noted(faults):
        views = _views(_read(path, faults), draw, faults)
    if views is None:
        raise InputError(f"{path}: {'; '.join(faults)}")
    return replace(views, characteristics={"file": Path(path).name})


def still_draws(path: str, draws: Iterable[int]) -> list[str]:
    """What is wrong with draws in whose training split a modality does not vary.

    Args:
        path: a file that `arrays` takes in another draw.
        draws: those to look at.
    """
    content = _read(path, [])
    if "split" in content:
        return []
    y, names = _check_labels(content["y"], len(content["x1"]))
    sides = {name: _check_modality(name, content[name]) for name in ("x1", "x2")}
    trained = {draw: _drawn_splits(y, names, draw).train for draw in draws}
    still = {
        name: [draw for draw, train in trained.items() if not _varies(x, train)]
        for name, x in sides.items()
    }
    return [f"{path}: {_still(name, of)}" for name, of in still.items() if of]


def _varies(x: Floats, train: Integers) -> bool:
    """Whether anything of the modality is left once it is scaled."""
    # Mostly the first few rows tell, which is much less to look at.
    return any(bool(z_scaling(x[rows]).sd.any()) for rows in (train[:100], train))


def _still(name: str, draws: Sequence[int]) -> str:
    """What is wrong with a modality that does not vary in these draws; none of given splits."""
    of = f" of draw{'s' if len(draws) > 1 else ''} {listed(draws)}" if draws else ""
    return (
        f"{name} does not vary in the training split{of}: all its rows are equal there, expected "
        "rows that differ"
    )


def _views(content: Mapping[str, Array], draw: int, faults: list[str]) -> Views | None:
    """The views, or None where faults are noted.

    Raises:
        InputError: a fault behind which no others can be found.
    """
    sides: dict[str, Floats] = {}
    for name in ("x1", "x2"):
        if name in content:
            with _noted(faults):
                sides[name] = _check_modality(name, content[name])
    lengths = {k: len(x) for k, x in content.items() if k in ("x1", "x2") and x.ndim}
    if len(set(lengths.values())) > 1:
        faults.append(
            f"x1 has {counted(lengths['x1'], 'row')} and x2 {lengths['x2']}, "
            "expected as many of both"
        )
    y: Integers | None = None
    names: Array | None = None
    splits: Splits | None = None
    rows = next(iter(lengths.values()), None)
    with _noted(faults):
        if rows is not None and "y" in content:
            y, names = _check_labels(content["y"], rows)
    with _noted(faults):
        if "split" in content:
            if draw > 0:
                faults.append(
                    f"has its own splits, so draw is {draw} but expected 0 (one draw); "
                    "leave out the array split to draw splits"
                )
            splits = _given_splits(content["split"], rows, faults)
        elif y is not None and names is not None:
            splits = _drawn_splits(y, names, draw)
    with _noted(faults):
        if "split" in content and splits is not None and y is not None and names is not None:
            _check_classes(y, names, splits.train)
    # Splits that a fault was found in may not fit the rows.
    if splits is not None and not faults:
        draws = () if "split" in content else (draw,)
        still = [name for name, x in sides.items() if not _varies(x, splits.train)]
        faults += [_still(name, draws) for name in still]
    if faults or y is None or names is None or splits is None:
        return None
    return Views(
        inputs=tuple(z_scaling(x[splits.train])(x) for x in (sides["x1"], sides["x2"])),
        y=y,
        classes=len(names),
        splits=splits,
    )
