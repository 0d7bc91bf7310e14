"""MLflow's SQLite file: whether it can be written, and how a new one is set up."""

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from raysweep.folder.scratch import scratch

# With a write-ahead log a run is written three times as fast, and people who look at the UI do not
# hold up the copy; it needs memory that all readers share, hence a filesystem of this machine.
_LOCAL_FILESYSTEMS = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "overlay"}
)
_MOUNTS = Path("/proc/self/mounts")
LOCKED = "locked by another program"
_WAIT_S = 30.0
_TRANSACTION = ("BEGIN TRANSACTION;", "COMMIT;")


def fault_of(path: Path, wait_s: float) -> str:
    """Why a SQLite file cannot be written, or an empty text; one that is not there is made.

    Args:
        path: the file.
        wait_s: how long to wait for another program's lock.
    """
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
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
    """Make MLflow's tables in a file that has none, all at once or not at all.

    MLflow makes them in many steps, and cannot go on where it was killed between two of them.

    Args:
        path: the file; one that has tables is left as it is.
        fill: makes the tables in the new SQLite database of a URI and closes it.

    Raises:
        sqlite3.Error: it cannot be written.
    """
    with contextlib.closing(sqlite3.connect(path, _WAIT_S, isolation_level=None)) as target:
        if _has_tables(target):
            return
        with scratch("copy") as place:
            model = place / "model.db"
            fill(f"sqlite:///{model}")
            with contextlib.closing(sqlite3.connect(model)) as source:
                statements = list(source.iterdump())
        target.execute("BEGIN IMMEDIATE")
        if not _has_tables(target):
            for statement in statements:
                if statement not in _TRANSACTION:
                    target.execute(statement)
        target.execute("COMMIT")


def _has_tables(connection: sqlite3.Connection) -> bool:
    (count,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return bool(count)


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
