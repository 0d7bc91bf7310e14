"""What a file of the user's own holds: its modalities, checked, and what goes with them."""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from raysweep.data.chosen import Part, Wanted, choose
from raysweep.data.dtypes import Array, Role, check_ids, check_modality, noted
from raysweep.data.files.opened import open_source
from raysweep.data.files.source import Source
from raysweep.data.pixels import read_images
from raysweep.data.presence import read_with_gaps, told_present, without_lacking
from raysweep.data.sequences import read_sequence, told_by
from raysweep.data.views import Bools, Floats, Layout
from raysweep.errors import InputError
from raysweep.study.files import file_stamp
from raysweep.study.spec.fields import listed
from raysweep.text import counted

_MOST_TOLD = 5
"""Columns of one modality that are told to be faulty, each by itself."""


@dataclass(frozen=True)
class Content:
    """What is read of a file; without what faults were noted of.

    Attributes:
        names: of all modalities that the file has, in their order.
        modalities: by name, [n, d] finite float64.
        layouts: how the rows of a modality lie that is sequences or images, by name.
        lengths: rows by name, also of modalities that have faults.
        label, split, groups: as they stand in the file; None without.
        label_name: what the label is called.
        has_split: whether the file has splits, also where they cannot be read.
        unused: names of the file that are none of these.
        present: which rows have a modality that others lack, [n] by its name.
    """

    names: tuple[str, ...] = ()
    modalities: dict[str, Floats] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    label: Array | None = None
    split: Array | None = None
    groups: Array | None = None
    label_name: str = "y"
    has_split: bool = False
    layouts: dict[str, Layout] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    present: dict[str, Bools] = field(default_factory=dict)


_Asked = tuple[str, Wanted, tuple[int, ...] | None]

_last: dict[_Asked, Content] = {}


def read_content(path: str, wanted: Wanted, faults: list[str]) -> Content:
    """Read what a study wants of a file; the last one is kept, as each draw asks for the same.

    Args:
        path: of the file or folder.
        wanted: which of its names are what.
        faults: where to note what is wrong with it.

    Raises:
        InputError: a fault behind which no others can be found.
    """
    asked = path, wanted, file_stamp(path)
    kept = _last.get(asked)
    if kept is not None:
        return kept
    _last.clear()
    before = len(faults)
    content = _read(path, wanted, faults)
    if len(faults) == before:
        _last[asked] = content
    return content


def _read(path: str, wanted: Wanted, faults: list[str]) -> Content:
    """`read_content`, anew."""
    source = open_source(path)
    chosen = choose(source, wanted, faults)
    modalities: dict[str, Floats] = {}
    layouts: dict[str, Layout] = {}
    present: dict[str, Bools] = {}
    lengths: dict[str, int] = {}
    used: set[str] = set()
    for part in chosen.modalities:
        with noted(faults):
            members = part.members
            arrays, found = read_with_gaps(partial(source.read, members), len(members))
            faults += found[:_MOST_TOLD]
            if len(found) > _MOST_TOLD:
                more = counted(len(found) - _MOST_TOLD, f"more {source.noun}")
                faults.append(f"and {more} of {part.name} cannot be read")
            if len(arrays) == len(part.members):
                joined = _joined(source, part, arrays)
                if joined.ndim:
                    lengths[part.name] = len(joined)
                    used.update(told_present(source.names, part.members[0]))
                    joined = _present_alone(source, part, joined, present, faults)
                if joined.ndim == 3:
                    beside = told_by(source.names, part.members[0])
                    used.update(beside)
                    given = source.read(beside, Role.LABEL, faults)
                    read = read_sequence(part.name, joined, given)
                    modalities[part.name], layouts[part.name] = read
                elif joined.ndim == 4:
                    modalities[part.name], layouts[part.name] = read_images(part.name, joined)
                else:
                    modalities[part.name] = _checked(part, joined)
    label = None
    if chosen.label is not None:
        arrays = source.read(chosen.label.members, Role.LABEL, faults)
        with noted(faults):
            if len(arrays) == len(chosen.label.members):
                label = _joined(source, chosen.label, arrays)
    text = [name for name in (chosen.split,) if name]
    ids = [name for name in (chosen.groups,) if name]
    others = {
        **source.read(text, Role.TEXT, faults),
        **source.read(ids, Role.LABEL, faults),
    }
    for name in ids:
        with noted(faults):
            if name in others:
                check_ids(name, others[name])
    return Content(
        names=tuple(part.name for part in chosen.modalities),
        modalities=modalities,
        lengths=lengths,
        label=label,
        split=others.get(chosen.split or ""),
        groups=others.get(chosen.groups or ""),
        label_name=chosen.label.name if chosen.label else "y",
        has_split=chosen.split is not None,
        layouts=layouts,
        present=present,
        unused=tuple(name for name in chosen.unused(source.names) if name not in used),
    )


def _present_alone(
    source: Source, part: Part, joined: Array, present: dict[str, Bools], faults: list[str]
) -> Array:
    """A modality with zeros where rows lack it, which is noted in ``present``."""
    given = source.read(told_present(source.names, part.members[0]), Role.LABEL, faults)
    found, there = without_lacking(part.name, joined, given)
    if there is not None:
        present[part.name] = there
    return found


def _joined(source: Source, part: Part, arrays: dict[str, Array]) -> Array:
    """The members of a part side by side; one that is alone as it is.

    A column is a feature, and so is an array of one axis that a study names.

    Raises:
        InputError: they do not go beside each other.
    """
    columns = [arrays[name] for name in part.members]
    if len(columns) == 1:
        alone = columns[0]
        flat = alone.ndim == 1 and (source.noun == "column" or part.said)
        return alone[:, None] if flat else alone
    wrong = [name for name in part.members if arrays[name].ndim not in (1, 2)]
    if wrong:
        shape = arrays[wrong[0]].shape
        raise InputError(
            f"{part.name}: {listed(wrong, _MOST_TOLD)} has shape {shape}, expected 1-D or 2-D"
        )
    rows = {name: len(arrays[name]) for name in part.members}
    if len(set(rows.values())) > 1:
        raise InputError(f"{part.name}: {uneven(rows)}")
    return np.concatenate([x[:, None] if x.ndim == 1 else x for x in columns], axis=1)


def _checked(part: Part, joined: Array) -> Floats:
    """The modality as float64, or an InputError that says which of its columns is faulty."""
    try:
        return check_modality(part.name, joined)
    except InputError as error:
        if len(part.members) == 1 or len(part.members) != joined.shape[1]:
            raise
        finite = np.isfinite(joined.astype(np.float64)).all(axis=0)
        faulty = [part.members[at] for at in np.flatnonzero(~finite)]
        if not faulty:
            raise
        noun = "column" if len(faulty) == 1 else "columns"
        raise InputError(f"{error} (in {noun} {listed(faulty, _MOST_TOLD)})") from error


def uneven(rows: dict[str, int]) -> str:
    """What is wrong with arrays of different lengths."""
    names = list(rows)
    # Those that are as long as the first are no news.
    other = next(name for name in names if rows[name] != rows[names[0]])
    return (
        f"{names[0]} has {counted(rows[names[0]], 'row')} and {other} {rows[other]}, "
        f"expected as many of {'both' if len(names) == 2 else 'all'}"
    )
