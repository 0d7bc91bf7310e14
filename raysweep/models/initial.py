"""Initial weights of the members of a pack, each from its own seed."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch

from raysweep.models.layout import Layer

Draw = Callable[[np.random.Generator], np.ndarray]
"""Draws the parameters of one group, [count], from a stream."""


def draw_members(groups: Sequence[Draw], seeds: Iterable[int], first: int = 0) -> torch.Tensor:
    """Draw the initial parameters of every member.

    Every group (tower 1, tower 2, the fused head) has a stream of its own, derived from the
    member's seed, so that a tower's weights do not depend on the other tower.

    Args:
        groups: in the order of the buffer.
        seeds: one non-negative seed a member.
        first: stream of the first group; 1 draws a tower alone as tower 2 of a pair is drawn.

    Returns:
        Flat parameters [m, P], float64 on the CPU.
    """
    asked = [int(seed) for seed in seeds]
    rows = {
        seed: np.concatenate(
            [draw(_stream(seed, index)) for index, draw in enumerate(groups, first)]
        )
        for seed in dict.fromkeys(asked)
    }
    return torch.from_numpy(np.stack([rows[seed] for seed in asked]))


def draw_linear(layers: Sequence[Layer]) -> Draw:
    """Draws layers as `torch.nn.Linear` does: uniform on +-1/sqrt(inputs), biases alike."""

    def draw(stream: np.random.Generator) -> np.ndarray:
        bounds = [(layer.columns**-0.5, layer.size) for layer in layers]
        return np.concatenate([stream.uniform(-bound, bound, size) for bound, size in bounds])

    return draw


def alignment_generator(seed: int) -> torch.Generator:
    """The stream from which a member's alignment parameters are drawn."""
    generator = torch.Generator()
    generator.manual_seed(int(np.random.SeedSequence(seed, spawn_key=(3,)).generate_state(1)[0]))
    return generator


def _stream(seed: int, index: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
