"""Grids -> cells, in a fixed order, with ids made from their content."""

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePath
from typing import Any

from raysweep.seeds import content_key
from raysweep.study.encoders import built_in_options
from raysweep.study.spec.base import StudyBase
from raysweep.study.spec.fields import Scalar

DEFAULT_DEPTH = 1
DEFAULT_WIDTH = 64
FILE = "file"
"""The column of a cell's data file."""


@dataclass(frozen=True)
class Cell:
    """One point of data grid x model grid.

    Attributes:
        dataset: name of the dataset in the registry.
        parameters: the dataset's characteristics at this point, sorted by name.
        draws: the dataset draws that are run in this cell.
        depth_1, depth_2: hidden layers of the encoders of modality 1, and of 2 and any further.
        encoder: of all modalities.
        width_1, width_2: units per hidden layer.
        contents: path -> digest of the files; what they hold is in the id in place of the path.
        names: path -> as much of its end as tells it from the study's other files.
        options: that the study gives of an encoder that is built in, sorted by name.
        fusion: of the fused head, where that is an axis; else empty.
    """

    dataset: str
    parameters: tuple[tuple[str, Scalar], ...]
    draws: tuple[int, ...]
    encoder: str
    depth_1: int
    depth_2: int
    width_1: int
    width_2: int
    contents: tuple[tuple[str, str], ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, Scalar], ...] = ()
    fusion: str = ""

    @property
    def file(self) -> str:
        """The name of the data file, empty without."""
        return ", ".join(name for _, name in self.names)

    @property
    def modalities(self) -> int:
        """How many modalities the data have, and so encoders a trial: two unless it is said.

        Of the user's own data it is said where the study is resolved.
        """
        parameters = dict(self.parameters)
        named = sum(f"modality_{k}" in parameters for k in range(1, 5))
        given = parameters.get("modalities", named or 2)
        return given if isinstance(given, int) else 2

    @property
    def scale(self) -> dict[str, Scalar]:
        """The model's scale, by the names of its columns."""
        return {
            "encoder": self.encoder,
            "depth_1": self.depth_1,
            "depth_2": self.depth_2,
            "width_1": self.width_1,
            "width_2": self.width_2,
        }

    @cached_property
    def id(self) -> str:
        """``<dataset>-<10 hexadecimal digits>``, a pure function of the content (not of draws)."""
        content = dict(self.contents)
        identity: dict[str, Any] = {
            "dataset": self.dataset,
            "parameters": {
                k: content.get(v, v) if isinstance(v, str) else v for k, v in self.parameters
            },
            "model": list(self.scale.values()),
        }
        if self.options:
            identity["options"] = dict(self.options)
        if self.fusion:
            identity["fusion"] = self.fusion
        return f"{self.dataset}-{content_key(identity, 10)}"


@dataclass(frozen=True)
class FreeCell(Cell):
    """One point of axes that are the user's own, whose code trains: there are no data or encoders.

    Attributes:
        parameters: the value of each axis, sorted by name; paths of ``contents`` among them.
    """

    encoder: str = ""
    depth_1: int = 0
    depth_2: int = 0
    width_1: int = 0
    width_2: int = 0

    @property
    def modalities(self) -> int:
        """One model a trial, whatever is in it."""
        return 1

    @property
    def scale(self) -> dict[str, Scalar]:
        """Nothing: what scale there is is an axis."""
        return {}


def expand(study: StudyBase) -> list[Cell]:
    """All cells of a study: data blocks in file order, axes in file order, the last one fastest."""
    points = study.free_points()
    if points is not None:
        return [
            FreeCell(
                study.kind,
                tuple(sorted(point.items())),
                block.draws,
                contents=_contents(study, point),
            )
            for block in study.blocks()
            for point in points
        ]
    cells: dict[str, Cell] = {}
    called = _names_of_files(study)
    for block in study.data:
        names = list(block.axes)
        for values in itertools.product(*block.axes.values()):
            # None asks for what leaving the characteristic out asks for.
            given = zip(names, values, strict=True)
            parameters = {name: value for name, value in given if value is not None}
            for encoder, depths, widths, fusion in itertools.product(
                study.model.encoder,
                study.pairs("depth", DEFAULT_DEPTH),
                study.pairs("width", DEFAULT_WIDTH),
                study.fused_heads,
            ):
                used = {v for v in parameters.values() if isinstance(v, str)}
                cell = Cell(
                    dataset=block.dataset,
                    parameters=tuple(sorted(parameters.items())),
                    draws=block.draws,
                    encoder=encoder,
                    depth_1=depths[0],
                    depth_2=depths[1],
                    width_1=widths[0],
                    width_2=widths[1],
                    contents=_contents(study, parameters),
                    names=tuple(sorted((p, name) for p, name in called.items() if p in used)),
                    options=tuple(sorted(built_in_options(study.model, encoder).items())),
                    fusion=fusion,
                )
                before = cells.get(cell.id, cell)
                # Two blocks may name the same cell with other draws: it gets them all.
                draws = dict.fromkeys((*before.draws, *cell.draws))
                cells[cell.id] = replace(before, draws=tuple(draws))
    return list(cells.values())


def _contents(study: StudyBase, point: Mapping[str, Scalar]) -> tuple[tuple[str, str], ...]:
    """The files of a study among the values of a cell, sorted: path -> digest."""
    used = {value for value in point.values() if isinstance(value, str)}
    return tuple(sorted((path, study.files[path]) for path in used if path in study.files))


def varying(cells: list[Cell]) -> dict[str, str]:
    """Cell id -> a short label that names only what differs between the cells.

    For instance ``synthetic U=4`` where the cells differ in dataset and uniqueness alone. Data of
    the user's own go by the name of their file. Labels of different cells differ.
    """
    facts = {cell.id: _facts(cell) for cell in cells}
    cells_of = Counter(cell.dataset for cell in cells)
    given = Counter((cell.dataset, name) for cell in cells for name in facts[cell.id])
    seen: dict[tuple[str, str], set[str]] = {}
    for cell in cells:
        for name, value in facts[cell.id].items():
            # By its text, as True, 1 and 1.0 are one key of a dict.
            seen.setdefault((cell.dataset, name), set()).add(repr(value))
    labels = {}
    for cell in cells:
        parts = [cell.file or cell.dataset]
        for name, value in facts[cell.id].items():
            at = (cell.dataset, name)
            told = len(seen[at]) > 1 or given[at] < cells_of[cell.dataset]
            if told and not (name == FILE and cell.file):
                parts.append(f"{name}={value}")
        labels[cell.id] = " ".join(parts)
    # A file may be called like another cell.
    called = Counter(labels.values())
    return {id: text if called[text] == 1 else f"{text} {id}" for id, text in labels.items()}


def _names_of_files(study: StudyBase) -> dict[str, str]:
    """Path -> as much of its end as no other data file of the study ends in."""
    given = (value for block in study.data for values in block.axes.values() for value in values)
    paths = [path for path in dict.fromkeys(map(str, given)) if path in study.files]
    ends = {path: _ends(path) for path in paths}
    shared = Counter(end for of in ends.values() for end in of)
    return {path: next((end for end in of if shared[end] == 1), path) for path, of in ends.items()}


def _ends(path: str) -> list[str]:
    """What a path ends in: its last part, its last two, and so on."""
    parts = PurePath(path).parts
    return [str(PurePath(*parts[at:])) for at in range(len(parts) - 1, -1, -1)]


def _facts(cell: Cell) -> dict[str, Scalar]:
    if not cell.scale:
        files = dict(cell.contents)
        return {name: value for name, value in cell.parameters if value not in files}
    depth: dict[str, Scalar] = (
        {"depth": cell.depth_1}
        if cell.depth_1 == cell.depth_2
        else {"depth_1": cell.depth_1, "depth_2": cell.depth_2}
    )
    width: dict[str, Scalar] = (
        {"width": cell.width_1}
        if cell.width_1 == cell.width_2
        else {"width_1": cell.width_1, "width_2": cell.width_2}
    )
    encoder: dict[str, Scalar] = {"encoder": cell.encoder}
    files = dict(cell.names)
    # Files and labels go by the names of their columns in the trial table.
    given = {
        FILE if v in files else "target" if name == "label" else name: files.get(str(v), v)
        for name, v in cell.parameters
    }
    fusion: dict[str, Scalar] = {"fusion": cell.fusion} if cell.fusion else {}
    return {**given, **encoder, **depth, **width, **fusion}
