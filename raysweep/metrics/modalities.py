"""Alignment of two or more modalities: every pair of them, and the mean over pairs."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raysweep.metrics.best_pair import BestPair, best_over_layers
from raysweep.metrics.calibration import Calibration, calibration_of, ideal_of, self_scores
from raysweep.metrics.groups import shuffled
from raysweep.metrics.measurement import measure_layers, score_orders
from raysweep.metrics.preprocessing import NONE
from raysweep.metrics.registry import find_metric

Layers = Sequence[Tensor]
"""The layers of one modality's encoders, tensors [m, n, d] each."""


@dataclass(frozen=True)
class PairwiseScore:
    """One metric of every member, over all pairs of modalities.

    Attributes:
        pairs: (a, b), counted from 1, a before b -> the best over their pairs of layers.
        mean: [m] float64, the mean over the pairs; NaN where one of them is undefined.
    """

    pairs: Mapping[tuple[int, int], BestPair]
    mean: Tensor


def measure_modalities(
    name: str,
    modalities: Sequence[Layers],
    options: Mapping[str, object],
    groups: np.ndarray | None = None,
) -> PairwiseScore:
    """Measure every pair of modalities, the best over pairs of layers.

    Args:
        name: a metric of `REGISTRY`.
        modalities: the layers of each, the same samples in the same order; already preprocessed.
        options: of that metric.
        groups: int64 [n], rows that belong together, numbered from 0; as for `measure`.

    Raises:
        InputError: as `measure_layers`.

    Example:
        >>> import torch
        >>> from raysweep import metrics
        >>> one = torch.randn(1, 40, 3, generator=torch.Generator().manual_seed(0))
        >>> found = metrics.measure_modalities("cka", [[one], [2 * one], [-one]], {})
        >>> sorted(found.pairs), [round(v, 6) for v in found.mean.tolist()]
        ([(1, 2), (1, 3), (2, 3)], [1.0])
    """
    higher = find_metric(name).higher_is_better
    pairs = {
        (a, b): best_over_layers(measure_layers(name, xs, ys, options, groups=groups), higher)
        for (a, xs), (b, ys) in itertools.combinations(enumerate(modalities, start=1), 2)
    }
    return PairwiseScore(pairs, torch.stack([best.value for best in pairs.values()]).mean(dim=0))


def calibrate_modalities(
    name: str,
    modalities: Sequence[Layers],
    options: Mapping[str, object],
    *,
    permutations: int,
    seed: int,
    groups: np.ndarray | None = None,
) -> Calibration:
    """Calibrates the mean over pairs of modalities of the best score over their pairs of layers.

    Under the null no two modalities belong together: the rows of each but the first are permuted,
    each in an order of its own, and all pairs are scored in these orders. Of two modalities it is
    `calibrate_layers`.

    Args:
        name: a metric of `REGISTRY` that depends on which rows belong together.
        modalities: the layers of each, already preprocessed.
        options: of that metric.
        permutations: how many; with 0 only the score is known.
        seed: of the permutations, which are the same for every member.
        groups: int64 [n], rows that belong together, numbered from 0; as for `calibrate`.

    Returns:
        The calibration, one value per member; its layers say nothing.

    Raises:
        InputError: as `measure_layers`.
    """
    metric = find_metric(name)
    first = modalities[0][0]
    rows = first.shape[1]
    orders = [
        torch.from_numpy(_orders(rows, permutations, seed, index, groups)).to(first.device)
        for index in range(len(modalities))
    ]
    of_themselves = []
    if metric.ideal_from_self:
        of_themselves = [self_scores(name, layers, options, NONE, groups) for layers in modalities]
    found, ideals = [], []
    for a, b in itertools.combinations(range(len(modalities)), 2):
        # Rows are in no order of their own, so what counts is the order of b beside a's.
        relative = orders[b].gather(1, orders[a].argsort(dim=1))
        scores = score_orders(name, modalities[a], modalities[b], relative, options, NONE, groups)
        best = [best_over_layers(of_order, metric.higher_is_better) for of_order in scores]
        found.append(torch.stack([of_order.value for of_order in best]))
        if of_themselves:
            ideals.append(ideal_of(metric, best[0], (of_themselves[a], of_themselves[b])))
    own = (torch.stack(ideals).mean(dim=0)[:, None],) * 2 if ideals else None
    return calibration_of(metric, torch.stack(found).mean(dim=0)[:, :, None, None], own)


def _orders(
    rows: int, permutations: int, seed: int, modality: int, groups: np.ndarray | None
) -> np.ndarray:
    """The orders of a modality's rows (from 0), the true one first: [1 + permutations, rows]."""
    as_given = np.arange(rows)
    if modality == 0:
        return np.tile(as_given, (1 + permutations, 1))
    draw = np.random.default_rng(seed if modality == 1 else (seed, modality))
    return np.stack([as_given, *(shuffled(groups, rows, draw) for _ in range(permutations))])
