"""Waiting for what processes do, and a terminal for them."""

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from tiny_runs import (
    command,
    environment,
    kill,
)


def wait_until(true: Callable[[], bool], process: subprocess.Popen[bytes], limit: float) -> None:
    end = time.monotonic() + limit
    while not true():
        assert time.monotonic() < end, "waited too long"
        assert process.poll() is None, "ended too early"
        time.sleep(0.01)


def alive(process: int) -> bool:
    """Whether a process of that id runs, and has not only to be taken note of."""
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def in_a_terminal(
    folder: Path, *arguments: object, act: Callable[[int], None] | None = None
) -> tuple[str, int]:
    """Run the command line as a person does; what the terminal showed, and the exit code."""
    terminal, other_end = pty.openpty()
    process = subprocess.Popen(
        command(*arguments),
        cwd=folder,
        env={**environment(), "TERM": "xterm", "COLUMNS": "120", "LINES": "40"},
        stdin=other_end,
        stdout=other_end,
        stderr=other_end,
        start_new_session=True,
        preexec_fn=_take_terminal,
    )
    os.close(other_end)
    shown = b""
    end = time.monotonic() + 240
    try:
        while time.monotonic() < end:
            if select.select([terminal], [], [], 0.05)[0]:
                try:
                    shown += os.read(terminal, 65536)
                except OSError:  # how Linux says that the other end is closed
                    break
            if act is not None:
                act(terminal)
    finally:
        kill(process)
        os.close(terminal)
    return re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", shown).decode(), process.returncode


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
