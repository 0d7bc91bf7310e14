"""The user's own data: an ``.npz`` file with two modalities, labels and optionally the splits."""

import contextlib
import lzma
import pickle
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raysweep.data.groups import Belonging, belonging, parted, unsplittable
from raysweep.data.own_arrays import USED, given_groups, unused, weights_refused
from raysweep.data.resplits import CROSSED, crossed_splits, held_out_rows
from raysweep.data.views import Floats, Integers, Splits, Views, z_scaling
from raysweep.errors import InputError
from raysweep.plugins.options import Option
from raysweep.study.spec.fields import listed
from raysweep.text import counted

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


UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    MemoryError,  # a damaged header asks for any size
    RuntimeError,  # a zip with a password, or compressed in a way that Python does not know
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)

TEXT = ("y", "split", "groups")
_UNKNOWN_DTYPE = re.compile(r"not a valid dtype descriptor: '(.*)'")


def _read(path: str, faults: list[str]) -> dict[str, Array]:
    """The arrays that are used, where readable, and empty ones for others. Pickles are refused."""
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
                "y [n] and, if wanted, split [n] and groups [n]"
            )
        found: dict[str, Array] = {}
        faults += weights_refused(archive.files)
        for name in archive.files:
            with _noted(faults):
                found[name] = _read_array(name, archive) if name in USED else np.empty(0)
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
        kind = "plain numbers or strings" if name in TEXT else "plain numbers"
        if "allow_pickle" in str(error):
            way = f"numpy.array(list({name}), dtype={'str' if name in TEXT else 'float'})"
            raise InputError(
                f"{name} is an object array (pickles are refused), expected {kind}; save {way}"
            ) from error
        unknown = _UNKNOWN_DTYPE.search(str(error))
        if unknown:
            raise InputError(f"{name} {_not_numpys(name, unknown[1])}") from error
        raise InputError(f"{name} is unreadable, expected {kind}") from error
    if not isinstance(array, np.ndarray):  # numpy hands out the bytes of what is no array
        raise InputError(f"{name} is unreadable: no array of numpy, expected one (numpy.savez)")
    return array


def _not_numpys(name: str, dtype: object) -> str:
    """What is wrong with an array of a type that another package has brought to numpy."""
    way = {"y": "numpy.int64", "split": "str", "groups": "str"}.get(name, "numpy.float32")
    return (
        f"has dtype {dtype}, bytes whose meaning the file does not say (bfloat16, float8 and int4 "
        f"are stored so), expected {_EXPECTED[name]}; save {name}.astype({way})"
    )


_EXPECTED = {
    "x1": "real numbers",
    "x2": "real numbers",
    "y": "integers or strings",
    "split": "strings",
    "groups": "integers or strings",
}


def _check_dtype(name: str, array: Array, kinds: str) -> None:
    """An InputError that says how to save the array otherwise, unless it is of these kinds."""
    if array.dtype.kind in kinds:
        return
    if array.dtype.kind == "V" and array.dtype.names is None:
        raise InputError(f"{name} {_not_numpys(name, array.dtype)}")
    way = ""
    if array.dtype.names is not None and name not in TEXT:
        way = f"; save numpy.lib.recfunctions.structured_to_unstructured({name})"
    elif name == "y" and array.dtype.kind == "f" and np.equal(array, np.rint(array)).all():
        way = "; save y.astype(int)"
    raise InputError(f"{name} has dtype {array.dtype}, expected {_EXPECTED[name]}{way}")


def _text(name: str, array: Array) -> Array:
    """The array, its bytes read as UTF-8."""
    if array.dtype.kind != "S":
        return array
    try:
        return np.strings.decode(array, "utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name} has bytes that are no text in UTF-8 ({error.object!r}), expected strings; "
            f"save numpy.strings.decode({name}, ENCODING)"
        ) from error


def _check_modality(name: str, array: Array) -> Floats:
    """The modality as float64, or an InputError that names what is wrong."""
    _check_dtype(name, array, "fiub")
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(
            f"{name} has shape {array.shape}, expected 2-D [rows, features], none empty"
        )
    with np.errstate(over="ignore"):  # a long double that float64 has no number for is infinite
        values = array.astype(np.float64)
    if np.abs(values).max(initial=0.0, where=np.isfinite(values)) > MOST:
        raise InputError(f"{name} has magnitudes above {MOST:g}, expected smaller ones")
    faulty = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if faulty.size:
        raise InputError(
            f"{name} has NaN or infinity in {faulty.size} of {counted(len(values), 'row')}, "
            f"first in row {faulty[0]}; expected finite numbers"
        )
    return values


def _check_labels(labels: Array, rows: int) -> tuple[Integers, Array]:
    """Labels as int64 0..c-1, and the c names in sorted order."""
    if labels.ndim != 1 or len(labels) != rows:
        raise InputError(
            f"y has shape {labels.shape}, expected ({rows},), one label for each row of x1"
        )
    _check_dtype("y", labels, "iubUS")
    labels = _text("y", labels)
    if not rows:
        raise InputError("y is empty, expected one label per row")
    names, y = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        raise InputError(f"y has one class ({names[0]!s}), expected at least two")
    return y.reshape(-1).astype(np.int64), names


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


def _drawn_splits(y: Integers, names: Array, draw: int, groups: Integers | None) -> Splits:
    """70 / 15 / 15 percent of the rows, stratified by class; groups stay together."""
    counts = np.bincount(y)
    rarest = int(counts.argmin())
    if counts[rarest] < LEAST_ROWS_PER_CLASS:
        raise InputError(
            f"class {names[rarest]!s} has {counted(counts[rarest], 'row')}, expected at least "
            f"{LEAST_ROWS_PER_CLASS} of each class, or an array split"
        )
    held_out = held_out_rows(len(y))
    if held_out < LEAST_ROWS_PER_SPLIT:
        raise InputError(
            f"{len(y)} rows leave {held_out} for validation, "
            f"expected at least {LEAST_ROWS_PER_SPLIT} (15 percent)"
        )
    faults = [] if groups is None else unsplittable(y, list(names), groups)
    if faults:
        raise InputError("; ".join(faults))
    splits = crossed_splits(y, draw, groups)
    if groups is not None:
        for name in ("validation", "test"):
            if len(getattr(splits, name)) < LEAST_ROWS_PER_SPLIT:
                raise InputError(
                    f"groups of rows that belong together leave {len(getattr(splits, name))} rows "
                    f"for {name}, expected at least {LEAST_ROWS_PER_SPLIT}; or give an array split"
                )
        _check_classes(y, names, splits.train)
    return splits


def arrays(*, path: str, draw: int = 0) -> Views:
    """Read an ``.npz`` file with x1 [n, d1], x2 [n, d2], labels y [n] and, if wanted, split [n].

    Labels are integers or strings; classes are numbered in sorted order. ``split`` holds the words
    train, validation and test; without it every draw splits the same rows 70 / 15 / 15, stratified
    by class (`raysweep.data.resplits`). Rows that belong together, by the array ``groups`` or as
    equal rows of a modality (`raysweep.data.groups`), stay in one split. Bytes are read as UTF-8.
    Features are z-scored with the training split's statistics.

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
    facts: dict[str, int | float | str] = {"file": Path(path).name}
    if views.resplit:
        facts["resplit"] = CROSSED
    return replace(views, characteristics=facts)


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
    tied = _tied(content, sides, len(y))
    trained = {draw: _drawn_splits(y, names, draw, tied.groups).train for draw in draws}
    still = {
        name: [draw for draw, train in trained.items() if not _varies(x, train)]
        for name, x in sides.items()
    }
    return [f"{path}: {_still(name, of)}" for name, of in still.items() if of]


def _tied(content: Mapping[str, Array], sides: Mapping[str, Floats], rows: int) -> Belonging:
    """Which rows belong together."""
    given = given_groups(content["groups"], rows) if "groups" in content else None
    return belonging(tuple(sides), tuple(sides.values()), given)


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
    tied = Belonging(None)
    with _noted(faults):
        if rows is not None and not faults:
            tied = _tied(content, sides, rows)
    with _noted(faults):
        if "split" in content:
            if draw > 0:
                faults.append(
                    f"has its own splits, so draw is {draw} but expected 0 (one draw); "
                    "leave out the array split to draw splits"
                )
            splits = _given_splits(content["split"], rows, faults)
        elif y is not None and names is not None:
            splits = _drawn_splits(y, names, draw, tied.groups)
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
    cut = parted(tied.groups, splits) if "split" in content and tied.groups is not None else []
    return Views(
        inputs=tuple(z_scaling(x[splits.train])(x) for x in (sides["x1"], sides["x2"])),
        y=y,
        classes=len(names),
        splits=splits,
        groups=tied.groups,
        resplit="split" not in content,
        notes=(*filter(None, (tied.found,)), *cut, *tied.told, *unused(tuple(content))),
    )
