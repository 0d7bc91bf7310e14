"""Studies as Ray Jobs: sent to a cluster, where they outlive the terminal they were sent from.

A job runs the command that a person would run on the cluster, ``raysweep run``, with the package as
it is installed here. Nothing of a job is needed afterwards: its results are in its output folder.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import shlex
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysweep import __version__
from raysweep.runners import ray_cluster

# isort: split
# Only now: ray_cluster sets what Ray reads when it is imported.
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobSubmissionClient

from raysweep.errors import InputError
from raysweep.folder.run_folder import STUDY_NAME
from raysweep.folder.scratch import scratch
from raysweep.plugins.user_code import find
from raysweep.runners.wheel import unpack
from raysweep.study.reader import dump_study
from raysweep.study.spec import StudyBase
from raysweep.text import last_line
from raysweep.tracking.address import VARIABLE, resolve_address

_OURS = "raysweep"
_ADDRESSES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
_AGAIN_AFTER_S = 2.0
_PATIENCE_S = 120.0
_STARTING_S = 60.0
_STOP_WAIT_S = 60
# They tell of every package and every connection.
_TALKATIVE = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
for _name in _TALKATIVE:
    logging.getLogger(_name).setLevel(logging.WARNING)


class NoSuchJob(InputError):
    """The cluster knows no job of that name."""


class WrongToken(InputError):
    """The cluster does not take the token that is set here."""


@dataclass(frozen=True)
class Job:
    """A study that was sent to a cluster.

    Attributes:
        id: the job's name, for `follow` and `stop`.
        study: the study's name.
        location: where it writes its results.
        status: PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED.
        message: what Ray says of the status.
        started: seconds since the epoch, None before it starts.
        ended: likewise.
        exit_code: of ``raysweep run`` on the cluster, None before it ends.
    """

    id: str
    study: str
    location: str
    status: str
    message: str
    started: float | None
    ended: float | None
    exit_code: int | None

    @property
    def over(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.status in _ENDED


def submit(
    study: StudyBase,
    location: str,
    address: str,
    wheel: Path | None = None,
    modules: Sequence[Path] = (),
    arguments: Sequence[str] = (),
    tracking_uri: str | None = None,
) -> str:
    """Send a study to a cluster.

    Args:
        study: the resolved study; files that it names must be there on the cluster, under the same
            paths.
        location: its output, as every node of the cluster sees it: an absolute path of a shared
            folder, or a URI. An output that is there already is resumed or extended.
        address: of the cluster's job server, ``http://HEAD:8265``.
        wheel: a wheel of this package to run; by default the package as it is installed here.
        modules: further packages or ``.py`` files that the study needs. Those that it names itself
            are sent unless they are installed.
        arguments: further arguments of ``raysweep run``, such as ``--pack-limit``.
        tracking_uri: address of an MLflow server that the cluster reaches; by default
            ``MLFLOW_TRACKING_URI`` where that is one. Without any the job copies nothing to MLflow,
            which ``raysweep sync`` can do from anywhere.

    Returns:
        The job's id.

    Raises:
        InputError: the location or MLflow's address mean nothing on another machine, the wheel is
            none, or no job server answers.
    """
    tracking = _tracking(tracking_uri)
    if "://" not in location and not os.path.isabs(location):
        raise InputError(
            f"--out {location}: a job runs on the cluster, and its results must outlive it; give "
            "the absolute path of a folder that all nodes share, or a URI such as s3://bucket/path"
        )
    given = {path.resolve().name for path in modules}
    modules_named = (*study.own_code, *(n for n in study.own_files if not os.path.isabs(n)))
    named = [found for path in modules_named if (found := find(path)) is not None]
    tops = dict.fromkeys(found.top for found in named if not found.installed and found.top)
    modules = [*modules, *(top for top in tops if top.name not in given)]
    for path in (*modules, *([wheel] if wheel else ())):
        if not os.path.exists(path):  # False also where a name is too long
            raise InputError(f"{path}: no such file or folder; the job needs it")
    entry = ["python", "-P", "-m", _OURS, "run", STUDY_NAME, "--out", location, "--address", "auto"]
    with scratch("job") as place:
        folder, unpacked = str(place / "files"), place / "wheel"
        for made in (folder, unpacked):
            os.mkdir(made)
        version, shipped = __version__, ray_cluster.packages()
        if wheel is not None:
            content = unpack(wheel, unpacked)
            version, shipped = content.version, [str(package) for package in content.packages]
        Path(folder, STUDY_NAME).write_text(dump_study(study), encoding="utf-8")
        packages = [path for path in modules if path.is_dir()]
        for path in modules:
            if not path.is_dir():  # Ray takes folders alone; files are found beside the study
                shutil.copy(path, folder)
        environment = {
            "working_dir": folder,
            "py_modules": [*shipped, *(str(path.resolve()) for path in packages)],
            "excludes": ["**/__pycache__/"],
            # Not an argument: an address may hold a password, and arguments are shown in lists.
            "env_vars": {**tracking, "RAY_JOB_STOP_WAIT_TIME_S": str(_STOP_WAIT_S)},
        }
        more = arguments if tracking else [*arguments, "--no-mlflow"]
        return _sent(
            address,
            entrypoint=shlex.join([*entry, *more]),
            submission_id=f"{_OURS}-{study.name[:60]}-{secrets.token_hex(3)}",
            runtime_env=environment,
            metadata={_OURS: version, "study": study.name, "out": location},
        )


def jobs(address: str) -> list[Job]:
    """All jobs on a cluster that `submit` has sent there, the latest first.

    Raises:
        InputError: no job server answers.
    """
    with _answering(address) as client:
        found = [_job(details) for details in client.list_jobs() if _is_ours(details)]
    return sorted(found, key=lambda job: job.started or time.time(), reverse=True)


def job(address: str, job_id: str) -> Job:
    """One job.

    Raises:
        InputError: no job server answers, or it knows no such job.
    """
    with _answering(address, job_id) as client:
        return _job(client.get_job_info(job_id))


def logs(address: str, job_id: str) -> str:
    """Everything that a job has printed so far.

    Raises:
        InputError: no job server answers, or it knows no such job.
    """
    with _answering(address, job_id) as client:
        return client.get_job_logs(job_id)


def follow(address: str, job_id: str) -> Iterator[str]:
    """What a job prints, from its start, as it comes and until it ends.

    A connection that breaks is made again; the job knows nothing of who listens.

    Raises:
        InputError: no job server answers, or it knows no such job.
    """
    shown = 0
    answered = time.monotonic()
    while True:
        try:
            over = job(address, job_id).over
            skip = shown
            for text in _tail(address, job_id):
                fresh = text[skip:]
                skip = max(skip - len(text), 0)
                shown += len(fresh)
                if fresh:
                    yield fresh
            if over:
                return
            answered = time.monotonic()
        except (NoSuchJob, WrongToken):
            raise
        except (InputError, RuntimeError, OSError):
            if time.monotonic() - answered > _PATIENCE_S:
                raise
        time.sleep(_AGAIN_AFTER_S)


def stop(address: str, job_id: str) -> bool:
    """Ask a job to stop, as Ctrl-C does; everything finished is kept.

    Returns:
        Whether it was still running.

    Raises:
        InputError: no job server answers, or it knows no such job.
    """
    with _answering(address, job_id) as client:
        return client.stop_job(job_id)


def _sent(address: str, **job: Any) -> str:
    end = time.monotonic() + _STARTING_S
    while True:
        with _answering(address) as client:
            try:
                return client.submit_job(**job)
            except RuntimeError as error:
                # A cluster that has just started answers before it can take a job.
                if "No available agent" not in str(error) or time.monotonic() > end:
                    raise
        time.sleep(_AGAIN_AFTER_S)


def _tail(address: str, job_id: str) -> Iterator[str]:
    with _answering(address, job_id) as client:
        loop = asyncio.new_event_loop()
        try:
            texts = client.tail_job_logs(job_id)
            while True:
                try:
                    yield loop.run_until_complete(anext(texts))
                except StopAsyncIteration:
                    return
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()


@contextlib.contextmanager
def _answering(address: str, job_id: str = "") -> Iterator[JobSubmissionClient]:
    if not address.startswith(("http://", "https://")):
        raise InputError(
            f"--address {address}: not the address of a job server; expected http://HEAD:8265"
        )
    try:
        yield _client(address)
    except AuthenticationError as error:
        raise WrongToken(
            f"--address {address}: the cluster does not take this token "
            f"({ray_cluster.first_line(error.message)}); {ray_cluster.TOKEN_HINT}"
        ) from error
    except (ConnectionError, RuntimeError, ValueError) as error:
        message = str(error)
        if job_id and ("404" in message or "not exist" in message or "not found" in message):
            raise NoSuchJob(
                f"{job_id}: no such job at {address}; "
                f"`raysweep jobs --address {address}` lists them"
            ) from error
        raise InputError(
            f"--address {address}: no Ray job server answers there "
            f"({last_line(message)}); give http://HEAD:8265"
        ) from error


def _client(address: str) -> JobSubmissionClient:
    # To Ray its variables count more than what it is told.
    kept = {name: os.environ.pop(name) for name in _ADDRESSES if name in os.environ}
    try:
        return JobSubmissionClient(address)
    finally:
        os.environ.update(kept)


def _tracking(given: str | None) -> dict[str, str]:
    uri = given or os.environ.get(VARIABLE)
    if uri is None:
        return {}
    address = resolve_address(None, uri)
    if address.database is None:
        return {VARIABLE: address.uri}
    if given is None:
        return {}
    raise InputError(
        f"--tracking-uri {given}: a file here is none on the cluster; give an MLflow server, or "
        "leave it out and copy with `raysweep sync` afterwards"
    )


def _is_ours(details: JobDetails) -> bool:
    return _OURS in (details.metadata or {})


def _job(details: JobDetails) -> Job:
    facts = details.metadata or {}
    return Job(
        id=details.submission_id or details.job_id or "",
        study=facts.get("study", ""),
        location=facts.get("out", ""),
        status=str(details.status.value),
        message=(details.message or "").partition("\n")[0].partition(", last available logs")[0],
        started=_seconds(details.start_time),
        ended=_seconds(details.end_time),
        exit_code=details.driver_exit_code,
    )


def _seconds(milliseconds: int | None) -> float | None:
    return None if not milliseconds else milliseconds / 1000
