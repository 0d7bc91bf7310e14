"""Runs a command in a group of its own, and ends that group when standard input ends.

A worker holds the other end: when it is gone, however it went, so is its command, with all that
this has started. Run by itself, without raysweep: it has to start fast.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading


def _end_with_the_input(group: int) -> None:
    while os.read(0, 1024):
        pass
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def main() -> int:
    """Run the command in the arguments; its exit code, or 128 + the signal that ended it."""
    try:
        process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        sys.stderr.write(f"{sys.argv[1]}: {error.strerror}\n")
        return 127
    # Whoever interrupts the run closes the pipe: the command is ended by that, and not by half.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_input, args=(process.pid,), daemon=True).start()
    code = process.wait()
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.stdout.flush()
    os._exit(main())
