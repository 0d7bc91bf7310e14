"""Data of several modalities, to train on."""

import numpy as np

from raysweep.models.shape import MultimodalShape
from raysweep.training.inputs import PackData

M = 6


def make_data(shape: MultimodalShape, rows: int = 60, m: int = M) -> PackData:
    rng = np.random.default_rng(5)

    def split(n: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        y = rng.integers(0, shape.classes, (2, n))
        return tuple(rng.normal(size=(2, n, d)) + y[..., None] * 0.4 for d in shape.inputs), y

    return PackData(*split(rows), *split(30), dataset=np.arange(m) % 2)
