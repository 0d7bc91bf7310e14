"""How much memory a pack of an emergence study takes."""

from collections import Counter

import numpy as np

from raysweep.data.registry import load
from raysweep.kinds.emergence.encoders import CHUNK_ROWS, alone
from raysweep.kinds.emergence.families import EncoderTrial
from raysweep.kinds.emergence.study import EmergenceStudy
from raysweep.models.architecture import Architecture
from raysweep.trials.packing import Pack


def family_bytes(study: EmergenceStudy, pack: Pack, device: str = "cpu") -> int:
    """Estimated peak memory of a pack, in bytes: its data, the largest stack, all layers."""
    trials = [trial for trial in pack.trials if isinstance(trial, EncoderTrial)]
    cell = trials[0].cell
    view = load(cell.dataset, dict(cell.parameters), trials[0].draw)
    inputs = view.x1.shape[1], view.x2.shape[1]
    size = np.dtype(study.training.dtype).itemsize
    datasets = len({(trial.cell.parameters, trial.draw) for trial in trials})
    # Loaded, stacked and held by the engine.
    data = datasets * len(view.y) * sum(inputs) * (8 + 8 + 2 * size)
    stacks: Counter[Architecture] = Counter()
    layers = 0
    for modality in (1, 2):
        encoders = set()
        for trial in trials:
            if trial.modality in (0, modality):
                own = trial.cell
                depth = (own.depth_1, own.depth_2)[modality - 1]
                width = (own.width_1, own.width_2)[modality - 1]
                variant = own.parameters if modality == 2 else ()
                encoders.add((depth, width, variant, trial.draw, trial.seed, trial.rates))
        for depth, width, *_ in encoders:
            stacks[alone(cell, view.alone(modality), modality, depth, width)] += 1
            rows = min(study.evaluation.rows, len(view.splits.test))
            # Both splits, with the bits of a metric of neighbours.
            layers += depth * rows * (2 * width * size + rows // 8)
    batch = min(study.training.batch_size, len(view.splits.train))
    # Afterwards all layers of a whole chunk of rows are there at once, once each.
    population = 0 if view.population is None else len(view.population.x1)
    chunk = min(CHUNK_ROWS, max(len(view.y), population))
    stack = 0
    for shape, count in stacks.items():
        columns = 3 * batch if shape.in_parts else max(3 * batch, chunk)
        of_inputs = chunk * sum(shape.inputs) if shape.in_parts else 0
        of_member = 10 * shape.parameter_count + columns * _features(shape) + of_inputs
        stack = max(stack, count * of_member)
    return data + stack * size + layers


def _features(shape: Architecture) -> int:
    """Numbers of a row in an encoder's step: inputs, activations, a gradient as wide as a layer."""
    return sum(shape.inputs) + shape.activations + sum(shape.widths)
