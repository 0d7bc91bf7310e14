"""Checks a study file against the registries of datasets, encoders, metrics and losses."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raysweep.data.views import Views
from raysweep.kinds.kind import kind_named
from raysweep.plugins.user_code import (
    code_folders,
    find,
    is_dotted,
    make_importable,
    namesake,
    search_folders,
)
from raysweep.study.checks.data import (
    check_block,
    check_combinations,
    check_loading,
    check_population,
    check_several,
    smallest_splits,
)
from raysweep.study.checks.encoders import check_encoder
from raysweep.study.checks.evaluation import check_calibration, check_metrics
from raysweep.study.checks.labels import check_labels
from raysweep.study.checks.parts import pairs_of
from raysweep.study.checks.rows import BlockRows, check_rows, written_rows
from raysweep.study.partial import read_partial
from raysweep.study.spec import DataGrid, SearchedStudy
from raysweep.study.yaml_lines import Fault, Location, joined


def check(raw: Mapping[str, Any], folder: Path) -> list[Fault]:
    """All faults of a raw study that only the registries can tell.

    Every combination of a data block's axes is checked against the dataset's rules, and one cell of
    it loaded, so that a file that cannot be used is found here.

    Args:
        raw: the study as read from YAML; it may be malformed elsewhere.
        folder: what relative paths are relative to.
    """
    kind = kind_named(raw.get("kind"))
    own, places = _own_code(raw), _places(raw, folder)
    make_importable(code_folders(own.values(), places))
    faults: list[Fault] = []
    blocks = raw.get("data") if "data" in kind.study.model_fields else None
    sizes: list[BlockRows] = []
    views: list[Views] = []
    for index, block in enumerate(blocks if isinstance(blocks, list) else [blocks]):
        if not isinstance(block, Mapping):
            continue
        at: Location = ("data", index)
        found = check_block(block, at, folder)
        rows = [written_rows(block)]
        if not found and isinstance(block.get("dataset"), str):
            # Faulty draws, which the specification tells, are no reason not to check the rest.
            sound = read_partial(DataGrid, block).value
            found = check_combinations(sound, at)
            found += kind.check_data(block, at)
            loaded: list[Views] = []
            if not found:
                searched, judged = kind.searched_draws(raw), issubclass(kind.study, SearchedStudy)
                found, loaded = check_loading(sound, at, folder, searched, judged)
            rows = smallest_splits(sound, loaded) or rows
            faults += check_population(raw.get("verdict"), sound)
            faults += check_several(raw, loaded, at)
            views += loaded
        sizes += [BlockRows(at, known) for known in rows]
        faults += found
    faults += check_labels(raw, views)
    widths = pairs_of(raw, "width")
    faults += check_metrics(raw.get("evaluation"), widths)
    faults += check_calibration(raw.get("evaluation"))
    faults += check_encoder(raw, views)
    faults += kind.check(raw, widths, folder)
    faults = [_with_namesake(fault, own.get(fault.location), places) for fault in faults]
    return faults + check_rows(raw, sizes)


def named_code(raw: Mapping[str, Any], folder: Path) -> list[str]:
    """What checking a raw study will import and call, a line each; nothing is imported here.

    Args:
        raw: as in `check`.
        folder: as in `check`.
    """
    lines = []
    for location, path in _own_code(raw).items():
        found = find(path, _places(raw, folder))
        if found is not None and found.exists:
            place = "Python itself" if found.file is None else found.file
            lines.append(f"{joined(location)}: {path} imports {found.module} from {place}")
    return lines


def _own_code(raw: Mapping[str, Any]) -> dict[Location, str]:
    """The dotted paths of a raw study, by where they stand."""
    found: dict[Location, str] = {}
    for location in kind_named(raw.get("kind")).study.own_code_at:
        path: object = raw
        for key in location:
            path = path.get(key) if isinstance(path, Mapping) else None
        places: dict[Location, object] = {location: path}
        if isinstance(path, list):
            places = {(*location, index): one for index, one in enumerate(path)}
        found |= {at: one for at, one in places.items() if isinstance(one, str) and is_dotted(one)}
    return found


def _places(raw: Mapping[str, Any], folder: Path) -> list[Path]:
    recorded = raw.get("code_folders")
    known = recorded if isinstance(recorded, list) else []
    return search_folders(folder, [place for place in known if isinstance(place, str)])


def _with_namesake(fault: Fault, path: str | None, places: Sequence[Path]) -> Fault:
    """A fault of own code, with the user's file that is not meant by its name."""
    other = None if path is None else namesake(path, places)
    found = None if path is None else find(path, places)
    if other is None or found is None:
        return fault
    place = "part of Python" if found.file is None else found.file
    message = f"{found.module} is {place}, not {other}: give that another name"
    return Fault(fault.location, f"{fault.message} ({message})")
