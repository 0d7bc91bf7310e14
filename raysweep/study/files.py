"""The files that a study depends on, known by what they hold."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from raysweep.errors import InputError
from raysweep.plugins.user_code import find, source_of
from raysweep.seeds import content_key
from raysweep.study.cells import Cell
from raysweep.study.spec import StudyBase

_LIST = "dataset_dict.json"
_STATES = ("state.json", _LIST)


def check_files(study: StudyBase, cell: Cell) -> None:
    """Check that the files a cell's trials depend on hold what they held when it was planned.

    Raises:
        InputError: a file has changed or is gone since the study was resolved.
    """
    used = {**dict(cell.contents)}
    for path in study.own_code:
        if path in study.files:
            used[str(source_of(path))] = study.files[path]
    check_digests(used)
    check_code(study)


def check_code(study: StudyBase) -> None:
    """Check that the user's own code holds what it held when the study was planned.

    What is not on this machine is left to those that run it.

    Raises:
        InputError: a file has changed.
    """
    used = {}
    for name in (*study.own_code, *study.own_files):
        place = _code_file(name)
        if name in study.files and place is not None and place.is_file():
            used[str(place)] = study.files[name]
    check_digests(used)


def _code_file(name: str) -> Path | None:
    """The file of a module, of a function's module, or with an absolute path."""
    if Path(name).is_absolute():
        return Path(name)
    found = find(name)
    return found.file if found is not None and found.exists else None


def check_digests(used: Mapping[str, str]) -> None:
    """Check that files hold what they held when a run was planned.

    Args:
        used: path -> digest of what it held.

    Raises:
        InputError: a file has changed or is gone.
    """
    for path, digest in used.items():
        try:
            changed = file_digest(path) != digest
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
        if changed:
            raise InputError(
                f"{path}: has changed since this run was planned; put the old content back, or "
                "run the study again (changed data are new cells, changed code is a new study)"
            )


def data_files(folder: Path) -> list[Path]:
    """The files of a folder of data, in the order of their names; of anything else none.

    A folder of ``.npy`` files has these and no others. One that Hugging Face's ``save_to_disk``
    wrote has ``.arrow`` files, or folders of them and their list; what else it writes beside them
    differs from one time to the next, and files of its cache are none of the data.
    """
    if not folder.is_dir():
        return []
    arrays = sorted(folder.glob("*.npy"))
    if arrays and not any((folder / name).is_file() for name in _STATES):
        return arrays
    found = [*folder.glob("*.arrow"), *folder.glob("*/*.arrow")]
    found = [path for path in found if not path.name.startswith("cache-")]
    listed = folder / _LIST
    return sorted([*found, *([listed] if listed.is_file() else [])]) if found else []


def has_data(folder: Path) -> bool:
    """Whether a path is a folder of data."""
    return bool(data_files(folder))


def file_stamp(path: str) -> tuple[int, ...] | None:
    """Times and sizes of a file, or of those of a folder, so that what changed is read again."""
    place = Path(path)
    stamp: list[int] = []
    try:
        for file in data_files(place) or [place]:
            status = file.stat()
            stamp += [status.st_mtime_ns, status.st_size]
    except OSError:
        return None
    return tuple(stamp)


def file_digest(path: str | Path) -> str:
    """Digest of what a file holds, or a folder of data with the names in it: 20 hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    place = Path(path)
    within = data_files(place)
    if within:
        held = [[str(file.relative_to(place)), file_digest(file)] for file in within]
        return content_key(held, 20)
    status = place.stat()
    return _digest(str(path), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4096)
def _digest(path: str, changed_ns: int, size: int) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:20]


def same_files(paths: Mapping[int, str], folder: Path) -> dict[int, int]:
    """Of listed files those that hold what an earlier one holds: index -> that one's index."""
    first: dict[str, int] = {}
    same = {}
    for index, path in paths.items():
        try:
            digest = file_digest(resolved_path(path, folder))
        except (OSError, RuntimeError, ValueError):
            continue  # told where it is read
        if first.setdefault(digest, index) != index:
            same[index] = first[digest]
    return same


def resolved_path(path: str, folder: Path) -> Path:
    """A path of a study file as an absolute one; ``folder`` is what it is relative to."""
    return (folder / Path(path).expanduser()).resolve()
