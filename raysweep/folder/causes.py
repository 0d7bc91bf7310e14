"""Why a cell has no verdict, in the one sentence that every place repeats.

The verdict, `status`, `failures`, MLflow and the report all ask here, so that none gives a reason
of its own.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from raysweep.text import counted, raised
from raysweep.trials.columns import MEASURED_SPLITS, named
from raysweep.trials.criteria import chosen_by
from raysweep.trials.trial import Arm, Stage, Status

Facts = Mapping[str, object]
"""What the columns of `columns` say of a trial; a column that is missing says nothing."""

_SEVERAL = re.compile(r"(encoder|pair|trial)s")

Place = tuple[str, str]
"""A cell, and the criterion that chose no strength in it; empty where no criterion did."""

NO_PLACEBO = "no placebo to compare with: "
FEWER_PLACEBOS = "fewer placebo trials to compare with: "
UNDEFINED = "alignment undefined in "
LIMITS = (NO_PLACEBO, FEWER_PLACEBOS, UNDEFINED)
"""How begins what a verdict lacks (`limits`)."""
WAITING = "not all of its runs are there"
FAILED = "a pack failed: "


def columns(metric: str) -> tuple[str, ...]:
    """The columns of the trial table that are looked at.

    Args:
        metric: the alignment metric that the search goes by, or that is measured.
    """
    return (
        *("cell", "draw", "seed", "stage", "arm", "chosen_by", "number", "modality"),
        *("status", "reason", "diverged_step", "steps", "unforced_steps"),
        *(name for split in MEASURED_SPLITS for name in _said(metric, split)),
    )


def causes(trials: Collection[Facts], criteria: Sequence[str], metric: str = "") -> dict[str, str]:
    """Criterion -> why the trials of one cell give no verdict by it, of those that have a cause.

    Args:
        trials: the cell's rows of the trial table.
        criteria: those that the search goes by; none of a study that forces nothing.
        metric: as in `cause`.

    Returns:
        One cause for all criteria stands under an empty one.
    """
    found = {criterion: cause(trials, criterion, metric) for criterion in criteria or ("",)}
    if len(set(found.values())) == 1:
        found = {"": next(iter(found.values()))}
    return {criterion: sentence for criterion, sentence in found.items() if sentence}


def cause(trials: Collection[Facts], criterion: str = "", metric: str = "") -> str:
    """Why the trials of one cell give no verdict, or no measurement; else empty.

    Args:
        trials: the cell's rows of the trial table.
        criterion: which chose the strength (``alignment`` or ``performance``); empty for any.
        metric: the alignment metric that has to be defined; empty for all of them.
    """
    forced, none = (_confirmed(trials, arm, criterion) for arm in (Arm.FORCED, Arm.NONE))
    untrained = _untrained(forced, "forced trials"), _untrained(none, "trials of strength 0")
    return (
        ("" if forced else _unchosen(trials, None if criterion == "performance" else metric))
        or "; ".join(filter(None, untrained))
        or _unpaired(forced, none)
        or _unmeasured(trials, metric)
    )


def limits(trials: Collection[Facts], criterion: str = "", metric: str = "") -> list[str]:
    """What a verdict lacks beside its test: placebo trials, or the alignment that was reached.

    Args:
        trials: as in `cause`.
        criterion: as in `cause`.
        metric: as in `cause`.
    """
    forced, placebo = (_confirmed(trials, arm, criterion) for arm in (Arm.FORCED, Arm.PLACEBO))
    undefined = [t for t in forced if t["status"] == Status.OK and _undefined(t, metric, "test")]
    lost = _broken(placebo, "placebo trials")
    begins = FEWER_PLACEBOS if any(_usable(t) for t in placebo) else NO_PLACEBO
    said = _undefined_words(undefined, forced, metric, "forced trial", "test")
    return [*([begins + lost] if lost else []), *([said] if said else [])]


def at_fault(trial: Facts, metric: str = "") -> bool:
    """Whether a trial diverged, has an undefined alignment, or forced nothing though it was to."""
    undefined = any(_undefined(trial, metric, split) for split in MEASURED_SPLITS)
    return trial["status"] == Status.DIVERGED or undefined or forces_nothing(trial)


def forces_nothing(trial: Facts) -> bool:
    """Whether a trial was to be forced, or was a placebo, and nothing was in any of its steps."""
    steps, unforced = trial.get("steps"), trial.get("unforced_steps")
    if trial["arm"] == Arm.NONE or not _is_count(steps) or not _is_count(unforced):
        return False
    return unforced == steps


def sentences(
    found: Mapping[Place, str], labels: Mapping[str, str], most: int | None = 6
) -> list[str]:
    """Causes for a reader, cells of one cause together: `digits overlap=0: ...`.

    Args:
        found: (cell, criterion) -> its cause.
        labels: cell -> its readable name.
        most: cells of one cause to name at most; None for all.
    """
    alike: dict[tuple[str, str], list[str]] = {}
    for (cell, criterion), sentence in found.items():
        alike.setdefault((criterion, sentence), []).append(labels.get(cell, cell))
    lines = []
    for (criterion, sentence), cells in alike.items():
        more = 0 if most is None else len(cells) - most
        rest = f" and {counted(more, 'more cell')}" if more > 0 else ""
        by = f" by {criterion}" if criterion else ""
        lines.append(f"{', '.join(cells[:most])}{rest}{by}: {sentence}")
    return lines


def given_up(reason: str) -> str:
    """The cause of a cell that waits for a pack which was given up for this reason."""
    return FAILED + raised(reason)


def _confirmed(trials: Iterable[Facts], arm: Arm, criterion: str) -> list[Facts]:
    """The trials of an arm of the confirm stage that serve a criterion."""
    return [
        t
        for t in trials
        if t["stage"] == Stage.CONFIRM and t["arm"] == arm and _serves(t, criterion)
    ]


def _serves(trial: Facts, criterion: str) -> bool:
    chosen = chosen_by(trial.get("chosen_by"))
    return not criterion or not chosen or criterion in chosen


def _untrained(trials: Sequence[Facts], what: str) -> str:
    """What keeps all trials of an arm of the confirm stage from a test."""
    if any(_usable(t) for t in trials):
        return ""
    return _broken(trials, what)


def _unpaired(forced: Sequence[Facts], none: Sequence[Facts]) -> str:
    """What keeps two arms from a test that both have trials that are usable."""
    of_arms = [{(t.get("draw"), t.get("seed")) for t in of if _usable(t)} for of in (forced, none)]
    if not forced or not none or of_arms[0] & of_arms[1]:
        return ""
    said = [_broken(forced, "forced trials"), _broken(none, "trials of strength 0")]
    # Where one arm is whole, runs of the other are missing, which is no cause of theirs.
    return f"never both arms of a seed: {' and '.join(said)}" if all(said) else ""


def _usable(trial: Facts) -> bool:
    return trial["status"] == Status.OK and not forces_nothing(trial)


def _broken(trials: Sequence[Facts], what: str) -> str:
    """How those trials of an arm were lost that were."""
    diverged = [t for t in trials if t["status"] == Status.DIVERGED]
    idle = [t for t in trials if t["status"] == Status.OK and forces_nothing(t)]
    said = []
    if diverged:
        said.append(f"{_all_of(diverged, trials, what)} diverged{_since(diverged)}")
    if idle:
        said.append(
            f"nothing was forced in any step of {len(idle)} of {len(trials)} {what}: the alignment "
            "loss was undefined or had no gradient"
        )
    return " and ".join(said)


def _unchosen(trials: Collection[Facts], metric: str | None) -> str:
    """What keeps all strengths of a search from being chosen."""
    search = [t for t in trials if t["stage"] == Stage.SEARCH]
    none = [t for t in search if t["arm"] == Arm.NONE]
    forced = [t for t in search if t["arm"] == Arm.FORCED]
    said = _lost(forced, "forced trials of the search", "strength", metric)
    if said and none and all(t["status"] == Status.DIVERGED for t in search):
        return f"{said}, and so did all of strength 0"
    return said


def _unmeasured(trials: Collection[Facts], metric: str) -> str:
    """What keeps an emergence study from a measurement in a cell: its tuning, or its pairs."""
    for modality in (1, 2):
        tuned = [t for t in trials if t["stage"] == Stage.TUNE and t.get("modality") == modality]
        said = _lost(tuned, f"encoders of modality {modality}", "proposal", None)
        if said:
            return said
    pairs = [t for t in trials if t["stage"] == Stage.MEASURE]
    return _lost(pairs, "pairs", "pair", metric, "test")


def _lost(
    trials: Sequence[Facts],
    what: str,
    proposed: str,
    metric: str | None,
    split: str = "validation",
) -> str:
    """How all proposals were lost, if they were; `metric` is None where none has to be defined."""
    of_proposal: dict[object, list[Facts]] = {}
    for at, trial in enumerate(trials):
        of_proposal.setdefault(_proposal(trial, at), []).append(trial)

    def diverged(trial: Facts) -> bool:
        return trial["status"] == Status.DIVERGED

    def undefined(trial: Facts) -> bool:
        defined = metric is None or not _undefined(trial, metric, split)
        return not defined and not diverged(trial)

    if not all(any(diverged(t) or undefined(t) for t in of) for of in of_proposal.values()):
        return ""
    broken, without = list(filter(diverged, trials)), list(filter(undefined, trials))
    said = []
    if broken:
        said.append(f"{_all_of(broken, trials, what)} diverged{_since(broken)}")
    if without:
        noun = "pair" if what == "pairs" else "trial"
        said.append(_undefined_words(without, trials, metric or "", noun, split))
    rest = len(trials) - len(broken) - len(without)
    return " and ".join(said) + (f", at least one of every {proposed}" if rest else "")


def _proposal(trial: Facts, at: int) -> object:
    """What stands or falls with a trial: all that were made of one proposal; else it alone."""
    number = trial.get("number")
    shared = trial["stage"] in (Stage.SEARCH, Stage.TUNE) and isinstance(number, int | float)
    return number if shared else ("alone", at)


def _undefined_words(
    undefined: Sequence[Facts], trials: Sequence[Facts], metric: str, noun: str, split: str
) -> str:
    if not undefined:
        return ""
    words = Counter(_undefined(trial, metric, split) for trial in undefined)
    why = ", ".join(
        word if len(words) == 1 else f"{word} ({count})" for word, count in words.most_common()
    )
    return f"{UNDEFINED}{len(undefined)} of {counted(len(trials), noun)}: {why}"


def _said(metric: str, split: str) -> tuple[str, ...]:
    """The columns that say why a metric is undefined on a split, and its value."""
    return (named("undefined", split), *([named("alignment", metric, split)] if metric else []))


def _undefined(trial: Facts, metric: str, split: str) -> str:
    """Why a metric is undefined on a split, if it is."""
    why, *measured = (trial.get(name) for name in _said(metric, split))
    value = measured[0] if measured else None
    known = isinstance(value, int | float) and value == value
    return why if isinstance(why, str) and not known else ""


def _is_count(value: object) -> bool:
    """Whether a number is there at all: tables of earlier versions have none, or NaN."""
    return isinstance(value, int | float) and value == value and value > 0


def _all_of(part: Sequence[Facts], trials: Sequence[Facts], what: str) -> str:
    if len(trials) == 1:
        return "the one " + _SEVERAL.sub(r"\1", what)
    head = f"all {len(part)}" if len(part) == len(trials) else f"{len(part)} of {len(trials)}"
    return f"{head} {what}"


def _since(trials: Sequence[Facts]) -> str:
    told = (t.get("diverged_step") for t in trials)
    steps = [int(step) for step in told if isinstance(step, int | float) and step == step]
    if steps:
        return f", from step {min(steps)}"
    # A user's own trial has no step: it gave a metric that is no number.
    why = dict.fromkeys(str(t["reason"]) for t in trials if t.get("reason"))
    return f": {', '.join(why)}" if why else ", at an unknown step"
