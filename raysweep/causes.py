"""Why a cell has no verdict, in the one sentence that every place repeats.

The verdict, `status`, `failures`, MLflow and the report all ask here, so that none gives a reason
of its own.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from raysweep.trials import Arm, Stage, Status
from raysweep.wording import counted

Facts = Mapping[str, object]
"""What the columns of `COLUMNS` say of a trial; a column that is missing says nothing."""

COLUMNS = (
    *("cell", "stage", "arm", "status", "diverged_step"),
    *("steps", "unforced_steps", "undefined_validation"),
)


def causes(trials: Iterable[Facts]) -> dict[str, str]:
    """Cell -> why it has no verdict, of the cells that have such a cause.

    Args:
        trials: rows of the trial table, of any cells.
    """
    of_cell: dict[str, list[Facts]] = {}
    for trial in trials:
        of_cell.setdefault(str(trial["cell"]), []).append(trial)
    found = {cell: cause(rows) for cell, rows in of_cell.items()}
    return {cell: sentence for cell, sentence in found.items() if sentence}


def cause(trials: Collection[Facts]) -> str:
    """Why the trials of one cell give no verdict, or one of two criteria none; else empty.

    Args:
        trials: the cell's rows of the trial table.
    """
    confirm = [t for t in trials if t["stage"] == Stage.CONFIRM]
    search = [t for t in trials if t["stage"] == Stage.SEARCH and t["arm"] == Arm.FORCED]
    said = [
        _unconfirmed([t for t in confirm if t["arm"] == Arm.FORCED], "forced trials"),
        _unconfirmed([t for t in confirm if t["arm"] == Arm.NONE], "trials of strength 0"),
        _unchosen(search),
    ]
    return "; ".join(filter(None, said))


def at_fault(trial: Facts) -> bool:
    """Whether a trial diverged, has an undefined alignment, or forced nothing though it was to."""
    diverged = trial["status"] == Status.DIVERGED
    return diverged or bool(_undefined(trial)) or forces_nothing(trial)


def forces_nothing(trial: Facts) -> bool:
    """Whether a trial was to be forced, and nothing was in any of its steps."""
    steps, unforced = trial.get("steps"), trial.get("unforced_steps")
    if trial["arm"] != Arm.FORCED or not _is_count(steps) or not _is_count(unforced):
        return False
    return unforced == steps


def _is_count(value: object) -> bool:
    """Whether a number is there at all: tables of earlier versions have none, or NaN."""
    return isinstance(value, int | float) and value == value and value > 0


def _unconfirmed(trials: Sequence[Facts], what: str) -> str:
    """What keeps all trials of an arm of the confirm stage from a test."""
    diverged = [t for t in trials if t["status"] == Status.DIVERGED]
    idle = [t for t in trials if t["status"] == Status.OK and forces_nothing(t)]
    if not trials or len(diverged) + len(idle) < len(trials):
        return ""
    said = []
    if diverged:
        said.append(f"{_all_of(diverged, trials)} {what} diverged, {_since(diverged)}")
    if idle:
        said.append(
            f"nothing was forced in any step of {len(idle)} of {len(trials)} {what}: the alignment "
            "loss was undefined or had no gradient"
        )
    return " and ".join(said)


def _unchosen(trials: Sequence[Facts]) -> str:
    """What keeps all trials of a search from being chosen by their alignment."""
    diverged = [t for t in trials if t["status"] == Status.DIVERGED]
    undefined = [t for t in trials if t["status"] == Status.OK and _undefined(t)]
    if not trials or len(diverged) + len(undefined) < len(trials):
        return ""
    said = []
    if diverged:
        what = "forced trials of the search"
        said.append(f"{_all_of(diverged, trials)} {what} diverged, {_since(diverged)}")
    if undefined:
        words = Counter(map(_undefined, undefined))
        why = ", ".join(
            word if len(words) == 1 else f"{word} ({count})" for word, count in words.most_common()
        )
        said.append(f"alignment undefined in {len(undefined)} of {len(trials)} trials: {why}")
    return " and ".join(said)


def _undefined(trial: Facts) -> str:
    why = trial.get("undefined_validation")
    return why if isinstance(why, str) else ""


def _all_of(part: Sequence[Facts], trials: Sequence[Facts]) -> str:
    return f"all {len(part)}" if len(part) == len(trials) else f"{len(part)} of {len(trials)}"


def _since(trials: Sequence[Facts]) -> str:
    steps = [int(step) for t in trials if isinstance(step := t.get("diverged_step"), int | float)]
    return f"from step {min(steps)}" if steps else "at an unknown step"


def sentences(found: Mapping[str, str], labels: Mapping[str, str], most: int = 6) -> list[str]:
    """Causes for a reader, cells of one cause together: `digits overlap=0: ...`.

    Args:
        found: as from `causes`.
        labels: cell -> its readable name.
        most: cells of one cause to name at most.
    """
    alike: dict[str, list[str]] = {}
    for cell, sentence in found.items():
        alike.setdefault(sentence, []).append(labels.get(cell, cell))
    lines = []
    for sentence, cells in alike.items():
        more = len(cells) - most
        rest = f" and {counted(more, 'more cell')}" if more > 0 else ""
        lines.append(f"{', '.join(cells[:most])}{rest}: {sentence}")
    return lines
