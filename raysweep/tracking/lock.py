"""One copy of a run folder at a time, also where several processes make one."""

import hashlib
import os
import tempfile
from pathlib import Path

from raysweep.trials.storage import Output

LOCK_NAME = ".tracking.lock"
LOCK_WAIT_S = 10.0


def lock_path(output: Output) -> Path:
    """The lock file of a run folder: in it where that can be, else in the temporary folder."""
    if output.local is not None and os.access(output.local, os.W_OK):
        return output.local / LOCK_NAME
    name = hashlib.sha256(output.location.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"raysweep-{os.getuid()}-{name}.lock"
