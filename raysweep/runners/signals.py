"""Interruptions that wait: what must not be cut in two is done first."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_INTERRUPTING = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
"""The last is that of a budget of time."""


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """A block that Ctrl-C, SIGTERM and an alarm do not cut short; they act at its end.

    A large import, above all: a package that was interrupted while it loaded stays half loaded, and
    every later import of it fails, those of the last words too. Outside the main thread, where no
    signal arrives, it does nothing. Of several signals the first acts.

    Example:
        >>> import signal
        >>> order = []
        >>> try:
        ...     with held_back():
        ...         signal.raise_signal(signal.SIGINT)
        ...         order.append("done")
        ... except KeyboardInterrupt:
        ...     order.append("interrupted")
        >>> order
        ['done', 'interrupted']
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.signal(number, note) for number in _INTERRUPTING}
    try:
        yield
    finally:
        for number, handler in before.items():
            # None stands for a handler that was not set from Python: it cannot be set again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if came:
            signal.raise_signal(came[0])
