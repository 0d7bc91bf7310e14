"""A user's own function, named in a study file by its dotted path: package.module:function."""

import importlib
import importlib.util
import inspect
import linecache
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from raysweep.errors import InputError
from raysweep.plugins import import_path

_INSTALLED = ("site-packages", "dist-packages")


@dataclass(frozen=True)
class Found:
    """Where the module of a dotted path lies.

    Attributes:
        module: its name.
        file: its source, or that of the package it should be in; None where there is none (a module
            built into Python).
        top: the file or folder of its outermost package; None likewise.
        exists: whether the module itself was found, and not only a package that should have it.
        installed: whether it belongs to Python or to what is installed, and so needs no folder.
    """

    module: str
    file: Path | None
    top: Path | None
    exists: bool
    installed: bool

    @property
    def folder(self) -> Path | None:
        """What must be on the import path for it."""
        return None if self.top is None or self.installed else self.top.parent


def find(path: str, folders: Sequence[Path] = ()) -> Found | None:
    """Where the module of a dotted path lies, found without importing anything.

    Args:
        path: "package.module:function".
        folders: where to look besides, for a module that Python itself does not find.

    Returns:
        None where there is no such module and no such package.
    """
    module = path.partition(":")[0]
    first, *rest = module.split(".")
    spec = _outermost(first, folders)
    if spec is None:
        return None
    top = _place(spec)
    if top is not None and spec.submodule_search_locations is not None and spec.has_location:
        top = top.parent
    file, name, exists = _place(spec), first, True
    for part in rest:
        name = f"{name}.{part}"
        inner = PathFinder.find_spec(name, [*(spec.submodule_search_locations or ())])
        if inner is None:
            exists = False
            break
        spec, file = inner, _place(inner)
    installed = top is None or _is_installed(top)
    return Found(module, file, top, exists, installed)


def code_folders(paths: Iterable[str], folders: Sequence[Path] = ()) -> list[str]:
    """What must be on the import path for several dotted paths; nothing where all are installed.

    With the folders of their modules come those that were put aside: a user who named them on
    PYTHONPATH has there what these modules import.

    Args:
        paths: the dotted paths; those that are not found are left out.
        folders: as in `find`.
    """
    found = [one.folder for path in paths if (one := find(path, folders)) is not None]
    needed = [str(folder) for folder in found if folder is not None]
    return list(dict.fromkeys([*needed, *import_path.put_aside])) if needed else []


def search_folders(folder: Path, recorded: Iterable[str] = ()) -> list[Path]:
    """Where the modules that a study names are looked for, besides what is installed.

    Args:
        folder: that of the study file.
        recorded: those in which they were found before (``StudyBase.code_folders``).
    """
    named = [folder, Path.cwd(), *map(Path, import_path.put_aside), *map(Path, recorded)]
    return [place for place in dict.fromkeys(named) if place.is_absolute() and place.is_dir()]


def make_importable(folders: Iterable[str]) -> None:
    """Let modules be imported from these folders, too; what is installed goes first."""
    for folder in folders:
        if Path(folder).is_absolute():
            import_path.put_last(folder)
    importlib.invalidate_caches()


def namesake(path: str, folders: Sequence[Path]) -> Path | None:
    """A file or package of the user's that a dotted path does not reach: its name is taken."""
    found = find(path, folders)
    if found is None:
        return None
    for folder in folders:
        spec = PathFinder.find_spec(path.partition(":")[0].split(".")[0], [str(folder)])
        own = None if spec is None else _place(spec)
        if own is not None and own != found.file and found.top not in (own, own.parent):
            return own
    return None


def imported(path: str, place: str) -> Callable[..., Any]:
    """The function that a dotted path names.

    Args:
        path: "package.module:function".
        place: what takes it, for messages, such as ``loss package.module:function``.

    Raises:
        InputError: the path is malformed, cannot be imported or names nothing callable. Whatever
            else the user's module raises while it is imported goes through.
    """
    module_name, _, name = path.partition(":")
    if not is_dotted(path):
        raise InputError(f"{place}: not a dotted path; write package.module:function")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise InputError(
            f"{place}: cannot import {module_name} ({said(error, path)}); it must lie beside the "
            "study file or in the working folder, or be installed where the study runs"
        ) from error
    except SystemExit as error:
        raise InputError(
            f"{place}: {module_name} ends the program when it is imported ({said(error, path)})"
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        found = "nothing of that name" if function is None else type(function).__name__
        raise InputError(f"{place}: {module_name} has {found}; it must be a function {name}")
    called: Callable[..., Any] = function
    return called


def is_dotted(path: str) -> bool:
    """Whether a text has the form package.module:function."""
    module, _, name = path.partition(":")
    return name.isidentifier() and all(part.isidentifier() for part in module.split("."))


def check_call(
    function: Callable[..., Any],
    place: str,
    form: str,
    arguments: tuple[object, ...],
    keywords: Mapping[str, object],
    options: Mapping[str, object],
) -> None:
    """Check that a function can be called in this form, without calling it.

    Args:
        function: the user's.
        place: as in `imported`.
        form: how it is called, for the message, such as ``pull(h1, h2, **options)``.
        arguments: those that raysweep gives by place.
        keywords: those that raysweep gives by name.
        options: those that the study file gives.

    Raises:
        InputError: its signature does not allow that.
    """
    try:
        signature = inspect.signature(function)
    except ValueError:
        return  # Some built-in functions have none to check against.
    try:
        signature.bind(*arguments, **keywords, **options)
    except TypeError as error:
        name = place.partition(":")[2]
        raise InputError(
            f"{place}: the function cannot be called as {form} with options "
            f"{sorted(options)} ({error}); its signature is {name}{signature}"
        ) from error


def said(error: BaseException, path: str) -> str:
    """What a user's own code raised, in one line, with the line of that code where there is one.

    Args:
        error: as it was caught, with its traceback.
        path: the dotted path that was imported or called.
    """
    message = " ".join(str(error).split())
    words = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return f"{words}{raised_at(error, path)}"


def raised_at(error: BaseException, path: str) -> str:
    """The innermost line of a user's own code in a traceback: `line_of`."""
    frames = traceback.extract_tb(error.__traceback__)
    return line_of([(frame.filename, frame.lineno or 0) for frame in frames], path)


def line_of(lines: Sequence[tuple[str, int]], path: str) -> str:
    """The last of these lines that lies beside a user's own code, in words to be put behind others.

    Args:
        lines: files with the numbers of their lines, from 1.
        path: the dotted path of that code.

    Returns:
        Such as ``"; mine.py, line 3: return h.log()"``; empty where there is none.
    """
    found = find(path)
    root = None if found is None or found.folder is None else found.folder
    own = [line for line in lines if root is not None and Path(line[0]).is_relative_to(root)]
    if not own:
        return ""
    file, number = own[-1]
    text = linecache.getline(file, number).strip()
    return f"; {Path(file).name}, line {number}{f': {text}' if text else ''}"


def source_of(path: str) -> Path:
    """The file of a user's own function.

    Raises:
        InputError: the module has no file.
    """
    module = importlib.import_module(path.partition(":")[0])
    if getattr(module, "__file__", None) is None:
        raise InputError(f"{path}: the module has no source file")
    return Path(str(module.__file__))


def _outermost(name: str, folders: Sequence[Path]) -> ModuleSpec | None:
    """The module or package of a plain name, as Python would find it with these folders last."""
    try:
        known = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # of a module without one, such as __main__
        known = None
    # A folder without an __init__.py is a package where nothing else has the name.
    if known is not None and (known.has_location or known.submodule_search_locations is None):
        return known
    found = PathFinder.find_spec(name, [str(folder) for folder in folders])
    return known if found is None or (known is not None and not found.has_location) else found


def _place(spec: ModuleSpec) -> Path | None:
    if spec.has_location and spec.origin is not None:
        return Path(spec.origin)
    locations = list(spec.submodule_search_locations or ())
    return Path(locations[0]) if locations else None


def _is_installed(place: Path) -> bool:
    library = Path(importlib.__file__).parents[1]
    return place.is_relative_to(library) or any(part in _INSTALLED for part in place.parts)
