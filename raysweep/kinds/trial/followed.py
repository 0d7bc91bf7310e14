"""What a command has written of its epochs, seen while it runs."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Event, Thread

_EVERY_S = 1.0
_TAIL_BYTES = 4096


@contextlib.contextmanager
def followed(results: Path, show: Callable[[int, Mapping[str, float]], None]) -> Iterator[None]:
    """Show the latest epoch in a command's results, every second while the block runs.

    Args:
        results: the file that the command appends JSON lines to; read at its end by whoever needs
            it, with all its faults.
        show: told the epoch and its numbers.
    """
    over = Event()

    def follow() -> None:
        size = 0
        while not over.wait(_EVERY_S):
            with contextlib.suppress(OSError, ValueError):
                grown = results.stat().st_size
                if grown != size:
                    size = grown
                    latest = _latest(results)
                    if latest is not None:
                        show(*latest)

    follower = Thread(target=follow, name="raysweep-results", daemon=True)
    follower.start()
    try:
        yield
    finally:
        over.set()
        follower.join()


def _latest(results: Path) -> tuple[int, dict[str, float]] | None:
    """The last whole line that has an epoch."""
    with open(results, "rb") as stream:
        stream.seek(max(0, results.stat().st_size - _TAIL_BYTES))
        lines = stream.read().split(b"\n")[:-1]
    for line in reversed(lines):
        with contextlib.suppress(ValueError):
            point = json.loads(line)
            epoch = point.pop("epoch", None) if isinstance(point, dict) else None
            if isinstance(epoch, int):
                return epoch, {n: float(v) for n, v in point.items() if isinstance(v, int | float)}
    return None
