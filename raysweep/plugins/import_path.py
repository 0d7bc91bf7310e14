"""Where this program, and the processes that it starts, import from.

A user's folder may hold files of any name: random.py, mlflow.py. Python looks into the working
folder first under ``python -m`` and where PYTHONPATH says so, and every library that asks for the
module of that name then gets the user's. So the user's folders are taken off the path here, and
processes that are started do not have them: what a study names is found by
`raysweep.plugins.user_code`.

This is imported before anything else, so it imports only what no file can take the place of.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_VARIABLE = "PYTHONPATH"
_INSTALLED = ("site-packages", "dist-packages")
_OURS = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))


put_aside: list[str] = []
"""The folders that were taken off the path of this process."""

for_studies: list[str] = []
"""The folders that were put on it, last, for code that a study names."""


def put_users_aside() -> None:
    """Take the user's folders off the path.

    They are the working folder and those in it, where they are on the path by ``PYTHONPATH`` or
    ``python -m``; not the one that this package lies in.
    """
    given = [*_given(), *([] if sys.flags.safe_path else sys.path[:1])]
    users = {entry for entry in given if _users(entry)}
    put_aside.extend(entry for entry in sys.path if entry in users)
    sys.path[:] = [entry for entry in sys.path if entry not in users]


def put_last(folder: str) -> None:
    """Let this process import from a folder what is found nowhere else."""
    if folder not in sys.path:
        sys.path.append(folder)
        for_studies.append(folder)


def environment(entries: "Iterable[str] | None" = None) -> dict[str, str]:
    """The environment variables for a Python process that imports nothing from the user's folders.

    Args:
        entries: what such a process has on its path before its own; by default what PYTHONPATH
            says. The user's folders among them are left out.
    """
    wanted = _given() if entries is None else entries
    kept = [e for e in wanted if e and e not in for_studies and not _users(e)]
    if not sys.flags.safe_path and sys.path[:1] == [_OURS] and _OURS not in kept:
        kept.append(_OURS)  # python -m, beside a package that is not installed
    variables = {**os.environ, "PYTHONSAFEPATH": "1", _VARIABLE: os.pathsep.join(kept)}
    if not kept:
        del variables[_VARIABLE]
    return variables


def _given() -> list[str]:
    """The entries of PYTHONPATH as Python reads them: absolute, an empty one is here."""
    given = os.environ.get(_VARIABLE)
    return [os.path.abspath(entry) for entry in given.split(os.pathsep)] if given else []


def _users(entry: str) -> bool:
    try:
        here = os.path.realpath(os.getcwd())
    except OSError:  # the working folder was removed
        return False
    place = os.path.realpath(entry)
    if place == _OURS or os.path.basename(place) in _INSTALLED:
        return False
    return place == here or (here != os.sep and place.startswith(here + os.sep))
