"""A real MLflow server on this machine, for tests and benchmarks; ended on the way out."""

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_START_S = 240
_PAGE = Path(__file__).parents[2] / "docs" / "tracking.md"


@dataclass(frozen=True)
class Server:
    """A server that answers.

    Attributes:
        uri: its address.
        process: its first process; the others are in the same process group.
    """

    uri: str
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def running_server(folder: Path, backend: str | None = None) -> Iterator[Server]:
    """A server as the documents start it in ``folder``; it keeps runs there, or in ``backend``."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    [documented] = re.findall(r"^mlflow (server .*)$", _PAGE.read_text(), re.MULTILINE)
    command = [sys.executable, "-m", "mlflow", *shlex.split(documented)]
    command += ["--port", str(port), "--workers", "1"]
    if backend is not None:
        command[command.index("--backend-store-uri") + 1] = backend
    log = folder / "server.log"
    with open(log, "wb") as stream:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    try:
        uri = f"http://127.0.0.1:{port}"
        end = time.monotonic() + _START_S
        while not _answers(f"{uri}/health"):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        yield Server(uri, process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(address: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=2):
        return True
    return False
