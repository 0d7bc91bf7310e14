"""Representations as tensors: their exact numbers in float64, scales, what makes them unusable.

What is stored is the truth: every float16, bfloat16 and float32 number is a float64 number, and a
metric is a function of these numbers, whatever dtype they came in. Only float64's own rounding is
left to tell apart from a difference, and `RESOLUTION` says where. Nothing here or in a metric
depends on whether the processor flushes denormal numbers to zero: they are read as integers, and
squares are taken of numbers that a power of two has brought near 1.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from raysweep.errors import InputError

MEMORY_BUDGET_BYTES = 2**28
"""Size of one working block. The metrics hold a handful of such blocks at a time, so that 4,096
samples x 110 layers stay far below 2 GiB."""

NUMBERS_IN_CACHE = 2**18
"""Numbers that go through several steps while they are still in cache."""

MINIMUM_ROWS = 4
"""The unbiased HSIC divides by n (n - 3)."""

RESOLUTION = 64 * torch.finfo(torch.float64).eps
"""Relative difference below which two numbers computed in float64 are the same number.

About 1e-14: what the arithmetic leaves of inner products of some hundreds of terms. It decides on
ties, ranks and columns that do not vary, for every dtype alike: how coarsely features were stored
is no reason to call different numbers equal."""

_WIDE = 256
_TINY = 2.0**-900
_LIFT = 600
_PLAIN = (2.0**-100, 2.0**100)
_RAW_BYTES = "raw bytes, as a file of bfloat16 or float8 numbers is read; save them as float32"


def as_features(value: object, place: str) -> Tensor:
    """Converts one representation, [n, d], to float64.

    Args:
        value: a torch tensor, a numpy array, a data frame, or nested sequences of numbers, shape
            [n, d], of any real dtype and byte order. Integers of more than 53 bits and long
            doubles are rounded to float64.
        place: what to call it in an error message.

    Returns:
        A tensor [n, d] float64, detached.

    Raises:
        InputError: not numbers, not numbers that float64 holds, masked, not two-dimensional, or
            without features.
    """
    tensor = as_table(value, place)
    try:
        return widened(tensor)
    except (RuntimeError, TypeError, NotImplementedError):
        raise InputError(f"{place}: expected numbers [n, d], got {tensor.dtype}") from None


def as_table(value: object, place: str) -> Tensor:
    """`as_features` before its numbers are widened: in the dtype that they came in."""
    tensor = value.detach() if isinstance(value, Tensor) else _from_array(value, place)
    if tensor.is_complex():
        raise InputError(f"{place}: expected real numbers [n, d], got {tensor.dtype}")
    dense = tensor.layout == torch.strided and not tensor.is_nested
    if not dense or tensor.is_quantized or tensor.is_meta:
        raise InputError(
            f"{place}: expected a dense tensor of numbers [n, d], got {tensor.dtype} "
            f"{tensor.layout} on {tensor.device}"
        )
    if tensor.ndim != 2 or tensor.shape[1] == 0:
        raise InputError(
            f"{place}: expected a table [n samples, d features] with d >= 1, "
            f"got shape {list(tensor.shape)}"
        )
    return tensor


def _from_array(value: object, place: str) -> Tensor:
    """Anything that numpy reads as numbers, as a tensor of the same numbers."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{place}: expected numbers [n, d], got no table: {reason}") from None
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise InputError(f"{place}: expected numbers [n, d], got masked entries")
    if array.dtype.isbuiltin == 2:
        # bfloat16, float8 and the like, which ml_dtypes registers: all of them are float32 numbers.
        array = array.astype(np.float32)
    if array.dtype.kind not in "fiub":
        found = f"an array of {array.dtype}"
        if array.dtype.kind == "V" and array.dtype.names is None:
            found += f" ({_RAW_BYTES})"
        elif array.dtype.kind == "O":
            way = ".toarray()" if hasattr(value, "toarray") else ".astype(float)"
            found += f" (make it numbers with {way})"
        raise InputError(f"{place}: expected numbers [n, d], got {found}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        with np.errstate(all="ignore"):
            rounded = array.astype(np.float64)
            lost = (np.isfinite(array) & ~np.isfinite(rounded)) | ((array != 0) & (rounded == 0))
        if lost.any():
            raise InputError(
                f"{place}: {array[lost][0]!s} ({array.dtype}) is beyond the range of float64; "
                "scale the features first"
            )
        array = rounded
    elif array.dtype.kind in "iub":
        array = array.astype(np.float64)
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("=")))


def widened(features: Tensor) -> Tensor:
    """The same numbers in float64, denormal ones too where the processor takes these for zero."""
    features = features.detach().resolve_neg()
    if features.dtype == torch.float64:
        return features
    if not features.is_floating_point():
        return features.to(torch.float64)
    narrow = features.to(torch.float32)
    wide = narrow.to(torch.float64)
    magnitude = narrow.view(torch.int32) & 0x7FFFFFFF
    denormal = (magnitude < 0x800000) & (magnitude > 0)
    if bool(denormal.any()):
        exact = magnitude.to(torch.float64) * 2.0**-149
        wide = torch.where(denormal, torch.copysign(exact, wide), wide)
    return wide


def centered(features: Tensor) -> Tensor:
    """Features in float64 with the mean over rows removed, over one power of two a member.

    The mean is removed twice: the second time takes away what rounding the first left, so that a
    large mean costs no digit of what varies around it. Columns that do not vary become zero.

    Args:
        features: [..., n, d], finite; a column may have any scale.

    Returns:
        [..., n, d], of a size whose fourth powers are numbers.
    """
    wide = widened(features)
    low, high = column_range(wide)
    largest = torch.maximum(low.abs(), high.abs())
    varies = high > low
    least = torch.where(varies, high - low, torch.inf)
    if bool(((largest == 0) | ((least > _PLAIN[0]) & (largest < _PLAIN[1]))).all()):
        around = less_mean(wide)
        return around if bool(varies.all()) else torch.where(varies, around, 0.0)
    columns, exponent = unit_scaled(wide, -2)
    low, high = column_range(columns)
    around = torch.where(high > low, less_mean(columns), 0.0)
    around, own = unit_scaled(around, -2)
    exponent = torch.where(high > low, exponent + own, torch.iinfo(exponent.dtype).min // 2)
    shift = exponent - exponent.amax(dim=-1, keepdim=True)
    return times_power_of_two(around, shift.clamp(min=-4000))


def centered_columns(features: Tensor) -> Tensor:
    """Features [..., n, d] with each column centred and over a power of two of its own.

    For what does not depend on the units of single columns: none loses digits beside a larger one.
    Columns that vary by no more than rounding become zero.
    """
    columns, _ = unit_scaled(widened(features), -2)
    around = torch.where(varying_columns(columns), less_mean(columns), 0.0)
    return unit_scaled(around, -2)[0]


def less_mean(wide: Tensor) -> Tensor:
    """[..., n, d] float64 with the mean over rows removed, and then what rounding left of it."""
    around = wide - wide.mean(dim=-2, keepdim=True)
    return around.sub_(around.mean(dim=-2, keepdim=True))


def unit_scaled(features: Tensor, dim: int | tuple[int, ...] = (-2, -1)) -> tuple[Tensor, Tensor]:
    """Features over the power of two above their largest magnitude, and its exponent.

    So squares neither overflow nor vanish, and no digit changes: the magnitudes end up in 0..1, the
    largest in 0.5..1.

    Args:
        features: [..., n, d] float64, finite.
        dim: what shares a scale: all of a member [n, d], each row (-1) or each column (-2).
    """
    largest = features.abs().amax(dim=dim, keepdim=True)
    exponent = torch.frexp(largest).exponent
    tiny = largest < _TINY
    if not bool(tiny.any()):
        return times_power_of_two(features, -exponent), exponent
    lifted = _lifted(features)
    over = torch.frexp(lifted.abs().amax(dim=dim, keepdim=True)).exponent
    scaled = torch.where(
        tiny,
        times_power_of_two(lifted, torch.where(tiny, -over, 0)),
        times_power_of_two(features, torch.where(tiny, 0, -exponent)),
    )
    return scaled, torch.where(tiny, over - _LIFT, exponent)


def _lifted(features: Tensor) -> Tensor:
    """Numbers below 1 times 2^600, denormal ones read as the integers that they are made of."""
    magnitude = features.view(torch.int64) & 0x7FFFFFFFFFFFFFFF
    exact = magnitude.to(torch.float64) * 2.0 ** (_LIFT - 1074)
    signed = torch.copysign(exact, features)
    return torch.where(magnitude < 2**52, signed, features * 2.0**_LIFT)


def times_power_of_two(features: Tensor, exponent: Tensor) -> Tensor:
    """Features times 2^exponent, which itself may be out of range."""
    largest = int(exponent.abs().max()) if exponent.numel() else 0
    if largest == 0:
        return features
    if largest <= 1000:
        return features * torch.exp2(exponent.to(features.dtype))
    for _ in range(-(-largest // 1000)):
        part = exponent.clamp(-1000, 1000)
        features = features * torch.exp2(part.to(features.dtype))
        exponent = exponent - part
    return features


def normalize_rows(features: Tensor) -> Tensor:
    """Rows divided by their Euclidean norm, shape [..., n, d] kept; rows of zeros stay zero."""
    width = features.shape[-1]
    at_once = max(1, NUMBERS_IN_CACHE // width)
    if features.numel() <= at_once * width:
        rows, _ = unit_scaled(widened(features), -1)
        norm = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
        return rows / torch.where(norm > 0, norm, 1.0)
    result = torch.empty(features.shape, dtype=torch.float64, device=features.device)
    table = features.reshape(-1, width)
    for part, into in zip(table.split(at_once), result.view(-1, width).split(at_once), strict=True):
        into.copy_(normalize_rows(part))
    return result


def is_finite(features: Tensor) -> Tensor:
    """Whether all of [m, n, d] is finite, per member: bool [m]."""
    numbers = features.flatten(1)
    # Either is NaN where a number is; it takes one pass each, `isfinite` takes several.
    return torch.isfinite(numbers.amin(dim=1)) & torch.isfinite(numbers.amax(dim=1))


def column_range(features: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest number of each column of [..., n, d], both [..., 1, d]."""
    rows, width = features.shape[-2:]
    beside = max(1, min(rows, _WIDE // width))
    whole = rows - rows % beside
    # Several rows beside each other make one that is wide enough to be compared at full speed.
    wide = features[..., :whole, :].reshape(*features.shape[:-2], -1, beside * width)
    low = wide.amin(dim=-2).unflatten(-1, (beside, width)).amin(dim=-2, keepdim=True)
    high = wide.amax(dim=-2).unflatten(-1, (beside, width)).amax(dim=-2, keepdim=True)
    if whole < rows:
        rest = features[..., whole:, :]
        low = torch.minimum(low, rest.amin(dim=-2, keepdim=True))
        high = torch.maximum(high, rest.amax(dim=-2, keepdim=True))
    return low, high


def varying_columns(features: Tensor) -> Tensor:
    """Which columns of [..., n, d] vary by more than `RESOLUTION` of their largest number.

    Args:
        features: float64, finite.

    Returns:
        Bool [..., 1, d].
    """
    low, high = column_range(features)
    largest = torch.maximum(low.abs(), high.abs())
    if bool((largest < _TINY).any()):
        columns, _ = unit_scaled(features, -2)
        low, high = column_range(columns)
        largest = torch.maximum(low.abs(), high.abs())
    return high - low > RESOLUTION * largest


def is_constant(features: Tensor) -> Tensor:
    """Whether every row is the same up to the rounding of float64, per member: bool [m].

    Args:
        features: [m, n, d] float64, finite.
    """
    return ~varying_columns(features).flatten(1).any(dim=1)


def check_layers(xs: Sequence[Tensor], ys: Sequence[Tensor]) -> tuple[int, int]:
    """Checks the shapes of two lists of layers and returns (m, n).

    Raises:
        InputError: no layers, a layer that is not [m, n, d], different m or n, or n < 4.
    """
    expected: tuple[int, int] | None = None
    for side, layers in (("xs", xs), ("ys", ys)):
        if len(layers) == 0:
            raise InputError(f"{side}: expected at least one layer, got none")
        for index, layer in enumerate(layers):
            place = f"{side}[{index}]"
            if layer.ndim != 3 or layer.shape[2] == 0 or not layer.is_floating_point():
                raise InputError(
                    f"{place}: expected floating-point [m, n, d] with d >= 1, "
                    f"got {layer.dtype} {list(layer.shape)}"
                )
            found = (layer.shape[0], layer.shape[1])
            if expected is None:
                expected = found
            if found != expected:
                raise InputError(
                    f"{place}: {found[0]} members x {found[1]} rows, but xs[0] has "
                    f"{expected[0]} x {expected[1]}; the rows of both sides are the same samples"
                )
    assert expected is not None
    if expected[1] < MINIMUM_ROWS:
        raise InputError(f"expected at least {MINIMUM_ROWS} rows (samples), got {expected[1]}")
    return expected


def distinct_rows(features: object) -> int:
    """How many different rows `features` [n, d] has.

    Low-bit tasks collapse to few codes; with few distinct rows a neighbour metric is mostly ties,
    so report this number beside it. Rows count as equal only when all their numbers are.
    """
    return len(equal_rows(as_features(features, "features"))[0])


def equal_rows(table: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The first of each set of equal rows of [n, d], and the set of each row, int64 [n]."""
    bits = np.ascontiguousarray(widened(table).cpu().numpy()).view(np.int64)
    # -0.0 is 0.0; whole rows then sort as single items, several times faster than column by column.
    bits = np.where(bits == np.iinfo(np.int64).min, 0, bits)
    rows = bits.view(np.dtype((np.void, bits.itemsize * bits.shape[1])))[:, 0]
    _, first, group = np.unique(rows, return_index=True, return_inverse=True)
    return first, group
