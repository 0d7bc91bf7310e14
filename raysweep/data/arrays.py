"""The user's own data: a file with two to four modalities, labels and optionally the splits."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from raysweep.data.chosen import MODALITIES, USUAL, Wanted
from raysweep.data.content import Content, read_content, uneven
from raysweep.data.dtypes import Array, as_text, check_dtype, noted
from raysweep.data.groups import Belonging, belonging, parted, unsplittable
from raysweep.data.labels import Label, check_trained, is_ambiguous, read_label
from raysweep.data.own_arrays import given_groups, unused, weights_refused
from raysweep.data.pixels import scaled_images
from raysweep.data.presence import notes_on as notes_on_lacking
from raysweep.data.presence import shares, strata, together, too_few
from raysweep.data.resplits import CROSSED, crossed_splits, held_out_rows
from raysweep.data.sequences import notes_on, scaled_tokens
from raysweep.data.tokens import Tokens
from raysweep.data.views import SCALINGS, Bools, Floats, Integers, Layout, Splits, Views, z_scaling
from raysweep.errors import InputError
from raysweep.plugins.options import Option
from raysweep.study.spec.fields import listed
from raysweep.text import counted
from raysweep.trials.tasks import Task

SPLIT_NAMES = ("train", "validation", "test")
LEAST_ROWS_PER_CLASS = 10
LEAST_ROWS_PER_SPLIT = 8

_MEANINGS = (
    "what is modality 1: an array, or columns, as names between commas or a pattern such as img_*; "
    "left out: x1",
    "what is modality 2; left out: x2",
    "what is modality 3; left out: x3 if it is there",
    "what is modality 4; left out: x4 if it is there",
)
PARAMETERS = (
    Option(
        "path",
        None,
        "a file with x1 [n, d1], [n, T, d1] or [n, c, h, w], x2 alike, y [n], or any other names; "
        "see docs/own_data.md",
        kind="path",
        required=True,
    ),
    *(
        Option(
            name,
            None,
            meaning,
            kind="text",
            optional=True,
        )
        for name, meaning in zip(MODALITIES, _MEANINGS, strict=True)
    ),
    Option(
        "modalities",
        None,
        "how many; left out: all that are named, or that the file has",
        kind="int",
        low=2,
        high=4,
        optional=True,
    ),
    Option("label", None, "the label; left out: y, or label", kind="text", optional=True),
    Option(
        "split",
        None,
        "words train, validation and test; left out: split if it is there",
        kind="text",
        optional=True,
    ),
    Option(
        "groups",
        None,
        "ids, equal for rows that belong together; left out: groups if it is there",
        kind="text",
        optional=True,
    ),
    Option(
        "task",
        None,
        "what the label is: classification, regression of a number, multilabel (0 and 1, several "
        "a row) or ordinal (ranks); left out: as it looks, never ordinal",
        kind="choice",
        choices=tuple(task.value for task in Task),
        optional=True,
    ),
    Option(
        "scale",
        None,
        "of every feature, of images every channel, fitted on the training split: standard by mean "
        "and sd, robust by median and quartiles; left out: standard",
        kind="choice",
        choices=tuple(SCALINGS),
        optional=True,
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
    check_dtype("split", split, "US")
    split = as_text("split", split)
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


def _drawn_splits(
    label: Label, name: str, draw: int, groups: Integers | None, present: Bools | None
) -> Splits:
    """70 / 15 / 15 percent of the rows, stratified by label and what is lacking.

    Groups stay together.
    """
    y, classes = label.y, label.names
    counts = np.bincount(y)
    rarest = int(counts.argmin())
    if label.in_classes and counts[rarest] < LEAST_ROWS_PER_CLASS:
        number = label.names.dtype.kind in "iuf"
        raise InputError(
            f"class {classes[rarest]!s} has {counted(counts[rarest], 'row')}, expected at least "
            f"{LEAST_ROWS_PER_CLASS} of each class, or an array split"
            f"{'; if the label is an amount, say task: regression' if number else ''}"
        )
    held_out = held_out_rows(len(y))
    if held_out < LEAST_ROWS_PER_SPLIT:
        raise InputError(
            f"{len(y)} rows leave {held_out} for validation, "
            f"expected at least {LEAST_ROWS_PER_SPLIT} (15 percent)"
        )
    faults = [] if groups is None else unsplittable(y, list(classes), groups)
    if faults:
        raise InputError("; ".join(faults))
    splits = crossed_splits(strata(y, present), draw, groups)
    if groups is not None:
        for name in ("validation", "test"):
            if len(getattr(splits, name)) < LEAST_ROWS_PER_SPLIT:
                raise InputError(
                    f"groups of rows that belong together leave {len(getattr(splits, name))} rows "
                    f"for {name}, expected at least {LEAST_ROWS_PER_SPLIT}; or give an array split"
                )
    check_trained(label, name, splits.train)
    return splits


def arrays(
    *,
    path: str,
    modality_1: str | None = None,
    modality_2: str | None = None,
    modality_3: str | None = None,
    modality_4: str | None = None,
    modalities: int | None = None,
    label: str | None = None,
    split: str | None = None,
    groups: str | None = None,
    task: str | None = None,
    scale: str | None = None,
    draw: int = 0,
) -> Views:
    """Read a file with two to four modalities, labels [n] and, if wanted, splits [n].

    A modality is [n, d], or sequences [n, T, d] beside which lengths [n] or a mask [n, T] may stand
    (`raysweep.data.sequences`), or images [n, c, h, w] (`raysweep.data.pixels`).

    Labels may have any usual form (`raysweep.data.labels`); classes are numbered in sorted order.
    ``split`` holds the words train, validation and test; without it every draw splits the same rows
    70 / 15 / 15, stratified by the label (`raysweep.data.resplits`). Rows that belong together, by
    ``groups`` or as equal rows of a modality (`raysweep.data.groups`), stay in one split. Bytes are
    read as UTF-8. Features are scaled with the training split's statistics.

    Args:
        path: of a file or folder that `raysweep.data.files.opened` knows.
        modality_1: what is modality 1, and so on; see PARAMETERS.
        modality_2: what is modality 2.
        modality_3: what is modality 3.
        modality_4: what is modality 4.
        modalities: how many, 2 to 4; all that are named or found by default.
        label: what is the label.
        split: what the splits are.
        groups: what says which rows belong together.
        task: what the label is, of `Task`; by default as it looks.
        scale: ``standard`` (by default), ``robust`` or ``none``.
        draw: which splits.

    Raises:
        InputError: one message with the file and all its faults: the array, what it holds and what
            would be right.
    """
    named = (modality_1, modality_2, modality_3, modality_4)
    wanted = Wanted(named, modalities, label, split, groups)
    faults: list[str] = []
    views = None
    with noted(faults):
        content = read_content(path, wanted, faults)
        if not wanted.named:  # who names columns has seen what is left out
            faults += weights_refused(content.unused)
        views = _views(content, draw, task, scale, faults)
    if views is None:
        raise InputError(f"{path}: {'; '.join(faults)}")
    facts: dict[str, int | float | str] = {"file": Path(path).name}
    if not wanted.named and views.names != USUAL[: len(views.names)]:
        facts |= dict(zip(MODALITIES, views.names, strict=False))
    if label is not None:
        facts["target"] = label
    if views.resplit:
        facts["resplit"] = CROSSED
    if views.present is not None:
        facts |= shares(views.present)
    if views.task is not Task.CLASSIFICATION:
        facts["task"] = views.task.value
    return replace(views, characteristics=facts)


def still_draws(parameters: Mapping[str, object], draws: Iterable[int]) -> list[str]:
    """What is wrong with draws in whose training split a modality does not vary.

    Args:
        parameters: those of a file that `arrays` takes in another draw.
        draws: those to look at.
    """
    content = read_content(str(parameters["path"]), Wanted.of(parameters), [])
    if content.has_split or content.label is None:
        return []
    rows = len(next(iter(content.modalities.values())))
    task, name = parameters.get("task"), content.label_name
    label = read_label(content.label, rows, None if task is None else str(task), name)
    present = together(tuple(content.modalities), content.present, rows)
    groups = _tied(content, rows, present).groups
    trained = {draw: _drawn_splits(label, name, draw, groups, present).train for draw in draws}
    still = {
        name: [draw for draw, train in trained.items() if not _varies(content, name, train)]
        for name in content.modalities
    }
    return [f"{parameters['path']}: {_still(name, of)}" for name, of in still.items() if of]


def unusable(content: Content) -> list[str]:
    """What is wrong with content for any study, as far as it can be read."""
    # A study says what labels are that may be classes or amounts; here they may be either.
    either = content.label is not None and is_ambiguous(content.label)
    task = Task.REGRESSION if either else None
    faults: list[str] = []
    with noted(faults):
        _views(content, 0, task, None, faults)
    return faults


def _tied(content: Content, rows: int, present: Bools | None) -> Belonging:
    """Which rows belong together."""
    given = None if content.groups is None else given_groups(content.groups, rows)
    sides = content.modalities
    return belonging(tuple(sides), tuple(sides.values()), given, present)


def _varies(content: Content, name: str, train: Integers) -> bool:
    """Whether anything of the modality is left once it is scaled."""
    x, train = content.modalities[name], _having(content, name, train)
    # Mostly the first few rows tell, which is much less to look at.
    return any(bool(z_scaling(x[rows]).sd.any()) for rows in (train[:100], train) if len(rows))


def _having(content: Content, name: str, rows: Integers) -> Integers:
    """Those of the rows that have the modality."""
    there = content.present.get(name)
    return rows if there is None else rows[there[rows]]


def _still(name: str, draws: Sequence[int]) -> str:
    """What is wrong with a modality that does not vary in these draws; none of given splits."""
    of = f" of draw{'s' if len(draws) > 1 else ''} {listed(draws)}" if draws else ""
    return (
        f"{name} does not vary in the training split{of}: all its rows are equal there, expected "
        "rows that differ"
    )


def _views(
    content: Content, draw: int, task: str | None, scale: str | None, faults: list[str]
) -> Views | None:
    """The views, or None where faults are noted.

    Raises:
        InputError: a fault behind which no others can be found.
    """
    label: Label | None = None
    splits: Splits | None = None
    rows = next(iter(content.lengths.values()), None)
    if len(set(content.lengths.values())) > 1:
        faults.append(uneven(content.lengths))
    with noted(faults):
        if rows is not None and content.label is not None:
            label = read_label(
                content.label, rows, task, content.label_name, next(iter(content.lengths))
            )
    tied, present = Belonging(None), None
    with noted(faults):
        if rows is not None and not faults:
            present = together(tuple(content.modalities), content.present, rows)
            tied = _tied(content, rows, present)
    with noted(faults):
        if content.split is not None:
            if draw > 0:
                faults.append(
                    f"has its own splits, so draw is {draw} but expected 0 (one draw); "
                    "leave out the array split to draw splits"
                )
            splits = _given_splits(content.split, rows, faults)
        elif label is not None and not content.has_split:
            splits = _drawn_splits(label, content.label_name, draw, tied.groups, present)
    with noted(faults):
        if content.has_split and splits is not None and label is not None:
            check_trained(label, content.label_name, splits.train)
    # Splits that a fault was found in may not fit the rows.
    if splits is not None and not faults:
        draws = () if content.has_split else (draw,)
        still = [name for name in content.modalities if not _varies(content, name, splits.train)]
        faults += [_still(name, draws) for name in still]
        faults += [] if present is None else too_few(tuple(content.modalities), present, splits)
    if faults or label is None or splits is None:
        return None
    sides = content.modalities.items()
    cut = parted(tied.groups, splits) if content.has_split and tied.groups is not None else []
    return Views(
        inputs=tuple(_scaled(content, name, splits.train, scale) for name, _ in sides),
        y=label.y,
        classes=len(label.names),
        splits=splits,
        names=content.names,
        groups=tied.groups,
        resplit=not content.has_split,
        notes=(
            *filter(None, (label.told, tied.found)),
            *([] if present is None else notes_on_lacking(tuple(content.modalities), present)),
            *_twins(content.modalities),
            *(note for name, x in sides for note in _on_tokens(name, x, content.layouts)),
            *cut,
            *tied.told,
            *unused(content.unused),
        ),
        task=label.task,
        values=label.values,
        targets=label.targets,
        layouts=tuple(map(content.layouts.get, content.modalities)) if content.layouts else (),
        present=present,
    )


def _twins(modalities: Mapping[str, Floats]) -> list[str]:
    """Modalities that are one and the same, as where a file was given twice."""
    return [
        f"{one} and {other} hold the same numbers: as one modality they have nothing to align"
        for (one, x1), (other, x2) in itertools.combinations(modalities.items(), 2)
        if np.array_equal(x1, x2)
    ]


def _scaled(content: Content, name: str, train: Integers, scale: str | None) -> Floats:
    """The modality, scaled by the training rows that have it; 0 in rows that lack it."""
    scaling, x = SCALINGS[scale or "standard"], content.modalities[name]
    layout, train = content.layouts.get(name), _having(content, name, train)
    if isinstance(layout, Tokens):
        found = scaled_tokens(x, layout, train, scaling)
    elif layout is not None:
        found = scaled_images(x, layout, train, scaling)
    else:
        found = scaling(x[train])(x)
    if name in content.present:
        found[~content.present[name]] = 0.0
    return found


def _on_tokens(name: str, x: Floats, layouts: Mapping[str, Layout]) -> list[str]:
    layout = layouts.get(name)
    return notes_on(name, x, layout) if isinstance(layout, Tokens) else []
