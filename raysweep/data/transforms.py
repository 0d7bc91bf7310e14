"""The random networks that make the modalities heterogeneous (the paper's D_phi)."""

from math import sqrt

import numpy as np

from raysweep.data.streams import stream
from raysweep.data.views import Floats

PUBLISHED_TRANSFORMS_SEED = 0
Layer = tuple[Floats, Floats]


class _PublishedUniforms:
    """The float32 uniforms of torch.manual_seed(0) on the CPU, without torch.

    Torch's CPU generator is the Mersenne twister seeded as NumPy's legacy one, and a float32
    uniform is the low 24 bits of a 32-bit output.
    """

    def __init__(self) -> None:
        self._twister = np.random.RandomState(PUBLISHED_TRANSFORMS_SEED)

    def __call__(self, bound: float, size: tuple[int, ...]) -> Floats:
        words = self._twister.randint(0, 2**32, size=size, dtype=np.uint32)
        unit = (words & np.uint32(0xFFFFFF)).astype(np.float32) * np.float32(2.0**-24)
        low, high = np.float32(-bound), np.float32(bound)
        return (unit * (high - low) + low).astype(np.float64)


class _DrawnUniforms:
    """The same for an independent draw."""

    def __init__(self, draw: int) -> None:
        self._source = stream("synthetic", draw, "transforms")

    def __call__(self, bound: float, size: tuple[int, ...]) -> Floats:
        return self._source.uniform(-bound, bound, size=size)


def random_network(features: int, depth: int, draw: int) -> list[Layer]:
    """Affine layers features -> features, depth + 1 of them, with tanh between them.

    Weights [out, in] and biases [out] are uniform within 1 / sqrt(in), torch's default for linear
    layers. The published networks of depth 0, 1, 2, ... come one after another from one stream,
    so depth D is what follows those of all smaller depths; every draw does the same.
    """
    uniforms = _PublishedUniforms() if draw == 0 else _DrawnUniforms(draw)
    bound = 1.0 / sqrt(features)
    layers: list[Layer] = []
    for size in range(depth + 1):
        layers = [
            (uniforms(bound, (features, features)), uniforms(bound, (features,)))
            for _ in range(size + 1)
        ]
    return layers


def apply_network(layers: list[Layer], x: Floats) -> Floats:
    """The network on the [n, d] float64 rows ``x``, in float64 (the paper: float32)."""
    for position, (weight, bias) in enumerate(layers):
        if position > 0:
            x = np.tanh(x)
        x = x @ weight.T + bias
    return x
