"""Trials that run now, in MLflow: a run each for as long as they do, with the curves so far.

When a trial has ended its run is gone: its curves are part of the mean of its arm.
"""

import math
from collections.abc import Collection, Sequence

from raysweep.folder.run_folder import RunFolder
from raysweep.folder.running import Epoch, running
from raysweep.kinds.kind import kind_of
from raysweep.seeds import content_key
from raysweep.study.spec import StudyBase
from raysweep.tracking.facts import StudyFacts
from raysweep.tracking.known import Known
from raysweep.tracking.record import RunRecord
from raysweep.tracking.runs import STUDY_TAG
from raysweep.trials.columns import named

_LEVEL = "running"


def running_records(
    folder: RunFolder, study: StudyBase, facts: StudyFacts, summary: RunRecord
) -> list[RunRecord]:
    """The runs of the trials that run now, below the study's own.

    Args:
        folder: the run folder.
        study: its study.
        facts: of its cells.
        summary: the run of the study as a whole.
    """
    if not kind_of(study).logs_epochs:
        return []
    there: Sequence[Epoch] = running(folder.output)
    return [_record(one, facts, summary) for one in there if one.cell in facts.cells]


def _record(epoch: Epoch, facts: StudyFacts, summary: RunRecord) -> RunRecord:
    label = facts.cells[epoch.cell].label
    numbers = {name: value for name, value in epoch.metrics.items() if math.isfinite(value)}
    return RunRecord(
        identity=content_key([_LEVEL, summary.identity, epoch.key]),
        parent=summary.identity,
        name=f"running: {epoch.about} · {label}",
        status="RUNNING",
        params={},
        metrics={
            "epoch": float(epoch.epoch),
            **{named("curve", name): value for name, value in numbers.items()},
        },
        tags={"level": _LEVEL, "cell": label, STUDY_TAG: summary.tags[STUDY_TAG]},
        step=epoch.epoch,
    )


def ended_runs(known: dict[str, Known], wanted: Collection[str]) -> list[str]:
    """The identities of such runs whose trials have ended."""
    return [
        identity
        for identity, run in known.items()
        if run.tags.get("level") == _LEVEL and identity not in wanted
    ]
