"""How a modality that is images lies in rows of numbers."""

from dataclasses import dataclass

import numpy as np

from raysweep.data.tokens import Floats

_CELLS = 8
"""A summary has at most so many cells along a side."""


@dataclass(frozen=True)
class Images:
    """Rows [n, columns]: the pixels of an image, channel by channel, each from the top row down.

    Attributes:
        channels: >= 1.
        height: pixels, >= 1.
        width: pixels, >= 1.

    Example:
        >>> import numpy as np
        >>> from raysweep.data.images import Images
        >>> images = Images(channels=1, height=2, width=2)
        >>> images.summary(np.array([[0.0, 1.0, 2.0, 3.0]])).tolist()
        [[0.0, 1.0, 2.0, 3.0]]
    """

    channels: int
    height: int
    width: int

    @property
    def columns(self) -> int:
        """Columns of the rows."""
        return self.channels * self.height * self.width

    @property
    def words(self) -> str:
        """What it is, for people."""
        return f"images of {self.channels} x {self.height} x {self.width}"

    def summary(self, rows: Floats) -> Floats:
        """What is looked at where rows must be short: means of a grid of at most 8 x 8 cells.

        Returns:
            [n, channels * cells].
        """
        x = rows.reshape(len(rows), self.channels, self.height, self.width)
        for axis, side in ((2, self.height), (3, self.width)):
            cells = min(side, _CELLS)
            starts = np.arange(cells) * side // cells
            sizes = np.diff(starts, append=side)
            sums = np.add.reduceat(x, starts, axis=axis)
            x = sums / (sizes[:, None] if axis == 2 else sizes)
        return np.ascontiguousarray(x.reshape(len(rows), -1))
