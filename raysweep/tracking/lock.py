"""One copy of a run folder at a time, also where several processes make one."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from raysweep.locks import lock
from raysweep.storage import Output, unlinked

LOCK_NAME = ".tracking.lock"
LOCK_WAIT_S = 10.0


def lock_path(output: Output) -> Path:
    """The lock file of a run folder: in it where that can be, else in the temporary folder."""
    if output.local is not None and os.access(output.local, os.W_OK):
        return output.local / LOCK_NAME
    name = hashlib.sha256(output.location.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"raysweep-{os.getuid()}-{name}.lock"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[TextIO | None]:
    """The lock file, or None where somebody else keeps it; a lock dies with its process."""
    with open(path, "a+", opener=unlinked) as file:
        try:
            lock(file, LOCK_WAIT_S)
        except OSError:
            yield None
            return
        file.seek(0)
        yield file
