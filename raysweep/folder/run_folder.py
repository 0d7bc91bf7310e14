"""A run's output folder: what is in it, who writes to it, and whether a study may use it.

``study.yaml`` is the resolved study, ``parts/`` the results, ``trials.parquet`` the table made from
them, ``failures/`` why a pack was given up.
"""

import contextlib
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from raysweep.errors import InputError
from raysweep.folder import running
from raysweep.folder.causes import Place, at_fault, causes, columns, given_up
from raysweep.folder.lock import Driver as Driver
from raysweep.folder.lock import find_driver, only_driver
from raysweep.folder.stored_study import STUDY_NAME as STUDY_NAME
from raysweep.folder.stored_study import StoredStudy
from raysweep.folder.stored_study import extends as extends
from raysweep.kinds.kind import kind_of
from raysweep.kinds.sweep import NONE, Earlier, Sweep
from raysweep.study.spec import StudyBase
from raysweep.trials.packing import Pack
from raysweep.trials.storage import Output
from raysweep.trials.table import (
    Parts,
    compact,
    read_parts,
    read_searched,
    suspicious,
    tabled_keys,
)
from raysweep.trials.trial import TrialResult

NAME = "folder_name"
FAILURES = "failures"
_REASON = ".txt"


class RunFolder:
    """The output folder of one run.

    Args:
        output: where it is.
    """

    def __init__(self, output: Output) -> None:
        self.output = output
        self._stored = StoredStudy(output)
        self._remembering = None if output.local is not None else _Remembering(output.location)

    def study(self) -> StudyBase | None:
        """The study that the folder belongs to, or None for a folder that has none yet.

        Raises:
            InputError: its file was changed beyond an extension, or is no study any more.
        """
        return self._stored.study()

    def existing_study(self) -> StudyBase:
        """The study that the folder belongs to.

        Raises:
            InputError: as `study`, or the folder is not the output of a run.
        """
        study = self.study()
        if study is None:
            raise InputError(
                f"{self.output.location}: not the output of a run (it has no {STUDY_NAME}); "
                "give the --out of an earlier `raysweep run`"
            )
        return study

    def restore_study(self) -> str:
        """Write a study's file again that is missing or damaged; returns what was done."""
        return self._stored.restore()

    def adopt(self, study: StudyBase) -> str:
        """Make the folder the study's: store the resolved study in it.

        A folder that has a study takes the same one again, or an extension of it (more trials,
        seeds, draws or grid values; a wider range or more choices of what is searched).

        Returns:
            What became of a ``study.yaml`` that was edited, in one line; mostly empty.

        Raises:
            InputError: the folder belongs to a study whose results this one could not use.
        """
        return self._stored.adopt(study)

    def name(self) -> str:
        """A name of the folder that no other has, and that it keeps when it is moved.

        Of a folder that cannot be written the name is made from its location.
        """
        content = self.output.read(NAME)
        if content:
            return content.decode(errors="replace").strip()
        name = uuid.uuid4().hex
        try:
            self.output.write(NAME, f"{name}\n".encode())
        except OSError:
            return uuid.uuid5(uuid.NAMESPACE_URL, self.output.location).hex
        return name

    def open_sweep(self, study: StudyBase) -> Sweep:
        """The sweep of the study with all results that are there.

        Part files that are cut short or damaged count as missing; the pack is run again.
        """
        return self._sweep(study, self._parts().results(study.confirmed_columns))

    def look(self, study: StudyBase) -> Sweep:
        """The sweep as `open_sweep` gives it, to be shown: from the trial table where it can be."""
        beside = study.confirmed_columns
        return self._sweep(study, read_searched(self.output, beside).results(beside))

    def left(self, study: StudyBase) -> Sweep:
        """The sweep as runs have left it: with all results, and the packs that were given up."""
        sweep = self.look(study)
        reasons = self.failures()
        for pack in sweep.missing():
            if pack.key in reasons:
                sweep.fail(pack, reasons[pack.key])
        return sweep

    def causes(self, sweep: Sweep) -> dict[Place, str]:
        """(cell, criterion) -> why there is no verdict, as `raysweep.folder.causes` tells.

        Args:
            sweep: as from `left`; cells that it still works on have no cause yet.
        """
        table = read_searched(self.output, columns(sweep.metric)).table
        names = ["key", *(name for name in columns(sweep.metric) if name in table.column_names)]
        suspects = suspicious(table.select(names)) if len(table) else []
        faulty = {row["key"] for row in suspects if at_fault(row, sweep.metric)}
        # Most runs have no fault, and rows as Python's objects take their time.
        rows = {row["key"]: row for row in table.select(names).to_pylist()} if faulty else {}
        found: dict[Place, str] = {}
        for cell, plan in sweep.plans.items():
            trials = sweep.behind(plan.cell)
            # Without a fault there is no cause, so that most cells need no look.
            if not plan.packs and any(trial.key in faulty for trial in trials):
                facts = [{**rows[t.key], "chosen_by": t.chosen_by} for t in trials if t.key in rows]
                of_cell = causes(facts, sweep.criteria, sweep.metric)
                found.update(((cell, by), sentence) for by, sentence in of_cell.items())
        return {**found, **{(cell, ""): given_up(why) for cell, why in sweep.given_up().items()}}

    def compact(self, sweep: Sweep) -> int:
        """Write ``trials.parquet``; returns its number of rows."""
        return compact(self.output, self._parts(), sweep.order())

    def renew_table(self, study: StudyBase) -> str:
        """Write ``trials.parquet`` again for an analysis, unless that would lose rows.

        Returns:
            What is not there any more, in a sentence; empty where nothing is missing.
        """
        parts = self._parts()
        tabled = tabled_keys(self.output)
        lost = len(tabled - set(parts.table.column("key").to_pylist()))
        if lost:
            damaged = f" ({', '.join(parts.damaged)} damaged)" if parts.damaged else ""
            return (
                f"{self.output.location}: {lost} of the {len(tabled)} rows of the trial table have "
                f"no part file any more{damaged}; the table is taken as it is, and raysweep resume "
                "trains them again"
            )
        if parts.table.num_rows:
            compact(
                self.output,
                parts,
                self._sweep(study, parts.results(study.confirmed_columns)).order(),
            )
        return ""

    def earlier(self, study: StudyBase, results: dict[str, TrialResult]) -> Earlier:
        """What the study's searches proposed before they were widened; mostly nothing."""
        return self._stored.earlier(study, results)

    def _sweep(self, study: StudyBase, results: dict[str, TrialResult]) -> Sweep:
        return sweep_of(study, results, self.earlier(study, results))

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
        return find_driver(self.output)

    @contextlib.contextmanager
    def driver_lock(self, tell: Callable[[str], None] | None = None) -> Iterator[None]:
        """Keep other drivers out of the folder while this one runs (see `raysweep.folder.lock`).

        What killed processes left half written long ago is removed.

        Args:
            tell: told, in one line, if it takes a while to see whether another driver runs.

        Raises:
            InputError: another driver is running; names its host and process.
        """
        with only_driver(self.output, tell):
            self.output.remove_unfinished()
            running.forget(self.output)
            yield


def sweep_of(study: StudyBase, results: dict[str, TrialResult], earlier: Earlier = NONE) -> Sweep:
    """The sweep that the study's kind asks for, with these results and earlier proposals."""
    return kind_of(study).sweep(study, results, earlier)


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
