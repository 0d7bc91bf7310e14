"""Views whose information is estimated in a moment."""

import numpy as np

from raysweep.data.views import Splits, Views


def views(seed: int, rows: int = 120) -> Views:
    draw = np.random.default_rng(seed)
    y = draw.integers(0, 2, rows)
    x1, x2 = (draw.normal(size=(rows, 2)) + y[:, None] for _ in range(2))
    parts = np.array_split(np.arange(rows), 3)
    return Views((x1, x2), y, 2, Splits(*parts))
