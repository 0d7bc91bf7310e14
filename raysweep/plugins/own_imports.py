"""Which of the user's own modules a file imports, found without importing anything.

Read from the import statements, also those within functions. A module that is imported by a name
which is only made when the code runs is not found.
"""

import ast
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import PathFinder
from importlib.util import resolve_name
from pathlib import Path

from raysweep.plugins.user_code import find

_OURS = ("raysweep", "raysweep_analysis")

_Own = Callable[[str], Path | None]


def imported_modules(path: str, folders: Sequence[Path] = ()) -> dict[str, Path]:
    """The user's own modules that one of them needs, itself left out.

    Args:
        path: its name, or "package.module:function".
        folders: where to look for modules besides, as in `raysweep.plugins.user_code.find`.

    Returns:
        Module -> its file, of all that it imports directly and by others; nothing that is
        installed or belongs to Python.
    """
    module = path.partition(":")[0]
    start = own_module(module, folders)
    if start is None:
        return {}
    return _reached(module, start, lambda name: own_module(name, folders))


def own_module(name: str, folders: Sequence[Path] = ()) -> Path | None:
    """The file of a module of the user's own, or the folder of a package without one."""
    found = find(name, folders)
    ours = found is None or not found.exists or found.installed or name.split(".")[0] in _OURS
    return None if found is None or ours else found.file


def imported_beside(script: Path, module: str = "__main__") -> dict[str, Path]:
    """The modules in a Python script's folder, and below, that it imports when it is run.

    Args:
        script: its file.
        module: its name; under ``python -m`` that of a module in a package.
    """
    folder = str(script.parents[module.count(".")])

    def beside(name: str) -> Path | None:
        within, so_far = [folder], ""
        place: Path | None = None
        for part in name.split("."):
            so_far = f"{so_far}.{part}" if so_far else part
            spec = PathFinder.find_spec(so_far, within)
            if spec is None:
                return None
            within = [*(spec.submodule_search_locations or ())]
            place = Path(spec.origin) if spec.origin else Path(within[0])
        return place

    return _reached(module, script, beside)


def _reached(module: str, start: Path, own: _Own) -> dict[str, Path]:
    files: dict[str, Path | None] = {module: start}
    unread = [module]

    def add(name: str) -> None:
        parts = name.split(".")
        for package in (".".join(parts[:count]) for count in range(1, len(parts) + 1)):
            if package not in files:
                files[package] = own(package)
                if files[package] is not None:
                    unread.append(package)
            if files[package] is None:
                return

    add(module)  # and so the packages that it lies in, which are imported before it
    while unread:
        importing = unread.pop()
        place = files[importing]
        if place is not None:
            for name in _imports(place, importing):
                add(name)
    return {n: p for n, p in files.items() if n != module and p is not None and p.is_file()}


def _imports(file: Path, module: str) -> Iterator[str]:
    """The names that a file imports; of ``from a import b`` both a and a.b, which may be one."""
    if file.suffix != ".py":
        return
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # told where it is imported
    package = module if file.stem == "__init__" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            try:
                name = resolve_name("." * node.level + (node.module or ""), package)
            except ImportError:
                continue  # out of the package
            yield name
            yield from (f"{name}.{alias.name}" for alias in node.names if alias.name != "*")
