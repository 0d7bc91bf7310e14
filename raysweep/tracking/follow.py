"""Copies a run folder to MLflow for as long as the run lasts."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable

from raysweep.run_folder import RunFolder
from raysweep.tracking.address import resolve_address
from raysweep.tracking.mirror import Mirror, SyncReport

_NICENESS = 19

Log = Callable[[str], None]


def follow(
    folder: RunFolder,
    tracking_uri: str | None,
    stop: threading.Event,
    every_s: float = 5.0,
    log: Log | None = None,
) -> SyncReport | None:
    """Copy what is new every few seconds until told to stop, then one last time.

    Outages are waited out and nothing is raised: a copy that failed is made again later.

    Args:
        folder: a run folder.
        tracking_uri: address of MLflow; None as in `resolve_address`.
        stop: set when the run has ended.
        every_s: pause between copies.
        log: given one line when MLflow goes away or comes back, and the outcome at the end.

    Returns:
        The report of the last copy, or None where it failed.
    """
    say: Log = log if log is not None else lambda line: None
    mirror: Mirror | None = None
    problem: str | None = None
    while True:
        last = stop.is_set()
        report = None
        try:
            if mirror is None:
                mirror = Mirror(folder, resolve_address(folder, tracking_uri))
            report = mirror.update()
            if last or problem is not None:
                say(report.sentence())
            problem = None
        except Exception as error:
            found = str(error) or type(error).__name__
            if last or found != problem:
                say(found)
            problem = found
        if last:
            return report
        stop.wait(every_s)


def follow_until_input_ends(
    folder: RunFolder, tracking_uri: str | None = None, every_s: float = 5.0
) -> None:
    """`follow` for the companion process of a run: stop when standard input ends.

    The driver holds the other end of the pipe, so that its end, however sudden, is noticed. Lines
    go to standard output, which the driver has sent to the companion's log.
    """
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    stop = threading.Event()

    def wait_for_end() -> None:
        with contextlib.suppress(OSError, ValueError):
            while sys.stdin.buffer.read(4096):
                pass
        stop.set()

    def write(line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
            sys.stdout.flush()

    threading.Thread(target=wait_for_end, daemon=True).start()
    follow(folder, tracking_uri, stop, every_s, write)
