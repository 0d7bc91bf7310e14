"""A run's output folder: what is in it, who writes to it, and whether a study may use it.

``study.yaml`` is the resolved study, ``parts/`` the results, ``trials.parquet`` the table made from
them, ``failures/`` why a pack was given up.
"""

import contextlib
import difflib
import fcntl
import os
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from raysweep.cells import expand
from raysweep.emergence.plan import EmergenceSweep
from raysweep.errors import InputError
from raysweep.packing import Pack
from raysweep.spec import EmergenceStudy, Search, Study, StudyBase
from raysweep.storage import Output
from raysweep.study_file import dump_study, parse_study
from raysweep.sweep import Sweep
from raysweep.table import Parts, compact, read_parts, read_searched
from raysweep.trials import TrialResult

STUDY_NAME = "study.yaml"
FAILURES = "failures"
LOCK_NAME = ".driver"
_REASON = ".txt"


@dataclass(frozen=True)
class Driver:
    """Who runs a study.

    Attributes:
        name: its host and process.
        since_ns: when it started, by the clock of the folder's filesystem.
    """

    name: str
    since_ns: int


class RunFolder:
    """The output folder of one run.

    Args:
        output: where it is.
    """

    def __init__(self, output: Output) -> None:
        self.output = output
        self._remembering = None if output.local is not None else _Remembering(output.location)

    def study(self) -> StudyBase | None:
        """The study that the folder belongs to, or None for a folder that has none yet."""
        content = self.output.read(STUDY_NAME)
        if content is None:
            return None
        name = f"{self.output.location}/{STUDY_NAME}"
        return parse_study(content.decode(), name, Path.cwd())

    def existing_study(self) -> StudyBase:
        """The study that the folder belongs to.

        Raises:
            InputError: the folder is not the output of a run.
        """
        study = self.study()
        if study is None:
            raise InputError(
                f"{self.output.location}: not the output of a run (it has no {STUDY_NAME}); "
                "give the --out of an earlier `raysweep run`"
            )
        return study

    def adopt(self, study: StudyBase) -> None:
        """Make the folder the study's: store the resolved study in it.

        A folder that has a study takes the same one again, or an extension of it (more trials,
        seeds, draws or grid values).

        Raises:
            InputError: the folder belongs to a study whose results this one could not use.
        """
        before = self.study()
        if before is not None and not extends(before, study):
            change = "\n".join(
                difflib.unified_diff(
                    dump_study(before).splitlines(),
                    dump_study(study).splitlines(),
                    "in the folder",
                    "given now",
                    n=0,
                    lineterm="",
                )
            )
            raise InputError(
                f"{self.output.location}: holds the results of another study; the change is\n"
                f"{change}\n"
                "A study may be extended (more trials, seeds, draws or grid values); for anything "
                "else give another --out"
            )
        self.output.write(STUDY_NAME, dump_study(study).encode())

    def open_sweep(self, study: StudyBase) -> Sweep:
        """The sweep of the study with all results that are there.

        Part files that are cut short or damaged count as missing; the pack is run again.
        """
        return sweep_of(study, self._parts().results())

    def look(self, study: StudyBase) -> Sweep:
        """The sweep as `open_sweep` gives it, to be shown: from the trial table where it can be."""
        return sweep_of(study, read_searched(self.output).results())

    def compact(self, sweep: Sweep) -> int:
        """Write ``trials.parquet``; returns its number of rows."""
        return compact(self.output, self._parts(), sweep.order())

    def _parts(self) -> Parts:
        if self._remembering is None:
            return read_parts(self.output)
        parts = read_parts(self._remembering)
        self._remembering.forget(parts.damaged)
        return parts

    def record_failure(self, pack: Pack, reason: str) -> None:
        """Keep why a pack was given up."""
        self.output.write(f"{FAILURES}/{pack.key}{_REASON}", reason.encode())

    def clear_failure(self, pack: Pack) -> None:
        """Forget an earlier failure of a pack that has now run."""
        self.output.delete(f"{FAILURES}/{pack.key}{_REASON}")

    def failure(self, pack: Pack) -> str | None:
        """Why a pack was given up, if it was."""
        content = self.output.read(f"{FAILURES}/{pack.key}{_REASON}")
        return None if content is None else content.decode(errors="replace")

    def failures(self) -> dict[str, str]:
        """Key of each pack that was given up and has not run since -> why."""
        found = {name: self.output.read(name) for name in self.output.names(FAILURES, _REASON)}
        return {
            Path(name).name.removesuffix(_REASON): content.decode(errors="replace")
            for name, content in found.items()
            if content is not None
        }

    def driver(self) -> Driver | None:
        """Who runs the folder's study now; None where nobody does, or there are no locks."""
        if self.output.local is None:
            return None
        try:
            with open(self.output.local / LOCK_NAME) as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return Driver(lock.read().strip(), os.fstat(lock.fileno()).st_mtime_ns)
        except OSError:
            pass
        return None

    @contextlib.contextmanager
    def driver_lock(self) -> Iterator[None]:
        """Keep other drivers out of the folder while this one runs.

        On a local or shared folder whose filesystem has locks. An object store has none: two
        drivers there write the same bytes under the same keys. The lock dies with its process.

        Raises:
            InputError: another driver is running; names its host and process.
        """
        if self.output.local is None:
            yield
            return
        self.output.local.mkdir(parents=True, exist_ok=True)
        with open(self.output.local / LOCK_NAME, "a+") as lock:
            try:
                _take(lock)
            except BlockingIOError as error:
                lock.seek(0)
                raise InputError(
                    f"{self.output.location}: another driver is running in this folder "
                    f"({lock.read().strip() or 'unknown'}); wait for it, stop it, or give another "
                    "--out"
                ) from error
            except OSError:
                yield  # a filesystem without locks
                return
            lock.seek(0)
            lock.truncate()
            lock.write(f"host {socket.gethostname()}, process {os.getpid()}")
            lock.flush()
            yield


def sweep_of(study: StudyBase, results: dict[str, TrialResult]) -> Sweep:
    """The sweep that the study's kind asks for, with these results."""
    if isinstance(study, EmergenceStudy):
        return EmergenceSweep(study, results)  # type: ignore[arg-type]
    assert isinstance(study, Study)
    return Sweep(study, results)


def _take(lock: IO[str]) -> None:
    # Who only asks for the driver has the lock for a moment.
    for wait in (0.05, 0.2):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(wait)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def extends(before: StudyBase, after: StudyBase) -> bool:
    """Whether every result of ``before`` keeps its meaning in ``after``.

    True where only the grids, draws, trials, seeds, resources, texts or the verdict's settings
    differ, and none of the cells, draws, seeds or trials of ``before`` is gone.
    """
    if before.kind != after.kind or before.name != after.name:
        return False
    if before.science() != after.science():
        return False
    if isinstance(before, Study) and isinstance(after, Study):
        kept = _forcing_extended(before, after)
    else:
        assert isinstance(before, EmergenceStudy)
        assert isinstance(after, EmergenceStudy)
        kept = _emergence_extended(before, after)
    if not kept:
        return False
    draws = {cell.id: set(cell.draws) for cell in expand(after)}
    return all(set(cell.draws) <= draws.get(cell.id, set()) for cell in expand(before))


class _Remembering(Output):
    """A remote output whose files are fetched once: results never change, and the way is long."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self._contents: dict[str, bytes] = {}

    def read(self, name: str) -> bytes | None:
        """The content of ``name``, or None if there is no such file."""
        content = self._contents.get(name) or super().read(name)
        if content is not None:
            self._contents[name] = content
        return content

    def forget(self, names: Iterable[str]) -> None:
        """Fetch these again next time: they were damaged, and will be replaced."""
        for name in names:
            self._contents.pop(name, None)


def _forcing_extended(before: Study, after: Study) -> bool:
    fixed = {"trials", "seeds"}
    if _without(before.search, fixed) != _without(after.search, fixed):
        return False
    if not _trials_extended(before.search, after.search):
        return False
    if not set(before.search.seeds) <= set(after.search.seeds):
        return False
    return set(before.confirm.seeds) <= set(after.confirm.seeds)


def _emergence_extended(before: EmergenceStudy, after: EmergenceStudy) -> bool:
    if not set(before.seeds) <= set(after.seeds) or before.tuning != after.tuning:
        return False
    # Where rates are tuned, those given here are never used.
    return before.tuning is not None or before.training == after.training


def _trials_extended(before: Search, after: Search) -> bool:
    if before.sampler == "grid" and before.trials != after.trials:
        # Only a finer grid with all of the old points keeps their results.
        old, new = (search.trials // search.combinations for search in (before, after))
        return 1 < old < new and not (new - 1) % (old - 1)
    return before.trials <= after.trials


def _without(part: Any, names: set[str]) -> dict[str, Any]:
    return {k: v for k, v in part.model_dump(mode="json").items() if k not in names}
