"""The same loop through Ray Tune.

One Tuner with one searcher over all cells; a Ray Tune trial runs one pack. The worker writes the
pack's part file itself, before it reports, so that nothing finished depends on the driver.
"""

import contextlib
import socket
import time
import traceback
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raysweep.runners import placement, ray_cluster

# isort: split
# Only now: ray_cluster sets what Ray reads when it is imported.
from ray import cloudpickle, tune
from ray.exceptions import RayError, RayTaskError
from ray.tune.search import Searcher

from raysweep.errors import InputError
from raysweep.folder.run_folder import RunFolder
from raysweep.folder.scratch import scratch
from raysweep.kinds.kind import kind_of
from raysweep.kinds.sweep import Sweep
from raysweep.runners.epochs import Epochs
from raysweep.runners.observer import Observer, Silent
from raysweep.runners.ray_guard import guarded
from raysweep.runners.tune_manners import (
    LatestFirst,
    NoProgress,
    NoReports,
    every_loss_told,
    nothing_counted,
    quiet_tune,
    signals_given_back,
)
from raysweep.study.files import check_code
from raysweep.study.spec import StudyBase
from raysweep.text import counted, last_line
from raysweep.trials.packing import Pack
from raysweep.trials.storage import Output
from raysweep.trials.table import PART_SUFFIX, PARTS, Row, read_parts, write_part

LOST_WORKER_RETRIES = 3
COMPACT_EVERY_S = 30.0
_COMPACT_SHARE = 50
_WRITE_AGAIN_AFTER_S = (0.5, 2.0)
_VISIBLE_AFTER_S = (0.1, 0.5, 2.0, 5.0)


class _PackTrainable(tune.Trainable):
    """Runs one pack per trial; the actor is reused for the next one."""

    def setup(
        self, config: dict[str, Any], study: StudyBase, location: str, pack_limit_s: float | None
    ) -> None:
        # Here, as the driver trains nothing and need not wait for torch.
        from raysweep.runners import attempt

        self._attempt = attempt
        attempt.prepare_process(study)
        self._study, self._limit_s = study, pack_limit_s
        self._folder = RunFolder(Output(location))
        # An actor is reused for packs that need what its first one does, and no others.
        attempt.use_threads_of(study, config["pack"])
        self._device = attempt.device_for(study, config["pack"])
        self._execute = kind_of(study).executor(self._folder.output)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        """Run a pack and store its rows; ``failed`` says why not, where it was not possible."""
        pack: Pack = self.config["pack"]
        try:
            with self._attempt.time_limit(
                self._limit_s, lambda why: self._folder.record_failure(pack, why)
            ):
                rows = self._attempt.attempt(
                    self._study, pack, self._device, self.config["pieces"], self._execute
                )
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
        self._sweep.begin(self._packs[trial_id])

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Take a pack's report in; a lost worker is told to `lost`, which knows more."""
        if error or trial_id not in self._packs:
            return
        pack, report = self._packs.pop(trial_id), result or {}
        self._began.pop(trial_id, None)
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

    def lost(self, trial_id: str, error: BaseException) -> None:
        """A worker is gone, with its process or its node; try its pack again elsewhere."""
        pack = self._packs.pop(trial_id, None)
        if pack is None or self._take_in(pack):  # it was lost after it had written
            return
        self._sweep.lose(pack)
        running_s = time.monotonic() - self._began.pop(trial_id, time.monotonic())
        message = str(error)
        if "creation task" in message:
            self.fault = InputError(
                "a worker cannot start; raysweep and what the study names must be installed on "
                f"every node: {last_line(message)}"
            )
        elif self._limit_s is not None and running_s >= self._limit_s:
            reason = self._folder.failure(pack) or "TimeLimit"
            self._give_up(pack, reason, record=False)
        elif isinstance(error, RayTaskError):  # it raised, and lives
            self._give_up(pack, message, record=True)
        else:
            self._retry(pack, message)

    def _retry(self, pack: Pack, message: str) -> None:
        self._losses[pack.key] += 1
        count = self._losses[pack.key]
        if count > LOST_WORKER_RETRIES:
            self._give_up(pack, f"{message}\nWorkerLost: {count} times, in this pack", record=True)
            return
        # Ray says so where it ends a worker for want of memory; the kernel does not.
        if "low on memory" in message or count > 1:
            self._short_of_memory[pack.key] += 1
        self._again.append(pack)

    def _take_in(self, pack: Pack, patiently: bool = False) -> bool:
        # The part file decides, not the report. A shared folder may show it a little late.
        for wait in (*(_VISIBLE_AFTER_S if patiently else ()), None):
            parts = read_parts(self._folder.output, [f"{PARTS}/{pack.key}{PART_SUFFIX}"])
            if parts.table.num_rows:
                self._folder.clear_failure(pack)
                self._sweep.complete(
                    pack, parts.results(self._sweep.study.confirmed_columns).values()
                )
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
        self._folder, self._epochs = folder, Epochs(folder, observer)
        self._compact_at = time.monotonic() + COMPACT_EVERY_S

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._searcher.began(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._searcher.lost(trial.trial_id, _error_of(trial))

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self._searcher.fault is not None:
            raise self._searcher.fault
        self._epochs.tick(self._sweep)
        started = time.monotonic()
        if started > self._compact_at:
            with contextlib.suppress(OSError):  # the last one, at the end, must succeed
                self._folder.compact(self._sweep)
            took = time.monotonic() - started
            self._compact_at = started + max(COMPACT_EVERY_S, _COMPACT_SHARE * took)


def _error_of(trial: Any) -> BaseException:
    """What ended a trial, from the files that Tune has just written.

    `Trial.get_pickled_error` reads the copies in the storage, which are not made before the end.
    """
    if trial.pickled_error_file is not None:
        with contextlib.suppress(Exception):  # an error of a module that only the worker has, say
            error: BaseException = cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
            return error
    # Of a worker that Ray ends before it has started, for one, Tune keeps the text alone.
    with contextlib.suppress(OSError):
        return RayError(Path(trial.error_file).read_text())
    return RayError("the worker was lost")


def run(
    study: StudyBase,
    folder: RunFolder,
    observer: Observer | None = None,
    address: str = "local",
    workers: int | None = None,
    pack_limit_s: float | None = None,
    wait_s: float = 0.0,
    modules: Sequence[Path] = (),
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
        wait_s: wait so long for a node that can hold a pack (of a cluster that grows on demand).
        modules: packages and ``.py`` files that the study needs, brought to the workers.

    Returns:
        The sweep; its ``failures`` names the packs that were given up. ``trials.parquet`` is
        written in any case, also when the run is interrupted.

    Raises:
        InputError: the cluster cannot be reached, could never place a pack, or its nodes do not
            share the output, or code of the user's own has changed since the study was resolved.
        OSError: the output cannot be written.
        RunnerLost: Ray is gone.
    """
    observer = observer or Silent()
    sweep = folder.open_sweep(study)
    if sweep.finished:
        observer.started(sweep, "nothing is missing")
        folder.compact(sweep)
        return sweep
    check_code(study)
    started_here = ray_cluster.connect(address, workers, modules)
    folders = contextlib.ExitStack()
    try:
        storage = folders.enter_context(scratch("tune"))
        slots = placement.slots(
            study, wait_s, lambda what: observer.started(sweep, f"Ray {address}, {what}")
        )
        observer.started(sweep, f"Ray {address}, {counted(slots, 'pack')} at a time")
        searcher = _SweepSearcher(sweep, folder, observer, pack_limit_s)
        parameters = {
            "study": study,
            "location": folder.output.location,
            "pack_limit_s": pack_limit_s,
        }

        def placed(config: dict[str, Any]) -> tune.PlacementGroupFactory:
            needed = study.resources.of(dict(config["pack"].cells[0].parameters))
            return tune.PlacementGroupFactory([placement.bundle(needed)])

        trainable = tune.with_resources(tune.with_parameters(_PackTrainable, **parameters), placed)
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=LatestFirst(),
                num_samples=-1,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=study.name,
                storage_path=str(storage),
                verbose=0,
                # The searcher hands a lost pack out again itself: it knows the packs. Of one whose
                # spot machine was taken away it hears nothing: Tune starts that again, uncounted.
                failure_config=tune.FailureConfig(max_failures=0),
                # A pack has nothing to save but its part file; without this Tune asks for a
                # checkpoint at the end, and takes its absence for a lost worker.
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[_Watcher(searcher, sweep, folder, observer), NoProgress()],
                progress_reporter=NoReports(),
                log_to_file=False,
            ),
        )
        place = folder.output.argument
        with (
            quiet_tune(slots),
            every_loss_told(),
            nothing_counted(),
            signals_given_back(),
            guarded(place),
        ):
            tuner.fit()
    except KeyboardInterrupt:
        observer.stopping(sweep)  # first: a Ray takes seconds to end
        raise
    finally:
        if started_here:
            ray_cluster.stop()
        folders.close()
        folder.compact(sweep)
    return sweep
