"""Checks the data blocks of a study file: names, values, files, and that they can be loaded."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from raysweep.data.registry import DATASETS, load
from raysweep.data.views import PairedViews
from raysweep.errors import InputError
from raysweep.options import Option
from raysweep.spec import DataGrid
from raysweep.study_file import unknown_name
from raysweep.study_yaml import Fault, Location, shown
from raysweep.vocabulary.files import resolved_path, same_files

_SPLITS = ("train", "validation", "test")
_NOT_AXES = ("dataset", "draws")
_MOST_ROWS = 100_000_000


def check_block(block: Mapping[str, Any], at: Location, folder: Path) -> list[Fault]:
    """Faults of a data block's names and values; the block itself stands at ``at``."""
    name = block.get("dataset")
    if not isinstance(name, str):
        return []  # spec says that it is missing, or what it should be
    if name not in DATASETS:
        return [Fault((*at, "dataset"), unknown_name("dataset", name, list(DATASETS)))]
    known = {p.name: p for p in DATASETS[name].parameters}
    faults = []
    for key, given in block.items():
        if key in _NOT_AXES:
            continue
        if key not in known:
            what = f"characteristic of {name}"
            choices = [*known, *_NOT_AXES]
            faults.append(Fault((*at, key), unknown_name(what, str(key), choices)))
            continue
        values = given if isinstance(given, list) else [given]
        if not values:
            faults.append(Fault((*at, key), f"the grid is empty; expected {known[key].expected}"))
        repeated = sorted({shown(v) for v in values if values.count(v) > 1})
        if repeated:
            twice = f"values used twice: {', '.join(repeated)}; give each value once"
            faults.append(Fault((*at, key), twice))
        for index, value in enumerate(values):
            where = (*at, key, index) if isinstance(given, list) else (*at, key)
            faults += _check_value(known[key], value, where, folder)
        if known[key].kind == "path" and len(values) > 1:
            paths = {i: v for i, v in enumerate(values) if isinstance(v, str)}
            for index, earlier in same_files(paths, folder).items():
                if values[index] == values[earlier]:
                    continue  # told as a value that is used twice
                message = (
                    f"{values[index]} holds the same data as {values[earlier]}; give each once"
                )
                faults.append(Fault((*at, key, index), message))
    missing = [p for p in known.values() if p.required and p.name not in block]
    faults += [
        Fault(at, f"dataset {name} needs {p.name}: {p.meaning} ({p.expected})") for p in missing
    ]
    return faults


def _check_value(parameter: Option, value: object, at: Location, folder: Path) -> list[Fault]:
    wrong = Fault(at, f"expected {parameter.expected}, found {shown(value)}")
    if parameter.kind == "path" and not isinstance(value, str):
        return [wrong]
    try:
        parsed = parameter.parse(value)
    except InputError:
        return [wrong]
    if parameter.name in _SPLITS and isinstance(parsed, int) and parsed > _MOST_ROWS:
        return [Fault(at, f"at most {_MOST_ROWS} rows, found {shown(value)}")]
    if parameter.kind != "path":
        return []
    try:
        path = resolved_path(str(value), folder)
        found, there = path.is_file(), path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        return [Fault(at, f"{shown(value)} is not a path ({error})")]
    if there and not found:
        return [Fault(at, f"{path} is not a file; give the path of one")]
    if not found:
        return [Fault(at, f"there is no file {path}; give a path relative to the study file")]
    return []


def check_loading(
    block: Mapping[str, Any], at: Location, folder: Path
) -> tuple[list[Fault], list[PairedViews]]:
    """Load the first cell of a block, and one for each of its files."""
    try:
        grid = DataGrid.model_validate(dict(block))
    except ValidationError:
        return [], []
    dataset = DATASETS[grid.dataset]
    axes = dict(grid.axes)
    files = [p.name for p in dataset.parameters if p.kind == "path" and p.name in axes]
    faults, views = [], []
    for paths in itertools.product(*(axes[name] for name in files)):
        resolved = [str(resolved_path(str(path), folder)) for path in paths]
        first = {name: values[0] for name, values in axes.items()}
        first.update(zip(files, resolved, strict=True))
        try:
            views.append(load(grid.dataset, first, grid.draws[0]))
        except InputError as error:
            faults.append(Fault((*at, *files[:1]), str(error)))
    return faults, views


def smallest_splits(block: Mapping[str, Any], views: PairedViews) -> dict[str, int]:
    """Split -> the fewest rows that a cell of the block has in it."""
    sizes = {}
    for split in _SPLITS:
        given = block.get(split)
        values = given if isinstance(given, list) else [given]
        sizes[split] = len(getattr(views.splits, split)) if given is None else min(values)
    return sizes


def check_population(verdict: object, dataset: str) -> list[Fault]:
    """The fault of testing what only data whose inputs can be listed have."""
    given = verdict.get("performance") if isinstance(verdict, Mapping) else None
    if not str(given).endswith("_population"):
        return []
    return [
        Fault(
            ("verdict", "performance"),
            f"the inputs of dataset {dataset} cannot be listed with these characteristics, so "
            f"there is no {given}; choose {str(given).replace('population', 'test')}",
        )
    ]
