"""How long advice may take."""

import re
import time

from raysweep.errors import InputError

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_WRITTEN = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|)")


def seconds_of(text: str) -> float:
    """A duration such as ``90s``, ``10m`` or ``1.5h`` in seconds; a plain number is of seconds.

    Raises:
        InputError: it is no duration, or none above 0.

    Example:
        >>> from raysweep.advice.budget import seconds_of
        >>> seconds_of("10m")
        600.0
    """
    found = _WRITTEN.fullmatch(text.strip())
    seconds = float(found[1]) * _SECONDS[found[2]] if found else 0.0
    if not seconds > 0:
        raise InputError(f"budget {text!r}: expected a duration, such as 90s, 10m or 1h")
    return seconds


class Budget:
    """Wall-clock time that is running out.

    Args:
        seconds: from now on.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._until = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left; below 0 once it is spent."""
        return self._until - time.monotonic()
