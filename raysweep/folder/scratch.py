"""Folders in the temporary folder that go when they are not needed any more.

Each is locked for as long as its process lives, so that what a killed process left is known, and
the next one that makes such a folder removes it.
"""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from raysweep.folder.file_lock import lock
from raysweep.trials.storage import unlinked

_PREFIX = "raysweep-"
_LOCK = ".raysweep-lock"
_REMOVE_AGAIN_AFTER_S = (0.1, 0.3, 1.0)
_own: set[Path] = set()


@contextlib.contextmanager
def scratch(purpose: str, root: str | None = None) -> Iterator[Path]:
    """A new folder for as long as the block runs; what dead processes left is removed.

    Args:
        purpose: a word for its name.
        root: where to make it; in the temporary folder by default.
    """
    root = root or tempfile.gettempdir()
    remove_abandoned(Path(root))
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{purpose}-", dir=root))
    _own.add(folder)
    try:
        with open(folder / _LOCK, "x") as file:
            with contextlib.suppress(OSError):  # a filesystem without locks
                lock(file)
            yield folder
    finally:
        _remove(folder)
        _own.discard(folder)


def remove_own() -> None:
    """Remove this process's folders, where it ends without leaving their blocks."""
    for folder in list(_own):
        _remove(folder)


def remove_abandoned(root: Path) -> None:
    """Remove this user's folders whose processes are dead."""
    for folder in root.glob(f"{_PREFIX}*-*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            with open(folder / _LOCK, opener=unlinked) as file:
                lock(file)
                shutil.rmtree(folder, ignore_errors=True)


def _remove(folder: Path) -> None:
    # Processes that end may write a last line meanwhile.
    for wait in (*_REMOVE_AGAIN_AFTER_S, None):
        shutil.rmtree(folder, ignore_errors=True)
        if wait is None or not folder.exists():
            return
        time.sleep(wait)
