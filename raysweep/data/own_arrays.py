"""Which arrays of the user's file are used, and what is said of the others."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raysweep.data.chosen import prefixes
from raysweep.data.views import Integers
from raysweep.errors import InputError
from raysweep.study.spec.fields import listed

_MOST_TOLD = 10
WEIGHTS = ("weight", "weights", "sample_weight", "sample_weights")


def weights_refused(names: Sequence[str]) -> list[str]:
    """The fault of weights, which nothing here would heed."""
    return [
        f"has an array {name}, and rows are not weighted: neither losses nor accuracies would heed "
        "it; leave it out to count all rows alike (rows that are to count twice may stand twice, "
        "with one number in an array groups)"
        for name in names
        if name.lower() in WEIGHTS
    ]


def unused(names: Sequence[str]) -> list[str]:
    """A sentence on the names of a file that nothing reads; none where all are read."""
    return [f"not used: {listed(prefixes(names), _MOST_TOLD)}"] if names else []


def given_groups(array: NDArray[np.generic], rows: int | None) -> Integers:
    """The groups that a file gives, as int64 from 0.

    Raises:
        InputError: no column of whole numbers or strings, one for each row.
    """
    if array.ndim != 1 or (rows is not None and len(array) != rows):
        raise InputError(
            f"groups has shape {array.shape}, expected ({'n' if rows is None else rows},), equal "
            "for rows that belong together"
        )
    whole = array.dtype.kind == "f" and bool(np.equal(array, np.rint(array)).all())
    if array.dtype.kind not in "iubUS" and not whole:
        way = "; save numpy.array(list(groups), dtype=str)" if array.dtype.kind == "O" else ""
        raise InputError(f"groups has dtype {array.dtype}, expected integers or strings{way}")
    return np.unique(array, return_inverse=True)[1].reshape(-1).astype(np.int64)
