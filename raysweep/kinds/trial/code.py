"""The files that a trial's code consists of, so that a change of one is a change of the study."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from raysweep.errors import InputError
from raysweep.folder.stored_study import KEPT_NAME
from raysweep.kinds.trial.command import PLACEHOLDER, is_python
from raysweep.kinds.trial.study import TrialCode
from raysweep.plugins.own_imports import imported_beside, imported_modules
from raysweep.study.files import file_digest, resolved_path

MOST_FILES = 1000
_MADE = ("__pycache__",)


def placed(code: TrialCode, folder: Path) -> TrialCode:
    """The code with absolute paths.

    Args:
        code: as the study file has it.
        folder: that of the study file.
    """
    found = code
    if code.command is not None:
        place = str(resolved_path(code.folder or ".", folder))
        found = found.model_copy(update={"folder": place})
    if code.code is not None:
        paths = tuple(str(resolved_path(path, folder)) for path in code.code)
        found = found.model_copy(update={"code": paths})
    return found


def code_files(code: TrialCode, functions: Sequence[str], folders: Sequence[str]) -> dict[str, str]:
    """What the code consists of besides the modules of its functions.

    Args:
        code: with absolute paths, see `placed`.
        functions: dotted paths of the study's functions, whose imports are followed.
        folders: what is on the import path for them.

    Returns:
        Module of the user's own, or path of a file -> digest of what it holds.
    """
    places = [Path(folder) for folder in folders]
    own = {path.partition(":")[0] for path in functions}
    found = {
        module: file_digest(file)
        for path in functions
        for module, file in imported_modules(path, places).items()
        if module not in own
    }
    files = [*_of_command(code), *(f for path in code.code or () for f in folder_files(Path(path)))]
    return {**found, **{str(file): file_digest(file) for file in files}}


def folder_files(path: Path) -> list[Path]:
    """A file, or all files in a folder but hidden ones, compiled ones and outputs of runs.

    Raises:
        InputError: there is none, or they are too many.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"there is no file or folder {path}")
    found: list[Path] = []
    for file in _within(path):
        found.append(file)
        if len(found) > MOST_FILES:
            raise InputError(
                f"{path} has more than {MOST_FILES} files; name those of them that are code"
            )
    return found


def _within(folder: Path) -> Iterator[Path]:
    inside = sorted(folder.iterdir())
    if any(path.name == KEPT_NAME for path in inside):
        return  # the output of a run
    for path in inside:
        if path.name.startswith(".") or path.name in _MADE:
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _within(path)
        elif path.is_file():
            yield path


def _of_command(code: TrialCode) -> Iterator[Path]:
    """The files that the words of a command name, and what those of Python import."""
    words = code.command or ()
    for before, word in zip(("", *words), words, strict=False):
        if PLACEHOLDER.search(word):
            continue
        path = Path(code.file(word))
        if path.is_file():
            yield path
            if path.suffix == ".py":
                yield from imported_beside(path).values()
        elif before == "-m" and is_python(words[0]):
            for module in (word, f"{word}.__main__"):
                script = Path(code.folder or ".", *module.split(".")).with_suffix(".py")
                if script.is_file():
                    yield script
                    yield from imported_beside(script, module).values()
