"""The same loop through Ray Tune; the only file that imports ray.

One Tuner with one searcher over all cells; a Ray Tune trial runs one pack. The worker writes the
pack's part file itself, before it reports, so that nothing finished depends on the driver.
"""

import contextlib
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Any

from raysweep.attempt import attempt, device_for, limit_threads, time_limit
from raysweep.errors import InputError
from raysweep.packing import Pack
from raysweep.progress import Observer, Silent
from raysweep.run_folder import RunFolder
from raysweep.spec import Study
from raysweep.storage import Output
from raysweep.sweep import Sweep
from raysweep.table import PART_SUFFIX, PARTS, Row, read_parts, write_part

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

import ray  # noqa: E402
from ray import tune  # noqa: E402
from ray.tune.search import Searcher  # noqa: E402

LOST_WORKER_RETRIES = 3
COMPACT_EVERY_S = 30.0
_COMPACT_SHARE = 50
_CONNECT_S = 5.0
_OBJECT_STORE_BYTES = 256 * 2**20
_WRITE_AGAIN_AFTER_S = (0.5, 2.0)
_VISIBLE_AFTER_S = (0.1, 0.5, 2.0, 5.0)


class _PackTrainable(tune.Trainable):
    """Runs one pack per trial; the actor is reused for the next one."""

    def setup(
        self, config: dict[str, Any], study: Study, location: str, pack_limit_s: float | None
    ) -> None:
        limit_threads(study)
        self._study, self._limit_s = study, pack_limit_s
        self._folder = RunFolder(Output(location))
        self._device = device_for(study)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        """Run a pack and store its rows; ``failed`` says why not, where it was not possible."""
        pack: Pack = self.config["pack"]
        try:
            with time_limit(self._limit_s, lambda why: self._folder.record_failure(pack, why)):
                rows = attempt(self._study, pack, self._device, self.config["pieces"])
        except Exception:
            return {"done": True, "failed": traceback.format_exc(), "unwritable": ""}
        return {"done": True, "failed": "", "unwritable": self._store(pack, rows)}

    def _store(self, pack: Pack, rows: Sequence[Row]) -> str:
        for wait in (*_WRITE_AGAIN_AFTER_S, None):
            try:
                write_part(self._folder.output, pack.key, rows)
                return ""
            except OSError as error:
                if wait is None:
                    return f"{error.strerror or error} (on {socket.gethostname()})"
                time.sleep(wait)
        return ""


class _SweepSearcher(Searcher):
    """Hands the packs of a sweep to Tune and takes their results in.

    Attributes:
        fault: what makes going on pointless (the output cannot be written, say); the run raises it.
    """

    def __init__(
        self, sweep: Sweep, folder: RunFolder, observer: Observer, pack_limit_s: float | None
    ) -> None:
        super().__init__(metric="failed", mode="min")
        self._sweep, self._folder, self._observer = sweep, folder, observer
        self._limit_s = pack_limit_s
        self._packs: dict[str, Pack] = {}
        self._began: dict[str, float] = {}
        self._again: deque[Pack] = deque()
        self._losses: Counter[str] = Counter()
        self._short_of_memory: Counter[str] = Counter()
        self.fault: Exception | None = None

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        pack = self._again.popleft() if self._again else self._sweep.next_pack()
        if pack is None:
            return Searcher.FINISHED if self._sweep.finished else None
        self._packs[trial_id] = pack
        return {"pack": pack, "pieces": 2 ** self._short_of_memory[pack.key]}

    def began(self, trial_id: str) -> None:
        """A worker has started on the trial's pack."""
        self._began[trial_id] = time.monotonic()

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Take a pack's report in; a lost worker is told to `lost`, which knows more."""
        if error or trial_id not in self._packs:
            return
        pack, report = self._packs.pop(trial_id), result or {}
        if report.get("failed"):
            self._give_up(pack, report["failed"], record=True)
        elif report.get("unwritable"):
            self.fault = OSError(None, report["unwritable"])
        elif not self._take_in(pack, patiently=True):
            self.fault = InputError(
                f"--out {self._folder.output.location}: a worker on {report.get('hostname')} wrote "
                f"its result there, and it cannot be seen on {socket.gethostname()}; give a folder "
                "that all nodes share, or a URI such as s3://bucket/path"
            )

    def lost(self, trial_id: str, error: BaseException | None) -> None:
        """A worker is gone, with its process or its node; try its pack again elsewhere."""
        pack = self._packs.pop(trial_id, None)
        if pack is None or self._take_in(pack):  # it was lost after it had written
            return
        running_s = time.monotonic() - self._began.get(trial_id, time.monotonic())
        message = str(error or "the worker was lost")
        if isinstance(error, ray.exceptions.RayTaskError) or "creation task" in message:
            self.fault = InputError(
                "a worker cannot start; raysweep and what the study names must be installed on "
                f"every node: {_last_line(message)}"
            )
        elif self._limit_s is not None and running_s >= self._limit_s:
            reason = self._folder.failure(pack) or "TimeLimit"
            self._give_up(pack, reason, record=False)
        elif getattr(error, "preempted", False):
            self._again.append(pack)  # a spot machine was taken away: nobody's fault
        else:
            self._retry(pack, message)

    def _retry(self, pack: Pack, message: str) -> None:
        self._losses[pack.key] += 1
        count = self._losses[pack.key]
        if count > LOST_WORKER_RETRIES:
            self._give_up(pack, f"{message}\nWorkerLost: {count} times, in this pack", record=True)
            return
        # The kernel kills a process that takes too much memory without saying so.
        if ("memory" in message.lower() and "low" in message.lower()) or count > 1:
            self._short_of_memory[pack.key] += 1
        self._again.append(pack)

    def _take_in(self, pack: Pack, patiently: bool = False) -> bool:
        # The part file decides, not the report. A shared folder may show it a little late.
        for wait in (*(_VISIBLE_AFTER_S if patiently else ()), None):
            parts = read_parts(self._folder.output, [f"{PARTS}/{pack.key}{PART_SUFFIX}"])
            if parts.table.num_rows:
                self._folder.clear_failure(pack)
                self._sweep.complete(pack, parts.results().values())
                self._observer.pack_finished(self._sweep, pack, parts.table.to_pylist())
                return True
            if wait is not None:
                time.sleep(wait)
        return False

    def _give_up(self, pack: Pack, reason: str, record: bool) -> None:
        if record:
            try:
                self._folder.record_failure(pack, reason)
            except OSError as error:
                self.fault = error
        self._sweep.fail(pack, reason)
        self._observer.pack_failed(self._sweep, pack, reason)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: a sweep is rebuilt from its part files."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its parts for a restore that is never asked for, and a display cannot be
        # pickled: it holds a terminal.
        return {}


class _Watcher(tune.Callback):
    """Called by Tune's loop: tells the searcher of lost workers, refreshes display and table."""

    def __init__(
        self, searcher: _SweepSearcher, sweep: Sweep, folder: RunFolder, observer: Observer
    ) -> None:
        self._searcher, self._sweep = searcher, sweep
        self._folder, self._observer = folder, observer
        self._compact_at = time.monotonic() + COMPACT_EVERY_S

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._searcher.began(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._searcher.lost(trial.trial_id, trial.get_pickled_error())

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self._searcher.fault is not None:
            raise self._searcher.fault
        self._observer.tick(self._sweep)
        started = time.monotonic()
        if started > self._compact_at:
            with contextlib.suppress(OSError):  # the last one, at the end, must succeed
                self._folder.compact(self._sweep)
            took = time.monotonic() - started
            self._compact_at = started + max(COMPACT_EVERY_S, _COMPACT_SHARE * took)


def run(
    study: Study,
    folder: RunFolder,
    observer: Observer | None = None,
    address: str = "local",
    workers: int | None = None,
    pack_limit_s: float | None = None,
) -> Sweep:
    """Run what is missing of a study through Ray Tune.

    Args:
        study: the study; the folder must have adopted it.
        folder: the output folder, locked by the caller; every worker must reach it under the same
            location.
        observer: told what happens.
        address: ``local`` starts a Ray of its own; otherwise the address of a cluster.
        workers: CPUs of a Ray that is started here; all by default.
        pack_limit_s: a pack that runs longer is ended and given up; no limit by default.

    Returns:
        The sweep; its ``failures`` names the packs that were given up. ``trials.parquet`` is
        written in any case, also when the run is interrupted.

    Raises:
        InputError: the cluster cannot be reached, could never place a pack, or its nodes do not
            share the output.
        OSError: the output cannot be written.
    """
    observer = observer or Silent()
    sweep = folder.open_sweep(study)
    if sweep.finished:
        observer.started(sweep, "nothing is missing")
        folder.compact(sweep)
        return sweep
    started_here = _connect(address, workers)
    scratch = tempfile.mkdtemp(prefix="raysweep-tune-")
    try:
        slots = _slots(study)
        observer.started(sweep, f"Ray {address}, {slots} packs at a time")
        searcher = _SweepSearcher(sweep, folder, observer, pack_limit_s)
        parameters = {
            "study": study,
            "location": folder.output.location,
            "pack_limit_s": pack_limit_s,
        }
        trainable = tune.with_resources(
            tune.with_parameters(_PackTrainable, **parameters), _needs(study)
        )
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(search_alg=searcher, num_samples=-1, reuse_actors=True),
            run_config=tune.RunConfig(
                name=study.name,
                storage_path=scratch,
                verbose=0,
                # The searcher hands a lost pack out again itself: it knows the packs.
                failure_config=tune.FailureConfig(max_failures=0),
                # A pack has nothing to save but its part file; without this Tune asks for a
                # checkpoint at the end, and takes its absence for a lost worker.
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[_Watcher(searcher, sweep, folder, observer)],
                log_to_file=False,
            ),
        )
        with _quiet_tune(slots):
            tuner.fit()
    finally:
        if started_here:
            with contextlib.suppress(Exception):
                ray.shutdown()
        shutil.rmtree(scratch, ignore_errors=True)
        folder.compact(sweep)
    return sweep


def _connect(address: str, workers: int | None) -> bool:
    if ray.is_initialized():
        return False
    common = {"logging_level": logging.ERROR, "log_to_driver": False}
    with _own_signals():
        if address == "local":
            try:
                ray.init(
                    address="local",
                    num_cpus=workers,
                    include_dashboard=False,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    **common,
                )
            except KeyboardInterrupt:
                # Half a Ray has started: end its processes with the driver.
                with contextlib.suppress(Exception):
                    ray.shutdown()
                raise
            return True
        try:
            _knock(address)
            ray.init(address=address, **common)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise InputError(
                f"--address {address}: no Ray cluster answers there ({_last_line(str(error))}); "
                "give HOST:PORT of a head node, auto, or local"
            ) from error
    return True


def _knock(address: str) -> None:
    # Ray itself tries for a minute, and tells of every attempt.
    host, _, port = address.rpartition(":")
    if "://" in address:
        raise ValueError("an address of Ray Client or of a job server, not of a cluster")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    elif address != "auto":
        raise ValueError("not HOST:PORT")


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    # Ray takes SIGTERM for itself, to drain its node; here it means: stop, and say how to go on.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _quiet_tune(slots: int) -> Iterator[None]:
    # As many trials in waiting as can run: workers then start together, and each finds its next
    # pack (and an actor to reuse) waiting. With the one that Tune keeps for a searcher they queue.
    name = "TUNE_MAX_PENDING_TRIALS_PG"
    given = os.environ.get(name)
    os.environ.setdefault(name, str(slots))
    logger = logging.getLogger("ray.tune")
    level = logger.level
    # The folder says what was done; Tune's own summary of a stopped run would only repeat it.
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
        if given is None:
            os.environ.pop(name, None)


def _needs(study: Study) -> dict[str, float]:
    return {"cpu": study.resources.cpus_per_pack, "gpu": study.resources.gpus_per_pack}


def _slots(study: Study) -> int:
    """How many packs the cluster can run at a time.

    Raises:
        InputError: none.
    """
    needs = {name.upper(): amount for name, amount in _needs(study).items() if amount > 0}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    slots = sum(
        min(int(node.get(name, 0.0) / amount + 1e-9) for name, amount in needs.items())
        for node in nodes
    )
    if not slots:
        has = "; ".join(f"{n.get('CPU', 0):g} CPU, {n.get('GPU', 0):g} GPU" for n in nodes)
        raise InputError(
            f"resources: a pack needs {study.resources.cpus_per_pack:g} CPU and "
            f"{study.resources.gpus_per_pack:g} GPU, and no node has that (nodes: {has}); lower "
            "resources.cpus_per_pack or resources.gpus_per_pack"
        )
    return slots


def _last_line(message: str) -> str:
    lines = [line.strip() for line in message.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
