"""Why a user's own loss would force nothing, or break, on whatever it is tried on."""

import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name

from raysweep.losses.base import AlignmentLoss
from raysweep.plugins.user_code import line_of, raised_at

_MEMBERS = 2
_SCALES = (1.0, 0.01, 100.0)
_FORWARD = re.compile(r'File "(.+)", line (\d+)')


def never_defined(
    loss: AlignmentLoss, path: str, widths: tuple[int, int], rows: int, dtype: torch.dtype
) -> str:
    """Why every try of a loss gives NaN, as its value or in its gradient; empty where one does not.

    It is tried on normal features of three scales, on positive ones and on shares that add up to
    1, with no rows that belong together and with pairs of them. It may be defined elsewhere: that
    is for people to say, so that this is no fault of a study.

    Args:
        loss: the user's, which can be used as `check_usable` has it.
        path: its dotted path.
        widths: features of the two representations.
        rows: of a batch.
        dtype: in which it will be trained.

    Returns:
        What would come of it, and the operation of torch that NaN comes from, with its line of the
        user's code where it is known.
    """
    generator = torch.Generator().manual_seed(0)
    parameters = torch.stack(
        [loss.initial_parameters(*widths, generator).to(dtype) for _ in range(_MEMBERS)]
    )
    first: tuple[Tensor, Tensor, Tensor | None] | None = None
    for h1, h2, groups in _tries(widths, rows, dtype, generator):
        output = loss.value_and_gradients(h1, h2, parameters, groups)
        gradients = (output.grad_1, output.grad_2)
        if not output.value.isnan().all() and not any(g.isnan().any() for g in gradients):
            return ""
        first = first or (h1, h2, groups)
    assert first is not None
    h1, h2, groups = first
    if loss.value_and_gradients(h1, h2, parameters, groups).value.isnan().all():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cause = _cause_of_value(loss, path, h1, h2, parameters, groups)
        return f"the value is NaN whatever it is tried on, so that nothing may be forced{cause}"
    cause = _cause_of_gradient(loss, path, h1, h2, parameters, groups)
    return (
        "the gradient has NaN whatever it is tried on, so that what it is forced in may "
        f"diverge{cause}"
    )


def _tries(
    widths: tuple[int, int], rows: int, dtype: torch.dtype, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    h1, h2 = (
        torch.randn(_MEMBERS, width, rows, generator=generator, dtype=torch.float64).to(dtype)
        for width in widths
    )
    together = (torch.arange(rows) // 2).expand(_MEMBERS, 1, rows)
    for groups in (None, together):
        for scale in _SCALES:
            yield scale * h1, scale * h2, groups
        yield h1.abs(), h2.abs(), groups
        yield h1.softmax(1), h2.softmax(1), groups


class _FirstNaNError(ArithmeticError):
    """Ends a function where its first NaN comes up."""


class _Watched(TorchFunctionMode):
    """Operations of torch that are looked through for one that makes NaN of numbers."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if _has_nan(result) and not _has_nan(args):
            raise _FirstNaNError(resolve_name(func) or func.__name__)
        return result


def _has_nan(given: object) -> bool:
    if isinstance(given, list | tuple):
        return any(_has_nan(one) for one in given)
    return isinstance(given, Tensor) and given.is_floating_point() and bool(given.isnan().any())


def _cause_of_value(loss: AlignmentLoss, path: str, *given: Any) -> str:
    try:
        with _Watched():
            loss.value_and_gradients(*given)
    except _FirstNaNError as error:
        return f": the first is that of {error}{raised_at(error, path)}"
    return ""


def _cause_of_gradient(loss: AlignmentLoss, path: str, *given: Any) -> str:
    # In this mode torch warns with the traceback of the forward pass, and raises.
    with warnings.catch_warnings(record=True) as caught, torch.autograd.set_detect_anomaly(True):
        warnings.simplefilter("always")
        try:
            loss.value_and_gradients(*given)
        except RuntimeError as error:
            forward = [found for w in caught for found in _FORWARD.findall(str(w.message))]
            lines = [(file, int(number)) for file, number in forward]
            return f": {' '.join(str(error).split()).rstrip('.')}{line_of(lines, path)}"
    return ""
