"""Checks a study file against the registries of datasets, metrics and losses, and resolves it."""

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from raysweep.cells import DEFAULT_WIDTH, Cell
from raysweep.data.parameters import Parameter
from raysweep.data.registry import DATASETS, load
from raysweep.data.views import PairedViews
from raysweep.errors import InputError
from raysweep.metrics import REGISTRY
from raysweep.objective import COMMON_OPTIONS, LOSSES, build_loss
from raysweep.objective.options import resolve
from raysweep.spec import DataGrid, Evaluation, ModelGrid, Study, Training
from raysweep.study_file import unknown_name
from raysweep.study_yaml import Fault, Location, shown

P = TypeVar("P", bound=BaseModel)
_NOT_AXES = ("dataset", "draws")
_DEFAULT_LOSS = "infonce"
_SPLITS = ("train", "validation", "test")
_MOST_ROWS = 100_000_000


def check(raw: Mapping[str, Any], folder: Path) -> list[Fault]:
    """All faults of a raw study that only the registries can tell.

    One cell of every data block is loaded, so that a file that cannot be used is found here.

    Args:
        raw: the study as read from YAML; it may be malformed elsewhere.
        folder: what relative paths are relative to.
    """
    faults: list[Fault] = []
    blocks = raw.get("data")
    sizes: list[dict[str, int]] = []
    for index, block in enumerate(blocks if isinstance(blocks, list) else [blocks]):
        if not isinstance(block, Mapping):
            continue
        at: Location = ("data", index)
        found = _check_block(block, at, folder)
        if not found and isinstance(block.get("dataset"), str):
            found, views = _check_loading(block, at, folder)
            sizes += [_smallest_splits(block, v) for v in views]
            if any(v.population is None for v in views):
                faults += _check_population(raw.get("verdict"), str(block.get("dataset")))
        faults += found
    faults += _check_loss(raw.get("alignment"), _widths(raw.get("model")))
    faults += _check_metrics(raw.get("evaluation"), _widths(raw.get("model")))
    faults += _check_objective(raw.get("search"), raw.get("evaluation"))
    if sizes:
        smallest = {split: min(s[split] for s in sizes) for split in sizes[0]}
        faults += _check_rows(raw, smallest)
    return faults


def resolve_files(study: Study, folder: Path) -> Study:
    """The study with all defaults filled in, absolute paths and digests of the files it names.

    So equal content has equal cell ids however it is written, and a stored study means the same
    after a default has changed. A file is known by what it holds, not by where it lies: a changed
    file is new data.
    """
    data, files = [], {}
    for block in study.data:
        values: dict[str, Any] = dict(block.axes)
        for parameter in DATASETS[block.dataset].parameters:
            if parameter.name in values:
                axis: list[Any] = [parameter.parse(value) for value in values[parameter.name]]
                if parameter.kind == "path":
                    axis = [str(_resolved(path, folder)) for path in axis]
                    files.update({path: file_digest(path) for path in axis})
                values[parameter.name] = axis[0] if len(axis) == 1 else axis
            elif parameter.default is not None:
                values[parameter.name] = parameter.default
        data.append({"dataset": block.dataset, "draws": block.draws, **values})
    plain = study.model_dump()
    plain["evaluation"]["metrics"] = {
        name: REGISTRY[name].resolve(options) for name, options in study.evaluation.metrics.items()
    }
    loss, options = study.alignment.loss, study.alignment.options
    if ":" in loss:
        files[loss] = file_digest(_source(loss))
    else:
        declared = (*LOSSES[loss].options, *COMMON_OPTIONS)
        plain["alignment"]["options"] = resolve(declared, options, f"loss {loss}")
    # Built anew from plain values, so that every part is checked as it was when it was read.
    return Study.model_validate({**plain, "data": data, "files": files})


def check_files(study: Study, cell: Cell) -> None:
    """Check that the files a cell's trials depend on hold what they held when it was planned.

    Raises:
        InputError: a file has changed or is gone since the study was resolved.
    """
    used = {**dict(cell.contents)}
    if study.alignment.loss in study.files:
        used[str(_source(study.alignment.loss))] = study.files[study.alignment.loss]
    for path, digest in used.items():
        try:
            changed = file_digest(path) != digest
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
        if changed:
            raise InputError(
                f"{path}: has changed since this run was planned; put the old content back, or "
                "run the study again (changed data are new cells)"
            )


def file_digest(path: str | Path) -> str:
    """Digest of a file's content, 20 hexadecimal digits.

    Raises:
        OSError: the file cannot be read.
    """
    status = Path(path).stat()
    return _digest(str(path), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _digest(path: str, changed_ns: int, size: int) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:20]


def _check_block(block: Mapping[str, Any], at: Location, folder: Path) -> list[Fault]:
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
            faults.append(Fault((*at, key), f"the grid is empty; expected {known[key].expected()}"))
        repeated = sorted({shown(v) for v in values if values.count(v) > 1})
        if repeated:
            twice = f"values used twice: {', '.join(repeated)}; give each value once"
            faults.append(Fault((*at, key), twice))
        for index, value in enumerate(values):
            where = (*at, key, index) if isinstance(given, list) else (*at, key)
            faults += _check_value(known[key], value, where, folder)
    missing = [p for p in known.values() if p.required and p.name not in block]
    faults += [
        Fault(at, f"dataset {name} needs {p.name}: {p.meaning} ({p.expected()})") for p in missing
    ]
    return faults


def _check_value(parameter: Parameter, value: object, at: Location, folder: Path) -> list[Fault]:
    wrong = Fault(at, f"expected {parameter.expected()}, found {shown(value)}")
    if parameter.kind == "path" and not isinstance(value, str):
        return [wrong]
    try:
        parsed = parameter.parse(value)
    except (InputError, OverflowError):
        return [wrong]
    if parameter.name in _SPLITS and isinstance(parsed, int) and parsed > _MOST_ROWS:
        return [Fault(at, f"at most {_MOST_ROWS} rows, found {shown(value)}")]
    if parameter.kind != "path":
        return []
    try:
        path = _resolved(str(value), folder)
        found = path.is_file()
    except (OSError, RuntimeError, ValueError) as error:
        return [Fault(at, f"{shown(value)} is not a path ({error})")]
    if not found:
        return [Fault(at, f"there is no file {path}; give a path relative to the study file")]
    return []


def _check_loading(
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
        resolved = [str(_resolved(str(path), folder)) for path in paths]
        first = {name: values[0] for name, values in axes.items()}
        first.update(zip(files, resolved, strict=True))
        try:
            views.append(load(grid.dataset, first, grid.draws[0]))
        except InputError as error:
            faults.append(Fault((*at, *files[:1]), str(error)))
    return faults, views


def _smallest_splits(block: Mapping[str, Any], views: PairedViews) -> dict[str, int]:
    """Split -> the fewest rows that a cell of the block has in it."""
    sizes = {}
    for split in _SPLITS:
        given = block.get(split)
        values = given if isinstance(given, list) else [given]
        sizes[split] = len(getattr(views.splits, split)) if given is None else min(values)
    return sizes


def _check_population(verdict: object, dataset: str) -> list[Fault]:
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


def _check_rows(raw: Mapping[str, Any], smallest: Mapping[str, int]) -> list[Fault]:
    faults = []
    training = _part(Training, raw.get("training"))
    if training is not None and training.batch_size > smallest["train"]:
        faults.append(
            Fault(
                ("training", "batch_size"),
                f"{training.batch_size} rows do not fit into the smallest training split of "
                f"{smallest['train']} rows",
            )
        )
    evaluation = _part(Evaluation, raw.get("evaluation"))
    if evaluation is None:
        return faults
    rows = min(evaluation.rows, smallest["validation"], smallest["test"])
    for name, options in evaluation.metrics.items():
        try:
            topk = REGISTRY[name].resolve(options).get("topk")
        except (KeyError, InputError):
            continue
        if isinstance(topk, int) and topk >= rows:
            at = ("evaluation", "metrics", name)
            faults.append(
                Fault(
                    (*at, "topk") if "topk" in options else at,
                    f"topk is {topk}, and alignment is measured on {rows} rows (the smallest of "
                    "evaluation.rows, validation and test split); topk must be below that",
                )
            )
    return faults


def _check_loss(part: object, widths: Sequence[tuple[int, int]]) -> list[Fault]:
    part = part if isinstance(part, Mapping) else {}
    name, options = part.get("loss", _DEFAULT_LOSS), part.get("options")
    options = options if isinstance(options, Mapping) else {}
    at: Location = ("alignment", "loss")
    if not isinstance(name, str):
        return []
    faults: list[Fault] = []
    if ":" not in name:
        if name not in LOSSES:
            own = ", or a function of your own as package.module:function"
            return [Fault(at, unknown_name("loss", name, list(LOSSES)) + own)]
        declared = (*LOSSES[name].options, *COMMON_OPTIONS)
        faults = _check_options(
            options,
            ("alignment", "options"),
            f"option of {name}",
            [option.name for option in declared],
            lambda given: resolve(declared, given, f"loss {name}"),
        )
    if faults:
        return faults
    try:
        loss = build_loss(name, options)
        for pair in widths:
            loss.parameter_count(*pair)
        if ":" in name:
            file_digest(_source(name))
    except InputError as error:
        return [Fault(at, str(error))]
    except Exception as error:
        # A user's own module may raise anything while it is imported.
        return [Fault(at, f"loss {name}: {type(error).__name__}: {error}")]
    return []


def _check_metrics(part: object, widths: Sequence[tuple[int, int]]) -> list[Fault]:
    metrics = part.get("metrics") if isinstance(part, Mapping) else None
    if isinstance(metrics, list):
        metrics = dict.fromkeys(str(m) for m in metrics)
    if not isinstance(metrics, Mapping):
        return []
    faults = []
    for name, options in metrics.items():
        at: Location = ("evaluation", "metrics", name)
        if name not in REGISTRY:
            faults.append(Fault(at, unknown_name("metric", name, list(REGISTRY))))
            continue
        metric = REGISTRY[name]
        faults += _check_options(
            options, at, f"option of {name}", list(metric.options), metric.resolve
        )
        unequal = next((pair for pair in widths if pair[0] != pair[1]), None)
        if metric.equal_widths and unequal is not None:
            sizes = " and ".join(map(str, unequal))
            faults.append(Fault(at, f"compares equal widths only, the model has {sizes}"))
    return faults


def _check_objective(search: object, evaluation: object) -> list[Fault]:
    """The search maximizes its metric: it must be one that grows as pairs become more alike."""
    search = search if isinstance(search, Mapping) else {}
    measured = _part(Evaluation, evaluation)
    name = search.get("metric")
    at: Location = ("search", "metric")
    if name is None and measured is not None:
        name, at = next(iter(measured.metrics)), ("evaluation", "metrics")
    if search.get("objective") == "performance" or not isinstance(name, str):
        return []
    metric = REGISTRY.get(name)
    if metric is None or (metric.higher_is_better and metric.paired):
        return []
    why = "is lower for more alignment" if metric.paired else "does not depend on the pairs"
    good = [n for n, m in REGISTRY.items() if m.higher_is_better and m.paired]
    return [Fault(at, f"the search maximizes {name}, which {why}; choose from {', '.join(good)}")]


def _check_options(
    given: object,
    at: Location,
    what: str,
    names: Sequence[str],
    resolve_one: Callable[[Mapping[str, object]], object],
) -> list[Fault]:
    if not isinstance(given, Mapping):
        return []
    faults = []
    for key, value in given.items():
        if key not in names:
            faults.append(Fault((*at, key), unknown_name(what, key, sorted(names))))
            continue
        try:
            resolve_one({key: value})
        except (InputError, OverflowError, TypeError) as error:
            faults.append(Fault((*at, key), str(error)))
    return faults


def _widths(model: object) -> list[tuple[int, int]]:
    grid = _part(ModelGrid, model)
    return [] if grid is None else grid.pairs("width", DEFAULT_WIDTH)


def _part(kind: type[P], raw: object) -> P | None:
    """A part of the raw study without its unknown keys; None where it is faulty."""
    given = raw if isinstance(raw, Mapping) else {}
    try:
        return kind.model_validate({k: v for k, v in given.items() if k in kind.model_fields})
    except ValidationError:
        return None


def _source(loss: str) -> Path:
    """The file of a user's own loss.

    Raises:
        InputError: the module has no file.
    """
    module = import_module(loss.partition(":")[0])
    if getattr(module, "__file__", None) is None:
        raise InputError(f"loss {loss}: the module has no source file")
    return Path(str(module.__file__))


def _resolved(path: str, folder: Path) -> Path:
    return (folder / Path(path).expanduser()).resolve()
