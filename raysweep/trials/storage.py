"""Where results live: a local folder, a shared one, or any URI that ``pyarrow.fs`` opens.

A file appears whole or not at all. On a local filesystem it is written under a temporary name,
synced and renamed; an object store does the same by itself when an upload is closed. Nothing is
written through a symbolic link inside the folder: a link in a file's place is replaced, one in a
folder's place is refused.
"""

import contextlib
import errno
import itertools
import os
import re
import shlex
import time
import uuid
from pathlib import Path, PurePosixPath

from pyarrow import fs

from raysweep.errors import InputError

_UNFINISHED = ".tmp"
_TEMPORARY = re.compile(rf"\.[0-9a-f]{{32}}{re.escape(_UNFINISHED)}$")
_SHORT = 100  # of a file's name, so that its temporary name is not too long
_LONGEST_NAME = 255  # bytes of a name in a folder, on all usual filesystems
_ABANDONED_AFTER_S = 3600.0
"""Age of a file under a temporary name from which on nobody can still be writing it."""


class Output:
    """A folder of result files addressed by names relative to it, such as ``parts/ab12.arrow``.

    Args:
        location: a path, or a URI such as ``s3://bucket/sweeps/one``.

    Raises:
        InputError: the URI names a filesystem that ``pyarrow.fs`` does not know.
    """

    def __init__(self, location: str | os.PathLike[str]) -> None:
        self.location = str(location)
        self.local: Path | None = None
        if not self.location:
            # It would mean the working directory, which nobody who writes "" has in mind.
            raise InputError("the output location is empty; give a folder or a URI")
        try:
            if "://" in self.location:
                self._fs, self._root = fs.FileSystem.from_uri(self.location)
            else:
                self.location.encode()  # pyarrow opens no name that is not UTF-8
                path = Path(self.location).expanduser().resolve()
                if any(len(part.encode()) > _LONGEST_NAME for part in path.parts):
                    raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
                with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                    path.stat()  # the whole may be too long
                self._fs, self._root = fs.LocalFileSystem(), str(path)
        except UnicodeEncodeError as error:
            raise InputError(
                f"{self.location}: not a name in UTF-8; give a folder with another name"
            ) from error
        except (ValueError, OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                f"{self.location}: not a location that can be opened ({reason}); "
                "give a folder, or a URI such as s3://bucket/path"
            ) from error
        if not self._root.strip("/"):
            raise InputError(f"{self.location}: names no place of its own; give a folder below it")
        if isinstance(self._fs, fs.LocalFileSystem):
            self.local = Path(self._root)
            self.location = self._root

    def __repr__(self) -> str:
        return f"Output({self.location!r})"

    def place(self, name: str) -> str:
        """The path or URI of ``name``, to be shown and pasted."""
        before, question, options = (
            self.location.partition("?") if self.local is None else (self.location, "", "")
        )
        return f"{before.rstrip('/')}/{name}{question}{options}"

    @property
    def argument(self) -> str:
        """The location as one argument of a shell's command."""
        return shlex.quote(self.location)

    def _path(self, name: str) -> str:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts:
            raise ValueError(f"{name!r} is not a name inside the output folder")
        return f"{self._root.rstrip('/')}/{name}"

    def _unlinked(self, name: str) -> str:
        """The path of ``name``, to which no link inside the folder leads."""
        path = self._path(name)
        if self.local is not None:
            for parent in PurePosixPath(name).parents[:-1]:
                if (self.local / parent).is_symlink():
                    raise InputError(
                        f"{self.local / parent}: is a link to {os.readlink(self.local / parent)}, "
                        "and nothing is written through a link; put a folder in its place"
                    )
        return path

    def write(self, name: str, content: bytes) -> None:
        """Put ``content`` under ``name``, replacing what was there; whole or not at all.

        Raises:
            InputError: a folder on the way is a symbolic link.
            OSError: the location cannot be written (permission, disk full, connection).
        """
        path = self._unlinked(name)
        folder = Path(path).parent
        if self.local is None:
            self._fs.create_dir(folder.as_posix(), recursive=True)
            with self._fs.open_output_stream(path) as stream:
                stream.write(content)
            return
        made = list(itertools.takewhile(lambda p: not p.exists(), (folder, *folder.parents)))
        folder.mkdir(parents=True, exist_ok=True)
        start = Path(path).name[:_SHORT]
        temporary = str(folder / f"{start}.{uuid.uuid4().hex}{_UNFINISHED}")
        try:
            with open(temporary, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        # The name itself is kept by syncing its folder, and a new folder's by syncing its parent.
        for changed in (folder, *(new.parent for new in made)):
            descriptor = os.open(changed, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def folder(self, name: str) -> Path | None:
        """The folder ``name``, made where it is missing; None of a remote location.

        Raises:
            InputError: it is a symbolic link, or one is on the way.
            OSError: it cannot be made.
        """
        if self.local is None:
            return None
        path = Path(self._unlinked(name)).absolute()
        if path.is_symlink():
            raise InputError(f"{path}: is a link, and nothing is written through a link")
        path.mkdir(parents=True, exist_ok=True)
        return path

    def read(self, name: str) -> bytes | None:
        """The content of ``name``, or None if there is no such file."""
        path = self._path(name)
        try:
            with self._fs.open_input_stream(path, compression=None) as stream:
                content: bytes = stream.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if self._fs.get_file_info(path).type == fs.FileType.Directory:
                raise InputError(f"{self.place(name)}: is a folder, expected a file") from error
            raise
        return content

    def delete(self, name: str) -> None:
        """Remove ``name`` if it is there.

        Raises:
            InputError: a folder on the way is a symbolic link.
        """
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self._fs.delete_file(self._unlinked(name))

    def remove_unfinished(self) -> None:
        """Remove what killed processes left half written, an hour ago or longer."""
        if self.local is None:
            return  # an object store drops such uploads by itself
        before = time.time() - _ABANDONED_AFTER_S
        for path in (p for depth in ("*", "*/*") for p in self.local.glob(depth + _UNFINISHED)):
            with contextlib.suppress(OSError):
                linked = path.parent != self.local and path.parent.is_symlink()
                old = _TEMPORARY.search(path.name) and path.lstat().st_mtime < before
                if old and not linked:
                    path.unlink()

    def names(self, folder: str, suffix: str) -> list[str]:
        """Sorted names (``folder/file``) of the files in ``folder`` that end in ``suffix``."""
        return sorted(self.stamps(folder, suffix))

    def stamps(self, folder: str, suffix: str) -> dict[str, int]:
        """Name -> time of the last change in ns, of the files that `names` gives."""
        selector = fs.FileSelector(self._path(folder), allow_not_found=True)
        found = self._fs.get_file_info(selector)
        return {
            f"{folder}/{info.base_name}": info.mtime_ns
            for info in found
            if info.type == fs.FileType.File and info.base_name.endswith(suffix)
        }


def unlinked(path: str, flags: int) -> int:
    """An opener for `open` that follows no symbolic link in the file's place."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)
