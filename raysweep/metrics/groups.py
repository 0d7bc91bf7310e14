"""Rows that belong together: captions of one image, visits of one patient."""

import numpy as np
import torch
from torch import Tensor

from raysweep.errors import InputError

ALL_SIZES_DIFFER = "no two groups have as many rows, so that none can change places"
"""Why chance is not known."""


def group_numbers(groups: object, rows: int, place: str = "groups") -> np.ndarray:
    """Groups by numbers, in the order in which the rows first have them.

    Args:
        groups: [n] whole numbers or texts, as an array, a tensor or a list.
        rows: how many there must be.
        place: what is given them, for messages.

    Returns:
        int64 [n], the first row's group is 0.

    Raises:
        InputError: as many values as rows are not there, or values that are no names.

    Example:
        >>> group_numbers(["b", "b", "a"], 3).tolist()
        [0, 0, 1]
    """
    given = groups.detach().cpu().numpy() if isinstance(groups, Tensor) else np.asarray(groups)
    if given.shape != (rows,):
        raise InputError(
            f"{place}: groups have shape {list(given.shape)}, expected [{rows}], one for each row"
        )
    if given.dtype.kind not in "iubUS":
        raise InputError(f"{place}: groups are {given.dtype}, expected whole numbers or texts")
    _, first, of = np.unique(given, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[first.argsort()] = np.arange(len(first))
    numbers: np.ndarray = rank[of.reshape(-1)]
    return numbers


def shuffled(groups: np.ndarray | None, rows: int, draw: np.random.Generator) -> np.ndarray:
    """A random order of rows that takes whole groups to places of others: int64 [n].

    Groups of as many rows change places, their rows in the order that they have. So under
    independence the rows in this order are as likely as those given, and a test against such orders
    is exact; a group whose size no other has stays where it is, which makes chance and p-values
    larger, never smaller.

    Args:
        groups: int64 [n]; None where every row stands alone.
        rows: n.
        draw: where the order is drawn from.
    """
    if groups is None:
        return draw.permutation(rows)
    sizes = np.bincount(groups)
    by_group = np.argsort(groups, kind="stable")
    starts = np.cumsum(sizes) - sizes
    order = np.arange(rows)
    for size in np.unique(sizes):
        alike = np.flatnonzero(sizes == size)
        offsets = np.arange(size)
        places = by_group[starts[alike][:, None] + offsets]
        order[places] = by_group[starts[draw.permutation(alike)][:, None] + offsets]
    return order


def can_be_shuffled(groups: np.ndarray | None) -> bool:
    """Whether any two groups have as many rows, so that `shuffled` has another order."""
    if groups is None:
        return True
    sizes = np.bincount(groups)
    return len(np.unique(sizes)) < len(sizes)


def as_tensor(groups: np.ndarray | None, device: torch.device) -> Tensor | None:
    """Groups as metrics take them."""
    return None if groups is None else torch.from_numpy(groups).to(device)
