"""A generator whose redundancy, uniqueness and synergy are set directly.

The label is four independent sub-labels of one bit, hence 16 classes. Each repeats a source bit
through a binary symmetric channel whose capacity is the wanted information: one source is in both
modalities (pid_R), one in each alone (pid_U1, pid_U2), and one is the exclusive or of a bit of
modality 1 and a bit of modality 2 (pid_S). What is independent adds up, so these capacities are
the decomposition of Bertschinger et al. (2014), and I1 = pid_R + pid_U1, I12 = their sum.

Each modality also has bits that the label does not need: nuisance bits that both share and
private ones of its own. The networks of ``transforms`` distort the modalities as in
``synthetic``.
"""

from math import log

import numpy as np

from raysweep.data.label_model import all_bits
from raysweep.data.observation import binary_entropy
from raysweep.data.parameters import split_sizes
from raysweep.data.rows import draw_rows, split_rows
from raysweep.data.transforms import PARAMETERS as TRANSFORM_PARAMETERS
from raysweep.data.transforms import RULES as TRANSFORM_RULES
from raysweep.data.transforms import Heterogeneity, apply_network, random_networks
from raysweep.data.views import Floats, Information, Population, Views, z_scaling
from raysweep.plugins.options import Option

MOST = log(2)
TASK_BITS = 5
OWN_TASK_BITS = 3
SUB_LABELS = 4


def _capacity(name: str, source: str) -> Option:
    return Option(
        name,
        0.0,
        f"information of the sub-label that repeats {source}; log 2 = 0.6931 is without noise",
        low=0,
        high=MOST,
        unit="nats",
    )


PARAMETERS = (
    _capacity("pid_R", "a bit of both modalities"),
    _capacity("pid_U1", "a bit of modality 1"),
    _capacity("pid_U2", "a bit of modality 2"),
    _capacity("pid_S", "the exclusive or of a bit of each modality"),
    Option("nuisance_bits", 3, "bits of both modalities without use", low=0, high=4, unit="bits"),
    Option("private_bits", 3, "bits of each modality without use", low=0, high=4, unit="bits"),
    *TRANSFORM_PARAMETERS,
    *split_sizes(45_875, 9_830, 9_831),
)

RULES = TRANSFORM_RULES


def flip_probability(capacity: float) -> float:
    """The binary symmetric channel of this capacity in nats, 0..log 2: its flips, 0..0.5."""
    if capacity <= 0:
        return 0.5
    if capacity >= MOST:
        return 0.0
    # Late, as scipy.optimize takes a third of a second to import.
    from scipy.optimize import brentq

    return float(brentq(lambda flip: MOST - binary_entropy(flip) - capacity, 0.0, 0.5, xtol=1e-15))


def _conditional(sources: Floats, flips: Floats) -> Floats:
    """p(label | source bits): [q, 16], from [q, 4] source bits and the four flip probabilities."""
    right = np.stack([1 - flips, flips])
    patterns = all_bits(SUB_LABELS)
    differs = np.abs(sources[:, None, :] - patterns[None, :, :]).astype(np.int64)
    return right[differs, np.arange(SUB_LABELS)].prod(axis=2)


def channels(
    *,
    pid_R: float = 0.0,
    pid_U1: float = 0.0,
    pid_U2: float = 0.0,
    pid_S: float = 0.0,
    nuisance_bits: int = 3,
    private_bits: int = 3,
    D_phi: int = 1,
    transformed: str = "modality_2",
    transform: str = "depth",
    activation: str = "tanh",
    train: int = 45_875,
    validation: int = 9_830,
    test: int = 9_831,
    draw: int = 0,
) -> Views:
    """One draw; the arguments are in PARAMETERS, checked by ``registry.load``.

    x1 and x2 [n, 3 + nuisance_bits + private_bits] float64. A draw has its own rows and
    networks; the label rule has nothing random.

    Raises:
        InputError: more sigmoid layers than float64 can follow.
    """
    heterogeneity = Heterogeneity(D_phi, transformed, transform, activation)
    total = TASK_BITS + nuisance_bits + 2 * private_bits
    bits = all_bits(total)
    shared, only_1, only_2, left, right = bits[:, :TASK_BITS].T
    flips = np.array([flip_probability(capacity) for capacity in (pid_R, pid_U1, pid_U2, pid_S)])
    conditional = _conditional(
        np.stack([shared, only_1, only_2, np.abs(left - right)], axis=1), flips
    )

    common = list(range(TASK_BITS, TASK_BITS + nuisance_bits))
    own = list(range(TASK_BITS + nuisance_bits, total))
    features = OWN_TASK_BITS + nuisance_bits + private_bits
    values = 2 ** np.arange(features)[::-1]
    pair_1 = bits[:, [0, 1, 3, *common, *own[:private_bits]]].astype(np.int64) @ values
    pair_2 = bits[:, [0, 2, 4, *common, *own[private_bits:]]].astype(np.int64) @ values

    sizes = (train, validation, test)
    joint_index, y, _ = draw_rows(conditional / len(conditional), sizes, "channels", draw)
    row_1, row_2 = pair_1[joint_index], pair_2[joint_index]
    networks = random_networks(features, heterogeneity, "channels", draw)
    inputs = all_bits(features)
    inputs_1 = apply_network(networks[0], inputs, activation)
    inputs_2 = apply_network(networks[1], inputs, activation)
    inputs_1 = z_scaling(inputs_1[row_1[:train]])(inputs_1)
    inputs_2 = z_scaling(inputs_2[row_2[:train]])(inputs_2)
    weight = np.full(len(bits), 1.0 / len(bits))
    right_1, right_2, right_both = (
        float(np.prod(np.where(seen, 1 - flips, 0.5)))
        for seen in ([True, True, False, False], [True, False, True, False], [True] * 4)
    )
    return Views(
        inputs=(inputs_1[row_1], inputs_2[row_2]),
        y=y,
        classes=2**SUB_LABELS,
        splits=split_rows(sizes),
        characteristics={
            "nuisance_bits": nuisance_bits,
            "private_bits": private_bits,
            "D_phi": D_phi,
            "transformed": transformed,
            "transform": transform,
            "activation": activation,
        },
        information=Information(
            I1=pid_R + pid_U1,
            I2=pid_R + pid_U2,
            I12=pid_R + pid_U1 + pid_U2 + pid_S,
            I_shared=pid_R,
            I_X1X2=(1 + nuisance_bits) * log(2),
            pid_R=pid_R,
            pid_U1=pid_U1,
            pid_U2=pid_U2,
            pid_S=pid_S,
            bayes_1=right_1,
            bayes_2=right_2,
            bayes_fused=right_both,
        ),
        population=Population.listed((inputs_1, inputs_2), (pair_1, pair_2), weight, conditional),
    )
