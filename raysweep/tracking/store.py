"""The calls to MLflow; the only file that imports mlflow."""

import contextlib
import getpass
import logging
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from urllib.parse import quote

from raysweep import __version__
from raysweep.scratch import scratch
from raysweep.tracking.address import FIRST_ANSWER_S, Address, TrackingUnavailable
from raysweep.tracking.runs import CURVES_TAG, Progress, RunRecord
from raysweep.wording import as_markdown

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
from mlflow.entities import Experiment, Metric, Param, Run, RunTag, ViewType  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode  # noqa: E402
from sqlalchemy import event  # noqa: E402
from sqlalchemy.engine import Engine  # noqa: E402


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

ARTIFACTS = "mlartifacts"
WRITERS = 4
_PAGE = 500
_IDENTITY, _DIGEST = "raysweep.id", "raysweep.digest"
_FOLDER, _OUTPUT = "raysweep.folder", "raysweep.output"
_FILES = "raysweep.files"
_MAX_TEXT = 4000


@dataclass(frozen=True)
class Known:
    """A run that MLflow has already."""

    run_id: str
    digest: str
    status: str
    name: str
    start_ms: int
    params: frozenset[str]
    output: str
    files: str
    curves: str

    def shows(self, record: RunRecord) -> bool:
        """Whether the run is up to date: its digest and its status are written last."""
        return self.digest == record.digest and self.status == record.status


class Store:
    """One experiment of an MLflow store.

    Args:
        address: the store.
        experiment: name of the experiment; made if it is not there.
        description: shown on the experiment's page.
        tags: of the experiment.
        output: location of the run folder.
        folder: name of the run folder, whose runs these are.

    Raises:
        TrackingUnavailable: the store cannot be reached or refuses.
    """

    def __init__(
        self,
        address: Address,
        experiment: str,
        description: str,
        tags: Mapping[str, str],
        output: str,
        folder: str,
    ) -> None:
        self.address, self.output, self.folder = address, output, folder
        address.check()
        with _told(address), _brief_requests():
            self._client = MlflowClient(tracking_uri=address.uri)
            found = self._client.get_experiment_by_name(experiment)
        with _told(address):
            wanted = {
                **tags,
                "mlflow.note.content": as_markdown(description[:_MAX_TEXT]),
                "mlflow.experimentKind": "custom_model_development",
            }
            if found is None:
                self._create_experiment(experiment, wanted)
                found = self._client.get_experiment_by_name(experiment)
            self.experiment_id = self._open(experiment, found, wanted)

    def _create_experiment(self, name: str, tags: Mapping[str, str]) -> None:
        try:
            self._client.create_experiment(
                name, artifact_location=self._artifact_location(name), tags=dict(tags)
            )
        except MlflowException as error:
            # Another run of the study may have been quicker.
            if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                raise

    def _open(self, name: str, found: Experiment, wanted: Mapping[str, str]) -> str:
        if found.lifecycle_stage != "active":
            raise TrackingUnavailable(
                self.address,
                f"the experiment {name!r} was deleted there; restore it with `mlflow experiments "
                f"restore --experiment-id {found.experiment_id}`, or remove it with `mlflow gc`",
            )
        for key, value in wanted.items():
            if value and found.tags.get(key) != value:
                self._client.set_experiment_tag(found.experiment_id, key, value)
        return str(found.experiment_id)

    def _artifact_location(self, name: str) -> str | None:
        database = self.address.database
        if database is not None:
            return (database.parent / ARTIFACTS / name).as_uri()
        # Of a database that others serve, MLflow would keep the files in this working directory;
        # this leaves them to the server.
        return None if self.address.holds_files else f"mlflow-artifacts:/{quote(name, safe='')}"

    def runs(self) -> dict[str, Known]:
        """Identity -> run, of all runs of the folder."""
        found: dict[str, Known] = {}
        token = None
        with _told(self.address):
            while True:
                page = self._client.search_runs(
                    [self.experiment_id],
                    filter_string=f"tags.`{_FOLDER}` = '{self.folder}'",
                    run_view_type=ViewType.ACTIVE_ONLY,
                    max_results=_PAGE,
                    page_token=token,
                )
                found.update((run.data.tags.get(_IDENTITY, ""), _known(run)) for run in page)
                token = page.token
                if not token:
                    return found

    def write(
        self,
        records: Sequence[RunRecord],
        known: dict[str, Known],
        start_ms: Mapping[str, int],
        commit: str | None,
        progress: Progress | None = None,
    ) -> None:
        """Write runs, parents before children; ``known`` is kept up to date.

        Args:
            records: the runs to write.
            known: identity -> what MLflow has.
            start_ms: identity -> when a run that MLflow does not have is to have started.
            commit: git commit of the code, if it is known.
            progress: called after each run with how many are written, and how many are to be.
        """
        written = 0
        for wave in (
            [r for r in records if r.parent is None],
            [r for r in records if r.parent is not None],
        ):
            # SQLite has one writer at a time; the others would only wait for it.
            with ThreadPoolExecutor(1 if self.address.database else WRITERS) as pool:
                work = [
                    pool.submit(self._write_one, record, known, start_ms[record.identity], commit)
                    for record in wave
                ]
                try:
                    for future in work:
                        future.result()
                        written += 1
                        if progress is not None:
                            progress(written, len(records))
                finally:
                    pool.shutdown(wait=True, cancel_futures=True)

    def _write_one(
        self, record: RunRecord, known: dict[str, Known], start_ms: int, commit: str | None
    ) -> None:
        done = record.status != "RUNNING"
        tags = {**record.tags, _OUTPUT: self.output}
        with _told(self.address):
            before = known.get(record.identity)
            if before is not None and before.curves not in ("", record.tags.get(CURVES_TAG)):
                # Points of a metric cannot be taken back: a run with other curves is a new run.
                self._client.delete_run(before.run_id)
                before = None
            if before is None and done:
                # Until it is terminated the run counts as not written, whatever its digest says.
                tags[_DIGEST] = record.digest
                run, tags = self._create(record, known, start_ms, commit, tags), {}
            else:
                run = before or self._create(record, known, start_ms, commit, {})
                # The digest comes last: MLflow writes the tags of a batch after the rest.
                tags[_DIGEST] = record.digest
            stamp = int(time.time() * 1000)
            self._client.log_batch(
                run.run_id,
                metrics=[
                    *(Metric(k, v, stamp, 0) for k, v in record.metrics.items()),
                    # The same time in every attempt: MLflow leaves out a point that it has.
                    *(
                        Metric(name, value, run.start_ms + epoch, epoch)
                        for name, points in record.curves.items()
                        for epoch, value in points
                    ),
                ],
                # A parameter of MLflow cannot change, so only those that are missing are written.
                params=[Param(k, v) for k, v in record.params.items() if k not in run.params],
                tags=[RunTag(k, v) for k, v in tags.items()],
            )
            if run.name != record.name or (not done and run.status != "RUNNING"):
                self._client.update_run(run.run_id, status=record.status, name=record.name)
            if done:
                end = run.start_ms + round(record.seconds * 1000)
                self._client.set_terminated(run.run_id, record.status, end)
            known[record.identity] = replace(
                run,
                digest=record.digest,
                status=record.status,
                name=record.name,
                params=run.params | record.params.keys(),
                output=self.output,
                curves=record.tags.get(CURVES_TAG, ""),
            )

    def _create(
        self,
        record: RunRecord,
        known: Mapping[str, Known],
        start_ms: int,
        commit: str | None,
        more: Mapping[str, str],
    ) -> Known:
        tags = {
            **more,
            _IDENTITY: record.identity,
            _FOLDER: self.folder,
            "raysweep.version": __version__,
            "mlflow.source.name": f"raysweep {__version__}",
            "mlflow.source.type": "LOCAL",
        }
        if record.parent is not None:
            tags["mlflow.parentRunId"] = known[record.parent].run_id
        if commit is not None:
            tags["mlflow.source.git.commit"] = commit
        with contextlib.suppress(OSError, KeyError, ImportError):
            tags["mlflow.user"] = getpass.getuser()
        return _known(self._client.create_run(self.experiment_id, start_ms, tags, record.name))

    def delete(self, run: Known) -> None:
        """Move a run to MLflow's trash."""
        with _told(self.address):
            self._client.delete_run(run.run_id)

    def put_files(self, run: Known, files: Mapping[str, bytes], digest: str) -> Known:
        """Store files as artifacts of a run, and note their digest when they are all there."""
        with _told(self.address), scratch("copy") as place:
            folder = place / "files"
            folder.mkdir()
            for name, content in files.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            self._client.log_artifacts(run.run_id, str(folder))
            self._client.set_tag(run.run_id, _FILES, digest)
        return replace(run, files=digest)


def _known(run: Run) -> Known:
    tags = run.data.tags
    return Known(
        run_id=run.info.run_id,
        digest=tags.get(_DIGEST, ""),
        status=run.info.status,
        name=run.info.run_name,
        start_ms=run.info.start_time,
        params=frozenset(run.data.params),
        output=tags.get(_OUTPUT, ""),
        files=tags.get(_FILES, ""),
        curves=tags.get(CURVES_TAG, ""),
    )


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
def _told(address: Address) -> Iterator[None]:
    """Whatever MLflow, its database or its HTTP client raises, as one message."""
    try:
        yield
    except TrackingUnavailable:
        raise
    except Exception as error:
        raise TrackingUnavailable(address, _reason(error)) from error


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
        return "the database is locked by another program"
    lines = text.strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
