"""Which alignment losses the CPU kernel computes itself, and what it has to know of them."""

from dataclasses import dataclass
from functools import cache
from importlib import import_module

import numpy as np

from raysweep.losses.base import AlignmentLoss, Formula, formula_of
from raysweep.losses.pairwise import FLOAT32_SPAN
from raysweep.models.shape import MultimodalShape
from raysweep.training.engine import KERNEL_LOSSES
from raysweep.training.kernel.program import Places
from raysweep.training.kernel.routine import Routine
from raysweep.training.kernel.sides import STRIP, place_sides
from raysweep.training.kernel.term import Term
from raysweep.training.kernel.vectors import VECTOR_BYTES

LARGEST_MATRIX_BYTES = 2**26
"""Beyond this size InfoNCE's samples-by-samples matrix is left to the loss's own chunks."""

_MODULES = {
    "infonce": "infonce",
    "cka": "cka",
    "siglip": "siglip",
    "soft_knn": "neighbours",
    "uniformity": "neighbours",
    "vicreg": "redundancy",
    "barlow_twins": "redundancy",
    "deep_cca": "canonical",
}
"""Routine -> the module of the kernel that has it, which is imported when it is first asked for."""


@cache
def routine_named(name: str) -> Routine:
    """What computes the losses whose `Formula` has this name."""
    found: Routine = getattr(import_module(f"raysweep.training.kernel.{_MODULES[name]}"), name)
    return found


def routines_of(*losses: str) -> list[Routine]:
    """What computes these losses of a study, those left out that the kernel has to ask."""
    names = (KERNEL_LOSSES[loss] for loss in losses if loss in KERNEL_LOSSES)
    return [routine_named(name) for name in dict.fromkeys(names)]


@dataclass(frozen=True)
class KernelLoss:
    """A loss that the kernel computes itself."""

    formula: Formula

    @property
    def routine(self) -> Routine:
        """What computes it."""
        return routine_named(self.formula.name)

    @classmethod
    def of(
        cls, loss: AlignmentLoss, shape: MultimodalShape, batch_size: int, dtype: np.dtype
    ) -> "KernelLoss | None":
        """How the kernel computes a loss of a pair, or None where the loss has to be asked."""
        width_1, width_2 = shape.widths
        formula = formula_of(loss, width_1, width_2)
        # Exponentials of too wide a range overflow or vanish.
        if formula is None or (dtype != np.float64 and formula.span > FLOAT32_SPAN):
            return None
        if formula.name == "infonce" and batch_size**2 * dtype.itemsize > LARGEST_MATRIX_BYTES:
            return None
        return cls(formula)

    def term(self, address: int, places: Places, parameter_count: int) -> Term:
        """Make room for it in the arena.

        Args:
            address: of the routine for the arena's element type.
            places: of the step.
            parameter_count: of the encoders and heads, which the learned parameters follow.
        """
        width_1, width_2 = (side.width for side in places.towers)
        strip, name = STRIP * places.stride, self.formula.name
        size = {
            "infonce": places.stride**2,
            "siglip": strip,
            # Two strips and four numbers a sample; the last row is read a vector too far.
            "soft_knn": 2 * strip + 4 * places.stride + VECTOR_BYTES,
            "uniformity": strip + VECTOR_BYTES,
            "vicreg": width_1**2,
            "barlow_twins": width_1**2 + 2 * width_1,
            "deep_cca": max(width_1, width_2) ** 2,
            "cka": width_1**2 + width_2**2 + width_1 * width_2,
        }[name]
        own = at_own = -1
        if self.formula.learned:
            own = places.parameters + parameter_count
            at_own = places.gradients + parameter_count
        first, second, third = (*self.formula.numbers, 0.0, 0.0, 0.0)[:3]
        sides = place_sides(places, size)
        return Term(address, first, second, third, own, at_own, *self.formula.pulls, sides)
