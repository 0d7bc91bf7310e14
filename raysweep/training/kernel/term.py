"""An alignment term as compiled code knows it, and how the losses that it may have are called."""

from typing import Any, NamedTuple

from numba import typeof, types

from raysweep.training.kernel.routine import caller, routine
from raysweep.training.kernel.sides import Sides


class Term(NamedTuple):
    """An alignment term: the loss, and by how much each side is moved, 1.0 or 0.0.

    `loss`: the address of its routine, 0 for none. `option_1` to `option_3`: numbers of the loss.
    `own`: where its learned parameters begin in the arena, -1 if it has none; `at_own`: their
    gradients.
    """

    loss: int
    option_1: float
    option_2: float
    option_3: float
    own: int
    at_own: int
    pull_1: float
    pull_2: float
    sides: Sides


NO_TERM = Term(0, 0.0, 0.0, 0.0, -1, -1, 0.0, 0.0, Sides(*[0] * len(Sides._fields)))
"""Of members without an alignment loss."""

_KINDS = (typeof(NO_TERM), *[types.int64] * 4)
_RETURNED = types.UniTuple(types.float64, 3)

loss = routine(lambda element: _KINDS, _RETURNED)
"""Decorates what makes a loss: of (arena, term, rows, columns, block, stride), with the samples in
u and v, the value and its gradients by the two learned numbers; the gradients at both sides are
left in grad_u and grad_v. `rows`: samples; `columns`: those in whole register tiles; `block`:
columns of a tile. NaN, with no gradients to use, where the loss is not defined."""

call_loss: Any = caller(lambda element: _KINDS, _RETURNED)
"""Calls a loss in compiled code: its address, then its arguments."""
