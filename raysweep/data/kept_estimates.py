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
import time
from collections.abc import Iterator
from dataclasses import MISSING, asdict, dataclass, fields
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from raysweep.data.estimable import Estimable, estimable
from raysweep.data.views import Information, Interval, Views
from raysweep.errors import InputError
from raysweep.trials.storage import Output

_LOCK_NAME = "lock"
_MADE_BY = ("estimate.py", "held_out.py", "decomposition.py")
_LIBRARIES = ("numpy", "scipy", "scikit-learn")
_INTERVALS, _SECONDS = "intervals", "seconds"
_GIVEN = fields(Information)
_NUMBERS = tuple(f.name for f in _GIVEN if f.default is MISSING and f.name != _INTERVALS)


@dataclass(frozen=True)
class Kept:
    """An estimate that was made, now or before.

    Attributes:
        information: the estimate.
        seconds: of CPU time that it took to make, wherever that was.
    """

    information: Information
    seconds: float


def estimated_information(views: Views) -> Information:
    """`raysweep.data.estimate.estimate_information`, from disk where it was made before.

    Raises:
        InputError: as there.
    """
    return estimate_of(estimable(views)).information


def estimate_of(rows: Estimable) -> Kept:
    """`raysweep.data.estimate.estimate_from`, from disk where it was made before."""
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


def _estimate(rows: Estimable) -> Kept:
    # Late, as scikit-learn takes a second to import.
    from raysweep.data.estimate import estimate_from

    began = time.process_time()
    # Sums are split by threads: with one, whoever makes an estimate makes the same.
    with threadpool_limits(1):
        information = estimate_from(rows)
    return Kept(information, time.process_time() - began)


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


def _read(path: Path) -> Kept | None:
    """A kept estimate; None where there is none, or it is damaged."""
    try:
        content = json.loads(path.read_bytes())
        numbers: dict[str, Any] = {name: _number(content[name]) for name in _NUMBERS}
        intervals = {
            name: Interval(*map(_number, ends)) for name, ends in content[_INTERVALS].items()
        }
        return Kept(Information(**numbers, intervals=intervals), _number(content[_SECONDS]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _number(stored: object) -> float:
    """A float64 as JSON has it: null is NaN.

    Raises:
        TypeError: it is something else.
    """
    if stored is None:
        return float("nan")
    if not isinstance(stored, float):
        raise TypeError(f"{stored!r} is no float64")
    return stored


def _keep(path: Path, made: Kept) -> None:
    given = asdict(made.information)
    numbers = {name: float(given[name]) for name in _NUMBERS}
    intervals = {name: (i.low, i.high) for name, i in made.information.intervals.items()}
    plain = {n: v if v == v else None for n, v in numbers.items()}
    content = json.dumps(plain | {_INTERVALS: intervals, _SECONDS: made.seconds})
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
