"""How the synthetic label depends on the task bits: weights, temperature, interactions and prior.

Source: Understanding the Emergence of Multimodal Representation Alignment (arXiv 2502.16282),
appendix on the synthetic data, and its released generator, whose order of random numbers is kept.
Interactions, other class counts, imbalance and label noise are additions of this project; at their
defaults nothing of the paper's label changes.
"""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from raysweep.data.streams import stream
from raysweep.data.views import Floats, Integers
from raysweep.errors import InputError

SHARED_BITS = 8
UNIQUE_BITS = 4
TASK_BITS = 8
INTERACTIONS = 2
PUBLISHED_FEATURES_SEED = 1
PUBLISHED_WEIGHTS_SEED = 2


@dataclass(frozen=True)
class LabelSettings:
    """What the label depends on; the fields are explained in ``synthetic.PARAMETERS``."""

    unique_1: int
    unique_2: int
    temperature: float = 0.05
    prior_tolerance: float = 0.01
    classes: int = 4
    imbalance: float = 1.0
    synergy: float = 0.0
    label_noise: float = 0.0
    unique_further: tuple[int, ...] = ()

    @property
    def unique(self) -> tuple[int, ...]:
        """Unique task bits of each modality."""
        return (self.unique_1, self.unique_2, *self.unique_further)


@dataclass(frozen=True)
class LabelModel:
    """p(label | task bits), and which of the bits of each block the task bits are.

    Attributes:
        shared: positions of the task bits in the block of 8 shared bits.
        unique_1: positions of the task bits in the block of 4 bits of modality 1.
        unique_2: positions of the task bits in the block of 4 bits of modality 2.
        table: [2] * (number of task bits) + [c] float64; the axes are the shared bits, then the
            unique ones of modality 1, then those of modality 2, and so on, each in the order above.
        unique_further: the same positions for modality 3, 4, ...
    """

    shared: tuple[int, ...]
    unique_1: tuple[int, ...]
    unique_2: tuple[int, ...]
    table: Floats
    unique_further: tuple[tuple[int, ...], ...] = ()

    @property
    def unique(self) -> tuple[tuple[int, ...], ...]:
        """Positions of each modality's task bits in its block of 4."""
        return (self.unique_1, self.unique_2, *self.unique_further)

    def axes(self, modality: int) -> range:
        """The axes of ``table`` that are unique bits of a modality, counted from 1."""
        start = len(self.shared) + sum(len(own) for own in self.unique[: modality - 1])
        return range(start, start + len(self.unique[modality - 1]))

    def of_first(self, modalities: int) -> "LabelModel":
        """The label as the first so many modalities know it, two or more: the mean over others."""
        if modalities == len(self.unique):
            return self
        gone = [axis for k in range(modalities, len(self.unique)) for axis in self.axes(k + 1)]
        return replace(
            self,
            table=self.table.mean(axis=tuple(gone)),
            unique_further=self.unique_further[: modalities - 2],
        )


def task_weights(classes: int, draw: int) -> Floats:
    """W [8, c]: uniform on (0, 1), each row divided by its Euclidean norm.

    Draw 0 is RandomState(2).uniform(size=(8, c)), the published weights at c = 4. The rows belong
    to the task bits in the order of LabelModel at every U, so I(X1, X2; Y) is the same at every U.
    """
    size = (TASK_BITS, classes)
    if draw == 0:
        weights = np.random.RandomState(PUBLISHED_WEIGHTS_SEED).uniform(0.0, 1.0, size=size)
    else:
        weights = stream("synthetic", draw, "weights").uniform(0.0, 1.0, size=size)
    return weights / np.linalg.norm(weights, axis=1, keepdims=True)


def interaction_weights(classes: int, draw: int) -> Floats:
    """V [2, c], of the two exclusive ors: made like W, from a stream of their own."""
    source = stream("synthetic", draw, "interactions")
    weights = source.uniform(0.0, 1.0, size=(INTERACTIONS, classes))
    return weights / np.linalg.norm(weights, axis=1, keepdims=True)


def task_positions(draw: int, modalities: int = 2) -> tuple[tuple[int, ...], ...]:
    """Orders of the 8 shared, then of each modality's 4 unique positions; the task takes the first.

    Draw 0 continues RandomState(1) over the three blocks, as the paper does: its choice without
    replacement is the head of a permutation, so the subsets are nested over U. Modalities 3, 4, ...
    have streams of their own.
    """
    blocks = (SHARED_BITS, UNIQUE_BITS, UNIQUE_BITS)
    if draw == 0:
        published = np.random.RandomState(PUBLISHED_FEATURES_SEED)
        orders = [published.permutation(block) for block in blocks]
    else:
        source = stream("synthetic", draw, "features")
        orders = [source.permutation(block) for block in blocks]
    for modality in range(3, modalities + 1):
        orders.append(stream("synthetic", draw, f"features/{modality}").permutation(UNIQUE_BITS))
    return tuple(tuple(int(i) for i in order) for order in orders)


def all_bits(count: int) -> Floats:
    """[2^count, count] float64: every pattern of bits, the first bit the most significant."""
    return np.array(list(product((0.0, 1.0), repeat=count))).reshape(2**count, count)


def class_prior(classes: int, imbalance: float) -> Floats:
    """[c] class probabilities in geometric progression, the first ``imbalance`` times the last."""
    prior = imbalance ** (-np.arange(classes) / (classes - 1))
    return prior / prior.sum()


def _softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def conditional_with_prior(logits: Floats, prior: Floats, tolerance: float) -> Floats:
    """Softmax of the [s, c] logits, its classes rescaled until the mean over s meets ``prior``.

    The paper's iteration: p(y | x) times prior / current prior, normalised, until every class is
    within ``tolerance`` (.01 there, after which the prior is uniform only to that; for another
    prior the tolerance is in proportion to it). What a thousand steps leave, Newton's method on
    the logarithms of the factors takes care of; a tolerance of 0 means 1e-13.

    Raises:
        InputError: no factors reach the prior, as labels are all but certain.
    """
    allowed = max(tolerance, 1e-13) * len(prior) * prior
    conditional = _softmax(logits)
    for _ in range(1000):
        current = conditional.mean(axis=0)
        if (np.abs(current - prior) <= allowed).all():
            return conditional
        conditional = conditional * (prior / current)
        conditional /= conditional.sum(axis=1, keepdims=True)
    return _newton_with_prior(np.log(conditional), prior, allowed)


def _newton_with_prior(logits: Floats, prior: Floats, allowed: Floats) -> Floats:
    """Offsets b that minimise mean logsumexp(logits + b) - prior @ b, whose gradient is the miss.

    Levenberg-Marquardt damping: the Hessian is singular along equal offsets and nearly so where
    labels are nearly certain.
    """
    damping = 1e-3
    conditional = _softmax(logits)
    miss = conditional.mean(axis=0) - prior
    for _ in range(500):
        if (np.abs(miss) <= allowed).all():
            return conditional
        mean = conditional.mean(axis=0)
        hessian = np.diag(mean) - conditional.T @ conditional / len(conditional)
        step = np.linalg.solve(hessian + damping * np.diag(mean), -miss)
        tried = _softmax(logits + step)
        better = tried.mean(axis=0) - prior
        if np.abs(better).max() < np.abs(miss).max():
            logits, conditional, miss, damping = logits + step, tried, better, damping / 10
        else:
            damping *= 10
    raise InputError(
        f"dataset synthetic: the class prior stays {np.abs(miss).max():.2g} from its target; "
        "expected a higher temperature or prior_tolerance"
    )


def label_model(settings: LabelSettings, draw: int) -> LabelModel:
    """The label with so many unique task bits; the others of the eight are shared.

    logits = ((1 - synergy) bits @ W + synergy xors @ V) / temperature, where the two xors combine
    the last two unique bits of modalities 1 and 2 (the last that U makes task bits). Label noise
    then replaces that share of the labels by draws from the class prior. All patterns of the task
    bits are equally likely, so ``table`` is all there is to know.
    """
    s, counts = settings.synergy, settings.unique
    linear_shared = TASK_BITS - sum(counts)
    shared_order, *orders = task_positions(draw, len(counts))
    paired = range(UNIQUE_BITS - INTERACTIONS, UNIQUE_BITS) if s > 0 else range(0)
    ranks = [
        sorted({*range(count), *(paired if number < 2 else ())})
        for number, count in enumerate(counts)
    ]

    blocks = [linear_shared, *map(len, ranks)]
    bits = all_bits(sum(blocks))
    shared, *own = np.split(bits, np.cumsum(blocks)[:-1], axis=1)
    of_task = [block[:, :count] for block, count in zip(own, counts, strict=True)]
    linear = np.concatenate([shared, *of_task], axis=1)
    logits = linear @ task_weights(settings.classes, draw)
    if s > 0:
        left, right = (own[i][:, [ranks[i].index(rank) for rank in paired]] for i in range(2))
        xors = np.abs(left - right)
        logits = (1 - s) * logits + s * (xors @ interaction_weights(settings.classes, draw))
    prior = class_prior(settings.classes, settings.imbalance)
    table = conditional_with_prior(logits / settings.temperature, prior, settings.prior_tolerance)
    if settings.label_noise > 0:
        table = (1 - settings.label_noise) * table + settings.label_noise * table.mean(axis=0)
    first, second, *further = (
        tuple(order[rank] for rank in of) for order, of in zip(orders, ranks, strict=True)
    )
    return LabelModel(
        shared_order[:linear_shared],
        first,
        second,
        table.reshape((2,) * bits.shape[1] + (settings.classes,)),
        tuple(further),
    )


def bits_at(values: Integers, positions: tuple[int, ...], count: int) -> tuple[Integers, ...]:
    """The bits of these values at positions of a block of ``count``, the first most significant."""
    return tuple((values >> (count - 1 - position)) & 1 for position in positions)


def joint_inputs(model: LabelModel) -> tuple[tuple[Integers, ...], Floats]:
    """Every joint input: its row of each modality (of 4,096), and p(label | input).

    Every modality holds the 8 shared bits, then its 4 unique ones; a row is their number, the
    first bit the most significant. Returns [q] int64 for each modality and [q, c] float64, where q
    is 2^16 for two modalities, 2^20 for three, and too much for four.
    """
    shared, *own = np.meshgrid(
        np.arange(2**SHARED_BITS),
        *[np.arange(2**UNIQUE_BITS)] * len(model.unique),
        indexing="ij",
    )
    pairs = tuple((shared * 2**UNIQUE_BITS + block).reshape(-1) for block in own)
    bits = list(bits_at(shared, model.shared, SHARED_BITS))
    for block, positions in zip(own, model.unique, strict=True):
        bits += bits_at(block, positions, UNIQUE_BITS)
    return pairs, model.table[tuple(bits)].reshape(shared.size, -1)
