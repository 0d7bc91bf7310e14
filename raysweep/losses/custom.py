"""A user's own alignment loss, named in the study file by its dotted path."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from raysweep.errors import InputError
from raysweep.losses.base import LossOutput, WithoutParameters, differentiate
from raysweep.losses.pairwise import same_group
from raysweep.plugins.user_code import check_call, imported

_ASKED = "same_group"


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
        asks: Whether it also takes `same_group`: bool [b, b], or [m, b, b] packed, true for pairs
            of different samples that belong together, such as captions of one image.
    """

    # A function of a user's own may do anything.
    capturable: ClassVar[bool] = False

    path: str
    function: Callable[..., object]
    packed: bool
    options: Mapping[str, object]
    asks: bool = False

    def value_and_gradients(
        self, h1: Tensor, h2: Tensor, parameters: Tensor, groups: Tensor | None = None
    ) -> LossOutput:
        """See `AlignmentLoss.value_and_gradients`."""
        together = None
        if self.asks:
            m, _, b = h1.shape
            nobody = torch.zeros(m, b, b, dtype=torch.bool, device=h1.device)
            together = nobody if groups is None else same_group(groups)
        value = partial(self._value, together)
        return differentiate(value, h1, h2, parameters)

    def _value(self, together: Tensor | None, h1: Tensor, h2: Tensor, parameters: Tensor) -> Tensor:
        m = h1.shape[0]
        if self.packed:
            return self._call(h1.mT, h2.mT, (m,), together)
        own = [None] * m if together is None else together
        return torch.stack([self._call(h1[i].mT, h2[i].mT, (), own[i]) for i in range(m)])

    def _call(
        self, h1: Tensor, h2: Tensor, shape: tuple[int, ...], together: Tensor | None
    ) -> Tensor:
        asked = {} if together is None else {_ASKED: together}
        value = self.function(h1, h2, **self.options, **asked)
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
    asks = _asks(function) and _ASKED not in options
    check_call(function, place, form, (None, None), {_ASKED: None} if asks else {}, options)
    return CustomLoss(path, function, packed, dict(options), asks)


def _asks(function: Callable[..., object]) -> bool:
    """Whether a function names the argument; `**options` is no such name."""
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:
        return False  # Some built-in functions have no signature.
    there = parameters.get(_ASKED)
    return there is not None and there.kind is not inspect.Parameter.POSITIONAL_ONLY
