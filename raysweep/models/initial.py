"""Initial weights of the members of a pack, each from its own seed."""

from collections.abc import Iterable

import numpy as np
import torch

from raysweep.models.shape import Layer, PairShape


def initial_parameters(shape: PairShape, seeds: Iterable[int]) -> torch.Tensor:
    """Draw the initial weights and biases of every member.

    The distribution is that of `torch.nn.Linear`: uniform on +-1/sqrt(inputs), for weights and
    biases alike. Tower 1, tower 2 and the fused head each have a stream of their own, derived
    from the member's seed, so that a tower's weights do not depend on the other tower's shape.

    Args:
        shape: the members' shape.
        seeds: one non-negative seed a member.

    Returns:
        Flat parameters [m, P], float64 on the CPU, P = `shape.parameter_count`.
    """
    asked = [int(seed) for seed in seeds]
    rows = {seed: _draw(shape, seed) for seed in dict.fromkeys(asked)}
    return torch.from_numpy(np.stack([rows[seed] for seed in asked]))


def alignment_generator(seed: int) -> torch.Generator:
    """The stream from which a member's alignment parameters are drawn."""
    generator = torch.Generator()
    generator.manual_seed(int(np.random.SeedSequence(seed, spawn_key=(3,)).generate_state(1)[0]))
    return generator


def _draw(shape: PairShape, seed: int) -> np.ndarray:
    first, second = shape.towers
    groups: list[tuple[Layer, ...]] = [
        (*first.hidden, first.head),
        (*second.hidden, second.head),
        (shape.fused,),
    ]
    parts = []
    for index, layers in enumerate(groups):
        stream = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
        for layer in layers:
            bound = layer.columns**-0.5
            parts.append(stream.uniform(-bound, bound, layer.size))
    return np.concatenate(parts)
