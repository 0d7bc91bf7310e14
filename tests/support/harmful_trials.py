"""Trials in which forcing hurts more the more is unique."""

import itertools

import numpy as np
import pandas as pd
from simulate_trials import simulate_forcing

GRID = list(itertools.product([0, 2, 4, 6, 8], [1, 5], [512, 4096], [12, 64]))


def study(effect, **options: object) -> pd.DataFrame:
    """The forcing study's 40 cells with effect(U, width) and four draws each."""
    u, phi, n, width = (list(values) for values in zip(*GRID, strict=True))
    settings: dict[str, object] = {
        "effects": [effect(a, b) for a, b in zip(u, width, strict=True)],
        "draws": 4,
        "seeds": 2,
        "sd_seed": 0.004,
        "criteria": ("alignment", "performance"),
        "characteristics": {
            **{"U": u, "R": [8 - v for v in u], "D_phi": phi, "n_train": n},
            **{"width_1": width, "width_2": width},
        },
    }
    return simulate_forcing(rng=np.random.default_rng(3), **(settings | options))


def harmful(u: int, width: int) -> float:
    """Forcing hurts everywhere: most at width 12 and U = 0, evenly at width 64."""
    return -0.17 + 0.012 * u if width == 12 else -0.05
