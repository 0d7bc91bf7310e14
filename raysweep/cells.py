"""Grids -> cells, in a fixed order, with ids made from their content."""

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from raysweep.seeds import content_key
from raysweep.spec import Scalar, Study

DEFAULT_DEPTH = 1
DEFAULT_WIDTH = 64


@dataclass(frozen=True)
class Cell:
    """One point of data grid x model grid.

    Attributes:
        dataset: name of the dataset in the registry.
        parameters: the dataset's characteristics at this point, sorted by name.
        draws: the dataset draws that are run in this cell.
        depth_1, depth_2: hidden layers of the encoders of modality 1 and 2.
        width_1, width_2: units per hidden layer.
        identity: what the id is made from; a file's path is replaced by its content there.
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

    @cached_property
    def id(self) -> str:
        """``<dataset>-<10 hexadecimal digits>``, a pure function of the content (not of draws)."""
        content = dict(self.contents)
        identity: dict[str, Any] = {
            "dataset": self.dataset,
            "parameters": {
                k: content.get(v, v) if isinstance(v, str) else v for k, v in self.parameters
            },
            "model": [
                self.encoder,
                self.depth_1,
                self.depth_2,
                self.width_1,
                self.width_2,
            ],
        }
        return f"{self.dataset}-{content_key(identity, 10)}"


def expand(study: Study) -> list[Cell]:
    """All cells of a study: data blocks in file order, axes in file order, the last one fastest."""
    cells: dict[str, Cell] = {}
    for block in study.data:
        names = list(block.axes)
        for values in itertools.product(*block.axes.values()):
            parameters = dict(zip(names, values, strict=True))
            for depths, widths in itertools.product(
                study.model.pairs("depth", DEFAULT_DEPTH), study.model.pairs("width", DEFAULT_WIDTH)
            ):
                used = {v for v in parameters.values() if isinstance(v, str)}
                cell = Cell(
                    dataset=block.dataset,
                    parameters=tuple(sorted(parameters.items())),
                    draws=block.draws,
                    encoder=study.model.encoder,
                    depth_1=depths[0],
                    depth_2=depths[1],
                    width_1=widths[0],
                    width_2=widths[1],
                    contents=tuple(sorted((p, d) for p, d in study.files.items() if p in used)),
                )
                cells.setdefault(cell.id, cell)
    return list(cells.values())


def varying(cells: list[Cell]) -> dict[str, str]:
    """Cell id -> a short label that names only what differs between the cells.

    For instance ``synthetic U=4`` where the cells differ in dataset and uniqueness alone.
    """
    facts = {cell.id: _facts(cell) for cell in cells}
    labels = {}
    for cell in cells:
        peers = [f for c, f in facts.items() if f["dataset"] == cell.dataset]
        parts = [cell.dataset]
        for name, value in facts[cell.id].items():
            if name != "dataset" and len({repr(p.get(name)) for p in peers}) > 1:
                parts.append(f"{name}={value}")
        labels[cell.id] = " ".join(parts)
    return labels


def _facts(cell: Cell) -> dict[str, Scalar]:
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
    return {"dataset": cell.dataset, **dict(cell.parameters), **depth, **width}
