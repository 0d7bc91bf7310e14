"""What a trial's function prints, kept beside what else is the trial's own."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


@contextlib.contextmanager
def printed(place: Path) -> Iterator[None]:
    """Have what the block prints in a file, too: of a worker's own output nothing is left.

    Args:
        place: the file, made with the first word and appended to.
    """
    kept = _Kept(place)
    out, err = _Both(sys.stdout, kept), _Both(sys.stderr, kept)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            yield
        finally:
            kept.close()


class _Kept:
    """A file that is not there before something is written, and whose faults stop nothing."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._file: IO[str] | None = None
        self._over = False

    def write(self, text: str) -> None:
        if self._over or not text:
            return  # by a handler of a log, say, that outlives the trial
        with contextlib.suppress(OSError, ValueError):
            if self._file is None:
                self._file = open(self._place, "a", 1, errors="replace")  # noqa: SIM115
            self._file.write(text)

    def close(self) -> None:
        self._over = True
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()


class _Both:
    """A stream of which all that is written is kept."""

    def __init__(self, shown: IO[str], kept: _Kept) -> None:
        self._shown, self._kept = shown, kept

    def write(self, text: str) -> int:
        self._kept.write(text)
        return self._shown.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shown, name)
