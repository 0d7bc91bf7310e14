"""When a run is said to have started: MLflow's UI shows runs by that time, latest first."""

import math
from collections.abc import Mapping, Sequence

from raysweep.tracking.record import RunRecord
from raysweep.trials.trial import Arm, Stage

_PER_DECADE, _DECADES = 50, 4  # of strength, around 1: milliseconds for what starts in each
_ARM = _PER_DECADE * _DECADES
_STAGE = _ARM * len(Arm)
_CELL = _STAGE * len(Stage) + 1


def start_times(
    first_ms: int,
    summary: RunRecord,
    cells: Sequence[str],
    records: Mapping[str, Sequence[RunRecord]],
) -> dict[str, int]:
    """Identity -> start time, the same whatever has been copied before, and in whatever order.

    The study's run comes first, then its cells in the study's order, each followed by its strengths
    by stage, arm and strength. Strengths within 5 % of each other, and those that differ in options
    only, may start in the same millisecond.

    Args:
        first_ms: start time of the study's run, milliseconds since 1970.
        summary: the study's run.
        cells: ids of all cells of the study, whether they have runs yet or not.
        records: cell id -> the runs of that cell.
    """
    last = {cell: first_ms - 1 - i * _CELL for i, cell in enumerate(cells)}
    return {
        summary.identity: first_ms,
        **{
            record.identity: last[cell] - _place(record)
            for cell, runs in records.items()
            for record in runs
        },
    }


def _place(record: RunRecord) -> int:
    """Place within the cell; it does not depend on which other runs there are."""
    if record.parent is None:
        return 0
    stage, arm = Stage(record.tags["stage"]), Arm(record.tags["arm"])
    strength = record.metrics.get("strength", 0.0)
    decades = math.log10(strength) + _DECADES / 2 if strength > 0 else 0.0
    return (
        1
        + tuple(reversed(Stage)).index(stage) * _STAGE
        + tuple(Arm).index(arm) * _ARM
        + min(max(round(decades * _PER_DECADE), 0), _ARM - 1)
    )
