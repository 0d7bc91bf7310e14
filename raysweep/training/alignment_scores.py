"""Every metric of alignment on layers that are there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from raysweep.losses.over_pairs import modality_pairs
from raysweep.metrics import (
    REGISTRY,
    Calibration,
    Preprocessing,
    calibrate_modalities,
    distinguishable_rows_of,
    measure_modalities,
)
from raysweep.metrics.best_pair import BestPair
from raysweep.metrics.groups import ALL_SIZES_DIFFER, can_be_shuffled
from raysweep.metrics.measurement import why_apart
from raysweep.metrics.modalities import Layers, PairwiseScore
from raysweep.metrics.undefined import settled
from raysweep.seeds import derive_seed
from raysweep.study.spec import Evaluation


@dataclass(frozen=True)
class AlignmentScore:
    """One alignment metric of every member.

    Attributes:
        value: [m] float64, the mean over the pairs of modalities; NaN where the metric is not
            defined (a constant representation, say).
        layers: for each member the measured pair of layers, ``"2-3"`` for layer 2 of modality 1
            and layer 3 of modality 2, counted from 1; empty where undefined. Of several pairs of
            modalities one after another, ``"2-3 1-3 1-1"`` for the pairs 1-2, 1-3 and 2-3.
        distinct: of a metric of neighbours, how many different rows those layers have after
            preprocessing (`distinguishable_rows`), int64 [m] for each modality, the fewest of its
            pairs; where undefined, of the last layers.
        calibration: the value against its distribution under permuted rows, if it was asked for.
        pairs: (a, b), counted from 1 -> [m] float64, the value of each pair of modalities.
        apart: why the groups of rows leave the value or its chance unknown, in words; empty where
            they do not. Of one member after another.
    """

    value: np.ndarray
    layers: tuple[str, ...]
    pairs: dict[tuple[int, int], np.ndarray]
    distinct: tuple[np.ndarray, ...] | None = None
    calibration: Calibration | None = None
    apart: tuple[str, ...] = ()


def layer_scores(
    hidden: Sequence[Layers],
    split: str,
    evaluation: Evaluation,
    lowest: Sequence[int],
    groups: np.ndarray | None = None,
) -> dict[str, AlignmentScore]:
    """Every metric of a study on layers that are there.

    Args:
        hidden: of each modality its layers [m, n, d], the same samples in the same order.
        split: what the samples are of.
        evaluation: the metrics, what is done before them, and whether chance is told.
        lowest: number of each modality's first layer, counted from 1.
        groups: int64 [n], rows that belong together, numbered from 0; None where each is alone.
    """
    preprocessing = Preprocessing(
        clip_quantile=evaluation.preprocessing.clip_quantile,
        normalize=evaluation.preprocessing.normalize,
    )
    # Once for all metrics: sorting for the quantile costs as much as a metric does.
    layers = [[preprocessing(settled(layer)) for layer in of_modality] for of_modality in hidden]
    scores = {}
    shuffles = evaluation.calibrate if can_be_shuffled(groups) else 0
    for name, options in evaluation.metrics.items():
        apart, calibration = why_apart(name, options, groups), None
        if apart:
            found, calibration = _nowhere(layers)
        else:
            found = measure_modalities(name, layers, options, groups)
        if evaluation.calibrate and not apart:
            apart = "" if shuffles else ALL_SIZES_DIFFER
            calibration = calibrate_modalities(
                name,
                layers,
                options,
                permutations=shuffles,
                seed=derive_seed("calibration", split),
                groups=groups,
            )
        distinct = None
        if REGISTRY[name].of_neighbours:
            distinct = _distinct(layers, found)
        scores[name] = AlignmentScore(
            found.mean.cpu().numpy(),
            _layer_words(found, lowest),
            {pair: best.value.cpu().numpy() for pair, best in found.pairs.items()},
            distinct,
            calibration if evaluation.calibrate else None,
            (apart,) * len(found.mean),
        )
    return scores


def _nowhere(layers: Sequence[Layers]) -> tuple[PairwiseScore, Calibration]:
    """Of a metric that the groups of rows leave undefined."""
    members = len(layers[0][0])
    lost = torch.full((members,), torch.nan, dtype=torch.float64)
    none = torch.full((members,), -1)
    found = PairwiseScore(
        dict.fromkeys(modality_pairs(len(layers)), BestPair(lost, none, none, -none)), lost
    )
    return found, Calibration(lost, none, none, lost, lost, lost, lost, 0)


def _layer_words(found: PairwiseScore, lowest: Sequence[int]) -> tuple[str, ...]:
    """`AlignmentScore.layers`; ``lowest`` are the numbers of the modalities' first layers."""
    by_pair = [
        [
            f"{lowest[a - 1] + int(one)}-{lowest[b - 1] + int(two)}" if one >= 0 else ""
            for one, two in zip(best.layer_1, best.layer_2, strict=True)
        ]
        for (a, b), best in found.pairs.items()
    ]
    return tuple(" ".join(of_member) for of_member in zip(*by_pair, strict=True))


def _distinct(layers: Sequence[Layers], found: PairwiseScore) -> tuple[np.ndarray, ...]:
    """`AlignmentScore.distinct`."""
    counts: list[list[np.ndarray]] = [[] for _ in layers]
    for (a, b), best in found.pairs.items():
        for modality, layer in ((a, best.layer_1), (b, best.layer_2)):
            own = distinguishable_rows_of(list(layers[modality - 1]), layer)
            counts[modality - 1].append(own.cpu().numpy())
    return tuple(np.minimum.reduce(of_modality) for of_modality in counts)
