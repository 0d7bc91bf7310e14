"""A pack that a process trains with the kernel."""

import numpy as np

from raysweep.models.shape import MultimodalShape
from raysweep.training.inputs import Members, PackData, TrainSettings
from raysweep.training.train import train_pack


def trained() -> np.ndarray:
    draw = np.random.default_rng(0)
    m, n = 3, 150
    x1, x2 = draw.standard_normal((2, 1, n, 6))
    y = draw.integers(0, 3, (1, n))
    each = np.ones(m)
    members = Members(
        init_seed=np.arange(m),
        order_seed=np.arange(m),
        learning_rate=0.01 * each,
        weight_decay=0.01 * each,
        strength=np.array([0.0, 0.3, 3.0]),
        clip_norm=each,
        placebo=np.array([False, False, True]),
    )
    data = PackData((x1, x2), y, (x1[:, :40], x2[:, :40]), y[:, :40], np.zeros(m))
    settings = TrainSettings(epochs=3, batch_size=64, dtype="float64", engine="kernel")
    shape = MultimodalShape((6, 6), 3, depths=(2, 1), widths=(8, 8))
    return train_pack(shape, members, data, settings).parameters.numpy()
