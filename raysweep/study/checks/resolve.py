"""Fills in what a study file leaves out."""

import itertools
from pathlib import Path
from typing import Any

from raysweep.data.chosen import MODALITIES, Wanted, modalities_of
from raysweep.data.registry import DATASETS, default_draws
from raysweep.kinds.kind import kind_of
from raysweep.metrics import REGISTRY
from raysweep.plugins.user_code import code_folders, make_importable, search_folders, source_of
from raysweep.study.checks.labels import fit_label
from raysweep.study.files import file_digest, resolved_path
from raysweep.study.spec import DataGrid, SearchedStudy, StudyBase


def resolve_files(study: StudyBase, folder: Path) -> StudyBase:
    """The study with all defaults filled in, absolute paths and digests of the files it names.

    So equal content has equal cell ids however it is written, and a stored study means the same
    after a default has changed. A file is known by what it holds, not by where it lies: a changed
    file is new data.
    """
    data: list[dict[str, Any]] = []
    files: dict[str, str] = {}
    for block in study.data:
        values: dict[str, Any] = dict(block.axes)
        for parameter in DATASETS[block.dataset].parameters:
            if parameter.name in values:
                axis: list[Any] = [parameter.parse(value) for value in values[parameter.name]]
                if parameter.kind == "path":
                    axis = [str(resolved_path(path, folder)) for path in axis]
                    files.update({path: file_digest(path) for path in axis})
                values[parameter.name] = axis[0] if len(axis) == 1 else axis
            elif parameter.default is not None:
                values[parameter.name] = parameter.default
        for part in _by_modalities({"dataset": block.dataset, "draws": block.draws, **values}):
            data += _by_draws(study, block, part)
    study = with_code_folders(study, folder)
    files.update({path: file_digest(source_of(path)) for path in study.own_code})
    plain = study.model_dump()
    plain["evaluation"]["metrics"] = {
        name: REGISTRY[name].resolve(options) for name, options in study.evaluation.metrics.items()
    }
    own = kind_of(study).resolved(study, folder)
    files.update(own.pop("files", {}))
    plain.update(own)
    if isinstance(study, SearchedStudy):
        fit_label(study, plain, data)
    # Built anew from plain values, so that every part is checked as it was when it was read.
    blocks = {"data": data} if study.data else {}
    return type(study).model_validate({**plain, **blocks, "files": files})


def _by_modalities(block: dict[str, Any]) -> list[dict[str, Any]]:
    """A resolved block, saying of files with more than two modalities how many they have.

    Files that have as many stay together, in the order of the block.
    """
    wanted = Wanted.of(block)
    if block["dataset"] != "arrays" or wanted.count is not None or wanted.named:
        return [block]
    if "modalities" in block or any(name in block for name in MODALITIES):
        return [block]  # an axis, which says it of every cell
    paths = block["path"] if isinstance(block["path"], list) else [block["path"]]
    parts = []
    for count, run in itertools.groupby(paths, key=lambda path: modalities_of(path, wanted)):
        alike = list(run)
        said = {"modalities": count} if count > 2 else {}
        parts.append({**block, "path": alike[0] if len(alike) == 1 else alike, **said})
    return parts


def _by_draws(study: StudyBase, block: DataGrid, plain: dict[str, Any]) -> list[dict[str, Any]]:
    """A resolved block with its draws: one for each run of files that have the same by default."""
    path = next((p.name for p in DATASETS[block.dataset].parameters if p.kind == "path"), "")
    given = "draws" in block.model_fields_set or path not in plain
    if given or not isinstance(study, SearchedStudy):
        return [plain]
    paths = plain[path] if isinstance(plain[path], list) else [plain[path]]
    parameters = {name: v for name, v in plain.items() if name not in ("dataset", "draws")}
    first = {name: v[0] if isinstance(v, list) else v for name, v in parameters.items()}
    taken = study.search.listed_draws
    found = [default_draws(block.dataset, {**first, path: one}, taken) for one in paths]
    blocks = []
    for draws, run in itertools.groupby(zip(found, paths, strict=True), key=lambda of: of[0]):
        alike = [one for _, one in run]
        blocks.append({**plain, "draws": draws, path: alike[0] if len(alike) == 1 else alike})
    return blocks


def with_code_folders(study: StudyBase, folder: Path) -> StudyBase:
    """The study with the folders in which the modules of its own code lie, if it names any.

    Args:
        study: one that may have been resolved before, elsewhere.
        folder: that of the study file.
    """
    recorded = study.code_folders or ()
    places = search_folders(folder, recorded)
    folders = dict.fromkeys([*code_folders(study.own_code, places), *recorded])
    make_importable(folders)
    return study.model_copy(update={"code_folders": tuple(folders) or None})
