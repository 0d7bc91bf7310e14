"""How what MLflow shows of a run stands: still running, stopped, failed or finished.

RUNNING is what a driver still works on. A run whose driver has ended before all was there is
KILLED, until a `raysweep resume` goes on; a cell that waits for a pack that was given up is FAILED.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from raysweep.folder.causes import given_up
from raysweep.folder.stored_answer import StoredAnswer
from raysweep.kinds.sweep import CellPlan, CellState
from raysweep.text import as_code, raised
from raysweep.tracking.facts import interval_names
from raysweep.tracking.record import ANSWERED_TAG, RunRecord, verdict_tag


def failed_cells(plans: Iterable[CellPlan], reasons: Mapping[str, str]) -> dict[str, str]:
    """Cell id -> why a pack that the cell waits for was given up, in a line.

    Args:
        plans: of all cells.
        reasons: key of each pack that was given up -> why.
    """
    return {
        plan.cell.id: raised(reasons[pack.key])
        for plan in plans
        for pack in plan.packs
        if pack.key in reasons
    }


def standing(runs: Sequence[RunRecord], failure: str | None, ended: bool) -> list[RunRecord]:
    """The runs of a cell with the status that they have now.

    Args:
        runs: the cell's parent run, and its others.
        failure: why a pack that the cell waits for was given up, if one was.
        ended: whether no driver works on the cell any more.
    """
    parent, *others = runs
    if failure is not None and parent.status == "RUNNING":
        note = f"{parent.tags['mlflow.note.content']}\n\nA pack was given up: {as_code(failure)}"
        tags = {**parent.tags, "state": CellState.FAILED.value, "mlflow.note.content": note}
        tags["cause"] = given_up(failure)
        parent = replace(parent, status="FAILED", tags=tags)
    return [
        replace(run, status="KILLED") if ended and run.status == "RUNNING" else run
        for run in (parent, *others)
    ]


def answered(
    runs: Sequence[RunRecord], cell: str, answer: StoredAnswer | None, performance: str
) -> list[RunRecord]:
    """The runs of a cell, its parent with the verdicts and intervals that the run's folder keeps.

    Args:
        runs: the cell's parent run, and its others.
        cell: its id.
        answer: of the run's folder; None where it has none yet.
        performance: the outcome that the answer is about.
    """
    verdicts = {} if answer is None else answer.verdicts.get(cell, {})
    if answer is None or not verdicts:
        return list(runs)
    parent, *others = runs
    tags = {verdict_tag(by): verdict for by, verdict in verdicts.items()}
    tags[ANSWERED_TAG] = f"{answer.state}, {answer.written}"
    ends = {
        name: end
        for by, interval in answer.intervals.get(cell, {}).items()
        for name, end in zip(interval_names(by, performance), interval, strict=True)
    }
    found = replace(parent, tags={**parent.tags, **tags}, metrics={**parent.metrics, **ends})
    return [found, *others]


def study_status(parents: Collection[RunRecord], cells: int, failed: bool, ended: bool) -> str:
    """Status of the run of the study as a whole.

    Args:
        parents: the parent runs of the cells that have any, as `standing` gives them.
        cells: number of cells of the study.
        failed: whether a pack was given up for which a cell waits.
        ended: whether no driver works on the study any more.
    """
    over = len(parents) == cells and all(p.status in ("FINISHED", "FAILED") for p in parents)
    if over or ended:
        return "FAILED" if failed else "FINISHED" if over else "KILLED"
    return "RUNNING"
