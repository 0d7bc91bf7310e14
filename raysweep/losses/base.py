"""What an alignment loss is: one value per member of a pack, and its gradients.

Activations are features-first, [m, features, batch], as the packed trainer keeps them. A loss
never reduces over m: a member's value and gradients depend on that member's activations alone.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from raysweep.plugins.options import Option

PackedFunction = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(h1 [m, d1, b], h2 [m, d2, b], parameters [m, Pa]) -> value [m], differentiable."""


@dataclass(frozen=True, slots=True)
class LossOutput:
    """A loss and its gradients, in the dtype of the activations.

    Where a loss is undefined for a member (constant features, a batch too short: each loss says
    when), its value is NaN and its gradients are 0: the member goes on learning its task, and the
    NaN says that nothing was forced in that step. It is not a divergence.

    Attributes:
        value: [m], lower is more aligned.
        grad_1: [m, d1, b], the gradient with respect to the first modality's activations.
        grad_2: [m, d2, b], the same for the second.
        grad_parameters: [m, Pa], with respect to the loss's own parameters.
    """

    value: Tensor
    grad_1: Tensor
    grad_2: Tensor
    grad_parameters: Tensor


class AlignmentLoss(Protocol):
    """A term that is low when paired samples have aligned representations.

    Which layer it acts on is the caller's choice: it is given the activations of that layer.
    """

    @property
    def capturable(self) -> bool:
        """Whether a CUDA graph can hold its evaluation.

        Then it reads no value back from the device, makes no tensor of numbers of Python's, and no
        value decides on a branch or a shape.
        """
        ...

    def parameter_count(self, d1: int, d2: int) -> int:
        """How many parameters one member's loss learns (projection heads, a temperature).

        Args:
            d1: Features of the first modality's layer.
            d2: Features of the second modality's layer.

        Raises:
            InputError: The loss cannot compare layers of these widths.
        """
        ...

    def initial_parameters(self, d1: int, d2: int, generator: torch.Generator) -> Tensor:
        """The starting point of one member's parameters: [Pa], float64, on the CPU."""
        ...

    def value_and_gradients(
        self, h1: Tensor, h2: Tensor, parameters: Tensor, groups: Tensor | None = None
    ) -> LossOutput:
        """Evaluate every member at once.

        Args:
            h1: [m, d1, b], float32 or float64; column j belongs to sample j.
            h2: [m, d2, b], the same samples in the same order.
            parameters: [m, Pa], Pa as given by `parameter_count`.
            groups: int64 [m, s, b], equal for samples that belong together, one row for both sides
                or one a side (of shuffled pairs they differ). A loss with negatives leaves out the
                pairs of different samples that belong together; any other takes no notice.
        """
        ...


@dataclass(frozen=True)
class Formula:
    """A loss by name and numbers, as the compiled kernel may know it.

    Attributes:
        name: Of the routine that computes it.
        numbers: What it depends on, at most three.
        learned: Whether the first two are learned, the first as its logarithm.
        span: How far apart the arguments of its exponentials may lie; 0 without exponentials.
        pulls: 1.0 for each side that the loss moves, else 0.0.
        negatives: whether it depends on which samples belong together.
    """

    name: str
    numbers: tuple[float, ...]
    learned: bool = False
    span: float = 0.0
    pulls: tuple[float, float] = (1.0, 1.0)
    negatives: bool = False


@runtime_checkable
class HasFormula(Protocol):
    """A loss that the kernel may compute by itself; any other is asked in every step."""

    def formula(self, d1: int, d2: int) -> Formula | None:
        """The formula between layers of d1 and d2 features; None where there is none."""
        ...


@dataclass(frozen=True)
class LossEntry:
    """One alignment loss a study can name.

    Attributes:
        name: As written in a study file.
        build: Makes the loss from its own options.
        equal_widths: Whether both sides must have as many features (see `projection`).
        favours: The metric nearest to what it optimises: judge it by another one as well.
        meaning: What it forces, in a line.
        source: Where it is defined.
        options: Its own options; every loss also takes `raysweep.losses.COMMON_OPTIONS`.
        pairwise: Whether it compares all samples of a batch with all, in [b, b] matrices.
        negatives: Whether samples have others that they are pushed from or told from, so that
            those of their own group can be left out.
    """

    name: str
    build: Callable[..., AlignmentLoss]
    equal_widths: bool
    favours: str
    meaning: str
    source: str
    options: tuple[Option, ...] = ()
    pairwise: bool = False
    negatives: bool = False


class WithoutParameters:
    """The two parameter methods of a loss that learns nothing."""

    def parameter_count(self, d1: int, d2: int) -> int:
        """Zero, at any widths."""
        return 0

    def initial_parameters(self, d1: int, d2: int, generator: torch.Generator) -> Tensor:
        """An empty vector; the generator is left untouched."""
        return torch.zeros(0, dtype=torch.float64)


def formula_of(loss: AlignmentLoss, d1: int, d2: int) -> Formula | None:
    """The formula of a loss between layers of d1 and d2 features, if it has one."""
    return loss.formula(d1, d2) if isinstance(loss, HasFormula) else None


def differentiate(
    function: PackedFunction, h1: Tensor, h2: Tensor, parameters: Tensor
) -> LossOutput:
    """Evaluate a packed function and its gradients by automatic differentiation.

    Args:
        function: Gives one value per member; it must not mix members.
        h1: [m, d1, b].
        h2: [m, d2, b].
        parameters: [m, Pa].
    """
    inputs = [tensor.detach().requires_grad_() for tensor in (h1, h2, parameters)]
    with torch.enable_grad():
        value = function(*inputs)
        # Members are independent, so the gradient of the sum is every member's own gradient.
        gradients = torch.autograd.grad(
            value.sum(), inputs, allow_unused=True, materialize_grads=True
        )
    return where_defined(LossOutput(value.detach(), *gradients))


def where_defined(output: LossOutput) -> LossOutput:
    """Set the gradients of members whose value is NaN to 0 (without a device synchronisation)."""
    undefined = output.value.isnan()
    by_feature = undefined[:, None, None]
    return LossOutput(
        value=output.value,
        grad_1=output.grad_1.masked_fill(by_feature, 0.0),
        grad_2=output.grad_2.masked_fill(by_feature, 0.0),
        grad_parameters=output.grad_parameters.masked_fill(undefined[:, None], 0.0),
    )


def undefined(h1: Tensor, h2: Tensor, parameters: Tensor) -> LossOutput:
    """The output for a batch on which a loss has no value for any member."""
    return LossOutput(
        value=h1.new_full((h1.shape[0],), math.nan),
        grad_1=torch.zeros_like(h1),
        grad_2=torch.zeros_like(h2),
        grad_parameters=torch.zeros_like(parameters),
    )
