"""What may be wrong with how a forcing study trains and searches, in sentences."""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from raysweep.kinds.forcing.plan import ForcingSweep
from raysweep.kinds.forcing.study import ForcingStudy
from raysweep.study.cells import Cell, expand
from raysweep.study.spec import LogRange, OptionRange
from raysweep.text import counted
from raysweep.trials.criteria import BEST
from raysweep.trials.trial import FEW_STEPS, Arm, Stage

_EDGE = 1 / 16
"""Of a range: nearer to an end than this a strength may be better beyond it."""
_EXTREMES = {"low": "least", "high": "most"}


def steps_planned(study: ForcingStudy) -> str:
    """That trainings are of few steps; empty where they are not, or rows are unknown."""
    searched = study.search.training.epochs if study.search.training is not None else None
    most = max(searched or (study.training.epochs,))
    steps = [most * -(-rows // study.training.batch_size) for rows in _rows(expand(study))]
    if not steps or min(steps) >= FEW_STEPS:
        return ""
    return (
        f"the shortest training takes {min(steps)} steps ({most} epochs): with few steps a loss "
        "that only speeds training up seems to help; give more training.epochs"
    )


def _rows(cells: Sequence[Cell]) -> list[int]:
    found = (dict(cell.parameters).get("train") for cell in cells)
    return [rows for rows in found if isinstance(rows, int)]


def remarks(sweep: ForcingSweep) -> Iterator[str]:
    """What was best at an end of what was searched."""
    yield from _strengths(sweep)
    yield from _training(sweep)


def _strengths(sweep: ForcingSweep) -> Iterator[str]:
    strength = sweep.study.search.strength
    chosen = [plan.chosen for plan in sweep.plans.values()]
    best = [of.get(BEST, of.get("performance")) for of in chosen]
    ends = Counter(_end(proposal.strength, strength) for proposal in best if proposal is not None)
    for end in ("low", "high"):
        if ends[end]:
            yield (
                f"In {_of(ends[end], sweep)} the strength that performs best lies at the {end} end "
                f"of its range, {getattr(strength, end):g}: what is beyond may be better; widen "
                f"search.strength.{end}."
            )


def _end(value: Any, within: LogRange | OptionRange | tuple[Any, ...]) -> str:
    """Which end of a range a value lies at, or of three numbers or more; mostly none."""
    if isinstance(within, tuple):
        numbers = [v for v in within if isinstance(v, int | float) and not isinstance(v, bool)]
        ordered = len(numbers) == len(within) > 2  # of two choices either is an end
        ends = {min(within): "low", max(within): "high"} if ordered else {}
        return ends.get(value, "")
    low, high = within.low, within.high
    if isinstance(within, OptionRange) and within.whole and high - low < 2:
        return ""
    if getattr(within, "scale", "log") == "log":
        share = math.log(value / low) / math.log(high / low)
    else:
        share = (value - low) / (high - low)
    return "low" if share < _EDGE else "high" if share > 1 - _EDGE else ""


def _training(sweep: ForcingSweep) -> Iterator[str]:
    training = sweep.study.search.training
    if training is None:
        return
    found: Counter[str] = Counter()
    for cell in sweep.cells:
        none = (t for t in sweep.plans[cell.id].trials if t.stage is Stage.CONFIRM)
        for trial in itertools.islice((t for t in none if t.arm is Arm.NONE), 1):
            for name, value in trial.training:
                within = training.space[name]
                end = _end(value, within)
                if end:
                    near = "" if isinstance(within, tuple) else "near "
                    at = value if isinstance(within, tuple) else getattr(within, end)
                    found[f"{name} {near}{at:g} (the {_EXTREMES[end]})"] += 1
    if found:
        told = ", ".join(f"{what} in {_of(count, sweep)}" for what, count in found.most_common())
        yield f"Best without forcing is what lies at an end of search.training: {told}."


def _of(count: int, sweep: ForcingSweep) -> str:
    return f"{count} of {counted(len(sweep.cells), 'cell')}"
