"""The user's own data: an ``.npz`` file with two modalities, labels and optionally the splits."""

import contextlib
import pickle
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raysweep.data.stratify import stratified_splits
from raysweep.data.streams import stream
from raysweep.data.views import Floats, Integers, PairedViews, Splits, z_scaling
from raysweep.errors import InputError
from raysweep.options import Option

SPLIT_NAMES = ("train", "validation", "test")
LEAST_ROWS_PER_CLASS = 10
LEAST_ROWS_PER_SPLIT = 8
MOST = 1e150  # squares, for the sd, stay finite

PARAMETERS = (
    Option(
        "path",
        None,
        "an .npz file with x1 [n, d1], x2 [n, d2], y [n]",
        kind="path",
        required=True,
    ),
)

Array = NDArray[Any]


UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)


def _read(path: str, faults: list[str]) -> dict[str, Array]:
    """The arrays x1, x2, y and, if there, split, where readable. Pickles are refused."""
    if not Path(path).is_file():
        raise InputError("no such file, expected an .npz file (numpy.savez)")
    with Path(path).open("rb") as file:
        try:
            archive = np.load(file, allow_pickle=False)
        except (*UNREADABLE, pickle.UnpicklingError):
            archive = None
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise InputError("not an .npz file, expected one written by numpy.savez")
        missing = [name for name in ("x1", "x2", "y") if name not in archive.files]
        if missing:
            faults.append(
                f"no array {', '.join(missing)}; "
                f"found {', '.join(archive.files) or 'none'}, expected x1 [n, d1], x2 [n, d2], "
                "y [n] and, if wanted, split [n]"
            )
        found: dict[str, Array] = {}
        for name in ("x1", "x2", "y", "split"):
            if name in archive.files:
                with _noted(faults):
                    found[name] = _read_array(name, archive)
        return found


@contextlib.contextmanager
def _noted(faults: list[str]) -> Iterator[None]:
    """Note a fault and go on, so that all of a file's faults are told at once."""
    try:
        yield
    except InputError as error:
        faults.append(str(error))


def _read_array(name: str, archive: np.lib.npyio.NpzFile) -> Array:
    try:
        array: Array = archive[name]
    except UNREADABLE as error:
        pickled = "allow_pickle" in str(error)
        reason = "an object array (pickles are refused)" if pickled else "unreadable"
        kind = "plain numbers or strings" if name in ("y", "split") else "plain numbers"
        raise InputError(f"{name} is {reason}, expected {kind}") from error
    return array


def _check_modality(name: str, array: Array) -> Floats:
    """The modality as float64, or an InputError that names what is wrong."""
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(
            f"{name} has shape {array.shape}, expected 2-D [rows, features], none empty"
        )
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name} has dtype {array.dtype}, expected real numbers")
    values = array.astype(np.float64)
    if np.abs(values).max(initial=0.0, where=np.isfinite(values)) > MOST:
        raise InputError(f"{name} has magnitudes above {MOST:g}, expected smaller ones")
    faulty = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if faulty.size:
        raise InputError(
            f"{name} has NaN or infinity in {faulty.size} of {len(values)} rows, "
            f"first in row {faulty[0]}; expected finite numbers"
        )
    return values


def _check_labels(labels: Array, rows: int) -> tuple[Integers, Array]:
    """Labels as int64 0..c-1, and the c names in sorted order."""
    if labels.ndim != 1 or len(labels) != rows:
        raise InputError(
            f"y has shape {labels.shape}, expected ({rows},), one label for each row of x1"
        )
    if labels.dtype.kind not in "iubUS":
        raise InputError(f"y has dtype {labels.dtype}, expected integers or strings")
    names, y = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        raise InputError(f"y has one class ({names[0]!s}), expected at least two")
    return y.reshape(-1).astype(np.int64), names


def _given_splits(split: Array, y: Integers, names: Array) -> Splits:
    """The splits that the file brings along."""
    if split.ndim != 1 or len(split) != len(y):
        raise InputError(f"split has shape {split.shape}, expected ({len(y)},)")
    if split.dtype.kind != "U":
        raise InputError(f"split has dtype {split.dtype}, expected strings")
    unknown = np.flatnonzero(~np.isin(split, SPLIT_NAMES))
    if unknown.size:
        raise InputError(
            f"split is {split[unknown[0]]!s} in row {unknown[0]}, "
            f"expected one of {', '.join(SPLIT_NAMES)}"
        )
    rows = [np.flatnonzero(split == name).astype(np.int64) for name in SPLIT_NAMES]
    for name, members in zip(SPLIT_NAMES, rows, strict=True):
        if len(members) < LEAST_ROWS_PER_SPLIT:
            raise InputError(
                f"split {name} has {len(members)} rows, expected at least {LEAST_ROWS_PER_SPLIT}"
            )
    untrained = np.setdiff1d(y, y[rows[0]])
    if untrained.size:
        raise InputError(
            f"class {names[untrained[0]]!s} has no row in the train split, "
            "expected every class there"
        )
    return Splits(*rows)


def _drawn_splits(y: Integers, names: Array, draw: int) -> Splits:
    """70 / 15 / 15 percent of the rows, stratified by class."""
    counts = np.bincount(y)
    rarest = int(counts.argmin())
    if counts[rarest] < LEAST_ROWS_PER_CLASS:
        raise InputError(
            f"class {names[rarest]!s} has {counts[rarest]} rows, expected at least "
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


def arrays(*, path: str, draw: int = 0) -> PairedViews:
    """Read an ``.npz`` file with x1 [n, d1], x2 [n, d2], labels y [n] and, if wanted, split [n].

    Labels are integers or strings; classes are numbered in sorted order. ``split`` holds the words
    train, validation and test; without it the rows are split 70 / 15 / 15, stratified by class,
    anew in every draw. Features are z-scored with the training split's statistics.

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


def _views(content: Mapping[str, Array], draw: int, faults: list[str]) -> PairedViews | None:
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
            f"x1 has {lengths['x1']} rows and x2 {lengths['x2']}, expected as many of both"
        )
    if not lengths or "y" not in content:
        return None
    y, names = _check_labels(content["y"], next(iter(lengths.values())))
    if "split" not in content:
        splits = _drawn_splits(y, names, draw)
    elif draw > 0:
        raise InputError(
            f"has its own splits, so draw is {draw} but expected 0 (one draw); "
            "leave out the array split to draw splits"
        )
    else:
        splits = _given_splits(content["split"], y, names)
    if faults:
        return None
    return PairedViews(
        inputs=tuple(z_scaling(x[splits.train])(x) for x in (sides["x1"], sides["x2"])),
        y=y,
        classes=len(names),
        splits=splits,
    )
