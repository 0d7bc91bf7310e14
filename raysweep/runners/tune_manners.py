"""What of Ray Tune is done otherwise than Tune does it by itself."""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

from raysweep.runners import ray_cluster  # noqa: F401 - sets what Ray reads when it is imported

# isort: split
from ray.air._internal import usage
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune.progress_reporter import ProgressReporter, TrialProgressCallback
from ray.tune.schedulers import FIFOScheduler

_REMEMBERED = 64
"""Trials from which on Tune forgets those that are over."""


class LatestFirst(FIFOScheduler):
    """Has a free worker take the trial in waiting that came last.

    The one that came first has a worker starting for it, which Tune ends when another takes the
    trial: where packs are shorter than a worker's start, none but the first would ever get there.
    """

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The last one in waiting."""
        _forget_finished(tune_controller)
        trials = reversed(tune_controller.get_trials())
        return next((trial for trial in trials if trial.status == "PENDING"), None)


def _forget_finished(tune_controller: Any) -> None:
    """Take the trials that are over from Tune, which would keep all of them, with what they ran.

    Their results are in the part files, and nobody asks Tune for them: so the driver does not grow
    with the packs, and its loop goes through the few that are left.
    """
    trials = tune_controller.get_trials()
    if len(trials) < _REMEMBERED:
        return
    live = tune_controller.get_live_trials()
    over = {trial for trial in trials if trial.is_finished() and trial not in live}
    trials[:] = [trial for trial in trials if trial not in over]
    for name in ("_stopped_trials", "_failed_trials", "_trials_to_cache"):
        getattr(tune_controller, name, set()).difference_update(over)
    for trial in over:
        getattr(tune_controller, "_trial_metadata", {}).pop(trial.trial_id, None)


class NoProgress(TrialProgressCallback):
    """In place of the one that Tune adds otherwise: it prints nothing, and keeps every trial."""

    def on_trial_result(self, *_: Any, **__: Any) -> None:
        """Keep nothing."""

    def on_trial_error(self, *_: Any, **__: Any) -> None:
        """Keep nothing."""

    def on_trial_complete(self, *_: Any, **__: Any) -> None:
        """Keep nothing."""


class NoReports(ProgressReporter):
    """In place of the one that Tune makes in a notebook, which clears what its cell has shown."""

    def should_report(self, trials: Any, done: bool = False) -> bool:
        """Never."""
        return False

    def report(self, trials: Any, done: bool, *sys_info: Any) -> None:
        """Nothing."""


@contextlib.contextmanager
def quiet_tune(slots: int) -> Iterator[None]:
    """Have as many trials in waiting as can run, and nothing logged.

    Workers then start together, and each finds its next pack (and an actor to reuse) waiting. With
    the one that Tune keeps for a searcher they queue.
    """
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


@contextlib.contextmanager
def signals_given_back() -> Iterator[None]:
    """Have the process's own answer to SIGUSR1 back afterwards: Tune keeps it for itself."""
    if threading.current_thread() is not threading.main_thread():
        yield  # where it takes none
        return
    before = signal.getsignal(signal.SIGUSR1)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


@contextlib.contextmanager
def every_loss_told() -> Iterator[None]:
    """Have each loss of a worker reach Tune as what it knows.

    Of a worker that Ray ended for want of memory, or that went with its node, Ray may tell by
    another error than of one that died, and that one would end the run.
    """
    task_failed = RayActorManager._actor_task_failed

    def task_lost(manager: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
        known = (RayActorError, RayTaskError)
        if isinstance(exception, RayError) and not isinstance(exception, known):
            exception = RayActorError(error_msg=str(exception))
        task_failed(manager, tracked_actor_task=tracked_actor_task, exception=exception)

    RayActorManager._actor_task_failed = task_lost
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = task_failed


@contextlib.contextmanager
def nothing_counted() -> Iterator[None]:
    """Keep Tune from counting which of its callbacks are used.

    It imports MLflow for that, four seconds before the first pack, and this even where usage
    statistics are off, as they are here.
    """
    tag = usage.tag_callbacks
    usage.tag_callbacks = lambda callbacks: False
    try:
        yield
    finally:
        usage.tag_callbacks = tag
