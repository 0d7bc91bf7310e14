"""A trained pack -> performance and alignment of every member on a named split."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.special
import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from raysweep.data.views import PairedViews, Population
from raysweep.metrics import (
    REGISTRY,
    Calibration,
    Preprocessing,
    best_over_layers,
    calibrate_layers,
    distinguishable_rows_of,
    measure_layers,
)
from raysweep.models.trained import PairForward, TrainedPack
from raysweep.seeds import derive_seed
from raysweep.spec import Evaluation

HEADS = ("1", "2", "fused")
_CHUNK_BYTES = 2**28
_LEAST_CHUNK_ROWS = 64


@dataclass(frozen=True)
class Performance:
    """What the three heads of every member reach on a split.

    Attributes:
        accuracy: head (``1``, ``2``, ``fused``) -> [m] float64 in 0..1.
        loss: head -> [m] float64, mean cross-entropy in nats.
    """

    accuracy: dict[str, np.ndarray]
    loss: dict[str, np.ndarray]


@dataclass(frozen=True)
class AlignmentScore:
    """One alignment metric of every member.

    Attributes:
        value: [m] float64; NaN where the metric is not defined (a constant representation, say).
        layers: for each member the measured pair of layers, ``"2-3"`` for layer 2 of modality 1
            and layer 3 of modality 2, counted from 1; empty where undefined.
        distinct: of a metric of neighbours, how many different rows that pair of layers has after
            preprocessing (`distinguishable_rows`), int64 [m] for each modality; where undefined,
            of the last layers.
        calibration: the value against its distribution under permuted rows, if it was asked for.
    """

    value: np.ndarray
    layers: tuple[str, ...]
    distinct: tuple[np.ndarray, np.ndarray] | None = None
    calibration: Calibration | None = None


def performance(trained: TrainedPack, views: Sequence[PairedViews], split: str) -> Performance:
    """Accuracy and cross-entropy on the rows of a split.

    Args:
        trained: the members.
        views: the k datasets of the pack, equally long.
        split: train, validation or test.
    """
    dataset = trained.dataset
    rows = [getattr(v.splits, split) for v in views]
    labels = torch.as_tensor(np.stack([v.y[r] for v, r in zip(views, rows, strict=True)]))
    n, m = labels.shape[1], len(dataset)
    hits = {head: torch.zeros(m, dtype=torch.float64) for head in HEADS}
    losses = {head: torch.zeros(m, dtype=torch.float64) for head in HEADS}
    for part in _chunks(trained, n):
        x1, x2 = (_stack(views, rows, side, part) for side in ("x1", "x2"))
        y = labels[dataset][:, part]
        for head, logits in _logits(trained, x1, x2).items():
            logits = logits.cpu()
            hits[head] += (logits.argmax(dim=1) == y).sum(dim=1)
            chosen = log_softmax(logits.double(), dim=1).gather(1, y[:, None, :])
            losses[head] -= chosen.sum(dim=(1, 2))
    return Performance(
        {head: (hits[head] / n).numpy() for head in HEADS},
        {head: (losses[head] / n).numpy() for head in HEADS},
    )


def population_performance(
    trained: TrainedPack, views: Sequence[PairedViews]
) -> Performance | None:
    """Expected accuracy and cross-entropy over all inputs, weighted by their probability.

    Free of test noise: every input of both modalities is run once, and the label's conditional
    distribution takes the place of sampled labels.

    Returns:
        None if the inputs of some dataset cannot be listed.
    """
    populations = [v.population for v in views]
    known = [p for p in populations if p is not None]
    if len(known) < len(populations):
        return None
    m = len(trained.dataset)
    accuracy = {head: np.zeros(m) for head in HEADS}
    loss = {head: np.zeros(m) for head in HEADS}
    logits_1, part_1 = _on_inputs(trained, 1, np.stack([p.x1 for p in known]))
    logits_2, part_2 = _on_inputs(trained, 2, np.stack([p.x2 for p in known]))
    joints = [_joints(population) for population in known]
    for member, which in enumerate(trained.dataset):
        population = known[which]
        logits_of = {
            "1": logits_1[member],
            "2": logits_2[member],
            "fused": part_1[member][population.pair_1] + part_2[member][population.pair_2],
        }
        for head, logits in logits_of.items():
            joint = joints[which][head]
            predicted = logits.argmax(axis=1)[:, None]
            accuracy[head][member] = np.take_along_axis(joint, predicted, axis=1).sum()
            loss[head][member] = -(joint * scipy.special.log_softmax(logits, axis=1)).sum()
    return Performance(accuracy, loss)


def alignment_rows(views: PairedViews, split: str, most: int) -> np.ndarray:
    """The rows of a split on which alignment is measured: all, or ``most`` of them at random.

    A pure function of its arguments, so that members and runs are compared on the same rows.
    """
    rows: np.ndarray = getattr(views.splits, split)
    if len(rows) <= most:
        return rows
    generator = np.random.default_rng(derive_seed("alignment rows", split))
    return rows[np.sort(generator.permutation(len(rows))[:most])]


def alignment(
    trained: PairForward,
    views: Sequence[PairedViews],
    split: str,
    evaluation: Evaluation,
    aligned: int | None = None,
) -> dict[str, AlignmentScore]:
    """Every metric of the study on the `alignment_rows` of a split.

    ``layers: last`` compares the representations, ``layers: best`` takes the best over all pairs of
    layers, under permuted rows, too. ``layers: aligned`` compares the layer that the loss compared:
    ``aligned``, counted from 1, or the representations if None.
    """
    chosen = [alignment_rows(view, split, evaluation.rows) for view in views]
    whole = slice(None)
    xs, ys = (
        trained.forward(modality, _stack(views, chosen, side, whole))[0]
        for modality, side in ((1, "x1"), (2, "x2"))
    )
    if evaluation.layers == "best":
        first = (1, 1)
    else:
        named = aligned if evaluation.layers == "aligned" else None
        first = (named or len(xs), named or len(ys))
        xs, ys = xs[first[0] - 1 : first[0]], ys[first[1] - 1 : first[1]]
    preprocessing = Preprocessing(
        clip_quantile=evaluation.preprocessing.clip_quantile,
        normalize=evaluation.preprocessing.normalize,
    )
    # Once for all metrics: sorting for the quantile costs as much as a metric does. In the dtype of
    # the network, which tells a metric what is rounding; the arithmetic is in float64 anyway.
    layers_1 = [preprocessing(layer.mT) for layer in xs]
    layers_2 = [preprocessing(layer.mT) for layer in ys]
    scores = {}
    for name, options in evaluation.metrics.items():
        pairs = measure_layers(name, layers_1, layers_2, options)
        best = best_over_layers(pairs, REGISTRY[name].higher_is_better)
        layers = tuple(
            f"{first[0] + int(a)}-{first[1] + int(b)}" if a >= 0 else ""
            for a, b in zip(best.layer_1, best.layer_2, strict=True)
        )
        distinct = None
        if REGISTRY[name].of_neighbours:
            distinct = (
                distinguishable_rows_of(layers_1, best.layer_1).cpu().numpy(),
                distinguishable_rows_of(layers_2, best.layer_2).cpu().numpy(),
            )
        calibration = None
        if evaluation.calibrate:
            calibration = calibrate_layers(
                name,
                layers_1,
                layers_2,
                options,
                permutations=evaluation.calibrate,
                seed=derive_seed("calibration", split),
            )
        scores[name] = AlignmentScore(best.value.cpu().numpy(), layers, distinct, calibration)
    return scores


def population_joint(population: Population, modality: int) -> np.ndarray:
    """p(input of a modality, label), [p, c] float64."""
    joint = population.weight[:, None] * population.conditional
    pair = (population.pair_1, population.pair_2)[modality - 1]
    inputs = len((population.x1, population.x2)[modality - 1])
    return np.stack([np.bincount(pair, column, inputs) for column in joint.T], axis=1)


def _on_inputs(
    trained: TrainedPack, modality: int, inputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Head logits, and what the modality adds to the fused logits, of inputs [k, p, d].

    The fused head is linear: its logits of a joint input are one part per modality, added up. The
    bias belongs to the part of modality 1. Both are [m, p, c] float64.
    """
    m, other = len(trained.status), (trained.shape.width_2, trained.shape.width_1)[modality - 1]
    logits, parts = [], []
    for rows in _chunks(trained, inputs.shape[1]):
        h, head = _run(trained, modality, torch.as_tensor(inputs[:, rows]))
        nothing = h.new_zeros(m, other, h.shape[2])
        part = trained.fused(h, nothing) if modality == 1 else trained.fused(nothing, h)
        if modality == 2:
            part = part - trained.fused(torch.zeros_like(nothing), torch.zeros_like(h))
        logits.append(head.mT.double().cpu().numpy())
        parts.append(part.mT.double().cpu().numpy())
    return np.concatenate(logits, axis=1), np.concatenate(parts, axis=1)


def _chunks(trained: TrainedPack, rows: int) -> list[slice]:
    """Slices of the rows whose activations fit the memory budget together."""
    shape = trained.shape
    units = shape.depth_1 * shape.width_1 + shape.depth_2 * shape.width_2
    numbers = len(trained.status) * (units + 3 * shape.classes + shape.d1 + shape.d2)
    size = max(_CHUNK_BYTES // (numbers * trained.parameters.element_size()), _LEAST_CHUNK_ROWS)
    return [slice(start, start + size) for start in range(0, rows, size)]


def _run(trained: TrainedPack, modality: int, x: Tensor) -> tuple[Tensor, Tensor]:
    hidden, logits = trained.forward(modality, x)
    return hidden[-1], logits


def _logits(trained: TrainedPack, x1: Tensor, x2: Tensor) -> dict[str, Tensor]:
    h1, logits_1 = _run(trained, 1, x1)
    h2, logits_2 = _run(trained, 2, x2)
    return {"1": logits_1, "2": logits_2, "fused": trained.fused(h1, h2)}


def _stack(
    views: Sequence[PairedViews], rows: Sequence[np.ndarray], side: str, part: slice
) -> Tensor:
    return torch.as_tensor(
        np.stack([getattr(v, side)[r[part]] for v, r in zip(views, rows, strict=True)])
    )


def _joints(population: Population) -> dict[str, np.ndarray]:
    """Head -> p(input, label) of the inputs it sees: [p1, c], [p2, c] and [q, c] for fused."""
    joint = population.weight[:, None] * population.conditional

    return {
        "1": population_joint(population, 1),
        "2": population_joint(population, 2),
        "fused": joint,
    }
