"""Estimates of information, kept on disk: one per content of the data, made once per machine.

An estimate takes seconds and depends on nothing but the rows, the estimator and its libraries, so
that its name is made from these. It lies in ``raysweep/estimates`` of the user's cache folder
(``XDG_CACHE_HOME``, else ``~/.cache``) as JSON, which keeps every bit of a float64. Processes that
want the same one at once wait for the first. Where nothing can be kept it is made anew: the same.
"""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import MISSING, asdict, fields
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from raysweep.data.estimable import Estimable, estimable
from raysweep.data.views import Information, Views
from raysweep.errors import InputError
from raysweep.trials.storage import Output

_LOCK_NAME = "lock"
_MADE_BY = ("estimate.py", "decomposition.py")
_LIBRARIES = ("numpy", "scipy", "scikit-learn")
_NUMBERS = tuple(field.name for field in fields(Information) if field.default is MISSING)


def estimated_information(views: Views) -> Information:
    """`raysweep.data.estimate.estimate_information`, from disk where it was made before.

    Raises:
        InputError: as there.
    """
    rows = estimable(views)
    name = _name(rows)
    found = _read(_folder() / name)
    if found is not None:
        return found
    with _alone(name):
        found = _read(_folder() / name)
        if found is None:
            found = _estimate(rows)
            _keep(_folder() / name, found)
    return found


def _estimate(rows: Estimable) -> Information:
    # Late, as scikit-learn takes a second to import.
    from raysweep.data.estimate import estimate_from

    # Sums are split by threads: with one, whoever makes an estimate makes the same.
    with threadpool_limits(1):
        return estimate_from(rows)


def _folder() -> Path:
    given = os.environ.get("XDG_CACHE_HOME", "")
    # A relative one is to be ignored (XDG Base Directory Specification).
    root = Path(given) if os.path.isabs(given) else Path(os.path.expanduser("~/.cache"))
    return root / "raysweep" / "estimates"


def _name(rows: Estimable) -> str:
    digest = hashlib.sha256(_maker().encode())
    arrays = (rows.x1, rows.x2, rows.y)
    for array in arrays if rows.groups is None else (*arrays, rows.groups):
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(array.tobytes())
    return f"{digest.hexdigest()[:40]}.json"


@cache
def _maker() -> str:
    """What an estimate depends on beside the rows."""
    digest = hashlib.sha256()
    for name in _MADE_BY:
        digest.update(Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest() + repr([version(library) for library in _LIBRARIES])


def _read(path: Path) -> Information | None:
    """A kept estimate; None where there is none, or it is damaged."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or set(content) != set(_NUMBERS):
        return None
    numbers: list[Any] = [
        float("nan") if content[name] is None else content[name] for name in _NUMBERS
    ]
    if not all(isinstance(number, float) for number in numbers):
        return None
    return Information(*numbers)


def _keep(path: Path, information: Information) -> None:
    numbers = {name: float(asdict(information)[name]) for name in _NUMBERS}
    content = json.dumps({n: v if v == v else None for n, v in numbers.items()})
    with contextlib.suppress(OSError, InputError):  # where nothing can be kept
        Output(str(path.parent)).write(path.name, content.encode())


@contextlib.contextmanager
def _alone(name: str) -> Iterator[None]:
    """Keep other processes from making the same estimate; without locks all make it."""
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):
            _folder().mkdir(parents=True, exist_ok=True)
            lock = held.enter_context(open(_folder() / _LOCK_NAME, "ab"))
            # A byte of the file for every estimate, so that only the same ones wait.
            fcntl.lockf(lock, fcntl.LOCK_EX, 1, int(name[:12], 16))
        yield
