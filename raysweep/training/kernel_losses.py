"""Which alignment losses the CPU kernel computes itself, and what it has to know of them."""

from dataclasses import dataclass, replace

import numpy as np

from raysweep.losses import AlignmentLoss
from raysweep.losses.cka import LinearCKA
from raysweep.losses.deep_cca import DeepCCA
from raysweep.losses.heads import Projected
from raysweep.losses.infonce import InfoNCE
from raysweep.losses.one_way import OneWay
from raysweep.losses.pairwise import FLOAT32_SPAN
from raysweep.losses.redundancy import BarlowTwins, VICReg
from raysweep.losses.siglip import SigLIP
from raysweep.losses.soft_knn import SoftKNN
from raysweep.losses.uniformity import Uniformity
from raysweep.models.shape import MultimodalShape
from raysweep.training.kernel.canonical import deep_cca
from raysweep.training.kernel.cka import cka
from raysweep.training.kernel.infonce import infonce
from raysweep.training.kernel.neighbours import soft_knn, uniformity
from raysweep.training.kernel.program import Places
from raysweep.training.kernel.redundancy import barlow_twins, vicreg
from raysweep.training.kernel.routine import Routine
from raysweep.training.kernel.sides import STRIP, place_sides
from raysweep.training.kernel.siglip import siglip
from raysweep.training.kernel.term import Term
from raysweep.training.kernel.vectors import VECTOR_BYTES

LARGEST_MATRIX_BYTES = 2**26
"""Beyond this size InfoNCE's samples-by-samples matrix is left to the loss's own chunks."""

ROUTINES = {
    "infonce": infonce,
    "cka": cka,
    "unbiased_cka": cka,
    "siglip": siglip,
    "soft_knn": soft_knn,
    "uniformity": uniformity,
    "vicreg": vicreg,
    "barlow_twins": barlow_twins,
    "deep_cca": deep_cca,
}
"""What computes the losses of `raysweep.training.engine.KERNEL_LOSSES`, by their names."""


@dataclass(frozen=True)
class KernelLoss:
    """A loss that the kernel computes itself.

    Attributes:
        routine: what computes it.
        options: its numbers, at most three.
        learned: whether its first two numbers are learned, the first as its logarithm.
        pulls: 1.0 for each side that the loss moves, else 0.0.
    """

    routine: Routine
    options: tuple[float, ...] = ()
    learned: bool = False
    pulls: tuple[float, float] = (1.0, 1.0)

    @classmethod
    def of(
        cls, loss: AlignmentLoss, shape: MultimodalShape, batch_size: int, dtype: np.dtype
    ) -> "KernelLoss | None":
        """How the kernel computes a loss, or None where the loss has to be asked."""
        if isinstance(loss, OneWay):
            found = cls.of(loss.loss, shape, batch_size, dtype)
            pulls = float(loss.stopped != "1"), float(loss.stopped != "2")
            return None if found is None else replace(found, pulls=pulls)
        if isinstance(loss, Projected):
            if loss.heads(*shape.widths) != (None, None):
                return None
            loss = loss.loss

        def spans(largest: float) -> bool:
            """Whether exponentials of so wide a range neither overflow nor vanish."""
            return dtype == np.float64 or largest <= FLOAT32_SPAN

        match loss:
            case LinearCKA():
                return cls(cka, (float(loss.unbiased),))
            case InfoNCE(learned=False) if spans(2.0 / loss.temperature):
                fits = batch_size**2 * dtype.itemsize <= LARGEST_MATRIX_BYTES
                return cls(infonce, (1.0 / loss.temperature,)) if fits else None
            case SigLIP():
                return cls(siglip, (loss.scale, loss.bias), loss.learned)
            case SoftKNN() if spans(2.0 / loss.temperature):
                return cls(soft_knn, (1.0 / loss.temperature,))
            case Uniformity() if spans(4.0 * loss.sharpness):
                return cls(uniformity, (2.0 * loss.sharpness,))
            case VICReg():
                return cls(vicreg, (loss.invariance, loss.variance, loss.covariance))
            case BarlowTwins():
                return cls(barlow_twins, (loss.redundancy,))
            case DeepCCA():
                return cls(deep_cca, (loss.ridge, float(loss.components)))
        return None

    def term(self, address: int, places: Places, parameter_count: int) -> Term:
        """Make room for it in the arena.

        Args:
            address: of the routine for the arena's element type.
            places: of the step.
            parameter_count: of the encoders and heads, which the learned parameters follow.
        """
        width_1, width_2 = (side.width for side in places.towers)
        strip = STRIP * places.stride
        size = {
            infonce: places.stride**2,
            siglip: strip,
            # Two strips and four numbers a sample; the last row is read a vector too far.
            soft_knn: 2 * strip + 4 * places.stride + VECTOR_BYTES,
            uniformity: strip + VECTOR_BYTES,
            vicreg: width_1**2,
            barlow_twins: width_1**2 + 2 * width_1,
            deep_cca: max(width_1, width_2) ** 2,
        }.get(self.routine, width_1**2 + width_2**2 + width_1 * width_2)
        own = at_own = -1
        if self.learned:
            own = places.parameters + parameter_count
            at_own = places.gradients + parameter_count
        first, second, third = (*self.options, 0.0, 0.0, 0.0)[:3]
        sides = place_sides(places, size)
        return Term(address, first, second, third, own, at_own, *self.pulls, sides)
