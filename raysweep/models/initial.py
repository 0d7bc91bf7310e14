"""Initial weights of the members of a pack, each from its own seed."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch

from raysweep.models.layout import Layer

Draw = Callable[[np.random.Generator], np.ndarray]
"""Draws the parameters of one group, [count], from a stream."""


FUSED_STREAM = 2
ALIGNMENT_STREAM = 3


def tower_stream(modality: int) -> int:
    """The stream of a tower: 0, 1, then behind those of the fused head and of the alignment."""
    return modality - 1 if modality <= 2 else modality + 1


def draw_members(groups: Mapping[int, Draw], seeds: Iterable[int]) -> torch.Tensor:
    """Draw the initial parameters of every member.

    Every group (tower 1, tower 2, ..., the fused head) has a stream of its own, derived from the
    member's seed, so that a tower's weights do not depend on the other towers.

    Args:
        groups: stream -> what is drawn from it, in the order of the buffer.
        seeds: one non-negative seed a member.

    Returns:
        Flat parameters [m, P], float64 on the CPU.
    """
    asked = [int(seed) for seed in seeds]
    rows = {
        seed: np.concatenate([draw(_stream(seed, i)) for i, draw in groups.items()])
        for seed in dict.fromkeys(asked)
    }
    return torch.from_numpy(np.stack([rows[seed] for seed in asked]))


def draw_linear(layers: Sequence[Layer]) -> Draw:
    """Draws layers as `torch.nn.Linear` does: uniform on +-1/sqrt(inputs), biases alike."""

    def draw(stream: np.random.Generator) -> np.ndarray:
        bounds = [(layer.columns**-0.5, layer.size) for layer in layers]
        return np.concatenate([stream.uniform(-bound, bound, size) for bound, size in bounds])

    return draw


def alignment_generator(seed: int, pair: int = 0) -> torch.Generator:
    """The stream from which a member's alignment parameters of one pair of modalities are drawn.

    Args:
        seed: of the member.
        pair: number of the pair in the order 1-2, 1-3, ..., 2-3, ..., from 0.
    """
    key = (ALIGNMENT_STREAM, pair) if pair else (ALIGNMENT_STREAM,)
    generator = torch.Generator()
    generator.manual_seed(int(np.random.SeedSequence(seed, spawn_key=key).generate_state(1)[0]))
    return generator


def _stream(seed: int, index: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
