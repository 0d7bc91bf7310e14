"""Checks what only a study of models has: its table of models, and their files of features."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from raysweep.errors import InputError
from raysweep.kinds.models.study import Fault as RowFault
from raysweep.kinds.models.study import ModelRow, joined, row_faults
from raysweep.kinds.models.table import rows_of_table
from raysweep.metrics.between_models.given import Model, models_of
from raysweep.metrics.features import MINIMUM_ROWS
from raysweep.metrics.registry import REGISTRY
from raysweep.study.checks.evaluation import named_metrics
from raysweep.study.files import resolved_path
from raysweep.study.partial import read_partial
from raysweep.study.spec import Part
from raysweep.study.spec.fields import listed
from raysweep.study.yaml_lines import Fault, Location
from raysweep.text import counted


class _Rows(Part):
    """The rows of a table, as a study file would have them."""

    models: tuple[ModelRow, ...]


def check_models(raw: Mapping[str, Any], folder: Path) -> list[Fault]:
    """Faults of the models of a raw study: their table, their files, and what is measured of them.

    Args:
        raw: the study as read from YAML; it may be malformed elsewhere.
        folder: what relative paths are relative to.
    """
    if not isinstance(raw.get("table"), str):
        return _check_features(raw, folder, ("models",))
    at: Location = ("table",)
    try:
        rows = rows_of_table(resolved_path(raw["table"], folder))
    except InputError as error:
        return [Fault(at, str(error))]
    found = read_partial(_Rows, {"models": rows})
    faults = [Fault(at, _in_table(finding.detail, finding.places[0])) for finding in found.findings]
    axes = raw.get("axes")
    if found.part is not None and not faults:
        named = [axes] if isinstance(axes, str) else axes
        known = [name for name in named or () if isinstance(name, str)]
        faults = [Fault(at, _of_row(fault)) for fault in row_faults(found.part.models, known)]
    return faults or _check_features({**raw, "models": rows}, folder, at)


def _in_table(detail: Mapping[str, Any], place: Location) -> str:
    """What is wrong with a value of a table: row and column, and what would be right."""
    if detail["type"] == "missing":
        return f"row {_row(place)}: lacks {place[-1]}"
    message = str(detail["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    return f"row {_row(place)}, {place[-1]}: {message}, found {detail['input']!r}"


def _of_row(fault: RowFault) -> str:
    message, place = fault
    return f"row {_row(place)}: {message}" if len(place) > 1 else message


def _row(place: Location) -> int:
    """The number of a row for people, from 1."""
    return 1 + int(place[1])


def _check_features(raw: Mapping[str, Any], folder: Path, at: Location) -> list[Fault]:
    """Faults of the files of features, and of metrics that they do not allow."""
    found = read_partial(_Rows, {"models": raw.get("models") or ()})
    if found.part is None or found.removed:
        return []  # told by the specification
    faults: list[Fault] = []
    opened: dict[ModelRow, Model] = {}
    for number, row in enumerate(found.part.models):
        try:
            opened[row] = opened_model(row, folder)
        except InputError as error:
            place: Location = (*at, number, "features") if at == ("models",) else at
            way = "; raysweep features with this study file makes it" if row.weights else ""
            faults.append(Fault(place, f"{error}{way}"))
    return faults or list(_check_pairs(raw.get("evaluation"), opened, at))


def opened_model(row: ModelRow, folder: Path) -> Model:
    """A row's features, of which nothing but shapes is read.

    Raises:
        InputError: there are none, or too few rows.
    """
    path = resolved_path(row.features, folder)
    (model,) = models_of(row.side, {row.place.removeprefix(f"{row.side}: "): path})
    if model.rows < MINIMUM_ROWS:
        raise InputError(
            f"{row.place}: {path}: {counted(model.rows, 'row')}; expected at least {MINIMUM_ROWS}"
        )
    return model


def _check_pairs(
    evaluation: object, opened: Mapping[ModelRow, Model], at: Location
) -> Iterator[Fault]:
    """Pairs of unequal rows; metrics of equal widths, or of more neighbours than rows."""
    pairs = list(joined(list(opened)))
    for pair in pairs:
        left, right = opened[pair.left], opened[pair.right]
        if left.rows != right.rows:
            yield Fault(
                at,
                f"{pair.left.place} has {counted(left.rows, 'row')} and {pair.right.place} has "
                f"{right.rows}; row i of both must be the same sample",
            )
            return
    fewest = min((model.rows for model in opened.values()), default=MINIMUM_ROWS)
    widths = {width for model in opened.values() for width in model.widths}
    for name, (place, options) in named_metrics(evaluation).items():
        metric = REGISTRY.get(name)
        if metric is None:
            continue  # told at its own place
        if metric.equal_widths and len(widths) > 1:
            yield Fault(
                place, f"compares equal widths only, the layers have {listed(sorted(widths), 6)}"
            )
        try:
            topk = metric.resolve(options).get("topk")  # type: ignore[arg-type]
        except (InputError, TypeError, AttributeError):
            continue
        if isinstance(topk, int) and topk >= fewest:
            yield Fault(
                place,
                f"topk is {topk}, and the features have {counted(fewest, 'row')}; topk must "
                "be below that",
            )


def resolved_rows(
    rows: Sequence[ModelRow], folder: Path
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Rows with absolute paths and their numbers of layers, and the digests of the files."""
    from raysweep.study.files import file_digest

    found, files = [], {}
    for row in rows:
        path = str(resolved_path(row.features, folder))
        layers = len(opened_model(row, folder).layers)
        made = {"features": path, "layers": layers, "weights": None, "column": None}
        found.append({**row.model_dump(), **made})
        files[path] = file_digest(path)
    return found, files
