"""How the synthetic label depends on the task bits: the paper's weights, temperature and prior.

Source: Understanding the Emergence of Multimodal Representation Alignment (arXiv 2502.16282),
appendix on the synthetic data, and its released generator, whose order of random numbers is kept.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from raysweep.data.streams import stream
from raysweep.data.views import Floats

SHARED_BITS = 8
UNIQUE_BITS = 4
TASK_BITS = 8
PUBLISHED_FEATURES_SEED = 1
PUBLISHED_WEIGHTS_SEED = 2


@dataclass(frozen=True)
class LabelModel:
    """p(label | task bits), and which of the bits of each block the task bits are.

    Attributes:
        shared, unique_1, unique_2: positions of the task bits in the blocks of 8, 4 and 4 bits.
        table: [2] * (number of task bits) + [c] float64; the axes are the shared bits, then the
            unique ones of modality 1, then those of modality 2, each in the order above.
    """

    shared: tuple[int, ...]
    unique_1: tuple[int, ...]
    unique_2: tuple[int, ...]
    table: Floats


def task_weights(classes: int, draw: int) -> Floats:
    """W [8, c]: uniform on (0, 1), each row divided by its Euclidean norm.

    Draw 0 is RandomState(2).uniform(size=(8, c)), the published weights. The rows belong to the
    task bits in the order of LabelModel at every U, so I(X1, X2; Y) is the same at every U.
    """
    size = (TASK_BITS, classes)
    if draw == 0:
        weights = np.random.RandomState(PUBLISHED_WEIGHTS_SEED).uniform(0.0, 1.0, size=size)
    else:
        weights = stream("synthetic", draw, "weights").uniform(0.0, 1.0, size=size)
    return weights / np.linalg.norm(weights, axis=1, keepdims=True)


def task_positions(draw: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Orders of the 8 shared, 4 and 4 unique positions; the task takes the first of each.

    Draw 0 continues RandomState(1) over the three blocks, as the paper does: its choice without
    replacement is the head of a permutation, so the subsets are nested over U.
    """
    blocks = (SHARED_BITS, UNIQUE_BITS, UNIQUE_BITS)
    if draw == 0:
        published = np.random.RandomState(PUBLISHED_FEATURES_SEED)
        orders = [published.permutation(block) for block in blocks]
    else:
        source = stream("synthetic", draw, "features")
        orders = [source.permutation(block) for block in blocks]
    shared, unique_1, unique_2 = (tuple(int(i) for i in order) for order in orders)
    return shared, unique_1, unique_2


def all_bits(count: int) -> Floats:
    """[2^count, count] float64: every pattern of bits, the first bit the most significant."""
    return np.array(list(product((0.0, 1.0), repeat=count))).reshape(2**count, count)


def conditional_with_prior(logits: Floats, prior: Floats, tolerance: float) -> Floats:
    """Softmax of the [s, c] logits, its classes rescaled until the mean over s meets ``prior``.

    The paper's iteration: p(y | x) times prior / current prior, normalised, until every class is
    within ``tolerance`` (.01 there, after which the prior is uniform only to that). A tolerance
    of 0 goes on to 1e-13.
    """
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    conditional = shifted / shifted.sum(axis=1, keepdims=True)
    for _ in range(100_000):
        current = conditional.mean(axis=0)
        if np.abs(current - prior).max() <= max(tolerance, 1e-13):
            break
        conditional = conditional * (prior / current)
        conditional /= conditional.sum(axis=1, keepdims=True)
    return conditional


def label_model(
    unique_1: int, unique_2: int, temperature: float, prior_tolerance: float, draw: int
) -> LabelModel:
    """The label with so many unique task bits; the others of the eight are shared.

    logits = bits @ W / temperature over 4 classes. The 2^8 patterns of the task bits are equally
    likely, so ``table`` is all there is to know.
    """
    classes = 4
    logits = all_bits(TASK_BITS) @ task_weights(classes, draw) / temperature
    prior = np.full(classes, 1.0 / classes)
    table = conditional_with_prior(logits, prior, prior_tolerance)
    shared_order, order_1, order_2 = task_positions(draw)
    return LabelModel(
        shared_order[: TASK_BITS - unique_1 - unique_2],
        order_1[:unique_1],
        order_2[:unique_2],
        table.reshape((2,) * TASK_BITS + (classes,)),
    )
