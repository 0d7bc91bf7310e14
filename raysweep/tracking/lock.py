"""One copy of a run folder at a time, also where several processes make one."""

import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from raysweep.trials.storage import Output, unlinked

LOCK_NAME = ".tracking.lock"
LOCK_WAIT_S = 10.0


def lock_path(output: Output) -> Path:
    """The lock file of a run folder: in it where that can be, else in the temporary folder."""
    if output.local is not None and os.access(output.local, os.W_OK):
        return output.local / LOCK_NAME
    name = hashlib.sha256(output.location.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"raysweep-{os.getuid()}-{name}.lock"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[Any]:
    """The lock file, or None where somebody else keeps it; a lock dies with its process."""
    lock: TextIO
    with open(path, "a+", opener=unlinked) as lock:
        until = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > until:
                    yield None
                    return
                time.sleep(0.1)
        lock.seek(0)
        yield lock
