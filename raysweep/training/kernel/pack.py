"""The entry points of the CPU kernel: what Numba compiles once per dtype and keeps on disk."""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from raysweep.training.kernel.denormals import flush_denormals, restore_mode
from raysweep.training.kernel.routine import DIGEST
from raysweep.training.kernel.run import STEPS, gather, run
from raysweep.training.kernel.sides import add_side, copy_side, gradient_square
from raysweep.training.kernel.term import Term, call_loss
from raysweep.training.kernel.update import adamw, clip

MEMBER = np.dtype(
    [
        ("learning_rate", np.float64),
        ("weight_decay", np.float64),
        ("clip_norm", np.float64),
        ("strength", np.float64),
        ("placebo", np.int64),
        ("dataset", np.int64),
        ("stream", np.int64),
    ]
)
"""What is known of a member; `placebo` is 0 or 1, `stream` the permutation it follows."""

SEEN = np.dtype(
    [
        ("task", np.float64),
        ("fused", np.float64),
        ("alignment", np.float64),
        ("defined", np.float64),
        ("task_square", np.float64),
        ("alignment_square", np.float64),
        ("failed", np.int64),
        ("forced", np.int64),
    ]
)
"""What an epoch leaves of a member (`EpochLog`): sums over steps weighted by rows, `defined` the
share of rows with a defined alignment loss, `failed` a step or -1, `forced` how many steps had a
gradient of the alignment loss."""


class Step(NamedTuple):
    """What the members' steps share: programs, places in the arena, sizes.

    `learn`: the program from the inputs to the gradients at the representations; `backward`: from
    there to the parameters'; `score`: from the inputs to the heads' hits. `group_ends`: where the
    parameters that are clipped together end; weight decay spares the groups from `spared` on.
    `inputs_1`, `inputs_2`: of the towers, with d1 and d2 features; `at_1`, `at_2`: gradients at the
    representations, with `width_1` and `width_2`. `block`, `stride`: columns of a tile and of
    every matrix.
    """

    learn: Any
    backward: Any
    score: Any
    group_ends: Any
    spared: int
    gradients: int
    inputs_1: int
    inputs_2: int
    d1: int
    d2: int
    at_1: int
    at_2: int
    width_1: int
    width_2: int
    block: int
    stride: int


class Scratch(NamedTuple):
    """Buffers of the members at work, one a slot: arena, labels, the heads' losses."""

    mem: Any
    labels: Any
    losses: Any


class SplitData(NamedTuple):
    """A split: x1 [k, n d1 + slack], x2 alike (samples one after another), y [k, n] int32."""

    x1: Any
    x2: Any
    y: Any


class MemberState(NamedTuple):
    """The members: parameters, last gradients and AdamW's two moments [4, m, P]; MEMBER [m]."""

    state: Any
    members: Any


WHOLE, START, FINISH = range(3)
"""Phases of a step: all of it, up to where a loss has to be asked, and from there on."""


@njit(error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _load(
    data: SplitData, dataset: int, step: Step, mem: Any, labels: Any, order: Any, start: int, b: int
) -> int:
    """Gather a batch into the arena; returns the columns in use."""
    columns = (b + step.block - 1) // step.block * step.block
    gather(mem, data.x1[dataset], step.d1, order, start, b, columns, step.inputs_1, step.stride)
    gather(mem, data.x2[dataset], step.d2, order, start, b, columns, step.inputs_2, step.stride)
    y = data.y[dataset]
    for j in range(b):
        labels[j] = y[order[start + j]]
    return columns


@njit(error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _learn(
    step: Step,
    mem: Any,
    labels: Any,
    losses: Any,
    count: int,
    columns: int,
    b: int,
    first: bool,
    share: float,
    seen: Any,
) -> None:
    """Forward pass, losses, gradients at the representations."""
    for j in range(step.gradients, step.gradients + count):
        mem[j] = 0
    run(mem, step.learn, step.stride, columns, labels, b, losses)
    seen.task += (losses[0] + losses[1]) * share
    seen.fused += losses[2] * share
    if first:
        seen.task_square += gradient_square(mem, step.at_1, step.width_1, columns, step.stride)
        seen.task_square += gradient_square(mem, step.at_2, step.width_2, columns, step.stride)


@njit(error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _align(
    member: Any,
    term: Term,
    mem: Any,
    b: int,
    columns: int,
    step: Step,
    first: bool,
    share: float,
    seen: Any,
) -> None:
    """Add the alignment loss's gradients to the task's, unless it is undefined (NaN)."""
    sides, block, stride = term.sides, step.block, step.stride
    # A plain 0 would be a type of its own to Numba, and both functions be compiled twice.
    unmoved = np.int64(0)
    copy_side(mem, sides.top_1, sides.width_1, b, columns, stride, unmoved, sides.u)
    copy_side(mem, sides.top_2, sides.width_2, b, columns, stride, member.placebo, sides.v)
    value, at_scale, at_bias = call_loss(term.loss, mem, term, b, columns, block, stride)
    # A placebo's only row, shifted by one, would be the true pair.
    if value == value and not (member.placebo and b == 1):
        by_1, by_2 = member.strength * term.pull_1, member.strength * term.pull_2
        square = add_side(mem, sides.grad_u, by_1, sides.width_1, b, stride, unmoved, sides.at_1)
        square += add_side(
            mem, sides.grad_v, by_2, sides.width_2, b, stride, member.placebo, sides.at_2
        )
        if term.own >= 0:
            mem[term.at_own] += mem.dtype.type(member.strength * at_scale)
            mem[term.at_own + 1] += mem.dtype.type(member.strength * at_bias)
        seen.alignment += value * share
        seen.defined += share
        seen.forced += square > 0
        if first:
            seen.alignment_square += square


@njit(error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _move(
    state: Any,
    i: int,
    member: Any,
    step: Step,
    mem: Any,
    labels: Any,
    losses: Any,
    columns: int,
    b: int,
    count: int,
) -> bool:
    """From the gradients at the representations to new parameters; whether all was finite."""
    run(mem, step.backward, step.stride, columns, labels, b, losses)
    size = state.shape[2]
    p, g = mem[:size], mem[step.gradients : step.gradients + size]
    mean, square = state[2, i], state[3, i]
    total = losses[0] + losses[1] + losses[2]
    begin = 0
    for group in range(step.group_ends.shape[0]):
        end = step.group_ends[group]
        total += clip(g[begin:end], member.clip_norm)
        adamw(
            p[begin:end],
            g[begin:end],
            mean[begin:end],
            square[begin:end],
            count,
            member.learning_rate,
            member.weight_decay if begin < step.spared else 0.0,
        )
        begin = end
    return math.isfinite(total)


@njit(error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _take_up(state: Any, i: int, mem: Any) -> None:
    p = state[0, i]
    for j in range(p.shape[0]):
        mem[j] = p[j]


@njit(error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def _put_down(state: Any, i: int, mem: Any, gradients: int) -> bool:
    """Take a member's parameters and last gradients from the arena; whether all are finite."""
    p, g = state[0, i], state[1, i]
    finite = True
    for j in range(p.shape[0]):
        p[j] = mem[j]
        g[j] = mem[gradients + j]
        finite = finite and math.isfinite(p[j])
    return finite


def _entries(sources: str) -> tuple[Any, ...]:
    """The entry points, compiled on first call and kept on disk while no source file changes."""

    @njit(error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
    def advance(
        pack: MemberState,
        chosen: Any,
        step: Step,
        scratch: Scratch,
        data: SplitData,
        permutations: Any,
        phase: int,
        begin: int,
        end: int,
        batch_size: int,
        done: int,
        term: Term,
        seen: Any,
    ) -> None:
        """Take the chosen members through the rows begin : end of their orders, one by one.

        In phase WHOLE they share the first slot of the scratch; in the others each has its own,
        which holds the member from row 0 to the last, and begin : end is one batch.
        """
        len(sources)
        mode = flush_denormals()
        state, n = pack.state, permutations.shape[1]
        for at in range(chosen.shape[0]):
            i = chosen[at]
            slot = 0 if phase == WHOLE else at
            mem, labels, losses = scratch.mem[slot], scratch.labels[slot], scratch.losses[slot]
            member, noted, order = pack.members[i], seen[i], permutations[pack.members[i].stream]
            if begin == 0 and phase != FINISH:
                _take_up(state, i, mem)
                noted.failed = -1
            for start in range(begin, end, batch_size):
                b, taken = min(batch_size, n - start), start // batch_size
                columns = (b + step.block - 1) // step.block * step.block
                if phase != FINISH:
                    _load(data, member.dataset, step, mem, labels, order, start, b)
                    _learn(
                        step,
                        mem,
                        labels,
                        losses,
                        state.shape[2],
                        columns,
                        b,
                        start == 0,
                        b / n,
                        noted,
                    )
                if phase == WHOLE and term.loss and member.strength > 0:
                    _align(member, term, mem, b, columns, step, start == 0, b / n, noted)
                if phase != START:
                    count = done + taken + 1
                    if (
                        not _move(state, i, member, step, mem, labels, losses, columns, b, count)
                        and noted.failed < 0
                    ):
                        noted.failed = taken
                    if phase == WHOLE and noted.failed >= 0:
                        break
            if end == n and phase != START:
                finite = _put_down(state, i, mem, step.gradients)
                if not finite and noted.failed < 0:
                    noted.failed = (n - 1) // batch_size
        restore_mode(mode)

    @njit(error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
    def count_correct(
        pack: MemberState,
        step: Step,
        scratch: Scratch,
        data: SplitData,
        order: Any,
        batch_size: int,
        correct: Any,
    ) -> None:
        """Rows that each member's three heads get right, added to correct [3, m]."""
        len(sources)
        mode = flush_denormals()
        mem, labels, losses = scratch.mem[0], scratch.labels[0], scratch.losses[0]
        for i in range(pack.members.shape[0]):
            _take_up(pack.state, i, mem)
            for start in range(0, order.shape[0], batch_size):
                b = min(batch_size, order.shape[0] - start)
                columns = _load(data, pack.members[i].dataset, step, mem, labels, order, start, b)
                run(mem, step.score, step.stride, columns, labels, b, losses)
                for head in range(3):
                    correct[head, i] += losses[head]
        restore_mode(mode)

    return advance, count_correct


advance, count_correct = _entries(DIGEST)


def load(element: Any) -> None:
    """Get what the entry points call ready for arenas of an element type."""
    for routine in STEPS:
        routine.load(element)
