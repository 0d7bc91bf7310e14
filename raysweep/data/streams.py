"""Random streams of the datasets: one for each (dataset, draw, purpose), independent of all others.

A purpose has its own stream so that, say, more training rows leave the test rows as they are.
"""

from hashlib import sha256

import numpy as np


def stream(dataset: str, draw: int, purpose: str) -> np.random.Generator:
    """A NumPy generator seeded from the three names alone (SHA-256, so equal on every machine)."""
    digest = sha256(f"{dataset}/{draw}/{purpose}".encode()).digest()
    return np.random.default_rng(np.random.SeedSequence(int.from_bytes(digest, "little")))
