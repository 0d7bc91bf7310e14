"""Labels of the user's own, numbered from 0."""

import numpy as np

from raysweep.data.dtypes import Array, as_text, check_dtype
from raysweep.data.views import Integers
from raysweep.errors import InputError


def check_labels(labels: Array, rows: int) -> tuple[Integers, Array]:
    """Labels as int64 0..c-1, and the c names in sorted order.

    Raises:
        InputError: what is wrong with them.
    """
    if labels.ndim != 1 or len(labels) != rows:
        raise InputError(
            f"y has shape {labels.shape}, expected ({rows},), one label for each row of x1"
        )
    check_dtype("y", labels, "iubUS")
    labels = as_text("y", labels)
    if not rows:
        raise InputError("y is empty, expected one label per row")
    names, y = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        raise InputError(f"y has one class ({names[0]!s}), expected at least two")
    return y.reshape(-1).astype(np.int64), names
