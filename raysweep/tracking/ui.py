"""The MLflow UI on this machine."""

import contextlib
import os
import signal
import socket
import subprocess
import sys

from raysweep.errors import InputError
from raysweep.folder.run_folder import RunFolder
from raysweep.plugins import import_path
from raysweep.tracking.address import (
    Address,
    remembered_experiment,
    remembered_page,
    resolve_address,
)

_SETTINGS = {
    # 400 MB in two processes rather than 1.8 GB in ten.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # MLflow starts Uvicorn, which looks for modules in the working folder first, or here: there is
    # none.
    "UVICORN_APP_DIR": sys.prefix,
}
_STORE = "MLFLOW_BACKEND_STORE_URI"


def ui_command(
    folder: RunFolder | None,
    tracking_uri: str | None = None,
    host: str = "127.0.0.1",
    port: int = 5000,
) -> list[str]:
    """The command that serves the UI of the store a run was copied to.

    Raises:
        InputError: the address is malformed, is a server already, or holds nothing yet.
    """
    address = resolve_address(folder, tracking_uri)
    return [*_command(address, host, port), "--backend-store-uri", address.uri]


def serve_ui(
    folder: RunFolder | None,
    tracking_uri: str | None = None,
    host: str = "127.0.0.1",
    port: int = 5000,
) -> int:
    """Serve the UI until it is stopped (Ctrl-C).

    Returns:
        The exit code, 0 after Ctrl-C.

    Raises:
        InputError: as `ui_command`, or the port is taken.
    """
    address = resolve_address(folder, tracking_uri)
    command = _command(address, host, port)
    check_free(host, port)
    # The address goes by the environment: it may hold a password, and arguments are seen by all.
    environment = {**import_path.environment(), **_SETTINGS, _STORE: address.uri}
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        _stop(process)


def ui_page(folder: RunFolder | None, host: str = "127.0.0.1", port: int = 5000) -> str:
    """The address to open in a browser: the run's experiment where it is known."""
    server = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"
    return server if folder is None else remembered_page(folder, server)


def server_page(folder: RunFolder | None, tracking_uri: str | None = None) -> str:
    """As `ui_page`, where MLflow is a server already; else empty."""
    address = resolve_address(folder, tracking_uri)
    if address.kind != "http":
        return ""
    known = folder is not None and remembered_experiment(folder, address)
    return remembered_page(folder, address.shown) if folder and known else address.shown


def _command(address: Address, host: str, port: int) -> list[str]:
    if address.kind in ("http", "databricks"):
        raise InputError(f"MLflow is a server at {address.shown}: open it in a browser")
    database = address.database
    if database is not None and not database.is_file():
        raise InputError(
            f"{database}: there is no such database; `raysweep sync DIR` copies a run to it"
        )
    return [
        sys.executable,
        "-P",
        "-m",
        "mlflow",
        "server",
        "--host",
        host,
        "--port",
        str(port),
        "--workers",
        "1",
    ]


def check_free(host: str, port: int) -> None:
    """Check that a server can listen there.

    Raises:
        InputError: the port is taken, or there is no such host or port.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As the server will do it: a port that was in use a moment ago counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        raise InputError(
            f"--host {host} --port {port}: cannot listen there "
            f"({getattr(error, 'strerror', None) or error}); give another --port"
        ) from error


def _stop(process: subprocess.Popen[bytes]) -> None:
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal_number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
            return
