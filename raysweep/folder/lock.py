"""Who runs the study of an output folder: one driver at a time, on any filesystem.

A local or shared folder has a lock file, which dies with its process. Anywhere else every driver
keeps a lease, an object of its own in ``.drivers/`` that it renews while it runs. A driver that
comes writes its lease first and then looks for others: of two that come at once at least one sees
the other and withdraws, as long as the store shows at once what was written (S3 does). A lease that
is not renewed for a while belonged to a driver that is gone; no clocks are compared.
"""

import contextlib
import json
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysweep.errors import InputError
from raysweep.folder.file_lock import lock
from raysweep.trials.storage import Output, unlinked

LOCK_NAME = ".driver"
LEASES = ".drivers"
RENEW_S = 10.0
PATIENCE_S = 45.0
_SUFFIX = ".json"
_ATTEMPTS = 4
_LOOK_EVERY_S = 1.0


@dataclass(frozen=True)
class Driver:
    """Who runs a study.

    Attributes:
        name: its host and process.
        since_ns: when it started, by the clock of the folder's filesystem.
    """

    name: str
    since_ns: int


def find_driver(output: Output) -> Driver | None:
    """Who runs the folder's study now; None where nobody does, or there are no locks.

    A lease counts for as long as its driver may still renew it, by this machine's clock.
    """
    if output.local is None:
        return _leaseholder(output)
    try:
        with open(output.local / LOCK_NAME) as file:
            try:
                lock(file, shared=True)
            except BlockingIOError:
                return Driver(file.read().strip(), os.fstat(file.fileno()).st_mtime_ns)
    except OSError:
        pass
    return None


@contextlib.contextmanager
def only_driver(output: Output, tell: Callable[[str], None] | None = None) -> Iterator[None]:
    """Keep other drivers out of a folder while this one runs.

    Args:
        output: the folder.
        tell: told, in one line, if it takes a while to see whether another driver is still there.

    Raises:
        InputError: another driver is running; names its host and process.
        OSError: the folder cannot be written.
    """
    held = _lease(output, tell) if output.local is None else _lock(output.local, output.location)
    with held:
        yield


@contextlib.contextmanager
def _lock(folder: Path, location: str) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK_NAME, "a+", opener=unlinked) as file:
        try:
            # Who only asks for the driver has the lock for a moment.
            lock(file, wait_s=0.25)
        except BlockingIOError as error:
            file.seek(0)
            raise _taken(location, file.read().strip()) from error
        except OSError:
            yield  # a filesystem without locks
            return
        file.seek(0)
        file.truncate()
        file.write(_name(socket.gethostname(), os.getpid()))
        file.flush()
        yield


@contextlib.contextmanager
def _lease(output: Output, tell: Callable[[str], None] | None) -> Iterator[None]:
    own = f"{LEASES}/{uuid.uuid4().hex}{_SUFFIX}"
    lease: dict[str, Any] = {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "machine": _machine(),
        "started": _started(os.getpid()),
        "renewed": 0,
    }

    def renew() -> None:
        lease["renewed"] += 1
        output.write(own, json.dumps(lease).encode())

    _acquire(output, own, renew, tell)
    lease["since_ns"] = output.stamps(LEASES, _SUFFIX).get(own, time.time_ns())
    over = threading.Event()

    def keep() -> None:
        while not over.wait(RENEW_S):
            with contextlib.suppress(OSError):  # the store is out of reach: it may come back
                renew()

    keeper = threading.Thread(target=keep, name="raysweep-lease", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join(RENEW_S)
        with contextlib.suppress(OSError):
            output.delete(own)


def _acquire(
    output: Output, own: str, renew: Callable[[], None], tell: Callable[[str], None] | None
) -> None:
    """Write this driver's lease where no other driver has one.

    Raises:
        InputError: another driver renews its lease.
    """
    rival = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(random.uniform(0.2, 1.0) * attempt)  # two that came at once part here
        renew()
        others = {name: lease for name, lease in _leases(output).items() if name != own}
        if not others:
            return
        output.delete(own)
        for name, lease in others.items():
            rival = _name(lease.get("host"), lease.get("process"))
            if tell is not None and not _dead(lease):
                tell(f"waiting up to {PATIENCE_S:g} s to see whether another driver ({rival}) runs")
                tell = None
            if _renewed(output, name, lease):
                raise _taken(output.location, rival)
            output.delete(name)
    raise _taken(output.location, rival)


def _renewed(output: Output, name: str, lease: dict[str, Any]) -> bool:
    """Wait to see a lease renewed; False where it is given back, or its driver is gone."""
    end = time.monotonic() + PATIENCE_S
    while not _dead(lease) and time.monotonic() < end:
        time.sleep(_LOOK_EVERY_S)
        now = _read(output, name)
        if now is None:
            return False
        if now != lease:
            return True
    return False


def _dead(lease: dict[str, Any]) -> bool:
    """Whether a lease is of a process of this machine that has ended."""
    return (
        bool(lease.get("machine"))
        and lease.get("machine") == _machine()
        and lease.get("started") != _started(lease.get("process", 0))
    )


def _leaseholder(output: Output) -> Driver | None:
    stamps = output.stamps(LEASES, _SUFFIX)
    for name, at in sorted(stamps.items(), key=lambda item: item[1]):
        lease = _read(output, name)
        if lease is None or _dead(lease) or time.time() - at / 1e9 > PATIENCE_S:
            continue
        who = _name(lease.get("host"), lease.get("process"))
        return Driver(who, int(lease.get("since_ns", at)))
    return None


def _leases(output: Output) -> dict[str, dict[str, Any]]:
    found = {name: _read(output, name) for name in output.names(LEASES, _SUFFIX)}
    return {name: lease for name, lease in found.items() if lease is not None}


def _read(output: Output, name: str) -> dict[str, Any] | None:
    content = output.read(name)
    if content is None:
        return None
    try:
        return dict(json.loads(content))
    except (ValueError, TypeError):
        return {}


def _machine() -> str:
    """This boot of this machine, and whose processes can be seen; empty where that is unknown."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return ""


def _started(process: int) -> str:
    """When a process of this machine started, in the kernel's ticks; empty if it is gone."""
    with contextlib.suppress(OSError, IndexError):
        state, *more = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return more[18] if state != "Z" else ""
    return ""


def _name(host: object, process: object) -> str:
    return f"host {host}, process {process}"


def _taken(location: str, name: str) -> InputError:
    return InputError(
        f"{location}: another driver is running in this folder ({name or 'unknown'}); "
        "wait for it, stop it, or give another --out"
    )
