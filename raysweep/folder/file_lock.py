"""Locks of files between processes; a lock dies with its process."""

import fcntl
import math
import time
from typing import IO, Any

_LOOK_EVERY_S = 0.05


def lock(file: IO[Any], wait_s: float = 0.0, shared: bool = False) -> None:
    """Lock an open file, until it is closed.

    Args:
        file: the file.
        wait_s: how long to wait where another process keeps it; infinity for as long as it takes.
        shared: whether others may have it locked so, too.

    Raises:
        BlockingIOError: another process keeps it.
        OSError: its filesystem has no locks.
    """
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    if wait_s == math.inf:
        fcntl.flock(file, how)
        return
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until:
                raise
        time.sleep(_LOOK_EVERY_S)
