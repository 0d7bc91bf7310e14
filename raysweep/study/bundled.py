"""The studies that come with raysweep, found by name."""

import difflib
from pathlib import Path

import yaml

from raysweep.errors import InputError

_SUFFIX = ".yaml"


def studies_folder() -> Path:
    """The folder of the bundled studies: inside an installed package, beside it in a clone."""
    package = Path(__file__).parents[1]
    inside = package / "search_spaces"
    return inside if inside.is_dir() else package.parent / "search_spaces"


def bundled_studies() -> dict[str, str]:
    """Name (such as ``quickstart`` or ``paper/figure4``) -> the study's description."""
    folder = studies_folder()
    found = {}
    for path in sorted(folder.rglob(f"*{_SUFFIX}")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        name = path.relative_to(folder).as_posix().removesuffix(_SUFFIX)
        found[name] = str(content.get("description", ""))
    return found


def find_study(name: str) -> Path:
    """The file of a study, by path or by the name of a bundled one.

    Raises:
        InputError: neither a file nor a bundled study; lists the bundled ones.
    """
    path = Path(name)
    try:
        if path.is_file():
            return path
    except (OSError, ValueError) as error:  # too long, or with a NUL
        raise InputError(
            f"{name}: not the path of a study file ({getattr(error, 'strerror', None) or error})"
        ) from error
    inside = studies_folder() / f"{name}{_SUFFIX}"
    # A name picks a bundled file and nothing outside that folder.
    if ".." not in path.parts and not path.is_absolute() and inside.is_file():
        return inside
    names = list(bundled_studies())
    if name and path.exists():
        raise InputError(
            f"{name}: is not a file; give a study file, or the name of a bundled study: the "
            f"bundled ones are {', '.join(names)}"
        )
    near = difflib.get_close_matches(name, names, n=1)
    raise InputError(
        f"{name or repr(name)}: neither a study file nor a bundled study"
        f"{f' (did you mean {near[0]}?)' if near else ''}; the bundled ones are {', '.join(names)}"
    )
