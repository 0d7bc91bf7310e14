"""MLflow's SQLite file: whether it can be written, and how a new one is set up."""

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

# With a write-ahead log a run is written three times as fast, and people who look at the UI do not
# hold up the copy; it needs memory that all readers share, hence a filesystem of this machine.
_LOCAL_FILESYSTEMS = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "overlay"}
)
_MOUNTS = Path("/proc/self/mounts")
LOCKED = "locked by another program"


def fault_of(path: Path, wait_s: float) -> str:
    """Why a SQLite file cannot be written, or an empty text; one that is not there can be.

    Args:
        path: the file.
        wait_s: how long to wait for another program's lock.
    """
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    if not path.exists():
        # MLflow would make it in many steps; see `set_up`.
        return "" if os.access(path.parent, os.W_OK) else "unable to open database file"
    connection = None
    try:
        connection = sqlite3.connect(path, timeout=wait_s, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
        if path.stat().st_size == 0 and on_local_filesystem(path):
            connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.Error as error:
        text = str(error)
        if "locked" in text:
            return f"the database is {LOCKED} (waited {wait_s:g} s)"
        return "the file is not a SQLite database" if "not a database" in text else text
    finally:
        if connection is not None:
            connection.close()
    return ""


def set_up(path: Path, fill: Callable[[str], None]) -> None:
    """Make a new database, whole or not at all: a process may be killed in the middle.

    Args:
        path: its file; where there is one already, it is left as it is.
        fill: makes MLflow's tables in the SQLite database of a URI and closes it.

    Raises:
        OSError: it cannot be written.
    """
    if path.exists():
        return
    new = unfinished(path, os.getpid())
    try:
        new.unlink(missing_ok=True)
        fill(f"sqlite:///{new}")
        if on_local_filesystem(path):
            with contextlib.closing(sqlite3.connect(new)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
        with open(new, "rb") as written:
            os.fsync(written.fileno())
        # Another copy may have been quicker: unlike a renamed file a link replaces nothing.
        with contextlib.suppress(FileExistsError):
            os.link(new, path)
    finally:
        new.unlink(missing_ok=True)


def unfinished(path: Path, pid: int) -> Path:
    """Where a process makes a new database; what is left there when it was killed is of no use."""
    return path.with_name(f".{path.name}.{pid}.new")


def on_local_filesystem(path: Path) -> bool:
    """Whether a file is known to lie on a disk of this machine."""
    try:
        mounts = [line.split() for line in _MOUNTS.read_text().splitlines()]
    except OSError:
        return False
    real = os.path.realpath(path)
    kinds = {
        mount[1]: mount[2] for mount in mounts if os.path.commonpath([real, mount[1]]) == mount[1]
    }
    return bool(kinds) and kinds[max(kinds, key=len)] in _LOCAL_FILESYSTEMS
