"""The paper's generator: views of random bits, a label of eight of them, exactly known.

Source: Understanding the Emergence of Multimodal Representation Alignment (arXiv 2502.16282).
Eight shared, four unique and four unique bits, all independent and uniform: x1 = [shared,
unique 1], x2 = [shared, unique 2], and a random network of depth D_phi distorts modality 2. The
label depends on eight bits: U unique ones (floor(U / 2) of modality 1, the others of modality 2)
and 8 - U shared ones. All further parameters are additions, without effect at their defaults.

With ``modalities`` M = 3 or 4 every modality has the eight shared bits and four of its own. U is
dealt out as evenly as possible: floor(U / M) bits to each modality, and one more to each of the
last U mod M (at M = 2 the paper's rule). Modalities 3 and 4 have random streams of their own, so
that what is drawn for modalities 1 and 2 stays as it is; where no unique bit of theirs is a task
bit, x1, x2 and y are those of M = 2.

Draw 0 has the published label weights, task bits and networks; its rows are our own. As in the
paper, rows are drawn with replacement and the splits have the same class proportions: here each
split has the proportions of the population, rounded, so that more training rows change no test row.
"""

import functools
from typing import Any

import numpy as np

from raysweep.data.combinations import Rule
from raysweep.data.information import exact_information
from raysweep.data.label_model import (
    SHARED_BITS,
    TASK_BITS,
    UNIQUE_BITS,
    LabelModel,
    LabelSettings,
    all_bits,
    bits_at,
    joint_inputs,
    label_model,
)
from raysweep.data.listed import MOST_LISTED, bit_population
from raysweep.data.observation import FEATURES, MISSING, Observation, flip_mask, missing_rows
from raysweep.data.parameters import split_sizes
from raysweep.data.rows import draw_rows, label_groups, split_rows
from raysweep.data.streams import stream
from raysweep.data.transforms import PARAMETERS as TRANSFORM_PARAMETERS
from raysweep.data.transforms import RULES as TRANSFORM_RULES
from raysweep.data.transforms import Heterogeneity, apply_network, random_networks
from raysweep.data.views import Floats, Information, Integers, Views, z_scaling
from raysweep.errors import InputError
from raysweep.plugins.options import Option

PAIR = 2
MOST_MODALITIES = 4
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
        "of the U unique task bits, those of modality 1; left out: half of them, rounded down; "
        "for two modalities",
        kind="int",
        optional=True,
        low=0,
        high=UNIQUE_BITS,
        unit="bits",
    ),
    Option(
        "modalities",
        None,
        "views of the shared bits, each with 4 bits of its own; left out: 2",
        kind="int",
        optional=True,
        low=PAIR,
        high=MOST_MODALITIES,
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
        "weight of two exclusive ors across two modalities, against the single bits",
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
        "correlation between modality 1 and any other of shared bits that the task does not need",
        low=0,
        high=1,
    ),
    Option("missing_1", 0.0, "share of rows without modality 1", low=0, high=0.95),
    Option("missing_2", 0.0, "share of rows without modality 2", low=0, high=0.95),
    *split_sizes(45_875, 9_830, 9_831),
)


def unique_counts(
    U: int, U1: int | None = None, modalities: int | None = None, synergy: float = 0.0
) -> tuple[int, ...]:
    """Unique task bits of each modality.

    Raises:
        InputError: what does not go together.
    """
    count = PAIR if modalities is None else modalities
    _only_for_pairs(modalities, U1=U1, synergy=synergy)
    if count > PAIR:
        each, left = divmod(U, count)
        return tuple(each + (modality >= count - left) for modality in range(count))
    first = U // 2 if U1 is None else U1
    if not 0 <= U - first <= UNIQUE_BITS:
        low, high = max(0, U - UNIQUE_BITS), min(U, UNIQUE_BITS)
        raise InputError(
            f"dataset synthetic: U1 is {first}, expected {low}..{high} when U is {U} "
            f"(at most {UNIQUE_BITS} unique bits of each modality)"
        )
    return first, U - first


def _only_for_pairs(modalities: int | None, **given: float | None) -> None:
    for name, value in given.items():
        # A synergy of 0 is none; a U1 of 0 asks for something.
        absent = value is None or (name == "synergy" and value == 0)
        if modalities is not None and modalities > PAIR and not absent:
            raise InputError(
                f"dataset synthetic: {name} is {value} and modalities is {modalities}, but {name} "
                f"is defined for two modalities; expected modalities 2, or no {name}"
            )


def _check_counts(U: int, U1: int | None, modalities: int | None) -> None:
    if modalities is None or modalities <= PAIR:
        unique_counts(U, U1)


def _check_label(
    U: int, U1: int | None, modalities: int | None, synergy: float, draw: int, **settings: Any
) -> None:
    """Whether there is such a label; what ``unique_counts`` says is left to it."""
    try:
        one, two, *further = unique_counts(U, U1, modalities, synergy)
    except InputError:
        return
    label = LabelSettings(one, two, synergy=synergy, unique_further=tuple(further), **settings)
    label_model(label, draw)


def _check_flips(**noise: float) -> None:
    for name, chance in noise.items():
        if chance > 0:
            raise InputError(f"{name} is {chance:g}, expected 0")


def _check_joint(modalities: int | None) -> None:
    if modalities is not None and modalities > MOST_LISTED:
        raise InputError(f"modalities is {modalities}, expected {MOST_LISTED} at most")


def _check_loose(nuisance: float, U: int) -> None:
    if nuisance < 1 and U > 0:
        raise InputError(f"nuisance is {nuisance:g}, expected 1 when U is {U}")


RULES = (
    Rule(("U1", "U", "modalities"), _check_counts),
    Rule(("U1", "modalities"), _only_for_pairs),
    Rule(("synergy", "modalities"), _only_for_pairs),
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
            "modalities",
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
JOINTLY = (Rule(("modalities",), _check_joint),)


def _drawn_rows(
    model: LabelModel, sizes: tuple[int, int, int], draw: int
) -> tuple[list[Integers], Integers, Integers]:
    """The clean row of each modality, the label, and the rank in split and label, of all rows.

    The first two modalities are drawn together with the label, the unique bits of each further one
    given what was drawn before it: together p(all bits, label), without a list of all joint inputs.
    """
    pairs, conditional = joint_inputs(model.of_first(PAIR))
    joint_index, y, ranks = draw_rows(conditional / len(conditional), sizes, "synthetic", draw)
    rows = [pair[joint_index] for pair in pairs]
    for modality in range(PAIR + 1, len(model.unique) + 1):
        given = _given_so_far(model.of_first(modality), rows, y)
        steps = given.cumsum(axis=1)
        level = np.empty(len(y))
        for place, own in label_groups(y, sizes):
            source = stream("synthetic", draw, f"rows/{place}/{modality}")
            level[own] = source.random(len(own))[ranks[own]]
        bits = (steps <= (level * steps[:, -1])[:, None]).sum(axis=1)
        rows.append((rows[0] >> UNIQUE_BITS << UNIQUE_BITS) + bits)
    return rows, y, ranks


def _given_so_far(model: LabelModel, rows: list[Integers], y: Integers) -> Floats:
    """[n, 16]: the odds of each pattern of the last modality's unique bits, given all before it."""
    known = list(bits_at(rows[0] >> UNIQUE_BITS, model.shared, SHARED_BITS))
    for row, positions in zip(rows, model.unique, strict=False):
        known += bits_at(row % 2**UNIQUE_BITS, positions, UNIQUE_BITS)
    own = model.unique[-1]
    joint = model.table[tuple(known)].reshape(len(y), 2 ** len(own), -1)
    odds: Floats = joint[np.arange(len(y)), :, y]
    patterns = np.arange(2**UNIQUE_BITS)
    pattern = np.zeros_like(patterns)
    for bit in bits_at(patterns, own, UNIQUE_BITS):
        pattern = 2 * pattern + bit
    return odds[:, pattern]


def _observed_rows(
    rows: list[Integers],
    labels: Integers,
    ranks: Integers,
    sizes: tuple[int, int, int],
    observation: Observation,
    model: LabelModel,
    draw: int,
) -> list[Integers]:
    """The row that each modality shows, MISSING where the modality is missing."""
    shown = [row.copy() for row in rows]
    for place, own in label_groups(labels, sizes):
        rank, count = ranks[own], len(own)
        for modality, row in enumerate(shown, start=1):
            row[own] ^= flip_mask(observation, modality, model.shared, count, place, draw)[rank]
            share = observation.missing(modality)
            row[own[missing_rows(share, modality, count, place, draw)[rank]]] = MISSING
    return shown


def _scaled(inputs: Floats, train_rows: Integers) -> Floats:
    """The 4,096 inputs z-scored with those that training rows show, and zeros for a missing one."""
    shown = train_rows[train_rows != MISSING]
    scaling = z_scaling(inputs[shown] if shown.size else inputs)
    return np.concatenate([scaling(inputs), np.zeros((1, inputs.shape[1]))])


@functools.lru_cache(maxsize=1024)
def _information(
    settings: LabelSettings, draw: int, observation: Observation, with_all: bool
) -> Information:
    """Neither networks nor rows change it, and it takes longer than to draw them."""
    return exact_information(label_model(settings, draw), observation, with_all)


def synthetic(
    *,
    U: int,
    U1: int | None = None,
    modalities: int | None = None,
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
) -> Views:
    """One draw of the generator; the arguments are in PARAMETERS, checked by ``registry.load``.

    Every modality is [n, 12] float64. A missing modality's row is all 0, the mean of the scaled
    features. ``population`` is None where bits are flipped (noise) or nuisance bits loose; of four
    modalities it lists the inputs of each, not the joint ones.

    Raises:
        InputError: U1 does not fit U, or U1 or synergy is given for more than two modalities; more
            sigmoid layers than float64 can follow; or a class prior that the label cannot have.
    """
    unique_1, unique_2, *further = unique_counts(U, U1, modalities, synergy)
    settings = LabelSettings(
        unique_1,
        unique_2,
        temperature,
        prior_tolerance,
        classes,
        imbalance,
        synergy,
        label_noise,
        tuple(further),
    )
    observation = Observation(noise_1, noise_2, nuisance, missing_1, missing_2)
    model = label_model(settings, draw)
    sizes = (train, validation, test)
    clean, y, ranks = _drawn_rows(model, sizes, draw)
    rows = _observed_rows(clean, y, ranks, sizes, observation, model, draw)

    heterogeneity = Heterogeneity(D_phi, transformed, transform, activation)
    networks = random_networks(FEATURES, heterogeneity, "synthetic", draw, len(rows))
    bits = all_bits(FEATURES)
    inputs = tuple(
        _scaled(apply_network(network, bits, activation), row[:train])
        for network, row in zip(networks, rows, strict=True)
    )
    return Views(
        inputs=tuple(x[row] for x, row in zip(inputs, rows, strict=True)),
        y=y,
        classes=classes,
        splits=split_rows(sizes),
        characteristics={
            "R": TASK_BITS - U,
            "U": U,
            "U1": unique_1,
            "U2": unique_2,
            **{f"U{number}": count for number, count in enumerate(further, start=3)},
            **({"modalities": modalities} if modalities is not None else {}),
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
        information=_information(settings, draw, observation, modalities is not None),
        population=bit_population(model, observation, inputs),
    )
