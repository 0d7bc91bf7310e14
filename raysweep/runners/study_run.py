"""A study and a folder to a verdict: what the command line and Python both call.

Nothing is printed here, and nothing ends the process: who calls is told what happens, and how it
ended.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from raysweep.data.own_notes import own_notes
from raysweep.errors import InputError, RunnerLost
from raysweep.folder.conclusion import Conclusion, conclude, register_plan
from raysweep.folder.run_folder import STUDY_NAME, RunFolder
from raysweep.kinds.kind import kind_of
from raysweep.kinds.outlook import Outlook
from raysweep.kinds.so_far import of_folder
from raysweep.runners.ahead import estimates_ahead
from raysweep.runners.live_report import LiveReport, Loader
from raysweep.runners.observer import Observer, Several
from raysweep.study.spec import StudyBase
from raysweep.text import counted, go_on

if TYPE_CHECKING:
    from raysweep.kinds.sweep import Sweep
    from raysweep.tracking import Sidecar

RUNNERS = ("ray", "local")
_INTERRUPTED_COPY_S = 20.0
"""How long a run that is interrupted still copies: what ends it may not wait for long."""


@dataclass(frozen=True)
class Manner:
    """How a study is run; nothing of it changes a number.

    Attributes:
        runner: ``ray``, or ``local``: the same loop in this process, without Ray.
        address: ``local`` starts a Ray of its own; else ``HOST:PORT`` of a cluster, or ``auto``.
        workers: CPUs of a Ray that is started here; all by default.
        modules: packages and ``.py`` files that the study needs, brought to the workers.
        pack_limit_s: a pack that trains for longer is given up; no limit by default.
        wait_s: wait so long for a node that can hold a pack.
        mlflow: copy the results to MLflow, too.
        tracking_uri: MLflow's address; None as in `raysweep.tracking.resolve_address`.
    """

    runner: str = "ray"
    address: str = "local"
    workers: int | None = None
    modules: tuple[Path, ...] = ()
    pack_limit_s: float | None = None
    wait_s: float = 0.0
    mlflow: bool = True
    tracking_uri: str | None = None


class Listener(Protocol):
    """Who a run is told to."""

    def say(self, line: str) -> None:
        """Something that people should know, in a line."""
        ...

    def watching(self, outlook: Outlook) -> contextlib.AbstractContextManager[Observer]:
        """What sees the packs while they run, and may ask what is known of the rest."""
        ...

    def concluded(self, conclusion: Conclusion) -> None:
        """The verdict, while the last results are still copied."""
        ...


class Stopped(KeyboardInterrupt):
    """A run was interrupted; the message says what is kept and how to go on."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        conclusion: what it says; None where no pack of it has a result.
        left: what is left to do, and how; empty where the results are complete.
    """

    conclusion: Conclusion | None
    left: str


def run_study(study: StudyBase, folder: RunFolder, manner: Manner, listener: Listener) -> Outcome:
    """Run what is missing of a study as its folder's only driver, and conclude.

    Args:
        study: the resolved study.
        folder: its output folder; taken for it where it is empty.
        manner: by what it is run.
        listener: told what happens.

    Raises:
        InputError: something that was given is wrong, or the folder cannot be written.
        Stopped: interrupted, at any moment, also while the verdict was made.
        KeyboardInterrupt: interrupted before anything was begun.
        RunnerLost: Ray is gone; says how to go on.
    """
    _check(manner, folder)
    course = _Course(study, folder, manner, listener)
    try:
        course.drive()
    except KeyboardInterrupt:
        if not _begun(folder):
            raise
        place = folder.output.argument
        copy = f". Copy the rest to MLflow with: raysweep sync {place}" if course.copying else ""
        left = course.left() or "the results are complete"
        raise Stopped(f"stopped; {left}{copy}") from None
    except RunnerLost as error:
        raise RunnerLost(f"{error}; {course.left()}") from error
    return Outcome(course.conclusion, course.left())


def _check(manner: Manner, folder: RunFolder) -> None:
    """Faults that are told before anything is begun."""
    if manner.runner not in RUNNERS:
        raise InputError(f"--runner {manner.runner}: expected {' or '.join(RUNNERS)}")
    if manner.runner == "local" and manner.pack_limit_s is not None:
        raise InputError(
            "--pack-limit: a pack that hangs is ended with its process, and --runner local has "
            "none but this one; leave one of the two out"
        )
    if manner.runner == "ray" and manner.address != "local":
        from raysweep.runners import ray_cluster

        ray_cluster.check_address(manner.address)
    if manner.mlflow:
        from raysweep import tracking

        tracking.resolve_address(folder, manner.tracking_uri)


class _Course:
    """One run, and how far it has come: what its last words depend on.

    Attributes:
        sweep: once nothing of it is left to run and its verdict is told.
        conclusion: what it says, if anything.
        copying: a copy to MLflow was begun, and what became of it is not told yet.
    """

    def __init__(
        self, study: StudyBase, folder: RunFolder, manner: Manner, listener: Listener
    ) -> None:
        self._study, self._folder = study, folder
        self._manner, self._listener = manner, listener
        self.sweep: Sweep | None = None
        self.conclusion: Conclusion | None = None
        self.copying = False

    def left(self) -> str:
        """What is left to do, and how; empty where the results are complete."""
        place = self._folder.output.argument
        if self.sweep is None:
            return go_on(place)
        failed = len(self.sweep.failures)
        if not failed:
            return ""
        return (
            f"{counted(failed, 'pack')} failed; see why with: raysweep failures {place}. "
            f"Try them again with: raysweep resume {place}"
        )

    def drive(self) -> None:
        """Run what is missing, and conclude."""
        with (
            writable(self._folder),
            estimates_ahead(self._study),
            self._room() as ray_here,
            self._folder.driver_lock(self._listener.say),
        ):
            self._adopt()
            with self._sidecar() as sidecar:
                with ray_here, self._watched() as observer:
                    sweep = self._train(observer)
                if not sweep.finished:
                    raise KeyboardInterrupt
                if sidecar is not None:
                    sidecar.catch_up()
                if sweep.results:
                    self.conclusion = conclude(self._folder, self._study, sweep)
                    self._listener.concluded(self.conclusion)
                self.sweep = sweep

    @contextlib.contextmanager
    def _watched(self) -> Iterator[Observer]:
        """All who see the packs while they run; first who others ask."""
        outlook = Outlook(of_folder(self._folder, self._study))
        with (
            self._listener.watching(outlook) as listener,
            LiveReport(self._folder.output, outlook) as report,
        ):
            yield Several((Loader(), outlook, listener, report))

    @contextlib.contextmanager
    def _room(self) -> Iterator[contextlib.ExitStack]:
        """The Ray of a run that begins; ended as soon as nothing trains any more.

        A study that cannot be placed leaves no folder behind, so Ray is asked first.
        """
        manner = self._manner
        with contextlib.ExitStack() as ray_here:
            begins = self._folder.output.read(STUDY_NAME) is None
            if manner.runner == "ray" and not manner.wait_s and begins:
                from raysweep.runners import placement

                ray_here.enter_context(
                    placement.room(self._study, manner.address, manner.workers, manner.modules)
                )
            yield ray_here

    def _adopt(self) -> None:
        notes = own_notes(self._study)
        if self._folder.output.read(STUDY_NAME) is None:
            notes += kind_of(self._study).doubts(self._study)
        for note in notes:
            self._listener.say(note)
        for step in (
            self._folder.restore_study,
            lambda: self._folder.adopt(self._study),
            lambda: register_plan(self._folder, self._study),
        ):
            line = step()
            if line:
                self._listener.say(line)

    def _train(self, observer: Observer) -> "Sweep":
        manner = self._manner
        if manner.runner == "local":
            from raysweep.runners import local

            return local.run(self._study, self._folder, observer)
        from raysweep.runners import tune

        return tune.run(
            self._study,
            self._folder,
            observer,
            manner.address,
            manner.workers,
            manner.pack_limit_s,
            manner.wait_s,
            manner.modules,
        )

    @contextlib.contextmanager
    def _sidecar(self) -> Iterator["Sidecar | None"]:
        if not self._manner.mlflow:
            yield None
            return
        from raysweep import tracking

        say = self._listener.say
        sidecar = tracking.start_sidecar(self._folder, self._manner.tracking_uri)
        self.copying = True
        most_s = _INTERRUPTED_COPY_S
        try:
            yield sidecar
            most_s = math.inf
        except KeyboardInterrupt:
            # One more that comes before the copy is waited for leaves the rest out, too.
            most_s = 0.0
            say(
                f"stopping: copying to MLflow, for {_INTERRUPTED_COPY_S:g} s at most; "
                "Ctrl-C leaves the rest out"
            )
            most_s = _INTERRUPTED_COPY_S
            raise
        finally:
            outcome = sidecar.finish(60.0, most_s, say)
            if most_s:
                self.copying = False
                say(outcome)


@contextlib.contextmanager
def writable(folder: RunFolder) -> Iterator[None]:
    """A block that writes to a run's folder.

    Raises:
        InputError: the folder cannot be written; says what is kept.
    """
    try:
        yield
    except OSError as error:
        place = folder.output.location
        finished = (
            "what was finished is kept" if folder.output.local else "a run begun there is kept"
        )
        kept = f"{finished}, go on with: raysweep resume {folder.output.argument}"
        raise InputError(
            f"--out {place}: cannot be written ({error.strerror or error}); "
            f"{kept if _begun(folder) else 'give a folder that can'}"
        ) from error


def _begun(folder: RunFolder) -> bool:
    """Whether the folder has a study to go on with; of a remote one that is assumed."""
    return folder.output.local is None or (folder.output.local / STUDY_NAME).is_file()
