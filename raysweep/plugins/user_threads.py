"""Threads that a user's own code starts, and that end by an exception: nobody waits for it.

What waits for such a thread then hangs, or fails at something else, and is told why.
"""

import contextlib
import threading
import traceback
from collections.abc import Iterator

_endings: list[str] = []


@contextlib.contextmanager
def threads_heard() -> Iterator[None]:
    """Note which threads end by an exception while the block runs, in `thread_endings`.

    What the block raises itself is raised with a note of them.
    """
    before = threading.excepthook
    _endings.clear()

    def hear(ended: threading.ExceptHookArgs) -> None:
        said = traceback.format_exception_only(ended.exc_type, ended.exc_value)
        name = "" if ended.thread is None else f" {ended.thread.name}"
        _endings.append(f"thread{name} had ended by {''.join(said).strip()}")
        before(ended)

    threading.excepthook = hear
    try:
        yield
    except Exception as error:
        for ending in _endings:
            error.add_note(f"({ending})")
        raise
    finally:
        threading.excepthook = before


def thread_endings() -> str:
    """The threads of the latest block that have ended by an exception; empty without one."""
    return "; ".join(_endings)
