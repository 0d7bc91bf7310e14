"""The random networks that make the modalities heterogeneous (the paper's D_phi)."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

import numpy as np

from raysweep.data.combinations import Rule
from raysweep.data.streams import stream
from raysweep.data.views import Floats
from raysweep.errors import InputError
from raysweep.plugins.options import Option

PUBLISHED_TRANSFORMS_SEED = 0
# Each sigmoid layer shrinks the differences between inputs about tenfold: with more of them what
# float64 can hold is used up, and the networks are no longer one to one.
DEEPEST_SIGMOID = 10
Layer = tuple[Floats, Floats]
Uniforms = Callable[[float, tuple[int, ...]], Floats]

TRANSFORMED = {
    "modality_2": (False, True),
    "modality_1": (True, False),
    "both": (True, True),
    "none": (False, False),
}

PARAMETERS = (
    Option(
        "D_phi",
        1,
        "heterogeneity: nonlinear layers of the random network, or its width",
        low=0,
        high=16,
        unit="layers",
    ),
    Option(
        "transformed",
        "modality_2",
        "which modality passes through a random network, each through its own; both: every one",
        choices=tuple(TRANSFORMED),
    ),
    Option(
        "transform",
        "depth",
        "depth: D_phi layers of the modality's width; width: one layer, D_phi^2 times as wide",
        choices=("depth", "width"),
    ),
    Option(
        "activation",
        "tanh",
        "nonlinearity of the random network",
        choices=("tanh", "sigmoid"),
    ),
)


@dataclass(frozen=True)
class Heterogeneity:
    """How the modalities are distorted; the fields are explained in PARAMETERS."""

    D_phi: int = 1
    transformed: str = "modality_2"
    transform: str = "depth"
    activation: str = "tanh"

    def __post_init__(self) -> None:
        deep = self.transform == "depth" and self.activation == "sigmoid"
        if deep and self.D_phi > DEEPEST_SIGMOID:
            raise InputError(
                f"D_phi is {self.D_phi}, expected at most {DEEPEST_SIGMOID} with sigmoid layers "
                "(float64 cannot tell the inputs apart after more)"
            )


RULES = (Rule(("D_phi", "activation", "transform"), Heterogeneity),)


class _PublishedUniforms:
    """The float32 uniforms of torch.manual_seed(0) on the CPU, without torch.

    Torch's CPU generator is the Mersenne twister seeded as NumPy's legacy one, and a float32
    uniform is the low 24 bits of a 32-bit output. Equal to torch's but for float32 rounding.
    """

    def __init__(self) -> None:
        self._twister = np.random.RandomState(PUBLISHED_TRANSFORMS_SEED)

    def __call__(self, bound: float, size: tuple[int, ...]) -> Floats:
        words = self._twister.randint(0, 2**32, size=size, dtype=np.uint32)
        unit = (words & np.uint32(0xFFFFFF)).astype(np.float32) * np.float32(2.0**-24)
        low, high = np.float32(-bound), np.float32(bound)
        return (unit * (high - low) + low).astype(np.float64)


class _DrawnUniforms:
    """The same for a draw that nobody published."""

    def __init__(self, dataset: str, draw: int, end: str = "") -> None:
        self._source = stream(dataset, draw, f"transforms{end}")

    def __call__(self, bound: float, size: tuple[int, ...]) -> Floats:
        return self._source.uniform(-bound, bound, size=size)


def _layer_widths(features: int, size: int, transform: str) -> list[int]:
    """Widths from input to output of the network of heterogeneity ``size``."""
    if transform == "width":
        return [features, features * max(size**2, 1), features]
    return [features] * (size + 2)


def random_networks(
    features: int, heterogeneity: Heterogeneity, dataset: str, draw: int, modalities: int = 2
) -> tuple[list[Layer], ...]:
    """The network of each modality; no layers where a modality stays as it is.

    D_phi + 1 affine layers [out, in] with the activation between them: D_phi = 0 is an affine map.
    Weights and biases are uniform within 1 / sqrt(in), torch's default for linear layers. As in
    the published draw (``synthetic``, 0), the networks of D_phi = 0, 1, 2, ... come one after
    another from one stream, modality 1 before modality 2 where both are distorted. Modalities 3,
    4, ... are distorted where both are, each from a stream of its own.
    """
    published = dataset == "synthetic" and draw == 0
    first: Uniforms = _PublishedUniforms() if published else _DrawnUniforms(dataset, draw)
    sources = [first, first]
    sources += [_DrawnUniforms(dataset, draw, f"/{k}") for k in range(3, modalities + 1)]
    pair = TRANSFORMED[heterogeneity.transformed]
    distorted = [*pair, *[all(pair)] * (modalities - 2)]
    networks: list[list[Layer]] = [[] for _ in sources]
    for size in range(heterogeneity.D_phi + 1):
        widths = _layer_widths(features, size, heterogeneity.transform)
        for modality, uniforms in enumerate(sources):
            if distorted[modality]:
                networks[modality] = [
                    (uniforms(1 / sqrt(fan_in), (out, fan_in)), uniforms(1 / sqrt(fan_in), (out,)))
                    for fan_in, out in pairwise(widths)
                ]
    return tuple(networks)


def apply_network(layers: list[Layer], x: Floats, activation: str) -> Floats:
    """The network on the [n, d] float64 rows ``x``, in float64 (the paper: float32)."""
    for position, (weight, bias) in enumerate(layers):
        if position > 0:
            x = np.tanh(x) if activation == "tanh" else 1 / (1 + np.exp(-x))
        x = x @ weight.T + bias
    return x
