"""Checks the names in a study file against the registries of datasets, metrics and losses."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raysweep.data.parameters import Parameter
from raysweep.data.registry import DATASETS
from raysweep.errors import InputError
from raysweep.metrics import REGISTRY
from raysweep.objective import COMMON_OPTIONS, LOSSES
from raysweep.objective.options import resolve
from raysweep.spec import Scalar, Study
from raysweep.study_file import Fault, Location, unknown_name

_NOT_AXES = ("dataset", "draws")


def check(raw: Mapping[str, Any], folder: Path) -> list[Fault]:
    """All faults of a raw study that only the registries can tell.

    Args:
        raw: the study as read from YAML; it may be malformed elsewhere.
        folder: what relative paths are relative to.
    """
    faults: list[Fault] = []
    blocks = raw.get("data")
    for index, block in enumerate(blocks if isinstance(blocks, list) else [blocks]):
        if isinstance(block, Mapping):
            faults += _check_block(block, ("data", index), folder)
    faults += _check_loss(raw.get("alignment"))
    faults += _check_metrics(raw.get("evaluation"))
    return faults


def resolve_files(study: Study, folder: Path) -> Study:
    """The study with absolute paths and a digest of the content of every file it names.

    A cell is known by what its file holds, not by where it lies, so a changed file is new data.
    """
    data, files = [], {}
    for block in study.data:
        update: dict[str, tuple[Scalar, ...]] = {}
        for parameter in DATASETS[block.dataset].parameters:
            if parameter.kind == "path" and parameter.name in block.axes:
                paths = [_resolved(str(v), folder) for v in block.axes[parameter.name]]
                update[parameter.name] = tuple(str(p) for p in paths)
                files.update({str(p): _digest(p) for p in paths})
        data.append({"dataset": block.dataset, "draws": block.draws, **block.axes, **update})
    # Built anew from plain values, so that every part is checked as it was when it was read.
    return Study.model_validate({**study.model_dump(), "data": data, "files": files})


def _check_block(block: Mapping[str, Any], at: Location, folder: Path) -> list[Fault]:
    name = block.get("dataset")
    if name is None:
        return []  # spec.py says that it is missing
    if name not in DATASETS:
        return [Fault((*at, "dataset"), unknown_name("dataset", str(name), list(DATASETS)))]
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
            faults.append(Fault((*at, key), f"the grid is empty; expected {known[key].expected()}"))
        repeated = sorted({str(v) for v in values if values.count(v) > 1})
        if repeated:
            faults.append(Fault((*at, key), f"values used twice: {', '.join(repeated)}"))
        for index, value in enumerate(values):
            where = (*at, key, index) if isinstance(given, list) else (*at, key)
            faults += _check_value(known[key], value, where, folder)
    missing = [p for p in known.values() if p.required and p.name not in block]
    faults += [
        Fault(at, f"dataset {name} needs {p.name}: {p.meaning} ({p.expected()})") for p in missing
    ]
    return faults


def _check_value(parameter: Parameter, value: object, at: Location, folder: Path) -> list[Fault]:
    try:
        parsed = parameter.parse(value)
    except InputError as error:
        return [Fault(at, f"expected {error}, found {value!r}")]
    if parameter.kind == "path":
        path = _resolved(str(parsed), folder)
        if not path.is_file():
            return [Fault(at, f"there is no file {path}; give a path relative to the study file")]
    return []


def _check_loss(part: object) -> list[Fault]:
    if not isinstance(part, Mapping):
        return []
    name = part.get("loss", "infonce")
    if name not in LOSSES:
        return [Fault(("alignment", "loss"), unknown_name("loss", str(name), list(LOSSES)))]
    options = part.get("options")
    declared = (*LOSSES[name].options, *COMMON_OPTIONS)
    return _check_options(
        options,
        ("alignment", "options"),
        f"option of {name}",
        {option.name for option in declared},
        lambda given: resolve(declared, given, f"loss {name}"),
    )


def _check_metrics(part: object) -> list[Fault]:
    metrics = part.get("metrics") if isinstance(part, Mapping) else None
    if isinstance(metrics, list):
        metrics = dict.fromkeys(str(m) for m in metrics)
    if not isinstance(metrics, Mapping):
        return []
    faults = []
    for name, options in metrics.items():
        at: Location = ("evaluation", "metrics", str(name))
        if name not in REGISTRY:
            faults.append(Fault(at, unknown_name("metric", str(name), list(REGISTRY))))
            continue
        metric = REGISTRY[name]
        faults += _check_options(
            options, at, f"option of {name}", set(metric.options), metric.resolve
        )
    return faults


def _check_options(
    given: object, at: Location, what: str, names: set[str], resolve_one: Any
) -> list[Fault]:
    if not isinstance(given, Mapping):
        return []
    faults = []
    for key, value in given.items():
        if key not in names:
            faults.append(Fault((*at, str(key)), unknown_name(what, str(key), sorted(names))))
            continue
        try:
            resolve_one({key: value})
        except InputError as error:
            faults.append(Fault((*at, str(key)), str(error)))
    return faults


def _resolved(path: str, folder: Path) -> Path:
    return (folder / Path(path).expanduser()).resolve()


def _digest(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:20]
