"""How long a run still takes, told from how long its packs have taken so far."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from raysweep.kinds.sweep import Sweep
from raysweep.study.cells import Cell
from raysweep.trials.packing import Pack
from raysweep.trials.trial import Stage

Shape = tuple[object, ...]
Class = tuple[Shape, Stage]
_NEARLY = 0.9
"""Share of a pack's expected time from which on it counts as nearly done, however long it runs."""
_USUAL_WIDTH = 64


@dataclass
class _Seen:
    """Packs of one class: their trials, and the seconds that they took."""

    trials: int = 0
    seconds: float = 0.0

    def add(self, trials: int, seconds: float) -> None:
        self.trials += trials
        self.seconds += seconds

    @property
    def per_trial(self) -> float:
        return self.seconds / self.trials


@dataclass
class Pace:
    """Follows the packs of one run, and tells how long the rest takes.

    The seconds that the trials left would take one after the other, divided by how many packs ran
    at a time on average. A trial is expected to take what those of its shape and stage took. The
    packs that began before any was finished count only while no others are known: they load the
    data and compile.

    Attributes:
        clock: seconds that only grow.
    """

    clock: Callable[[], float] = time.monotonic
    _began: dict[str, float] = field(default_factory=dict)
    _warming: set[str] = field(default_factory=set)
    _first: float | None = None
    _busy: float = 0.0
    _finished: int = 0
    _warm: dict[Class, _Seen] = field(default_factory=lambda: defaultdict(_Seen))
    _cold: dict[Class, _Seen] = field(default_factory=lambda: defaultdict(_Seen))

    def look(self, sweep: Sweep) -> None:
        """Note which packs run now; called a few times a second."""
        now = self.clock()
        for pack in sweep.running:
            if pack.key not in self._began:
                self._began[pack.key] = now
                self._first = now if self._first is None else self._first
                if not self._finished:
                    self._warming.add(pack.key)

    def ended(self, pack: Pack, whole: bool = True) -> None:
        """A pack is finished; or, where it is not whole, it was given up."""
        began = self._began.pop(pack.key, None)
        if began is None:
            return
        took = self.clock() - began
        self._busy += took
        if not whole:
            return
        self._finished += 1
        seen = self._cold if pack.key in self._warming else self._warm
        of_class = Counter(map(_class_of, pack.trials))
        for kind, trials in of_class.items():
            seen[kind].add(trials, took * trials / len(pack.trials))

    def seconds_left(self, sweep: Sweep) -> float | None:
        """Seconds until the run has ended; None while no pack is finished."""
        costs = _Costs(self._warm or self._cold)
        if self._first is None or not costs.seen:
            return None
        now = self.clock()
        work = sum(
            count * costs.of((_shape_of(cell), stage))
            for (cell, stage), count in sweep.trials_left().items()
        )
        longest, running = 0.0, 0.0
        for pack in sweep.running:
            expected = sum(costs.of(_class_of(trial)) for trial in pack.trials)
            gone = now - self._began.get(pack.key, now)
            running += gone
            work -= min(gone, _NEARLY * expected)
            longest = max(longest, expected - gone)
        elapsed = max(now - self._first, 1e-9)
        at_a_time = max((self._busy + running) / elapsed, 1e-9)
        return max(work / at_a_time, longest, 0.0)


class _Costs:
    """Seconds of a trial, by its class; of one that was not seen, from those that were."""

    def __init__(self, seen: dict[Class, _Seen]) -> None:
        self.seen = seen
        self._known: dict[Class, float] = {}

    def of(self, kind: Class) -> float:
        """Seconds of a trial of this class."""
        if kind not in self._known:
            self._known[kind] = self._expected(kind)
        return self._known[kind]

    def _expected(self, kind: Class) -> float:
        if kind in self.seen:
            return self.seen[kind].per_trial
        shape, stage = kind
        same_shape = {s: found.per_trial for (of, s), found in self.seen.items() if of == shape}
        if same_shape:
            # What the stages cost beside each other is told by the shapes that have seen both.
            other, cost = next(iter(same_shape.items()))
            return cost * self._ratio(stage, other)
        alike = {of: found for (of, s), found in self.seen.items() if s is stage}
        if not alike:
            nearest, other = next(iter(self.seen))
            cost = self.seen[nearest, other].per_trial
            return cost * _size(shape) / _size(nearest)
        total = sum(found.seconds for found in alike.values())
        size = sum(found.trials * _size(of) for of, found in alike.items())
        return _size(shape) * total / size

    def _ratio(self, stage: Stage, other: Stage) -> float:
        both = [
            (self.seen[shape, stage].per_trial, found.per_trial)
            for (shape, of), found in self.seen.items()
            if of is other and (shape, stage) in self.seen
        ]
        below = sum(of_other for _, of_other in both)
        return sum(of_stage for of_stage, _ in both) / below if below else 1.0


def _shape_of(cell: Cell) -> Shape:
    rows = dict(cell.parameters).get("train")
    depths, widths = (cell.depth_1, cell.depth_2), (cell.width_1, cell.width_2)
    return cell.dataset, rows, cell.encoder, depths, widths, cell.modalities


def _class_of(trial: object) -> Class:
    return _shape_of(trial.cell), trial.stage  # type: ignore[attr-defined]


def _size(shape: Shape) -> float:
    """A guess of what shapes cost beside each other, where only one of them was seen.

    Rows times the weights of hidden layers, and as much again as narrow encoders take besides.
    """
    _, rows, _, depths, widths, _ = shape
    weights = sum(
        _USUAL_WIDTH**2 + depth * width**2
        for depth, width in zip(depths, widths, strict=True)  # type: ignore[call-overload]
    )
    return float(weights * (rows if isinstance(rows, int) else 1))
