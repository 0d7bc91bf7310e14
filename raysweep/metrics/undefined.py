"""Why metrics have no value, in words."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from raysweep.metrics.features import column_range

_ROUNDING = 64
"""Units of the last place of its largest number in which rows of a layer may differ."""


def same_rows(layer: Tensor) -> Tensor:
    """Whether a network gave all samples the same representation, up to rounding.

    Equal rows need not have equal products with a matrix: how a sum is put together depends, on
    some processors, on where in the table a row stands.

    Args:
        layer: [..., n, d] as it was computed, of any floating dtype.

    Returns:
        Bool [...].
    """
    low, high = column_range(layer)
    largest = torch.maximum(low.abs(), high.abs()).amax(dim=(-2, -1))
    apart = (high - low).amax(dim=(-2, -1))
    return apart <= _ROUNDING * torch.finfo(layer.dtype).eps * largest


def settled(layer: Tensor) -> Tensor:
    """A layer whose members of `same_rows` have the first row throughout: there is nothing to tell.

    What a network computed of one representation differs by rounding, which any metric that no
    scale changes would take for alignment. Stored features are taken at their word instead.

    Args:
        layer: [..., n, d] as it was computed, of any floating dtype.
    """
    same = same_rows(layer)[..., None, None]
    return torch.where(same, layer[..., :1, :], layer) if bool(same.any()) else layer


def words_of(lost: Sequence[str], constant: Sequence[bool], apart: Sequence[str] = ()) -> str:
    """Why metrics are undefined; empty where none is.

    Args:
        lost: their names.
        constant: for each modality whether all layers that are measured are constant.
        apart: what groups of rows leave unknown, each in words; empty ones count for nothing.
    """
    known = list(dict.fromkeys(words for words in apart if words))
    lost = [name for name in lost if not any(words.startswith(f"{name} ") for words in known)]
    return "; ".join([*known, *_unexplained(lost, constant)])


def _unexplained(lost: Sequence[str], constant: Sequence[bool]) -> Iterator[str]:
    fixed = [str(modality) for modality, is_fixed in enumerate(constant, start=1) if is_fixed]
    if lost and fixed:
        which = f"modalit{'y' if len(fixed) == 1 else 'ies'} {' and '.join(fixed)}"
        yield f"representations of {which} are constant"
    elif lost:
        yield f"{', '.join(lost)} cannot be told from these representations"
