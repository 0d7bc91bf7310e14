"""How a modality that is a sequence of tokens lies in rows of numbers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Tokens:
    """Rows [n, columns]: the tokens of a sample one after another, then how many are real.

    The real tokens come first, what is behind them is padding, all zeros. A row can be taken,
    stacked, compared and hashed like one of any other modality.

    Attributes:
        count: tokens of a row, padding included, >= 1.
        features: of a token, >= 1.

    Example:
        >>> import numpy as np
        >>> from raysweep.data.tokens import Tokens
        >>> tokens = Tokens(count=2, features=3)
        >>> rows = tokens.rows(np.ones((2, 2, 3)), np.array([2, 1]))
        >>> rows.tolist()
        [[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0], [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0]]
    """

    count: int
    features: int

    @property
    def columns(self) -> int:
        """Columns of the rows."""
        return self.count * self.features + 1

    @property
    def words(self) -> str:
        """What it is, for people."""
        return f"{self.count} tokens of {self.features} features"

    def rows(self, x: NDArray[np.generic], lengths: Integers) -> Floats:
        """The rows of samples [n, count, features] of which so many tokens [n] are real."""
        found = np.empty((len(x), self.columns))
        found[:, :-1] = x.reshape(len(x), -1)
        found[:, -1] = lengths
        found[:, :-1][~np.repeat(self._real(lengths), self.features, axis=1)] = 0.0
        return found

    def parted(self, rows: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """The samples [n, count, features] of rows, and which of their tokens are real."""
        x = rows[:, :-1].reshape(len(rows), self.count, self.features)
        return x, self._real(rows[:, -1].astype(np.int64))

    def summary(self, rows: Floats) -> Floats:
        """What is looked at where rows must be short: the mean real token, and their number.

        Returns:
            [n, features + 1]; a sample without any token has mean 0.
        """
        x, real = self.parted(rows)
        # Padding is zero.
        mean = x.sum(axis=1) / np.maximum(real.sum(axis=1), 1)[:, None]
        return np.concatenate((mean, rows[:, -1:]), axis=1)

    def _real(self, lengths: Integers) -> NDArray[np.bool_]:
        return np.arange(self.count) < lengths[:, None]
