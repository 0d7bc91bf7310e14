"""A client of MLflow, and what MLflow raises as one message; the only file that imports mlflow."""

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator

from raysweep.tracking.address import (
    FIRST_ANSWER_S,
    Address,
    TrackingBusy,
    TrackingUnavailable,
)
from raysweep.tracking.database import LOCKED, set_up

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # MLflow's own patience is minutes; a copy is idempotent and can simply be made again.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
for _variable, _value in _SETTINGS.items():
    os.environ.setdefault(_variable, _value)

from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import (  # noqa: E402
    Experiment,
    Metric,
    Param,
    Run,
    RunTag,
    ViewType,
)
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode  # noqa: E402
from sqlalchemy import event  # noqa: E402
from sqlalchemy.engine import Engine  # noqa: E402

__all__ = [
    "Experiment",
    "Metric",
    "MlflowClient",
    "MlflowException",
    "Param",
    "Run",
    "RunTag",
    "ViewType",
    "connect",
    "exists_already",
    "told",
]


# With a write-ahead log, a power failure then costs the last runs of the copy and nothing else.
@event.listens_for(Engine, "connect")
def _sync_less(connection: object, record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if mode == "wal":
            connection.execute("PRAGMA synchronous = NORMAL")


# What goes wrong is raised as one message; a traceback and every retry would be logged besides.
logging.getLogger("mlflow").setLevel(logging.CRITICAL)
logging.getLogger("urllib3").setLevel(logging.ERROR)


def connect(address: Address) -> MlflowClient:
    """A client of the store at an address; a SQLite database that is not there is set up.

    Raises:
        TrackingUnavailable: the store cannot be reached or refuses.
    """
    address.check()
    with told(address):
        if address.database is not None:
            set_up(address.database, _make_tables)
        with _brief_requests():
            client = MlflowClient(tracking_uri=address.uri)
            client.search_experiments(max_results=1)
    return client


def _make_tables(uri: str) -> None:
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(uri, DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH)
    store.engine.dispose()


def exists_already(error: MlflowException) -> bool:
    """Whether somebody else has made what was to be made."""
    return bool(error.error_code == ErrorCode.Name(RESOURCE_ALREADY_EXISTS))


@contextlib.contextmanager
def _brief_requests() -> Iterator[None]:
    """No retries and little patience for the first request: nothing may answer at all."""
    brief = {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": f"{FIRST_ANSWER_S:.0f}",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    }
    before = {name: os.environ[name] for name in brief}
    os.environ.update(brief)
    try:
        yield
    finally:
        os.environ.update(before)


@contextlib.contextmanager
def told(address: Address) -> Iterator[None]:
    """Whatever MLflow, its database or its HTTP client raises, as one message."""
    try:
        yield
    except TrackingUnavailable:
        raise
    except Exception as error:
        reason = _reason(error)
        kind = TrackingBusy if LOCKED in reason else TrackingUnavailable
        raise kind(address, reason) from error


def _reason(error: BaseException) -> str:
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    for inner in chain:
        if isinstance(inner, ModuleNotFoundError):
            return f"the Python package {inner.name} is needed for this address"
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror.lower()
    text = str(error.message if isinstance(error, MlflowException) else error)
    if "database is locked" in text:
        return f"the database is {LOCKED}"
    lines = text.strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
