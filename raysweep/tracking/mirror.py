"""Copies a run folder to MLflow and remembers what is copied."""

import contextlib
import hashlib
import itertools
import subprocess
import time
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from raysweep import __version__
from raysweep.folder.file_lock import lock
from raysweep.folder.run_folder import STUDY_NAME, RunFolder, sweep_of
from raysweep.folder.stored_answer import StoredAnswer, stored_answer
from raysweep.folder.stored_progress import is_so_far
from raysweep.kinds.kind import kind_of
from raysweep.kinds.sweep import CellPlan
from raysweep.seeds import content_key
from raysweep.study.cells import expand
from raysweep.study.fingerprint import science_digest
from raysweep.text import counted
from raysweep.tracking.address import (
    Address,
    TrackingBusy,
    TrackingUnavailable,
    page,
    remember,
    remember_runs,
    remembered_experiment,
    remembered_runs,
    resolve_address,
)
from raysweep.tracking.facts import described, study_facts
from raysweep.tracking.known import FILES, OUTPUT, Known
from raysweep.tracking.lock import LOCK_WAIT_S, lock_path
from raysweep.tracking.order import start_times
from raysweep.tracking.record import RunRecord
from raysweep.tracking.run_status import answered, failed_cells, standing, study_status
from raysweep.tracking.running import ended_runs, running_records
from raysweep.tracking.runs import STUDY_TAG, Progress, runs_of_cell, summary_run
from raysweep.tracking.views import view_tags
from raysweep.trials.storage import unlinked
from raysweep.trials.table import PART_SUFFIX, PARTS, Parts, read_parts
from raysweep.trials.trial import TrialResult

if TYPE_CHECKING:
    from raysweep.tracking.store import Store

REPORT_NAME = "report.html"
FIGURES = "figures"
FIGURE_SUFFIXES = (".png", ".svg", ".pdf")
_NO_ROWS = pa.table({name: pa.nulls(0, pa.string()) for name in ("key", "status")})


@dataclass(frozen=True)
class SyncReport:
    """What a copy did.

    Attributes:
        experiment: name of the experiment, which is the study's.
        experiment_id: its id in MLflow.
        runs_written: runs that were made or brought up to date.
        runs_unchanged: runs that were up to date.
        uri: the address, without a password.
        page: address of the experiment's page where MLflow is a server, or empty.
        note: what could not be copied besides the runs, or empty.
    """

    experiment: str
    experiment_id: str
    runs_written: int
    runs_unchanged: int
    uri: str
    page: str = ""
    note: str = ""

    def sentence(self) -> str:
        """The report in one line."""
        total = self.runs_written + self.runs_unchanged
        # Beside a run most were written before: said alone, the last few would look like a part.
        news = f" ({self.runs_written} of them written now)" if self.runs_written else ""
        end = f"; {self.note}" if self.note else ""
        where = self.page or self.uri
        runs = f"{counted(total, 'run')}, all there{news}"
        return f"MLflow: experiment {self.experiment}, {runs} at {where}{end}"


class Mirror:
    """The MLflow copy of one run folder; remembers what is copied, so that an update is cheap.

    Args:
        folder: the run folder.
        address: where to copy it.
    """

    def __init__(self, folder: RunFolder, address: Address) -> None:
        self.folder, self.address = folder, address
        self.study = folder.existing_study()
        self.science = science_digest(self.study)
        self._cells = {cell.id: cell for cell in expand(self.study)}
        self._earlier = folder.earlier(self.study, {})  # a driver has written them down before
        self._facts = study_facts(self.study, list(self._cells.values()))
        self._digest = content_key(self.study.model_dump(mode="json", exclude={"code_folders"}))
        self._planned = kind_of(self.study).trials(self.study)
        self._read: set[str] = set()
        self._pieces: dict[str, list[pa.Table]] = {}
        self._plans: dict[str, CellPlan] = {}
        self._records: dict[str, list[RunRecord]] = {}
        self._failed: dict[str, str] = {}
        self._failed_of: tuple[object, ...] = ()
        self._store: Store | None = None
        self._known: dict[str, Known] = {}
        self._files_seen = False
        self._token = ""
        self._answer: StoredAnswer | None = None

    def update(self, progress: Progress | None = None, ended: bool | None = None) -> SyncReport:
        """Copy what is new.

        Args:
            progress: called after each run that was written with how many are, and are to be.
            ended: whether the run has ended; by default, whether nobody drives it.

        Raises:
            TrackingUnavailable: MLflow cannot be reached or refuses, or another copy is being made.
        """
        self._take_in_rows()
        if ended is None:
            ended = self.folder.driver() is None
        try:
            with self._lock():
                return self._write(ended, progress)
        except TrackingUnavailable:
            # What is there may differ from what is remembered of it: look again next time.
            self._store = None
            raise

    def _take_in_rows(self) -> None:
        names = [n for n in self.folder.output.names(PARTS, PART_SUFFIX) if n not in self._read]
        touched = set()
        for name in names:
            parts = read_parts(self.folder.output, [name], curves=True)
            if parts.damaged or not parts.table.num_rows:
                continue
            self._read.add(name)
            for cell, table in _by_cell(parts.table):
                if cell in self._cells:
                    self._pieces.setdefault(cell, []).append(table)
                    touched.add(cell)
        for cell in touched:
            self._pieces[cell] = [_concatenated(self._pieces[cell])]
        for cell, plan in self._plans_of(touched).items():
            self._plans[cell] = plan
            self._records[cell] = self._runs_of(plan)

    def _runs_of(self, plan: CellPlan) -> list[RunRecord]:
        cell = plan.cell.id
        table = self._pieces.get(cell, [_NO_ROWS])[0]
        facts = self._facts.cells[cell]
        return runs_of_cell(self.study, plan, facts, self.science, self._digest, table)

    def _results(self) -> dict[str, TrialResult]:
        results: dict[str, TrialResult] = {}
        for pieces in self._pieces.values():
            for piece in pieces:
                results.update(Parts(piece, ()).results(self.study.confirmed_columns))
        return results

    def _shown(self, ended: bool) -> dict[str, list[RunRecord]]:
        """Cell id -> its runs as they stand now, in the study's order."""
        reasons = self.folder.failures()
        found: tuple[object, ...] = (len(self._read), *sorted(reasons))
        if found != self._failed_of:
            sweep = sweep_of(self.study, self._results(), self._earlier) if reasons else None
            plans = {} if sweep is None else sweep.plans
            self._failed, self._failed_of = failed_cells(plans.values(), reasons), found
            # A cell none of whose packs came through has no rows, and is to be seen all the same.
            for cell in self._failed.keys() - self._records.keys():
                self._records[cell] = self._runs_of(plans[cell])
        return {
            cell: answered(
                standing(self._records[cell], self._failed.get(cell), ended),
                cell,
                self._answer,
                self.study.tested.performance,
            )
            for cell in self._cells
            if cell in self._records
        }

    def _plans_of(self, cells: Collection[str]) -> dict[str, CellPlan]:
        """The plans of these cells from the rows that are there."""

        def results_of(cell: str) -> dict[str, TrialResult]:
            table = self._pieces.get(cell, [_NO_ROWS])[0]
            return Parts(table, ()).results(self.study.confirmed_columns)

        return kind_of(self.study).plans(self.study, cells, results_of, self._earlier)

    def _write(self, ended: bool, progress: Progress | None) -> SyncReport:
        from raysweep.tracking.store import Store

        commit = working_copy_commit()
        answer = stored_answer(self.folder.output)
        if answer != self._answer:
            # It stands above the experiment's description, which is written as that is opened.
            self._answer, self._store = answer, None
        if self._store is None:
            tags = {
                STUDY_TAG: self._digest,
                "raysweep.version": __version__,
                **({"git_commit": commit} if commit else {}),
                **view_tags(self.study, self._facts),
            }
            location = self.folder.output.location
            self._store = Store(
                self.address,
                self.study.name,
                self._description(),
                tags,
                location,
                self.folder.name(),
                remembered_experiment(self.folder, self.address),
            )
            self._known = self._store.runs(remembered_runs(self.folder))
            self._files_seen = False
            remember(self.folder, self.address, self._store.experiment_id)
        shown = self._shown(ended)
        parents, cells = [runs[0] for runs in shown.values()], len(self._cells)
        summary = summary_run(
            self.study,
            self.science,
            self._digest,
            parents,
            cells,
            self._planned,
            study_status(parents, cells, bool(self._failed), ended),
        )
        live = [] if ended else running_records(self.folder, self.study, self._facts, summary)
        records = [summary, *itertools.chain(*shown.values()), *live]
        stale = self._store.stale(records, self._known)
        order = start_times(0, summary, list(self._cells), shown)
        first_ms = next(
            (self._known[i].start_ms - after for i, after in order.items() if i in self._known),
            int(time.time() * 1000),
        )
        start_ms = {identity: first_ms + after for identity, after in order.items()}
        start_ms |= {record.identity: int(time.time() * 1000) for record in live}
        try:
            self._store.write(stale, self._known, start_ms, commit, progress)
            for identity in ended_runs(self._known, {record.identity for record in live}):
                self._store.delete(self._known.pop(identity))
            self._drop_abandoned({record.identity for record in records})
        finally:
            runs = {run.run_id: i for i, run in self._known.items() if i != run.run_id}
            remember_runs(self.folder, self.address, runs)
        note = self._copy_files(summary)
        return SyncReport(
            experiment=self.study.name,
            experiment_id=self._store.experiment_id,
            runs_written=len(stale),
            runs_unchanged=len(records) - len(stale),
            uri=self.address.shown,
            page=page(self.address.shown, self._store.experiment_id, kind_of(self.study).first_view)
            if self.address.kind == "http"
            else "",
            note=note,
        )

    def _description(self) -> str:
        """Of the experiment: the answer first, where there is one."""
        about = self.study.description or described(self.study, self._facts)
        of = self._answer
        return about if of is None else f"{of.answer} ({of.state}, {of.written})\n\n{about}"

    def _drop_abandoned(self, wanted: set[str]) -> None:
        """Delete runs this folder wrote for trials that its study no longer plans.

        A search that was extended may choose another strength, whose confirm runs replace the
        earlier ones in the trial table. Only once all cells are done is the plan known whole.
        """
        done = all(cell in self._plans and not self._plans[cell].packs for cell in self._cells)
        for identity, run in list(self._known.items()):
            if (
                done
                and identity not in wanted
                and run.tags.get(OUTPUT) == self.folder.output.location
            ):
                assert self._store is not None
                self._store.delete(run)
                del self._known[identity]

    def _copy_files(self, summary: RunRecord) -> str:
        """Copy the study file, figures and report; returns why not, if not."""
        assert self._store is not None
        output = self.folder.output
        names = [STUDY_NAME, REPORT_NAME]
        names += [name for suffix in FIGURE_SUFFIXES for name in output.names(FIGURES, suffix)]
        read = {name: output.read(name) for name in names}
        # The page of a run that goes on changes all the time, and is no report.
        files = {n: c for n, c in read.items() if c is not None and not is_so_far(c)}
        digest = content_key({n: hashlib.sha256(c).hexdigest() for n, c in files.items()})
        run = self._known[summary.identity]
        noted = run.tags.get(FILES) == digest
        if noted and (self._files_seen or not self.address.holds_files):
            return ""
        if not self.address.holds_files:
            return (
                "figures and report go to MLflow through its server only: `raysweep sync "
                f"{self.address.folder} --tracking-uri http://HOST:PORT`"
            )
        try:
            # Somebody may have deleted some since; that is looked at once.
            if not noted or not self._store.has_files(run, files):
                self._known[summary.identity] = self._store.put_files(run, files, digest)
            self._files_seen = True
        except TrackingUnavailable as error:
            # A server may keep its runs well and have no place for files.
            return f"the study file and figures could not be stored ({error.reason})"
        return ""

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """One copy at a time; look again at what MLflow has if another one wrote in between."""
        with open(lock_path(self.folder.output), "a+", opener=unlinked) as file:
            try:
                lock(file, LOCK_WAIT_S)
            except OSError as error:
                run = self.folder.output.location
                raise TrackingBusy(self.address, f"another copy of {run} is being made") from error
            file.seek(0)
            if file.read() != self._token:
                self._store = None
            self._token = uuid.uuid4().hex
            file.seek(0)
            file.truncate()
            file.write(self._token)
            file.flush()
            yield


def sync(folder: RunFolder, tracking_uri: str | None = None) -> SyncReport:
    """Copy to MLflow what it does not have yet; a second call writes nothing.

    One experiment per study, a parent run per cell, a child run per stage, arm and strength whose
    metrics are means over draws and seeds. A run that has grown is updated in place.

    Args:
        folder: a run folder.
        tracking_uri: address of MLflow; None as in `resolve_address`.

    Raises:
        InputError: the folder is not a run's, or the address is malformed.
        TrackingUnavailable: MLflow cannot be reached, is locked or refuses; known within seconds.
    """
    return Mirror(folder, resolve_address(folder, tracking_uri)).update()


@cache
def working_copy_commit() -> str | None:
    """Git commit of the source this runs from, or None where it was installed without one."""
    package = Path(__file__).resolve().parent.parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(package), *arguments],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
        return done.stdout.strip()

    try:
        # An installed package may lie inside somebody's working copy without being part of it.
        git("ls-files", "--error-unmatch", "__init__.py")
        return git("rev-parse", "HEAD")
    except (OSError, subprocess.SubprocessError):
        return None


def _by_cell(table: pa.Table) -> list[tuple[str, pa.Table]]:
    """The rows of each cell; a pack of a forcing study has one."""
    cells = table.column("cell")
    names = cells.unique().to_pylist()
    if len(names) == 1:
        return [(names[0], table)]
    return [(name, table.filter(pc.equal(cells, name))) for name in names]


def _concatenated(pieces: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(pieces, promote_options="permissive")
