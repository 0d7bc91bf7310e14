"""What MLflow has of a run, compared with what it is to show: what was edited is repaired.

What a user adds beside it stays: tags, parameters and metrics of other names, files, and words
before or after a description that raysweep wrote.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from raysweep.tracking.record import PASSING_TAGS, RunRecord
from raysweep.tracking.runs import CURVES_TAG

IDENTITY, DIGEST = "raysweep.id", "raysweep.digest"
FOLDER, OUTPUT, FILES = "raysweep.folder", "raysweep.output", "raysweep.files"
PARENT, NAME, NOTE = "mlflow.parentRunId", "mlflow.runName", "mlflow.note.content"
WRITTEN_NOTE, REPLACED_NOTE = "raysweep.note", "raysweep.replaced_note"
"""The description as raysweep wrote it, and one of a user's that stood in its place."""
ORIGIN = (OUTPUT, "raysweep.version", "mlflow.source.name", "mlflow.source.type")
"""Where a run comes from: written where it is missing, and left as it once was."""
_MAX_PARAM, MAX_TAG, _MAX_NOTE = 6000, 8000, 4000
_SAME = 1e-9


@dataclass(frozen=True)
class Known:
    """A run that MLflow has already.

    Attributes:
        run_id, status, name, start_ms, end_ms: as MLflow has them.
        params, tags: likewise.
        metrics: the latest value of each metric.
        points: metric -> (step, timestamp) of its latest value.
        sound: found to be as its record wants it, since it was read from MLflow.
    """

    run_id: str
    status: str
    name: str
    start_ms: int
    end_ms: int | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    points: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    sound: bool = False

    def shows(self, record: RunRecord, folder: str, parent_id: str | None) -> bool:
        """Whether the run is up to date, and nobody has edited what it shows.

        Args:
            record: what it is to show.
            folder: name of the run folder.
            parent_id: id of the parent run, or None where there is none.
        """
        if self.tags.get(DIGEST) != record.digest or self.status != record.status:
            return False
        if parent_id is not None and self.tags.get(PARENT) != parent_id:
            return False
        return self.sound or not (
            self.name != record.name
            or self.tags.get(NAME) != record.name
            or self.end_ms != self.end_of(record)
            or self.other_metrics(record)
            or self.other_tags({**record.tags, IDENTITY: record.identity, FOLDER: folder})
            or self.tags_gone(record)
            or not record.params.keys() <= self.params.keys()
            or not self.tags.keys() >= set(ORIGIN)
        )

    def end_of(self, record: RunRecord) -> int | None:
        """When the run is to have ended, ms since 1970; of one that goes on it does not matter."""
        if record.status == "RUNNING":
            return self.end_ms
        return self.start_ms + round(record.seconds * 1000)

    def contradicts(self, record: RunRecord) -> bool:
        """Whether it has what can neither be changed nor taken back: it must be made anew."""
        curves = self.tags.get(CURVES_TAG, "")
        return (
            curves not in ("", record.tags.get(CURVES_TAG))
            or any(
                name in self.params and self.params[name] != value[:_MAX_PARAM]
                for name, value in record.params.items()
            )
            or not self.metrics.keys().isdisjoint(record.not_finite)
            or any(self._goes_on(name, points[-1]) for name, points in record.curves.items())
        )

    def _goes_on(self, curve: str, last: tuple[int, float]) -> bool:
        if curve not in self.metrics:
            return False
        return self.points[curve][0] != last[0] or not _same(self.metrics[curve], last[1])

    def other_metrics(self, record: RunRecord) -> dict[str, float]:
        """The record's metrics whose latest value is another."""
        return {
            name: value
            for name, value in record.metrics.items()
            if name not in self.metrics or not _same(self.metrics[name], value)
        }

    def other_tags(self, wanted: Mapping[str, str]) -> dict[str, str]:
        """Those of some tags that are missing or say something else."""
        return changed_tags(self.tags, wanted, MAX_TAG)

    def own_tags(self) -> dict[str, str]:
        """Tags that a user gave it: they go on to the run that takes its place."""
        return {
            name: value
            for name, value in self.tags.items()
            if name in (NOTE, WRITTEN_NOTE, REPLACED_NOTE)
            or (not name.startswith(("mlflow.", "raysweep.")) and name not in PASSING_TAGS)
        }

    def tags_gone(self, record: RunRecord) -> list[str]:
        """Tags that the record had earlier and has no more."""
        return [name for name in PASSING_TAGS if name in self.tags and name not in record.tags]


def changed_tags(there: Mapping[str, str], wanted: Mapping[str, str], most: int) -> dict[str, str]:
    """The tags to write for some to be there; a description keeps what a user wrote around it.

    Args:
        there: the tags of a run or an experiment.
        wanted: those that raysweep writes.
        most: length to which MLflow cuts the text of a tag.
    """
    found = {**wanted, **(_note(there, wanted[NOTE][:_MAX_NOTE]) if NOTE in wanted else {})}
    return {name: value[:most] for name, value in found.items() if there.get(name) != value[:most]}


def _note(there: Mapping[str, str], ours: str) -> dict[str, str]:
    shown, before = there.get(NOTE, ""), there.get(WRITTEN_NOTE, "")
    written = {WRITTEN_NOTE: ours}
    if before and before in shown:
        return {**written, NOTE: shown.replace(before, ours, 1)}
    if ours in shown:
        return {**written, NOTE: shown}
    # Of a copy made before this was noted, what stands there is taken for raysweep's own.
    kept = {REPLACED_NOTE: shown} if shown and before else {}
    return {**written, **kept, NOTE: ours}


def _same(there: float, wanted: float) -> bool:
    # Not every database keeps the last digit.
    return math.isclose(there, wanted, rel_tol=_SAME, abs_tol=0.0)
