"""The paper's generator: two views of 16 random bits, a label of eight of them, exactly known.

Source: Understanding the Emergence of Multimodal Representation Alignment (arXiv 2502.16282).
Eight shared, four unique and four unique bits, all independent and uniform: x1 = [shared,
unique 1], x2 = [shared, unique 2], and a random network of depth D_phi distorts modality 2. The
label depends on eight bits: U unique ones (floor(U / 2) of modality 1, the others of modality 2)
and 8 - U shared ones. All further parameters are additions, without effect at their defaults.

Draw 0 has the published label weights, task bits and networks; its rows are our own. As in the
paper, rows are drawn with replacement and the splits have the same class proportions: here each
split has the proportions of the population, rounded, so that more training rows change no test row.
"""

from typing import Any

import numpy as np

from raysweep.data.combinations import Rule
from raysweep.data.information import exact_information
from raysweep.data.label_model import (
    TASK_BITS,
    UNIQUE_BITS,
    LabelModel,
    LabelSettings,
    all_bits,
    joint_inputs,
    label_model,
)
from raysweep.data.observation import FEATURES, MISSING, Observation, flip_masks, missing_rows
from raysweep.data.parameters import split_sizes
from raysweep.data.rows import SPLIT_NAMES, draw_rows, split_rows
from raysweep.data.transforms import PARAMETERS as TRANSFORM_PARAMETERS
from raysweep.data.transforms import RULES as TRANSFORM_RULES
from raysweep.data.transforms import Heterogeneity, apply_network, random_networks
from raysweep.data.views import Floats, Integers, PairedViews, Population, z_scaling
from raysweep.errors import InputError
from raysweep.options import Option

PARAMETERS = (
    Option(
        "U",
        None,
        "task bits unique to a modality; the other 8 - U are shared",
        kind="int",
        required=True,
        low=0,
        high=TASK_BITS,
        unit="bits",
    ),
    Option(
        "U1",
        None,
        "of the U unique task bits, those of modality 1; left out: half of them, rounded down",
        kind="int",
        optional=True,
        low=0,
        high=UNIQUE_BITS,
        unit="bits",
    ),
    *TRANSFORM_PARAMETERS,
    Option(
        "temperature",
        0.05,
        "of the label's softmax: higher, less information; the paper goes to .05 exp(2)",
        low=0.02,
        high=1000,
    ),
    Option(
        "prior_tolerance",
        0.01,
        "rescaling of the class prior stops within this of its target (0: exact)",
        low=0,
        high=1,
    ),
    Option("classes", 4, "number of labels", low=2, high=10),
    Option(
        "imbalance",
        1.0,
        "probability of the first class over that of the last; geometric between",
        low=1,
        high=1000,
    ),
    Option(
        "synergy",
        0.0,
        "weight of two exclusive ors across the modalities, against the single bits",
        low=0,
        high=1,
    ),
    Option(
        "label_noise",
        0.0,
        "share of labels drawn anew from the class prior",
        low=0,
        high=1,
    ),
    Option(
        "noise_1",
        0.0,
        "probability that a bit of modality 1 is flipped (SNR r^2 / (1 - r^2), r = 1 - 2 noise)",
        low=0,
        high=0.5,
    ),
    Option("noise_2", 0.0, "probability that a bit of modality 2 is flipped", low=0, high=0.5),
    Option(
        "nuisance",
        1.0,
        "correlation between the modalities of shared bits that the task does not need",
        low=0,
        high=1,
    ),
    Option("missing_1", 0.0, "share of rows without modality 1", low=0, high=0.95),
    Option("missing_2", 0.0, "share of rows without modality 2", low=0, high=0.95),
    *split_sizes(45_875, 9_830, 9_831),
)


def _unique_counts(U: int, U1: int | None) -> tuple[int, int]:
    """Unique task bits of modality 1 and of modality 2."""
    first = U // 2 if U1 is None else U1
    if not 0 <= U - first <= UNIQUE_BITS:
        low, high = max(0, U - UNIQUE_BITS), min(U, UNIQUE_BITS)
        raise InputError(
            f"dataset synthetic: U1 is {first}, expected {low}..{high} when U is {U} "
            f"(at most {UNIQUE_BITS} unique bits of each modality)"
        )
    return first, U - first


def _check_label(U: int, U1: int | None, draw: int, **settings: Any) -> None:
    """Whether there is such a label; what ``_unique_counts`` says is left to it."""
    try:
        counts = _unique_counts(U, U1)
    except InputError:
        return
    label_model(LabelSettings(*counts, **settings), draw)


def _check_flips(**noise: float) -> None:
    for name, chance in noise.items():
        if chance > 0:
            raise InputError(f"{name} is {chance:g}, expected 0")


def _check_loose(nuisance: float, U: int) -> None:
    if nuisance < 1 and U > 0:
        raise InputError(f"nuisance is {nuisance:g}, expected 1 when U is {U}")


RULES = (
    Rule(("U1", "U"), _unique_counts),
    *TRANSFORM_RULES,
    Rule(
        (
            "temperature",
            "prior_tolerance",
            "classes",
            "imbalance",
            "synergy",
            "label_noise",
            "U",
            "U1",
        ),
        _check_label,
        drawn=True,
    ),
)
# Flipped or loose bits make the inputs too many (2^24) to list.
LISTED = (
    Rule(("noise_1",), _check_flips),
    Rule(("noise_2",), _check_flips),
    Rule(("nuisance", "U"), _check_loose),
)


def _observed_rows(
    joint_index: Integers,
    labels: Integers,
    ranks: Integers,
    sizes: tuple[int, int, int],
    observation: Observation,
    model: LabelModel,
    draw: int,
) -> tuple[Integers, Integers]:
    """The row of x1 and of x2 that each row shows, MISSING where the modality is missing."""
    pair_1, pair_2, _ = joint_inputs(model)
    row_1, row_2 = pair_1[joint_index], pair_2[joint_index]
    split = np.repeat(np.arange(len(sizes)), sizes)
    for number, name in enumerate(SPLIT_NAMES):
        for label in range(model.table.shape[-1]):
            own = np.flatnonzero((split == number) & (labels == label))
            rank, place = ranks[own], f"{name}/{label}"
            flips_1, flips_2 = flip_masks(observation, model.shared, len(own), place, draw)
            row_1[own] ^= flips_1[rank]
            row_2[own] ^= flips_2[rank]
            lack_1 = missing_rows(observation.missing_1, 1, len(own), place, draw)
            lack_2 = missing_rows(observation.missing_2, 2, len(own), place, draw)
            row_1[own[lack_1[rank]]] = MISSING
            row_2[own[lack_2[rank]]] = MISSING
    return row_1, row_2


def _scaled(inputs: Floats, train_rows: Integers) -> Floats:
    """The 4,096 inputs z-scored with those that training rows show, and zeros for a missing one."""
    shown = train_rows[train_rows != MISSING]
    scaling = z_scaling(inputs[shown] if shown.size else inputs)
    return np.concatenate([scaling(inputs), np.zeros((1, inputs.shape[1]))])


def _population(
    model: LabelModel, observation: Observation, x1: Floats, x2: Floats
) -> Population | None:
    """Every input, unless flipped or loose bits make them too many (2^24) to list."""
    pair_1, pair_2, conditional = joint_inputs(model)
    loose = observation.nuisance < 1 and len(model.shared) < TASK_BITS
    if observation.noise_1 > 0 or observation.noise_2 > 0 or loose:
        return None
    weight = np.full(len(pair_1), 1.0 / len(pair_1))
    lack_1, lack_2 = observation.missing_1, observation.missing_2
    if lack_1 == lack_2 == 0:
        return Population(x1[:MISSING], x2[:MISSING], pair_1, pair_2, weight, conditional)
    every, none = np.arange(MISSING), np.full(MISSING, MISSING)
    per_input = MISSING
    given_1 = _mean_by(pair_1, conditional, per_input)
    given_2 = _mean_by(pair_2, conditional, per_input)
    return Population(
        x1,
        x2,
        np.concatenate([pair_1, every, none, [MISSING]]),
        np.concatenate([pair_2, none, every, [MISSING]]),
        np.concatenate(
            [
                (1 - lack_1) * (1 - lack_2) * weight,
                np.full(per_input, (1 - lack_1) * lack_2 / per_input),
                np.full(per_input, lack_1 * (1 - lack_2) / per_input),
                [lack_1 * lack_2],
            ]
        ),
        np.concatenate([conditional, given_1, given_2, conditional.mean(axis=0, keepdims=True)]),
    )


def _mean_by(group: Integers, values: Floats, groups: int) -> Floats:
    """Means of the [q, c] values over each of the equally large groups: [groups, c]."""
    order = np.argsort(group, kind="stable")
    return values[order].reshape(groups, -1, values.shape[1]).mean(axis=1)


def synthetic(
    *,
    U: int,
    U1: int | None = None,
    D_phi: int = 1,
    transformed: str = "modality_2",
    transform: str = "depth",
    activation: str = "tanh",
    temperature: float = 0.05,
    prior_tolerance: float = 0.01,
    classes: int = 4,
    imbalance: float = 1.0,
    synergy: float = 0.0,
    label_noise: float = 0.0,
    noise_1: float = 0.0,
    noise_2: float = 0.0,
    nuisance: float = 1.0,
    missing_1: float = 0.0,
    missing_2: float = 0.0,
    train: int = 45_875,
    validation: int = 9_830,
    test: int = 9_831,
    draw: int = 0,
) -> PairedViews:
    """One draw of the generator; the arguments are in PARAMETERS, checked by ``registry.load``.

    x1 and x2 [n, 12] float64. A missing modality's row is all 0, the mean of the scaled features.
    ``population`` is None where bits are flipped (noise) or nuisance bits loose.

    Raises:
        InputError: U1 does not fit U, more sigmoid layers than float64 can follow, or a class prior
            that the label cannot have.
    """
    unique_1, unique_2 = _unique_counts(U, U1)
    settings = LabelSettings(
        unique_1, unique_2, temperature, prior_tolerance, classes, imbalance, synergy, label_noise
    )
    observation = Observation(noise_1, noise_2, nuisance, missing_1, missing_2)
    model = label_model(settings, draw)
    sizes = (train, validation, test)
    _, _, conditional = joint_inputs(model)
    joint_index, y, ranks = draw_rows(conditional / len(conditional), sizes, "synthetic", draw)
    row_1, row_2 = _observed_rows(joint_index, y, ranks, sizes, observation, model, draw)

    heterogeneity = Heterogeneity(D_phi, transformed, transform, activation)
    networks = random_networks(FEATURES, heterogeneity, "synthetic", draw)
    bits = all_bits(FEATURES)
    inputs_1 = _scaled(apply_network(networks[0], bits, activation), row_1[:train])
    inputs_2 = _scaled(apply_network(networks[1], bits, activation), row_2[:train])
    return PairedViews(
        x1=inputs_1[row_1],
        x2=inputs_2[row_2],
        y=y,
        classes=classes,
        splits=split_rows(sizes),
        characteristics={
            "R": TASK_BITS - U,
            "U": U,
            "U1": unique_1,
            "U2": unique_2,
            "D_phi": D_phi,
            "transformed": transformed,
            "transform": transform,
            "activation": activation,
            "temperature": temperature,
            "imbalance": imbalance,
            "synergy": synergy,
            "label_noise": label_noise,
            "noise_1": noise_1,
            "noise_2": noise_2,
            "nuisance": nuisance,
            "missing_1": missing_1,
            "missing_2": missing_2,
        },
        information=exact_information(model, observation),
        population=_population(model, observation, inputs_1, inputs_2),
    )
