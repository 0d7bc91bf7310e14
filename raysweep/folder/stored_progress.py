"""What a run that goes on leaves for those who look: how long it still takes, and a first page."""

import json
import math
import time

from raysweep.trials.storage import Output

PROGRESS_NAME = "progress.json"
SO_FAR = "raysweep-so-far"
"""Name of a page's `meta` element that says that the page was written while the run went on."""


def store_seconds_left(output: Output, seconds: float) -> None:
    """Keep how long a run still takes, as of now.

    Raises:
        OSError: the output cannot be written.
    """
    content = {"seconds_left": round(seconds, 1), "written": time.time()}
    output.write(PROGRESS_NAME, json.dumps(content).encode())


def stored_seconds_left(output: Output, since_ns: int) -> float | None:
    """How long a run still takes, as its driver has told; None where it has not.

    Args:
        output: the run's folder.
        since_ns: when the driver has started; what is older was told by another.
    """
    try:
        content = json.loads(output.read(PROGRESS_NAME) or b"{}")
        seconds, written = float(content["seconds_left"]), float(content["written"])
    except (ValueError, KeyError, TypeError, OSError):
        return None
    if not math.isfinite(seconds) or written < since_ns / 1e9 - 1.0:
        return None
    return max(seconds - max(time.time() - written, 0.0), 0.0)


def forget_progress(output: Output) -> None:
    """Leave nothing of a run that has ended."""
    output.delete(PROGRESS_NAME)


def is_so_far(page: bytes) -> bool:
    """Whether a report was written while its run went on."""
    return f'<meta name="{SO_FAR}"'.encode() in page[:1000]
