"""Whether a user's own loss can be forced: tried on a few random features before training."""

import torch
from torch import Tensor

from raysweep.errors import InputError
from raysweep.losses.base import AlignmentLoss

_SCALES = (1.0, 0.01, 100.0)
"""Of the features: a loss with a margin may be flat at one of them, and is no mistake then."""
_TOLERANCE = 1e-3
_MEMBERS = 2


def check_usable(
    loss: AlignmentLoss, place: str, widths: tuple[int, int], rows: int, dtype: torch.dtype
) -> None:
    """Check that a loss of members in a pack is what it would be of each alone, and can be lowered.

    Args:
        loss: the user's, with what a study file puts around it.
        place: what it is called in messages.
        widths: features of the two representations.
        rows: of a batch.
        dtype: in which it will be trained.

    Raises:
        InputError: what it returns or does is nothing that could be forced; says why. A loss that
            is undefined (NaN) on these features is not refused, nor is one whose gradient is: on
            others they may be finite, and where they are not the verdict says so.
        Exception: whatever the user's code raises.
    """
    generator = torch.Generator().manual_seed(0)
    h1, h2 = (
        torch.randn(_MEMBERS, width, rows, generator=generator, dtype=torch.float64).to(dtype)
        for width in widths
    )
    own = [loss.initial_parameters(*widths, generator).to(dtype) for _ in range(_MEMBERS)]
    parameters = torch.stack(own)
    _check_members(loss, place, h1, h2, parameters)
    infinite = True
    for scale in _SCALES:
        output = loss.value_and_gradients(scale * h1, scale * h2, parameters)
        if output.value.isinf().all():
            continue
        infinite = False
        gradients = (output.grad_1, output.grad_2)
        if output.value.isnan().any() or any(bool(gradient.any()) for gradient in gradients):
            return
    if infinite:
        raise InputError(
            f"{place}: the value is infinite, on random features of three scales, so that every "
            "trial it is forced in would diverge; return a finite number (NaN for a batch in "
            "which the loss is undefined)"
        )
    raise InputError(
        f"{place}: the gradient is 0 in every entry, on random features of three scales, so that "
        "nothing would be forced; compute the value from h1 and h2 without rounding, sign, "
        "comparisons or argmax"
    )


def _check_members(
    loss: AlignmentLoss, place: str, h1: Tensor, h2: Tensor, parameters: Tensor
) -> None:
    """Check that a member's value does not depend on chance, or on what it is packed with."""
    with torch.random.fork_rng(devices=[]):
        state = torch.get_rng_state()
        together = loss.value_and_gradients(h1, h2, parameters).value
        if not torch.equal(state, torch.get_rng_state()):
            raise InputError(
                f"{place}: the function draws random numbers from torch's default generator, so "
                "that no run could be repeated; draw them from one of its own, seeded: "
                "torch.Generator(h1.device).manual_seed(0)"
            )
        members = zip(h1.split(1), h2.split(1), parameters.split(1), strict=True)
        alone = torch.cat([loss.value_and_gradients(*member).value for member in members])
    most = _TOLERANCE * float(alone.abs().nan_to_num().max())
    if not torch.allclose(together, alone, rtol=0, atol=most, equal_nan=True):
        raise InputError(
            f"{place}: members have other values together than alone; the function must treat "
            "every member by itself, and keep nothing between calls"
        )
