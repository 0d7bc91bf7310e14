"""What may be wrong with how a forcing study trained and searched, in sentences."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from raysweep.kinds.forcing.plan import ForcingSweep
from raysweep.kinds.forcing.study import ForcingStudy
from raysweep.study.cells import Cell, expand
from raysweep.study.spec import LogRange, StrengthRange
from raysweep.text import counted
from raysweep.trials.criteria import BEST
from raysweep.trials.trial import Arm, Stage, Trial, TrialResult

FEW_STEPS = 500
"""Fewer steps of the optimizer than this leave most encoders far from where they would go."""
_EDGE = 1 / 16
"""Of a range: nearer to an end than this a strength may be better beyond it."""
_LATE = 0.9
_MANY_LATE = 0.25


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
    """What the results say of the training and of the ranges that were searched."""
    yield from _steps(sweep)
    yield from _late(sweep)
    yield from _strengths(sweep)
    yield from _rates(sweep)


def _confirmed(sweep: ForcingSweep, cell: Cell) -> list[tuple[Trial, TrialResult]]:
    """Trials of arm none that were confirmed, with what came of them."""
    trials = sweep.plans[cell.id].trials
    return [
        (t, sweep.results[t.key])
        for t in trials
        if t.stage is Stage.CONFIRM and t.arm is Arm.NONE and t.key in sweep.results
    ]


def _steps(sweep: ForcingSweep) -> Iterator[str]:
    few: dict[str, float] = {}
    for cell in sweep.cells:
        steps = [result.number("steps") for _, result in _confirmed(sweep, cell)]
        if steps and max(steps) < FEW_STEPS:
            few[cell.id] = max(steps)
    if few:
        yield (
            f"In {_of(len(few), sweep)} a training takes {min(few.values()):.0f} steps or little "
            "more: with few steps a loss that only speeds training up seems to help; give more "
            "training.epochs."
        )


def _late(sweep: ForcingSweep) -> Iterator[str]:
    if not isinstance(sweep.study, ForcingStudy) or sweep.study.training.checkpoint != "best":
        return
    late = 0
    for cell in sweep.cells:
        seen = [result for _, result in _confirmed(sweep, cell)]
        last = [r.number("best_epoch") > _LATE * r.number("epochs") for r in seen]
        late += bool(last) and sum(last) > _MANY_LATE * len(last)
    if late:
        yield (
            f"In {_of(late, sweep)} more than a quarter of the runs without forcing were best in "
            "the last tenth of their epochs: they may not have been trained to the end."
        )


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


def _end(strength: float, within: StrengthRange) -> str:
    low, high = within.low, within.high
    if within.scale == "log":
        share = math.log(strength / low) / math.log(high / low)
    else:
        share = (strength - low) / (high - low)
    return "low" if share < _EDGE else "high" if share > 1 - _EDGE else ""


def _rates(sweep: ForcingSweep) -> Iterator[str]:
    training = sweep.study.search.training
    if training is None:
        return
    found: Counter[tuple[str, str, float]] = Counter()
    for cell in sweep.cells:
        for trial, _ in _confirmed(sweep, cell)[:1]:
            for name, value in trial.training:
                choices = training.space[name]
                # Of two choices either is an end.
                if isinstance(value, str) or not (isinstance(choices, LogRange) or choices[2:]):
                    continue
                ends = (choices.low, choices.high) if isinstance(choices, LogRange) else choices
                if value in (min(ends), max(ends)):
                    found[name, "least" if value == min(ends) else "most", value] += 1
    if found:
        told = ", ".join(
            f"{name} {value:g} (the {end}) in {_of(count, sweep)}"
            for (name, end, value), count in found.most_common()
        )
        yield f"Best without forcing is what lies at an end of search.training: {told}."


def _of(count: int, sweep: ForcingSweep) -> str:
    return f"{count} of {counted(len(sweep.cells), 'cell')}"
