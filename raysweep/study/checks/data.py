"""Checks the data blocks of a study file: names, values, files, and that they can be loaded."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from raysweep.data.arrays import still_draws
from raysweep.data.registry import DATASETS, default_draws, load
from raysweep.data.views import Views
from raysweep.errors import InputError
from raysweep.kinds.kind import kind_named
from raysweep.plugins.options import Option, Value
from raysweep.study.checks.listed_columns import listed_columns
from raysweep.study.checks.parts import check_value
from raysweep.study.files import has_data, resolved_path, same_files
from raysweep.study.reader import unknown_name
from raysweep.study.spec import DataGrid
from raysweep.study.yaml_lines import Fault, Location, shown
from raysweep.trials.columns import column_of, named

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
    wrong = check_value(parameter, value, at)
    if not wrong and parameter.name in _SPLITS and isinstance(value, int) and value > _MOST_ROWS:
        return [Fault(at, f"at most {_MOST_ROWS} rows, found {shown(value)}")]
    if wrong or parameter.kind != "path":
        return wrong
    try:
        path = resolved_path(str(value), folder)
        found, there = path.is_file() or has_data(path), path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        return [
            Fault(at, f"{shown(value)} is not a path ({getattr(error, 'strerror', None) or error})")
        ]
    if there and not found:
        return [
            Fault(
                at,
                f"{path} is not a file; give the path of one, or of a folder of .npy files or one "
                "that datasets' save_to_disk wrote",
            )
        ]
    if not found:
        return [Fault(at, f"there is no file {path}; give a path relative to the study file")]
    return []


def check_combinations(block: Mapping[str, Any], at: Location) -> list[Fault]:
    """The combinations of a block's axes that the dataset refuses, without loading any."""
    grid = _grid(block)
    if grid is None:
        return []
    axes = _all_values(grid)
    found: dict[Fault, None] = {}
    for rule in DATASETS[grid.dataset].rules:
        for chosen, message in rule.faults(axes, grid.draws):
            given = {name: value for name, value in chosen.items() if name in block}
            found[Fault(_place(block, at, given), message + _among(grid, given))] = None
    return list(found)


def _grid(block: Mapping[str, Any]) -> DataGrid | None:
    try:
        return DataGrid.model_validate(dict(block))
    except ValidationError:
        return None  # spec says what is wrong


def _all_values(grid: DataGrid) -> dict[str, tuple[Value, ...]]:
    """Parameter -> its values, plain and checked; of those left out the default."""
    return {
        p.name: tuple(p.parse(v) for v in grid.axes[p.name])
        if p.name in grid.axes
        else (p.default,)
        for p in DATASETS[grid.dataset].parameters
    }


def _place(block: Mapping[str, Any], at: Location, given: Mapping[str, object]) -> Location:
    """Where the first of the given parameters has its value."""
    for name, value in given.items():
        written = block[name]
        if isinstance(written, list):
            return (*at, name, written.index(value))
        return (*at, name)
    return at


def _among(grid: DataGrid, given: Mapping[str, object]) -> str:
    """Which combination it is, where the axes have several."""
    if all(len(grid.axes[name]) == 1 for name in given):
        return ""
    words = ", ".join(f"{name}: {shown(value)}" for name, value in given.items())
    return f" (in the combination {words}; give what goes together in data blocks of its own)"


def check_pairs(block: Mapping[str, Any], at: Location) -> list[Fault]:
    """The fault of an emergence study of more than two modalities: it is about pairs."""
    given = block.get("modalities")
    values = given if isinstance(given, list) else [given]
    return [
        Fault(
            (*at, "modalities", index) if isinstance(given, list) else (*at, "modalities"),
            f"emergence studies compare the two encoders of a pair: expected 2, found {value}",
        )
        for index, value in enumerate(values)
        if isinstance(value, int) and value > 2
    ]


def check_loading(
    block: Mapping[str, Any],
    at: Location,
    folder: Path,
    searched: Collection[int] = (),
    judged: bool = False,
) -> tuple[list[Fault], list[Views]]:
    """Load the first cell of a block, and one for each number of modalities.

    Of the user's own files every cell is loaded, as each may name what the file does not have.

    Every draw of a file is looked at, which splits it anew.

    Args:
        block: a data block without faults.
        at: where it stands.
        folder: what paths are relative to.
        searched: draws that only search.
        judged: whether the study has a verdict, for which a file is split several times.
    """
    grid = _grid(block)
    if grid is None:
        return [], []
    dataset = DATASETS[grid.dataset]
    axes = dict(grid.axes)
    files = [p.name for p in dataset.parameters if p.kind == "path" and p.name in axes]
    faults, views = [], []
    varied = [n for n in axes if n in (*files, "modalities") or grid.dataset == "arrays"]
    for given in itertools.product(*(axes[name] for name in varied)):
        first = {name: values[0] for name, values in axes.items()}
        first.update(zip(varied, given, strict=True))
        first.update({name: str(resolved_path(str(first[name]), folder)) for name in files})
        try:
            planned = grid.draws
            if judged and "draws" not in grid.model_fields_set:
                planned = default_draws(grid.dataset, first, searched)
            draws = {*planned, *searched}
            # A file may bring its splits along, and then there is no other draw than the first.
            draw = max(draws) if files else planned[0]
            views.append(load(grid.dataset, first, draw))
            others = sorted(draws - {draw})
            if views[-1].groups is not None:  # whose draws differ in their sizes
                views += [load(grid.dataset, first, other) for other in others]
            if grid.dataset == "arrays" and others:
                still = still_draws(first, others)
                faults += [Fault((*at, *files[:1]), message) for message in still]
        except InputError as error:
            faults.append(Fault((*at, *files[:1]), str(error)))
    return faults + listed_columns(axes, views, at), views


def smallest_splits(block: Mapping[str, Any], views: Sequence[Views]) -> list[dict[str, int]]:
    """Split -> the fewest rows in it of any cell of the block, or the rows that each file has."""
    grid = _grid(block)
    if grid is None:
        return []
    values = _all_values(grid)
    if all(split in values for split in _SPLITS):
        return [{split: min(int(str(v)) for v in values[split]) for split in _SPLITS}]
    return [{split: len(getattr(v.splits, split)) for split in _SPLITS} for v in views]


def check_population(verdict: object, block: Mapping[str, Any]) -> list[Fault]:
    """The faults of testing what only data whose inputs can be listed have."""
    given = verdict.get("performance") if isinstance(verdict, Mapping) else None
    grid = _grid(block)
    column = column_of(str(given))
    if grid is None or column.split != "population":
        return []
    dataset = DATASETS[grid.dataset]
    listed = dataset.listed
    if listed is not None and given == named("performance", "fused", "population"):
        listed += dataset.jointly
    if listed is None:
        reasons = [""]
    else:
        axes = _all_values(grid)
        reasons = [
            f" where {message}" for rule in listed for _, message in rule.faults(axes, grid.draws)
        ]
    return [
        Fault(
            ("verdict", "performance"),
            f"the inputs of dataset {grid.dataset} cannot be listed{reason}, so there is no "
            f"{given}; choose {column.on('test')}",
        )
        for reason in reasons
    ]


def check_several(raw: Mapping[str, Any], views: Sequence[Views], at: Location) -> list[Fault]:
    """The faults of an engine, or a kind, that takes fewer modalities than the data have."""
    training = raw.get("training")
    engine = training.get("engine") if isinstance(training, Mapping) else None
    most = max((len(view.inputs) for view in views), default=0)
    if most > 2 and kind_named(raw.get("kind")).study.every_pair:
        message = (
            f"emergence studies compare the two encoders of a pair, and the data have {most} "
            "modalities; give modality_1 and modality_2, or modalities: 2"
        )
        return [Fault(at, message)]
    if engine != "kernel" or most <= 2:
        return []
    message = f"engine kernel trains two modalities, and the data have {most}; take auto"
    return [Fault(("training", "engine"), message)]
