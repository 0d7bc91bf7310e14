"""A user's own alignment loss, named in the study file by its dotted path."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from raysweep.errors import InputError
from raysweep.losses.base import LossOutput, WithoutParameters, differentiate
from raysweep.plugins.user_code import check_call, imported


@dataclass(frozen=True)
class CustomLoss(WithoutParameters):
    """Calls the user's function, samples first, and differentiates it.

    Attributes:
        path: Where the function came from, for messages.
        function: (h1 [b, d1], h2 [b, d2], **options) -> scalar; or, packed,
            (h1 [m, b, d1], h2 [m, b, d2], **options) -> [m]. A NaN says "undefined for this
            batch": no gradient is then applied.
        packed: Which of the two.
        options: Keyword arguments for the function.
    """

    # A function of a user's own may do anything.
    capturable: ClassVar[bool] = False

    path: str
    function: Callable[..., object]
    packed: bool
    options: Mapping[str, object]

    def value_and_gradients(self, h1: Tensor, h2: Tensor, parameters: Tensor) -> LossOutput:
        """See `AlignmentLoss.value_and_gradients`."""
        return differentiate(self._value, h1, h2, parameters)

    def _value(self, h1: Tensor, h2: Tensor, parameters: Tensor) -> Tensor:
        m = h1.shape[0]
        if self.packed:
            return self._call(h1.mT, h2.mT, (m,))
        return torch.stack([self._call(h1[i].mT, h2[i].mT, ()) for i in range(m)])

    def _call(self, h1: Tensor, h2: Tensor, shape: tuple[int, ...]) -> Tensor:
        value = self.function(h1, h2, **self.options)
        wanted = "one value per member, shape [m]" if self.packed else "one value, shape []"
        if not isinstance(value, Tensor):
            raise InputError(
                f"loss {self.path}: the function returned {type(value).__name__}; it must return "
                f"a torch tensor of {wanted}, differentiable by its inputs"
            )
        if tuple(value.shape) != shape:
            raise InputError(
                f"loss {self.path}: the function returned shape {list(value.shape)} for inputs "
                f"{list(h1.shape)} and {list(h2.shape)}; it must return {wanted} "
                f"(option packed is {self.packed})"
            )
        if value.is_complex():
            raise InputError(
                f"loss {self.path}: the function returned {value.dtype}; a loss is a real number"
            )
        if not value.requires_grad:
            raise InputError(
                f"loss {self.path}: the value does not depend on h1 or h2 in a way that torch can "
                "differentiate; compute it with torch operations, without detach or item"
            )
        return value.to(h1.dtype)


def load_custom(path: str, packed: bool, options: Mapping[str, object]) -> CustomLoss:
    """Import a user's loss.

    Args:
        path: "package.module:function".
        packed: Whether the function takes the whole pack.
        options: Keyword arguments for the function.

    Raises:
        InputError: The path is malformed, cannot be imported, names nothing callable or a class,
            or the function does not take these options.
    """
    place = f"loss {path}"
    function = imported(path, place)
    if isinstance(function, type):
        raise InputError(
            f"{place}: is a class, whose call makes an object and no number; name a function, or "
            "an object of that class that a module of your own has"
        )
    form = f"{path.partition(':')[2]}(h1, h2, **options)"
    check_call(function, place, form, (None, None), {}, options)
    return CustomLoss(path, function, packed, dict(options))
