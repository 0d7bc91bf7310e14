"""The lines that a command writes, read at its end, and of its epochs seen while it runs."""

import contextlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Event, Thread

from raysweep.trials.storage import Output

_EVERY_S = 1.0
_TAIL_BYTES = 4096
# As C's printf writes it, and with it most languages; texts are passed over.
_NO_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|([+-]?)\b(?:(nan)|inf(?:inity)?)\b', re.IGNORECASE)


def lines_of(results: Path) -> list[str]:
    """The lines of a file of JSON lines, whose texts may hold what else ends a line in Unicode."""
    return results.read_text(encoding="utf-8-sig", errors="replace").split("\n")


def parsed(line: str) -> object:
    """What a line of JSON holds, which may have ``nan`` and ``inf`` as most languages write them.

    JSON has one kind of number: an ``epoch`` of 1.0 is the first one.

    Raises:
        ValueError: it is none, or gives a name twice.
    """

    def as_json(found: re.Match[str]) -> str:
        if found[0].startswith('"'):
            return found[0]
        return "NaN" if found[2] else f"{found[1].replace('+', '')}Infinity"

    try:
        found = json.loads(_NO_NUMBER.sub(as_json, line), object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("nested too deep") from None
    epoch = found.get("epoch") if isinstance(found, dict) else None
    if isinstance(epoch, float) and epoch.is_integer():
        found["epoch"] = int(epoch)
    return found


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        [[name, _], *_] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{name} stands there twice")
    return found


def forget_ended(results: Path, epochs: int | None) -> None:
    """Leave of what an earlier attempt has written its epochs alone, those until a last one.

    A command that goes on from its own checkpoint has told of them, and one that begins anew tells
    of them again. A line that was cut short would be a fault for ever.
    """
    if not results.exists():
        return
    kept = []
    for line in lines_of(results):
        with contextlib.suppress(ValueError):
            point = parsed(line)
            epoch = point.get("epoch") if isinstance(point, dict) else None
            if isinstance(epoch, int) and (epochs is None or epoch <= epochs):
                kept.append(f"{line}\n")
    Output(results.parent).write(results.name, "".join(kept).encode())


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
            point = parsed(line.decode(errors="replace"))
            epoch = point.pop("epoch", None) if isinstance(point, dict) else None
            if isinstance(point, dict) and isinstance(epoch, int):
                return epoch, {n: float(v) for n, v in point.items() if isinstance(v, int | float)}
    return None
