"""The runs of a run folder in MLflow: what is there, and how it is written."""

import contextlib
import getpass
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from raysweep import __version__
from raysweep.folder.scratch import scratch
from raysweep.tracking.address import Address
from raysweep.tracking.client import Metric, Param, Run, RunTag, ViewType, connect, told
from raysweep.tracking.experiment import open_experiment
from raysweep.tracking.known import (
    DIGEST,
    FILES,
    FOLDER,
    IDENTITY,
    MAX_TAG,
    NAME,
    ORIGIN,
    PARENT,
    Known,
    changed_tags,
)
from raysweep.tracking.record import RunRecord
from raysweep.tracking.runs import Progress

WRITERS = 4
_PAGE = 500
_AT_ONCE = 100


class Store:
    """One experiment of an MLflow store.

    Args:
        address: the store.
        experiment: name of the experiment; made if it is not there.
        description: shown on the experiment's page.
        tags: of the experiment.
        output: location of the run folder.
        folder: name of the run folder, whose runs these are.
        earlier: id of the experiment that the folder was copied to before, or an empty text.

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
        earlier: str = "",
    ) -> None:
        self.address, self.output, self.folder = address, output, folder
        self._replaced: dict[str, Known] = {}
        self._client = connect(address)
        with told(address):
            self.experiment_id = open_experiment(
                self._client, address, experiment, description, tags, earlier
            )

    def runs(self, remembered: Mapping[str, str]) -> dict[str, Known]:
        """Identity -> run, of all runs of the folder; a second run of an identity is deleted.

        There are two where a deleted run was restored after another had taken its place.

        Args:
            remembered: id -> identity of runs that were written before, the latest last: their
                tags may be edited.
        """
        with told(self.address):
            runs = [_known(run) for run in self._search(f"tags.`{FOLDER}` = '{self.folder}'")]
            unseen = list(remembered.keys() - {run.run_id for run in runs})
            for some in (unseen[i : i + _AT_ONCE] for i in range(0, len(unseen), _AT_ONCE)):
                among = ", ".join(f"'{run}'" for run in some)
                runs += [_known(run) for run in self._search(f"attributes.run_id IN ({among})")]
            age = {run: place for place, run in enumerate(remembered)}
            found: dict[str, Known] = {}
            for run in sorted(runs, key=lambda run: age.get(run.run_id, -1)):
                identity = remembered.get(run.run_id) or run.tags.get(IDENTITY) or run.run_id
                if identity in found:
                    self._client.delete_run(found[identity].run_id)
                found[identity] = run
        return found

    def _search(self, where: str) -> Iterator[Run]:
        token = None
        while True:
            page = self._client.search_runs(
                [self.experiment_id],
                filter_string=where,
                run_view_type=ViewType.ACTIVE_ONLY,
                max_results=_PAGE,
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return

    def stale(self, records: Sequence[RunRecord], known: dict[str, Known]) -> list[RunRecord]:
        """The records that MLflow does not show as they are, parents first.

        A run that must be made anew is taken out of ``known``; `write` deletes it.

        Args:
            records: all runs, parents before their children.
            known: identity -> what MLflow has.
        """
        found = []
        for record in records:
            run = known.get(record.identity)
            current = run is not None and run.sound and run.tags.get(DIGEST) == record.digest
            if run is not None and not current and run.contradicts(record):
                self._replaced[record.identity] = known.pop(record.identity)
                run = None
            parent = known.get(record.parent) if record.parent is not None else None
            if run is None or (record.parent is not None and parent is None):
                found.append(record)
            elif run.shows(record, self.folder, parent.run_id if parent is not None else None):
                known[record.identity] = replace(run, sound=True)
            else:
                found.append(record)
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
        parent = None if record.parent is None else known[record.parent].run_id
        wanted = {
            **record.tags,
            IDENTITY: record.identity,
            FOLDER: self.folder,
            **({} if parent is None else {PARENT: parent}),
        }
        with told(self.address):
            before = known.get(record.identity)
            if before is None:
                # Until it is terminated the run counts as not written, whatever its digest says.
                more = {DIGEST: record.digest} if done else {}
                run = self._create(record, {**wanted, **more}, start_ms, commit)
            else:
                run = before
            for name in run.tags_gone(record):
                self._client.delete_tag(run.run_id, name)
            tags = {**self._origin(commit, run.tags), **run.other_tags(wanted)}
            if run.tags.get(DIGEST) != record.digest:
                # The digest comes last: MLflow writes the tags of a batch after the rest.
                tags[DIGEST] = record.digest
            metrics = self._metrics(record, run)
            self._client.log_batch(
                run.run_id,
                metrics=metrics,
                # A parameter of MLflow cannot change, so only those that are missing are written.
                params=[Param(k, v) for k, v in record.params.items() if k not in run.params],
                tags=[RunTag(k, v) for k, v in tags.items()],
            )
            if {run.name, run.tags.get(NAME)} != {record.name} or (
                not done and run.status != "RUNNING"
            ):
                self._client.update_run(run.run_id, status=record.status, name=record.name)
            end_ms = run.end_of(record)
            if done:
                self._client.set_terminated(run.run_id, record.status, end_ms)
            known[record.identity] = replace(
                run,
                name=record.name,
                status=record.status,
                end_ms=end_ms,
                params={**record.params, **run.params},
                metrics={**run.metrics, **{m.key: m.value for m in metrics}},
                points={**run.points, **{m.key: (m.step, m.timestamp) for m in metrics}},
                tags={**run.tags, **tags, NAME: record.name},
                sound=True,
            )

    def _metrics(self, record: RunRecord, run: Known) -> list[Metric]:
        """The points to log for the latest ones to be the record's, those of curves in order."""
        now = int(time.time() * 1000)
        found = []
        for name, value in run.other_metrics(record).items():
            # MLflow shows the latest by step, then by time: somebody may have logged a later one.
            step, stamp = run.points.get(name, (0, 0))
            found.append(Metric(name, value, max(now, stamp + 1), max(step, record.step)))
        for name, points in record.curves.items():
            if name not in run.metrics:
                # The same time in every attempt: MLflow leaves out a point that it has.
                found += [Metric(name, v, run.start_ms + epoch, epoch) for epoch, v in points]
        return found

    def _create(
        self, record: RunRecord, tags: Mapping[str, str], start_ms: int, commit: str | None
    ) -> Known:
        replaced = self._replaced.get(record.identity)
        kept = {} if replaced is None else replaced.own_tags()
        tags = {**kept, **self._origin(commit, {}), **changed_tags(kept, tags, MAX_TAG)}
        start_ms = start_ms if replaced is None else replaced.start_ms
        made = self._client.create_run(self.experiment_id, start_ms, tags, record.name)
        if replaced is not None:
            self._client.delete_run(replaced.run_id)
            del self._replaced[record.identity]
        return _known(made)

    def _origin(self, commit: str | None, there: Mapping[str, str]) -> dict[str, str]:
        """Tags of where a run comes from, those that are not there: they stay as they once were."""
        said = (self.output, __version__, f"raysweep {__version__}", "LOCAL")
        tags = dict(zip(ORIGIN, said, strict=True))
        if commit is not None:
            tags["mlflow.source.git.commit"] = commit
        with contextlib.suppress(OSError, KeyError, ImportError):
            tags["mlflow.user"] = getpass.getuser()
        return {name: value for name, value in tags.items() if name not in there}

    def delete(self, run: Known) -> None:
        """Move a run to MLflow's trash."""
        with told(self.address):
            self._client.delete_run(run.run_id)

    def put_files(self, run: Known, files: Mapping[str, bytes], digest: str) -> Known:
        """Store files as artifacts of a run, and note their digest when they are all there."""
        with told(self.address), scratch("copy") as place:
            folder = place / "files"
            folder.mkdir()
            for name, content in files.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            self._client.log_artifacts(run.run_id, str(folder))
            self._client.set_tag(run.run_id, FILES, digest)
        return replace(run, tags={**run.tags, FILES: digest})

    def has_files(self, run: Known, files: Mapping[str, bytes]) -> bool:
        """Whether all these files are among the artifacts of a run, by name and size."""
        with told(self.address):
            there = {
                file.path: file.file_size
                for folder in {str(Path(name).parent) for name in files}
                for file in self._client.list_artifacts(
                    run.run_id, folder if folder != "." else None
                )
            }
        # Not every place for files tells their size.
        return all(there.get(name, -1) in (None, len(content)) for name, content in files.items())


def _known(run: Run) -> Known:
    metrics = run.data.to_proto().metrics
    return Known(
        run_id=run.info.run_id,
        status=run.info.status,
        name=run.info.run_name,
        start_ms=run.info.start_time,
        end_ms=run.info.end_time,
        params=run.data.params,
        metrics=run.data.metrics,
        points={m.key: (m.step, m.timestamp) for m in metrics},
        tags=run.data.tags,
    )
