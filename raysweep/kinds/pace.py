"""How long a run still takes, told from how long its packs have taken so far."""

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from raysweep.kinds.sweep import Chain, Sweep
from raysweep.study.cells import Cell
from raysweep.trials.packing import Pack
from raysweep.trials.trial import Stage

Shape = tuple[object, ...]
Class = tuple[Shape, Stage]
_NEARLY = 0.9
"""Share of a pack's expected time from which on it counts as nearly done, however long it runs."""
_LAST = (Stage.CONFIRM, Stage.MEASURE)
"""Stages whose packs are served first."""
_USUAL_WIDTH = 64
_FEW = 2
"""Packs of each slot, at least, that tell how fast the machine is now."""
_LATELY = 0.25
"""How much work they must have done, at least, beside what is left."""


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


@dataclass(frozen=True)
class _Ended:
    """A pack that is finished: its trials by class, and the seconds that it took."""

    of_class: Mapping[Class, int]
    seconds: float


@dataclass
class Pace:
    """Follows the packs of one run, and tells how long the rest takes.

    What is left is gone through as it will be run: generation after generation of a cell, as many
    packs at a time as there were. A trial is expected to take what those of its shape and stage
    took, times how slow the machine is now beside the whole run. That is told by the last packs,
    by the fewer the less is left: a change of an hour ago says little of the next minute, and one
    of this minute little of the hours to come. The packs that began before any was finished count
    only while no others are known: they load the data and compile.

    Attributes:
        clock: seconds that only grow.
    """

    clock: Callable[[], float] = time.monotonic
    _began: dict[str, float] = field(default_factory=dict)
    _warming: set[str] = field(default_factory=set)
    _slots: int = 1
    _finished: int = 0
    _warm: dict[Class, _Seen] = field(default_factory=lambda: defaultdict(_Seen))
    _cold: dict[Class, _Seen] = field(default_factory=lambda: defaultdict(_Seen))
    _ended: list[_Ended] = field(default_factory=list)
    _lately: list[_Ended] = field(default_factory=list)
    _slowness: float = 1.0

    def look(self, sweep: Sweep) -> None:
        """Note which packs run now; called a few times a second."""
        now = self.clock()
        self._slots = max(self._slots, len(sweep.running))
        for pack in sweep.running:
            if pack.key not in self._began:
                self._began[pack.key] = now
                if not self._finished:
                    self._warming.add(pack.key)

    def ended(self, pack: Pack, whole: bool = True) -> None:
        """A pack is finished; or, where it is not whole, it was given up."""
        began = self._began.pop(pack.key, None)
        if began is None:
            return
        took = self.clock() - began
        if not whole:
            return
        self._finished += 1
        of_class = Counter(map(_class_of, pack.trials))
        seen, slowness = self._cold, 1.0
        if pack.key not in self._warming:
            seen, slowness = self._warm, self._slowness_at(_Ended(of_class, took))
        for kind, trials in of_class.items():
            seen[kind].add(trials, took / slowness * trials / len(pack.trials))

    def _slowness_at(self, ended: _Ended) -> float:
        """How slow the machine was as a pack ended, told by the last whose classes were known.

        What a class costs is kept as if the machine had always been as fast, or classes that were
        seen while it was slow would seem to cost more than others.
        """
        self._ended.append(ended)
        if ended.of_class.keys() <= self._warm.keys():
            self._lately = [*self._lately, ended][-_FEW * self._slots :]
            costs = _Costs(self._warm)
            expected = sum(costs.sum(one.of_class) for one in self._lately)
            self._slowness = sum(one.seconds for one in self._lately) / expected
        return self._slowness

    def seconds_left(self, sweep: Sweep) -> float | None:
        """Seconds until the run has ended; None while no pack is finished."""
        costs = _Costs(self._warm or self._cold)
        if not costs.seen:
            return None
        now = self.clock()
        chains = sweep.work_left()
        costs.slowness = self._slowness_of_the_rest(sweep, chains, costs)
        running = {}
        for pack in sweep.running:
            expected = costs.sum(Counter(map(_class_of, pack.trials)))
            gone = now - self._began.get(pack.key, now)
            running[pack.key] = max(expected - gone, (1 - _NEARLY) * expected)
        return _until_the_end(chains, running, self._slots, costs)

    def _slowness_of_the_rest(
        self, sweep: Sweep, chains: Iterable[Chain], costs: "_Costs"
    ) -> float:
        """What the last packs took, over what their trials cost."""
        left = sum(
            pack.trials * costs.of((_shape_of(pack.cell), pack.stage))
            for chain in chains
            for step in chain
            for pack in step
        )
        now, took, expected = self.clock(), 0.0, 0.0
        for pack in sweep.running:
            # One that is late already tells of the machine before it has ended.
            usual = costs.sum(Counter(map(_class_of, pack.trials)))
            gone = now - self._began.get(pack.key, now)
            if pack.key not in self._warming and gone > usual:
                took, expected = took + gone, expected + usual
        for number, ended in enumerate(reversed(self._ended)):
            if number >= _FEW * self._slots and expected >= _LATELY * left:
                break
            took, expected = took + ended.seconds, expected + costs.sum(ended.of_class)
        return took / expected if expected else 1.0


def _until_the_end(
    chains: Sequence[Chain], running: Mapping[str, float], slots: int, costs: "_Costs"
) -> float:
    """Seconds until all chains are through, if packs take what they are expected to.

    Args:
        chains: what is to be run.
        running: key of a pack that runs -> seconds that it still takes.
        slots: packs at a time.
        costs: of a trial.
    """
    now, busy = 0.0, 0
    ready: list[tuple[bool, int, float]] = []
    ends: list[tuple[float, int, bool]] = []
    step, pending, held = [0] * len(chains), [0] * len(chains), set()

    def begin(at: int) -> None:
        """Make the packs of the next step that has any wait for a slot."""
        nonlocal busy
        while step[at] < len(chains[at]) and not pending[at]:
            for pack in chains[at][step[at]]:
                pending[at] += 1
                if pack.key in running:
                    # A pack of several cells has one slot.
                    own = pack.key not in held
                    held.add(pack.key)
                    busy += own
                    heappush(ends, (running[pack.key], at, own))
                else:
                    took = pack.trials * costs.of((_shape_of(pack.cell), pack.stage))
                    heappush(ready, (pack.stage not in _LAST, at, took))
            step[at] += 1

    for at in range(len(chains)):
        begin(at)
    while ready or ends:
        while ready and busy < slots:
            _, at, took = heappop(ready)
            heappush(ends, (now + took, at, True))
            busy += 1
        now, at, own = heappop(ends)
        busy -= own
        pending[at] -= 1
        begin(at)
    return now


class _Costs:
    """Seconds of a trial, by its class; of one that was not seen, from those that were.

    Attributes:
        seen: the packs that tell.
        slowness: of the machine now, beside the whole run.
    """

    def __init__(self, seen: dict[Class, _Seen]) -> None:
        self.seen, self.slowness = seen, 1.0
        self._known: dict[Class, float] = {}

    def of(self, kind: Class) -> float:
        """Seconds of a trial of this class."""
        if kind not in self._known:
            self._known[kind] = self._expected(kind)
        return self.slowness * self._known[kind]

    def sum(self, of_class: Mapping[Class, int]) -> float:
        """Seconds of so many trials of each class."""
        return sum(trials * self.of(kind) for kind, trials in of_class.items())

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
            return self.seen[nearest, other].per_trial * _size(shape, nearest)
        # As much as each of those that were seen makes it, on average over their trials.
        trials = sum(found.trials for found in alike.values())
        return sum(found.seconds * _size(shape, of) for of, found in alike.items()) / trials

    def _ratio(self, stage: Stage, other: Stage) -> float:
        both = [
            (self.seen[shape, stage].per_trial, found.per_trial)
            for (shape, of), found in self.seen.items()
            if of is other and (shape, stage) in self.seen
        ]
        below = sum(of_other for _, of_other in both)
        return sum(of_stage for of_stage, _ in both) / below if below else 1.0


def _shape_of(cell: Cell) -> Shape:
    given = dict(cell.parameters)
    rows, validated = given.get("train"), given.get("validation")
    depths, widths = (cell.depth_1, cell.depth_2), (cell.width_1, cell.width_2)
    return cell.dataset, rows, validated, cell.encoder, depths, widths, cell.modalities


def _class_of(trial: object) -> Class:
    return _shape_of(trial.cell), trial.stage  # type: ignore[attr-defined]


def _size(shape: Shape, beside: Shape) -> float:
    """A guess of what a shape costs beside another, where only the latter was seen.

    Of one dataset the root of the ratio of the sums that training takes: between no difference,
    as for narrow encoders and few rows, and all of it. What other data cost, nobody knows.
    """
    return math.sqrt(_sums(shape) / _sums(beside)) if shape[0] == beside[0] else 1.0


def _sums(shape: Shape) -> float:
    """Rows that an epoch goes through, forward and backward, times the weights of hidden layers."""
    _, rows, validated, _, depths, widths, _ = shape
    weights = sum(
        _USUAL_WIDTH**2 + depth * width**2
        for depth, width in zip(depths, widths, strict=True)  # type: ignore[call-overload]
    )
    known = isinstance(rows, int) and isinstance(validated, int)
    return float(weights * (3 * rows + validated if known else 1))  # type: ignore[operator]
