"""Checks the data blocks of a study file: names, values, files, and that they can be loaded."""

import inspect
import itertools
from collections.abc import Mapping, Sequence
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
from raysweep.vocabulary.files import resolved_path

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
        found = path.is_file()
    except (OSError, RuntimeError, ValueError) as error:
        return [Fault(at, f"{shown(value)} is not a path ({error})")]
    if not found:
        return [Fault(at, f"there is no file {path}; give a path relative to the study file")]
    return []


def check_together(block: Mapping[str, Any], at: Location) -> list[Fault]:
    """The fault of values that are valid alone and not together, in any cell of a valid block."""
    dataset = DATASETS[str(block["dataset"])]
    if dataset.together is None:
        return []
    names = [n for n in inspect.signature(dataset.together).parameters if n in block]
    axes = [block[n] if isinstance(block[n], list) else [block[n]] for n in names]
    for values in itertools.product(*axes):
        try:
            dataset.together(**dict(zip(names, values, strict=True)))
        except InputError as error:
            # The message says which parameter is what: its line is the place.
            said = str(error)
            named = sorted((n for n in names if f" {n} is " in said), key=said.index)
            return [Fault((*at, *named[:1]), said)]
    return []


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
    block: Mapping[str, Any], at: Location, folder: Path
) -> tuple[list[Fault], list[PairedViews]]:
    """Load the first cell of a block, and one for each of its files and numbers of modalities."""
    try:
        grid = DataGrid.model_validate(dict(block))
    except ValidationError:
        return [], []
    dataset = DATASETS[grid.dataset]
    axes = dict(grid.axes)
    files = [p.name for p in dataset.parameters if p.kind == "path" and p.name in axes]
    faults, views = [], []
    varied = [*files, *(["modalities"] if "modalities" in axes else [])]
    for given in itertools.product(*(axes[name] for name in varied)):
        first = {name: values[0] for name, values in axes.items()}
        first.update(zip(varied, given, strict=True))
        first.update({name: str(resolved_path(str(first[name]), folder)) for name in files})
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


def check_population(verdict: object, dataset: str, views: Sequence[PairedViews]) -> list[Fault]:
    """The fault of testing what only data whose inputs can be listed have."""
    given = verdict.get("performance") if isinstance(verdict, Mapping) else None
    if not str(given).endswith("_population"):
        return []
    known = [view.population for view in views if view.population is not None]
    listed = len(known) == len(views)
    if given == "performance_fused_population":
        listed = listed and all(population.joint is not None for population in known)
    if listed:
        return []
    return [
        Fault(
            ("verdict", "performance"),
            f"the inputs of dataset {dataset} cannot be listed with these characteristics, so "
            f"there is no {given}; choose {str(given).replace('population', 'test')}",
        )
    ]


def check_several(raw: Mapping[str, Any], views: Sequence[PairedViews]) -> list[Fault]:
    """The fault of an engine that cannot train as many modalities as the data have."""
    training = raw.get("training")
    engine = training.get("engine") if isinstance(training, Mapping) else None
    most = max((len(view.inputs) for view in views), default=0)
    if engine != "kernel" or most <= 2:
        return []
    message = f"engine kernel trains two modalities, and the data have {most}; take auto"
    return [Fault(("training", "engine"), message)]
