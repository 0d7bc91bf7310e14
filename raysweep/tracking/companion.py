"""The process beside a run that copies its results to MLflow."""

import contextlib
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from raysweep import import_path
from raysweep.run_folder import RunFolder
from raysweep.storage import unlinked
from raysweep.tracking.address import VARIABLE, Address, remember, resolve_address

LOG_NAME = "tracking.log"
_LOOK_EVERY_S = 2.0
_PROGRESS = re.compile(r" of \d+ runs written$")
_SAID = re.compile(r"^\d\d:\d\d:\d\d (.+)$", re.MULTILINE)


class Companion:
    """A running copy to MLflow.

    Attributes:
        address: where it copies to.
        log: the file with what it has to say.
    """

    def __init__(self, address: Address, process: subprocess.Popen[bytes], log: Path) -> None:
        self.address, self.log = address, log
        self._process = process

    def finish(
        self,
        timeout_s: float = 60.0,
        most_s: float = math.inf,
        tell: Callable[[str], None] | None = None,
    ) -> str:
        """Have the last results copied, wait for that, and end the process in any case.

        Args:
            timeout_s: how long to wait for a sign of progress.
            most_s: how long to wait at most.
            tell: given, in a line each, how far a copy is that takes a while.

        Returns:
            The outcome in one line.
        """
        try:
            with contextlib.suppress(OSError):
                _pipe(self._process.stdin).close()
            code = self._wait(timeout_s, time.monotonic() + most_s, tell)
        finally:
            self._kill()
        catch_up = f"`raysweep sync {self.address.folder}` copies"
        if code is None:
            return (
                f"MLflow at {self.address.shown}: not all was copied in "
                f"{min(timeout_s, most_s):g} s; {catch_up} the rest"
            )
        said = _last_line(self.log)
        if code == 0 and said:
            if self.log.name != LOG_NAME:  # in the temporary folder
                self.log.unlink(missing_ok=True)
            return said
        return (
            f"MLflow at {self.address.shown}: the copying process ended with code {code} "
            f"(see {self.log}); {catch_up} what is missing"
        )

    def _wait(
        self, timeout_s: float, until: float, tell: Callable[[str], None] | None
    ) -> int | None:
        """The exit code, or None once it has said nothing for so long or the time is over."""
        said, patient_until = _last_line(self.log), time.monotonic() + timeout_s
        while True:
            left = min(patient_until, until) - time.monotonic()
            try:
                return self._process.wait(max(min(left, _LOOK_EVERY_S), 0.0))
            except subprocess.TimeoutExpired:
                before, said = said, _last_line(self.log)
                if said != before:
                    patient_until = time.monotonic() + timeout_s
                    # The outcome may be there before the process has ended; it is returned.
                    if tell is not None and _PROGRESS.search(said):
                        tell(said)
                if time.monotonic() >= min(patient_until, until):
                    return None

    def _kill(self) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def start_companion(folder: RunFolder, tracking_uri: str | None = None) -> Companion:
    """Start copying a run's results to MLflow, in a process of its own at low priority.

    The process ends by itself after a last copy when the driver ends, however that happens, and
    does not see the driver's Ctrl-C. Whether MLflow can be reached makes no difference to the run.

    Args:
        folder: the run folder; the study must be in it.
        tracking_uri: address of MLflow; None as in `resolve_address`.

    Raises:
        InputError: the address is malformed.
    """
    address = resolve_address(folder, tracking_uri)
    remember(folder, address)
    log = _log_path(folder)
    with open(log, "ab", opener=unlinked) as stream:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "raysweep", "sync", folder.output.location, "--follow"],
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=stream,
            # Not an argument: an address may hold a password, and arguments are seen by all.
            env={**import_path.environment(), VARIABLE: address.uri, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
    return Companion(address, process, log)


def _log_path(folder: RunFolder) -> Path:
    if folder.output.local is not None:
        return folder.output.local / LOG_NAME
    handle, name = tempfile.mkstemp(prefix="raysweep-tracking-", suffix=".log")
    os.close(handle)
    return Path(name)


def _last_line(log: Path) -> str:
    with contextlib.suppress(OSError):
        # Libraries may write to the same file; what the copy itself says begins with the time.
        lines = _SAID.findall(log.read_text(errors="replace"))
        return str(lines[-1]) if lines else ""
    return ""


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise OSError("no pipe")
    return stream
