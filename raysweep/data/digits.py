"""Handwritten digits seen from two sides: the left and the right columns of each image.

The 1,797 images of 8 x 8 pixels that scikit-learn ships (UCI "Optical Recognition of Handwritten
Digits", test set). ``overlap`` columns are in both views, so redundancy is turned on real data.
"""

import contextlib
import gzip
import importlib.util
from pathlib import Path

import numpy as np

from raysweep.data.combinations import Rule
from raysweep.data.images import Images
from raysweep.data.parameters import split_sizes
from raysweep.data.stratify import stratified_splits
from raysweep.data.streams import stream
from raysweep.data.views import Floats, Scaling, Views
from raysweep.errors import InputError
from raysweep.plugins.options import Option

COLUMNS = 8
ROWS = 1797

PARAMETERS = (
    Option(
        "overlap",
        None,
        "columns that both views see; an odd one gives view 1 a column more than view 2",
        kind="int",
        required=True,
        low=0,
        high=COLUMNS,
        unit="columns",
    ),
    *split_sizes(1257, 270, 270),
)


def _check_rows(train: int, validation: int, test: int) -> None:
    wanted = train + validation + test
    if wanted > ROWS:
        raise InputError(
            f"dataset digits: train + validation + test = {wanted} rows, there are {ROWS}"
        )


RULES = (Rule(("train", "validation", "test"), _check_rows),)


def _scaling(train: Floats) -> Scaling:
    """Centres each pixel, and divides by one sd for all of them.

    Pixels at the margin are almost always blank; a sd of their own would let single rows shout.
    """
    centre = train.mean(axis=0)
    sd = float(np.sqrt(np.mean((train - centre) ** 2)))
    return Scaling(centre, np.full(train.shape[1], sd))


def _table() -> Floats:
    """The images and their digits, [1797, 65] float64.

    From scikit-learn's file where it lies in its place: importing the library takes over a second
    and 100 MB.
    """
    package = importlib.util.find_spec("sklearn")
    for folder in (package.submodule_search_locations or ()) if package else ():
        path = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        with contextlib.suppress(OSError, ValueError), gzip.open(path, "rt") as lines:
            table = np.loadtxt(lines, delimiter=",")
            if table.shape == (ROWS, COLUMNS * COLUMNS + 1):
                return table
    from sklearn.datasets import load_digits

    images, y = load_digits(return_X_y=True)
    return np.column_stack([images.astype(np.float64), y])


def digits(
    *, overlap: int, train: int = 1257, validation: int = 270, test: int = 270, draw: int = 0
) -> Views:
    """Digits 0..9, x1 the left 4 + ceil(overlap / 2) columns, x2 the right 4 + floor(overlap / 2).

    Each view is an image of one channel, 8 pixels high. A draw is another split.

    Raises:
        InputError: the splits want more rows than there are.
    """
    _check_rows(train, validation, test)
    table = _table()
    images = table[:, :-1].reshape(ROWS, COLUMNS, COLUMNS)
    y = table[:, -1].astype(np.int64)
    left, right = COLUMNS // 2 + (overlap + 1) // 2, COLUMNS // 2 + overlap // 2
    x1 = images[:, :, :left].reshape(ROWS, -1)
    x2 = images[:, :, COLUMNS - right :].reshape(ROWS, -1)
    splits = stratified_splits(y, train, validation, test, stream("digits", draw, "splits"))
    return Views(
        inputs=(_scaling(x1[splits.train])(x1), _scaling(x2[splits.train])(x2)),
        y=y,
        classes=10,
        splits=splits,
        characteristics={"overlap": overlap},
        layouts=(Images(1, COLUMNS, left), Images(1, COLUMNS, right)),
    )
