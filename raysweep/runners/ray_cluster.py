"""Ray itself: its settings, and a Ray of its own or a cluster."""

import contextlib
import importlib.util
import logging
import os
import secrets
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from raysweep.errors import InputError
from raysweep.folder.scratch import scratch
from raysweep.plugins import import_path
from raysweep.text import last_line

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_SYNCER": "1",
    # Ctrl-C ends the run at once: what is finished is stored, so Tune has nothing left to save.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_THRESHOLD_S": "30",
}
for _name, _value in _SETTINGS.items():
    # Read by Ray when it is imported, hence before the import; a user's own setting wins.
    os.environ.setdefault(_name, _value)

import ray as ray  # noqa: E402
from ray.job_config import JobConfig  # noqa: E402

TOKEN_HINT = (
    "if it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH (or RAY_AUTH_TOKEN)"
)
_CONNECT_S = 5.0
_ALIVE = "/ray.rpc.NodeInfoGcsService/CheckAlive"
_SETTINGS_FRAME = bytes(3) + b"\x04" + bytes(5)  # length, type, flags, stream
_LAST_PORT = 65_535
_OBJECT_STORE_BYTES = 256 * 2**20
# The address of a local socket has 107 bytes at most, of which Ray's own names take two thirds.
_LONGEST_ROOT = 24
_files = contextlib.ExitStack()
"""The files of a Ray that was started here."""


class _WithoutWorkingFolder(JobConfig):
    """Ray puts the driver's working folder before all that its workers import, unless it has one.

    What is left to Ray is said by the study: `raysweep.runners.attempt.prepare_process`.
    """

    def _runtime_env_has_working_dir(self) -> bool:
        return True


def connect(address: str, workers: int | None = None, modules: Sequence[Path] = ()) -> bool:
    """Start a Ray on this machine, or join a cluster; a Ray that is there already is used.

    Args:
        address: ``local``, ``HOST:PORT`` of a head node, or ``auto``.
        workers: CPUs of a local Ray; all by default.
        modules: packages and ``.py`` files that the study needs; workers can import them.

    Returns:
        Whether there was none before, so that the caller is the one to end it.

    Raises:
        InputError: no cluster answers at the address, or Ray did not start here in time.
    """
    if ray.is_initialized():
        return False
    common: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if not _in_job():
        common["job_config"] = _WithoutWorkingFolder()
    with _own_signals():
        if address == "local":
            if modules:
                common["runtime_env"] = _environment_with([], modules)
            _start_local(workers, common)
            return True
        check_address(address)
        try:
            with _nothing_on_stderr():
                ray.init(address=address, runtime_env=shipped_code(modules), **common)
        except (ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError, OSError) as e:
            raise _no_cluster(address, e) from e
    return True


def stop() -> None:
    """End a Ray that was started here, and remove its files."""
    with _own_signals(), contextlib.suppress(Exception):
        ray.shutdown()
    _files.close()


def check_address(address: str) -> None:
    """Knock at a cluster's door: cheap, and before anything is written.

    Raises:
        InputError: nothing listens at the address, it is none, or the cluster does not take the
            token that is set here.
    """
    try:
        if address == "auto":
            from ray._private.services import canonicalize_bootstrap_address

            found = canonicalize_bootstrap_address(address)
        else:
            found = address
            _knock(address)
        refused = "" if found is None else _refused(found)
    except ray.exceptions.AuthenticationError as error:
        refused = first_line(error.message).partition(". ")[0]
    except (ValueError, OSError) as error:
        raise _no_cluster(address, error) from error
    if refused:
        raise InputError(
            f"--address {address}: the cluster does not take this token ({refused}); {TOKEN_HINT}"
        )


def _no_cluster(address: str, error: Exception) -> InputError:
    return InputError(
        f"--address {address}: no Ray cluster answers there ({last_line(str(error))}); "
        f"give HOST:PORT of a head node (6379 mostly, not 8265), auto, or local; {TOKEN_HINT}"
    )


def packages() -> list[str]:
    """Folders of the two packages as they are installed here, for workers elsewhere."""
    found = [importlib.util.find_spec(name) for name in ("raysweep", "raysweep_analysis")]
    return [str(Path(spec.origin).parent) for spec in found if spec and spec.origin]


def shipped_code(modules: Sequence[Path] = ()) -> dict[str, Any] | None:
    """A runtime environment with the code of this driver; None in a job, which has brought its own.

    So workers run what the driver runs, whatever their nodes have installed.

    Args:
        modules: further packages and ``.py`` files.

    Raises:
        InputError: there are some in a job.
    """
    if not _in_job():
        return _environment_with(packages(), modules)
    if modules:
        raise InputError(
            f"--module {modules[0]}: this is a job, which has brought its code; give it to "
            "`raysweep submit`"
        )
    return None


def _environment_with(packages: Sequence[str], modules: Sequence[Path]) -> dict[str, Any]:
    own = [str(path.resolve()) for path in modules]
    return {"py_modules": [*packages, *own], "excludes": ["**/__pycache__/"]}


def _in_job() -> bool:
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


def first_line(message: str) -> str:
    """The first line that says something."""
    return next((line.strip() for line in message.splitlines() if line.strip()), "no reason given")


def _start_local(workers: int | None, common: dict[str, Any]) -> None:
    root = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    folder = _files.enter_context(scratch("ray", root if len(root) < _LONGEST_ROOT else "/tmp"))
    with _environment({**import_path.environment(), **_private_token()}):
        try:
            ray.init(
                _temp_dir=str(folder),
                address="local",
                num_cpus=workers,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                **common,
            )
        except BaseException as error:
            # Half a Ray has started: end its processes with the driver.
            stop()
            # Ray raises Exception itself where a part of it takes too long to start.
            if type(error) is Exception:
                raise InputError(
                    f"Ray did not start here ({first_line(str(error))}); try again when the "
                    "machine is less busy, or use --runner local"
                ) from error
            raise


def _private_token() -> dict[str, str]:
    # Ray keeps a token in the home directory, which is not always there or writable.
    given = {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
    folder = Path("~/.ray").expanduser()
    if given or (folder / "auth_token").exists():
        return {}
    home = folder if folder.exists() else folder.parent
    return {} if os.access(home, os.W_OK) else {"RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _knock(address: str) -> None:
    # Ray itself tries for a minute, and tells of every attempt.
    host, _, port = address.rpartition(":")
    if "://" in address:
        raise ValueError("an address of Ray Client or of a job server, not of a cluster")
    if host and port.isdigit():
        if not 0 < int(port) <= _LAST_PORT:
            raise ValueError(f"port {port} is not one of 1..{_LAST_PORT}")
        place = (host.strip("[]"), int(port))
        with socket.create_connection(place, timeout=_CONNECT_S) as door:
            if os.environ.get("RAY_USE_TLS", "0").lower() not in ("1", "true"):
                _see_that_it_is_ray(door)
    else:
        raise ValueError("not HOST:PORT")


def _refused(address: str) -> str:
    """Why a head node does not take the token that Ray would send; empty where it takes it.

    Ray itself tries for 20 seconds, and then does not say that it was the token.
    """
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        return ""  # which Ray sets up
    import grpc
    from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]

    tokens = AuthenticationTokenLoader.instance()
    sent: dict[str, str] = {}
    # Without a mode Ray sends the token that it finds.
    if os.environ.get("RAY_AUTH_MODE", "token").lower() == "token" and tokens.has_token(
        ignore_auth_mode=True
    ):
        sent = tokens.get_token_for_http_header()
    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary(_ALIVE)(b"", timeout=_CONNECT_S, metadata=tuple(sent.items()))
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                return first_line(error.details()) if sent else "none is set here"
    return ""


def _see_that_it_is_ray(door: socket.socket) -> None:
    # At another server's port Ray would wait for ever. A head node speaks gRPC, hence HTTP/2, whose
    # servers answer this opening by a SETTINGS frame (RFC 9113, 3.4).
    door.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _SETTINGS_FRAME)
    other = ConnectionError("what listens there is no head node of Ray")
    try:
        answer = door.recv(len(_SETTINGS_FRAME), socket.MSG_WAITALL)
    except OSError as error:
        raise other from error
    if answer[3:4] != _SETTINGS_FRAME[3:4]:
        raise other


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Have exactly these environment variables while something is started."""
    before = dict(os.environ)
    changed = {name for name in {*before, *values} if before.get(name) != values.get(name)}
    _set_environment({name: values.get(name) for name in changed})
    try:
        yield
    finally:
        _set_environment({name: before.get(name) for name in changed})


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextlib.contextmanager
def _nothing_on_stderr() -> Iterator[None]:
    # Ray's native code tells the terminal of every attempt, past Python and its logging.
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    # Ray takes SIGTERM for itself while it starts, and gives it back to nobody when it ends; here
    # it means: stop, and say how to go on.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit as error:
        if error.code == signal.SIGTERM:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
