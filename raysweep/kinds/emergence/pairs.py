"""Alignment of many pairs of encoders at once: every layer is prepared once, not once a pair."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from raysweep.kinds.emergence.study import EmergentEvaluation
from raysweep.metrics import (
    REGISTRY,
    calibration_of,
    distinguishable_rows,
    score_orders,
    self_scores,
)
from raysweep.metrics.groups import can_be_shuffled, shuffled
from raysweep.metrics.measurement import why_apart
from raysweep.metrics.preprocessing import NONE
from raysweep.seeds import derive_seed

K = TypeVar("K", bound=Hashable)

_MOST_ORDERS = 64
"""Permutations that are compared at once."""


@dataclass(frozen=True)
class PairScore:
    """One alignment metric of one pair of encoders.

    Attributes:
        value: the best over pairs of layers; None where undefined.
        layers: the pair that gave it, counted from 1, such as ``2-3``; empty where undefined.
        distinct: of a metric of neighbours, how many different rows that pair of layers has; where
            undefined, the last layers.
        at: that pair as indices into the layers; (-1, -1) where undefined.
        chance: mean of the value under permuted rows; None without calibration or undefined.
        corrected: the value above chance, as a share of the way to ideal.
        p_value: of the permutation test, the best over layers taken in each permutation too.
    """

    value: float | None
    layers: str
    at: tuple[int, int]
    distinct: tuple[int, int] | None = None
    chance: float | None = None
    corrected: float | None = None
    p_value: float | None = None


@dataclass(frozen=True)
class _Stacked(Generic[K]):
    """The layers of several encoders one after another, and where each encoder's are."""

    layers: list[Tensor]
    places: dict[K, slice]

    @classmethod
    def of(cls, encoders: Mapping[K, Sequence[Tensor]]) -> "_Stacked[K]":
        layers: list[Tensor] = []
        places = {}
        for key, own in encoders.items():
            places[key] = slice(len(layers), len(layers) + len(own))
            layers += [layer[None] for layer in own]
        return cls(layers, places)

    def distinct_rows(self) -> list[int]:
        """Different rows of every layer."""
        return [int(distinguishable_rows(layer)) for layer in self.layers]


def align_pairs(
    encoders_1: Mapping[K, Sequence[Tensor]],
    encoders_2: Mapping[K, Sequence[Tensor]],
    pairs: Sequence[tuple[K, K]],
    evaluation: EmergentEvaluation,
    split: str,
    groups: np.ndarray | None = None,
) -> dict[str, list[PairScore]]:
    """Every metric of the study, the best over pairs of layers, of the pairs asked for.

    Args:
        encoders_1: encoder of modality 1 -> its layers [n, width], already preprocessed.
        encoders_2: the same of modality 2, on the same rows.
        pairs: keys of both sides.
        evaluation: metrics, layers and calibration of the study.
        split: names the rows; permutations are drawn for it.
        groups: int64 [n], rows that belong together, numbered from 0; None where each is alone.

    Returns:
        Metric -> one score a pair, in their order.
    """
    first, second = _Stacked.of(encoders_1), _Stacked.of(encoders_2)
    rows = first.layers[0].shape[1]
    counts = None
    if any(REGISTRY[name].of_neighbours for name in evaluation.metrics):
        counts = first.distinct_rows(), second.distinct_rows()
    found: dict[str, list[PairScore]] = {}
    shuffles = evaluation.calibrate if can_be_shuffled(groups) else 0
    for name, options in evaluation.metrics.items():
        if why_apart(name, options, groups):
            found[name] = [PairScore(None, "", (-1, -1)) for _ in pairs]
            continue
        scores = torch.cat(
            [
                score_orders(name, first.layers, second.layers, orders, options, NONE, groups)[:, 0]
                for orders in _orders(rows, shuffles, split, groups)
            ]
        )
        selves: list[Tensor] = []
        if shuffles and REGISTRY[name].ideal_from_self:
            selves = [
                self_scores(name, side.layers, options, NONE, groups) for side in (first, second)
            ]
        found[name] = []
        for one, two in pairs:
            at = first.places[one], second.places[two]
            ideal = tuple(of[:, place] for of, place in zip(selves, at, strict=False))
            score = _score(name, scores[:, None, at[0], at[1]], evaluation.layers, ideal or None)
            if counts is not None and REGISTRY[name].of_neighbours:
                own = [of[place] for of, place in zip(counts, at, strict=True)]
                score = replace(score, distinct=(own[0][score.at[0]], own[1][score.at[1]]))
            found[name].append(score)
    return found


def _orders(
    rows: int, permutations: int, split: str, groups: np.ndarray | None
) -> Iterator[Tensor]:
    """The true order, then the permutations, in parts; the same for every pair and run."""
    draw = np.random.default_rng(derive_seed("calibration", split))
    whole = [np.arange(rows), *(shuffled(groups, rows, draw) for _ in range(permutations))]
    for start in range(0, len(whole), _MOST_ORDERS):
        yield torch.from_numpy(np.stack(whole[start : start + _MOST_ORDERS]))


def _score(name: str, scores: Tensor, layers: str, own: tuple[Tensor, ...] | None) -> PairScore:
    """The score of a pair from those [orders, 1, L1, L2] of its layers in every order."""
    found = calibration_of(REGISTRY[name], scores, own)
    value = _number(found.raw)
    pair = ""
    if value is not None and layers == "best":
        pair = f"{int(found.layer_1) + 1}-{int(found.layer_2) + 1}"
    at = int(found.layer_1), int(found.layer_2)
    if found.permutations == 0:
        return PairScore(value, pair, at)
    return PairScore(
        value,
        pair,
        at,
        chance=_number(found.chance),
        corrected=_number(found.corrected),
        p_value=_number(found.p_value),
    )


def _number(value: Tensor) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None
