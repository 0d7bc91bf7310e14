"""Checks what only a study of trials of the user's own has: its code, its axes, its metrics."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from raysweep.errors import InputError
from raysweep.kinds.trial.code import folder_files
from raysweep.kinds.trial.command import PLACEHOLDER, placeholders, program
from raysweep.kinds.trial.run import checked_function
from raysweep.kinds.trial.study import TrialAlignment, TrialCode, TrialSearch
from raysweep.kinds.trial.told import METRIC_NAMES, is_metric
from raysweep.losses import LOSSES
from raysweep.plugins.user_code import said, source_of
from raysweep.study.checks.losses import declared_options
from raysweep.study.files import file_digest, resolved_path
from raysweep.study.partial import read_partial
from raysweep.study.reader import unknown_name
from raysweep.study.yaml_lines import Fault, Location
from raysweep.trials.columns import COLUMNS, column_of, is_own_metric

_PERFORMANCE = re.compile(r"[A-Za-z]\w*")


def check_trial(raw: Mapping[str, Any], folder: Path) -> list[Fault]:
    """Faults of the code, the axes and the names of metrics of a raw study.

    Args:
        raw: the study as read from YAML; it may be malformed elsewhere.
        folder: that of the study file.
    """
    given = raw.get("trial")
    faults: list[Fault] = []
    if isinstance(given, str):
        faults += _check_function(given, ("trial",))
    elif isinstance(given, Mapping):
        if isinstance(given.get("function"), str):
            faults += _check_function(given["function"], ("trial", "function"))
        faults += _check_command(raw, folder)
        faults += _check_code(given.get("code"), folder)
    return [*faults, *_check_axes(raw), *_check_metrics(raw)]


def _check_function(path: str, at: Location) -> Iterator[Fault]:
    try:
        checked_function(path)
        file_digest(source_of(path))
    except InputError as error:
        yield Fault(at, str(error))
    except (Exception, SystemExit) as error:
        # A user's own code may raise anything.
        yield Fault(at, f"trial {path}, imported: {said(error, path)}")


def _check_command(raw: Mapping[str, Any], folder: Path) -> Iterator[Fault]:
    code = read_partial(TrialCode, raw.get("trial")).part
    if code is None or not code.command:
        return
    at: Location = ("trial", "command")
    place = folder / Path(code.folder or ".").expanduser()
    if not place.is_dir():
        yield Fault(("trial", "folder"), f"there is no folder {place}; give one, or leave it out")
        return
    first = code.command[0]
    path = Path(program(first, place))
    if not path.is_file():
        yield Fault((*at, 0), f"there is no program {first} on the path or in {place}")
    grid = raw.get("grid") if isinstance(raw.get("grid"), Mapping) else {}
    alignment = read_partial(TrialAlignment, raw.get("alignment")).part or TrialAlignment()
    search = read_partial(TrialSearch, raw.get("search")).part or TrialSearch()
    options = {**alignment.options, **search.options}
    if alignment.loss in LOSSES:
        options.update(declared_options(alignment.loss))
    training = () if search.training is None else search.training.options
    known = placeholders(dict(grid or {}), options, training)
    for number, word in enumerate(code.command):
        for name in PLACEHOLDER.findall(word):
            if name not in known or number == 0:
                yield Fault((*at, number), unknown_name("placeholder", f"{{{name}}}", known))


def _check_code(given: object, folder: Path) -> Iterator[Fault]:
    for number, word in enumerate(given if isinstance(given, list) else [given]):
        if isinstance(word, str):
            at: Location = ("trial", "code", number)
            try:
                folder_files(resolved_path(word, folder))
            except InputError as error:
                yield Fault(at, str(error))


def _check_axes(raw: Mapping[str, Any]) -> Iterator[Fault]:
    grid = raw.get("grid")
    taken = {column.name for column in COLUMNS} - _AXES
    for name in grid if isinstance(grid, Mapping) else ():
        of_column = column_of(str(name)).family or is_own_metric(str(name))
        if name in taken or (name not in _AXES and of_column):
            message = "is the name of a column of the trial table; give the axis another name"
            yield Fault(("grid", str(name)), f"{name} {message}")


_AXES = frozenset({"R", "U", "D_phi", "encoder", "depth_1", "depth_2", "width_1", "width_2"})
"""Columns that an axis may be, as it says what it says in other studies."""


def _check_metrics(raw: Mapping[str, Any]) -> Iterator[Fault]:
    verdict, search = raw.get("verdict"), raw.get("search")
    tested = verdict.get("performance") if isinstance(verdict, Mapping) else None
    if isinstance(tested, str) and column_of(tested).split == "test" and not is_metric(tested):
        yield Fault(("verdict", "performance"), f"{tested} is no metric of a trial; {METRIC_NAMES}")
    searched = search.get("performance") if isinstance(search, Mapping) else None
    if isinstance(searched, str) and not (
        _PERFORMANCE.fullmatch(searched) and is_metric(column_of(searched).on("validation"))
    ):
        message = f"{searched} is no metric of a trial; give a name such as f1_validation or f1"
        yield Fault(("search", "performance"), message)
