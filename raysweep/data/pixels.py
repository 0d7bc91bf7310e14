"""Images of a file of the user's own: how they are read and scaled."""

from collections.abc import Callable

import numpy as np

from raysweep.data.dtypes import Array, check_dtype, check_finite
from raysweep.data.images import Images
from raysweep.data.views import Floats, Integers, Scaling
from raysweep.errors import InputError

_COLOURS = (1, 3, 4)
"""Channels of the usual images: gray, of three colours, with transparency."""


def read_images(name: str, x: Array) -> tuple[Floats, Images]:
    """A modality [n, c, h, w] as rows.

    Args:
        name: of the modality.
        x: [n, c, h, w] of numbers, floats or integers.

    Raises:
        InputError: what is wrong with it; channels that seem to be the last axis, too.
    """
    check_dtype(name, x, "fiub")
    if 0 in x.shape:
        raise InputError(
            f"{name} has shape {x.shape}, expected [rows, channels, height, width], no 0"
        )
    if _channels_last(x.shape):
        raise InputError(
            f"{name} has shape {x.shape}, which looks like channels last, expected [rows, "
            f"channels, height, width]; save {name}.transpose(0, 3, 1, 2), or if there are "
            f"{x.shape[1]} channels {name}.transpose(0, 1, 3, 2)"
        )
    images = Images(*x.shape[1:])
    with np.errstate(over="ignore"):
        found = x.reshape(len(x), -1).astype(np.float64, order="C")
    check_finite(name, found)
    return found, images


def scaled_images(
    rows: Floats, images: Images, train: Integers, scaling: Callable[[Floats], Scaling]
) -> Floats:
    """Rows whose pixels are scaled channel by channel, by those of the training rows."""

    def by_channel(of: Floats) -> Floats:
        pixels = of.reshape(len(of), images.channels, -1).swapaxes(1, 2)
        return pixels.reshape(-1, images.channels)

    scaled = scaling(by_channel(rows[train]))(by_channel(rows))
    pixels = scaled.reshape(len(rows), -1, images.channels).swapaxes(1, 2)
    return np.ascontiguousarray(pixels.reshape(len(rows), -1))


def _channels_last(shape: tuple[int, ...]) -> bool:
    """Whether [n, h, w, c] is likelier than [n, c, h, w]: few channels, sides more alike."""
    _, second, third, last = shape
    if last not in _COLOURS or second in _COLOURS:
        return False
    return _uneven(second, third) < _uneven(third, last)


def _uneven(one: int, other: int) -> float:
    return max(one, other) / min(one, other)
