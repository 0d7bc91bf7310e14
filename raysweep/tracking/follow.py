"""Copies a run folder to MLflow for as long as the run lasts."""

import contextlib
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from raysweep.folder.run_folder import RunFolder
from raysweep.tracking.address import TrackingBusy, resolve_address
from raysweep.tracking.mirror import Mirror, SyncReport

BUSY_SHARE = 0.01
"""Share of this machine's processor time that copying takes, at most, while a run goes on."""
_SERVER_SHARE = 5.0
"""CPU time of a copy and of an MLflow server that takes it, in units of the copy's own."""
_REPORT_EVERY_S = 5.0
_AGAIN_AFTER_S = 1.0
PATIENCE_S = 60.0
"""How long the last copy waits for a database that others keep locked."""

Log = Callable[[str], None]


def follow(
    folder: RunFolder,
    tracking_uri: str | None,
    stop: threading.Event,
    every_s: float = 5.0,
    log: Log | None = None,
) -> SyncReport | None:
    """Copy what is new every few seconds until told to stop, then one last time.

    Outages are waited out and nothing is raised: a copy that failed is made again later. While the
    run goes on, a copy that took long is followed by a longer pause (`pause_after`); the first,
    which loads MLflow and may make a database, is not counted. The last copy rests no more; it is
    made again where it failed after it had got on, or because others held the database for a while.

    Args:
        folder: a run folder.
        tracking_uri: address of MLflow; None as in `resolve_address`.
        stop: set when the run has ended.
        every_s: pause between copies, at least.
        log: given one line when MLflow goes away or comes back, how far a long copy is, and the
            outcome at the end.

    Returns:
        The report of the last copy, or None where it failed.
    """
    say: Log = log if log is not None else lambda line: None
    mirror: Mirror | None = None
    problem: str | None = None
    counted = False
    patient_until = math.inf
    while True:
        last = stop.is_set()
        report = None
        began = time.process_time()
        progress = _Progress(say)
        try:
            if mirror is None:
                mirror = Mirror(folder, resolve_address(folder, tracking_uri))
            report = mirror.update(progress, ended=last)
            if last or problem is not None:
                say(report.sentence())
            problem = None
        except Exception as error:
            found = str(error) or type(error).__name__
            if progress.written or not last or math.isinf(patient_until):
                patient_until = time.monotonic() + PATIENCE_S
            again = bool(progress.written) or isinstance(error, TrackingBusy)
            if last and again and time.monotonic() < patient_until:
                time.sleep(_AGAIN_AFTER_S)
                continue
            if last or found != problem:
                say(found)
            problem = found
        if last:
            return report
        cost_s = time.process_time() - began if counted else 0.0
        if mirror is not None and mirror.address.is_local_server:
            cost_s *= _SERVER_SHARE
        counted = counted or report is not None
        stop.wait(max(every_s, pause_after(cost_s, os.cpu_count() or 1)))


def pause_after(cost_s: float, cores: int) -> float:
    """How long copying must rest for its share of the processors to be `BUSY_SHARE`, in s.

    Args:
        cost_s: CPU time that the last copy took, s.
        cores: processors of this machine.
    """
    return max(0.0, cost_s / (BUSY_SHARE * cores) - cost_s)


class _Progress:
    """Says how many runs of a copy are written, every few seconds.

    Attributes:
        written: how many are.
    """

    def __init__(self, say: Log) -> None:
        self.written = 0
        self._say, self._latest = say, time.monotonic()

    def __call__(self, written: int, runs: int) -> None:
        self.written = written
        if time.monotonic() - self._latest > _REPORT_EVERY_S:
            self._latest = time.monotonic()
            self._say(f"MLflow: {written} of {runs} runs written")


def follow_until_input_ends(
    folder: RunFolder, tracking_uri: str | None = None, every_s: float = 5.0
) -> None:
    """`follow` for the sidecar process of a run: stop when standard input ends.

    The driver holds the other end of the pipe, so that its end, however sudden, is noticed. Lines
    go to standard output, which the driver has sent to the sidecar's log.
    """
    stop = threading.Event()

    def wait_for_end() -> None:
        with contextlib.suppress(OSError, ValueError):
            while sys.stdin.buffer.read(4096):
                pass
        # Nothing is computed any more: at least its session is given way to no longer.
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text("0")
        stop.set()

    def write(line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
            sys.stdout.flush()

    threading.Thread(target=wait_for_end, daemon=True).start()
    follow(folder, tracking_uri, stop, every_s, write)
