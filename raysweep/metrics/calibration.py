"""Calibration against chance: what the same score gives when the rows do not belong together.

Raw values are not comparable across n, d and k: of independent features, CKA is about d / n and
mutual kNN k / (n - 1), and the best over many pairs of layers grows by selection alone. So the rows
of one side are permuted and the same aggregate is computed again (after arXiv 2602.14486).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from raysweep.errors import InputError
from raysweep.metrics.best_pair import BestPair, best_over_layers
from raysweep.metrics.features import check_layers
from raysweep.metrics.groups import ALL_SIZES_DIFFER, can_be_shuffled, group_numbers, shuffled
from raysweep.metrics.measurement import check_pair, score_orders
from raysweep.metrics.metric import Metric
from raysweep.metrics.preprocessing import NONE, Preprocessing
from raysweep.metrics.registry import find_metric

ROUNDING = 1e-9
"""Scores closer than this (times their size, if above 1) count as equal in a p-value."""


@dataclass(frozen=True)
class Calibration:
    """A score against its distribution under permuted rows, per member; all [m] float64.

    Attributes:
        raw: the score: the best over pairs of layers.
        layer_1: int64, the layer of encoder 1 that gave it; -1 if undefined.
        layer_2: int64, the layer of encoder 2 that gave it; -1 if undefined.
        chance: mean of the score under permuted rows.
        chance_std: its standard deviation; chance is known to chance_std / sqrt(permutations).
        p_value: (1 + permutations at least as good) / (1 + permutations).
        corrected: (raw - chance) / (ideal - chance): 0 at chance, 1 at identity; NaN where chance
            already is ideal. Ideal is what the metric says, or, where it says so
            (`Metric.ideal_from_self`), the mean of the two layers' scores with themselves.
        permutations: how many.
    """

    raw: Tensor
    layer_1: Tensor
    layer_2: Tensor
    chance: Tensor
    chance_std: Tensor
    p_value: Tensor
    corrected: Tensor
    permutations: int

    @classmethod
    def joined(cls, parts: "Sequence[Calibration]") -> "Calibration":
        """The calibrations of slices of the members, one after another."""
        names = [field.name for field in fields(cls) if field.name != "permutations"]
        values = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
        return cls(**values, permutations=parts[0].permutations)


def calibrate(
    name: str,
    x: object,
    y: object,
    *,
    permutations: int = 199,
    seed: int = 0,
    groups: object = None,
    preprocessing: Preprocessing = NONE,
    **options: object,
) -> Calibration:
    """Calibrates one pair of representations: `calibrate_layers` with one member and one layer.

    Args:
        name: a metric of `REGISTRY` that depends on which rows belong together.
        x: first representation [n, d1], as for `measure`.
        y: second representation [n, d2].
        permutations: how many; the smallest p-value possible is 1 / (1 + permutations).
        seed: of the permutations.
        groups: [n] whole numbers or texts, equal for rows that belong together, such as captions of
            one image. They keep together under permutation: groups of as many rows change places.
            Without this, rows that repeat make p-values far too small.
        preprocessing: done to both sides first; nothing by default.
        **options: of that metric.

    Raises:
        InputError: as `measure` and `calibrate_layers`.

    Example:
        >>> import numpy as np
        >>> from raysweep import metrics
        >>> x = np.random.default_rng(0).normal(size=(40, 3))
        >>> found = metrics.calibrate("unbiased_cka", x, x[:, :2], permutations=99)
        >>> float(found.p_value)
        0.01

        What is unrelated looks related where every row is there five times:

        >>> x, y = (np.repeat(draw.normal(size=(20, 9)), 5, axis=0) for draw in (
        ...     np.random.default_rng(1), np.random.default_rng(2)))
        >>> float(metrics.calibrate("cka", x, y, permutations=99).p_value)
        0.01
        >>> image = np.repeat(np.arange(20), 5)
        >>> float(metrics.calibrate("cka", x, y, permutations=99, groups=image).p_value) > 0.1
        True
    """
    left, right = check_pair(name, x, y, preprocessing)
    of = None if groups is None else group_numbers(groups, len(left[0]))
    return calibrate_layers(
        name,
        [left],
        [right],
        options,
        permutations=permutations,
        seed=seed,
        groups=of,
        preprocessing=preprocessing,
    )


def calibrate_layers(
    name: str,
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    options: Mapping[str, object] | None = None,
    *,
    permutations: int = 199,
    seed: int = 0,
    groups: np.ndarray | None = None,
    preprocessing: Preprocessing = NONE,
) -> Calibration:
    """Calibrates the best score over pairs of layers, for every member of a pack.

    Args:
        name: a metric of `REGISTRY` that depends on which rows belong together.
        xs: layers of encoder 1, L1 tensors [m, n, d].
        ys: layers of encoder 2, L2 tensors [m, n, d]; their rows are permuted, all layers alike.
        options: of that metric.
        permutations: how many; the smallest p-value possible is 1 / (1 + permutations).
        seed: of the permutations, which are the same for every member: a member's result does
            not depend on its pack.
        groups: int64 [n], rows that belong together, numbered from 0; as for `calibrate`.
        preprocessing: done to every layer first; nothing by default.

    Returns:
        The calibration, one value per member. Undefined scores give NaN throughout; an undefined
        score under a permutation counts against the p-value and is left out of chance.

    Raises:
        InputError: as `measure_layers`; permutations < 1; a metric without pairing or ideal; or
            groups of which no two have as many rows.

    Cost:
        Each layer is prepared once; each permutation costs the comparison of all pairs.
    """
    metric = find_metric(name)
    if not metric.paired or metric.ideal is None:
        raise InputError(
            f"metric {name} does not depend on which rows belong together: "
            "permuting them says nothing"
        )
    if permutations < 1:
        raise InputError(f"permutations: expected at least 1, got {permutations}")
    if not can_be_shuffled(groups):
        raise InputError(f"groups: {ALL_SIZES_DIFFER}; chance is not known")
    rows = check_layers(xs, ys)[1]
    draw = np.random.default_rng(seed)
    shuffles = (shuffled(groups, rows, draw) for _ in range(permutations))
    orders = torch.from_numpy(np.stack([np.arange(rows), *shuffles])).to(xs[0].device)
    scores = score_orders(name, xs, ys, orders, options or {}, preprocessing, groups)
    own = None
    if metric.ideal_from_self:
        own = tuple(
            self_scores(name, side, options or {}, preprocessing, groups) for side in (xs, ys)
        )
    return calibration_of(metric, scores, own)


def self_scores(
    name: str,
    layers: Sequence[Tensor],
    options: Mapping[str, object],
    preprocessing: Preprocessing,
    groups: np.ndarray | None = None,
) -> Tensor:
    """The score of every layer [m, n, d] with itself, [m, L]."""
    identity = torch.arange(layers[0].shape[1], device=layers[0].device)[None]
    found = [
        score_orders(name, [layer], [layer], identity, options, preprocessing, groups)[0, :, 0, 0]
        for layer in layers
    ]
    return torch.stack(found, dim=1)


def calibration_of(
    metric: Metric, scores: Tensor, own: tuple[Tensor, ...] | None = None
) -> Calibration:
    """The calibration of scores that are there.

    Args:
        metric: what was scored.
        scores: [1 + permutations, m, L1, L2], the true order of the rows first (`score_orders`);
            without permutations there are only the score and its layers, all else is NaN.
        own: the `self_scores` of both sides, [m, L1] and [m, L2], of a metric with
            ``ideal_from_self``.
    """
    permutations = len(scores) - 1
    best = best_over_layers(scores[0], metric.higher_is_better)
    if not permutations or metric.ideal is None:
        unknown = torch.full_like(best.value, torch.nan)
        pair = best.layer_1, best.layer_2
        return Calibration(best.value, *pair, unknown, unknown, unknown, unknown, permutations)
    null = torch.stack(
        [best_over_layers(score, metric.higher_is_better).value for score in scores[1:]]
    )
    missing = torch.isnan(null)
    sign = 1.0 if metric.higher_is_better else -1.0
    slack = ROUNDING * best.value.abs().clamp(min=1.0)
    as_good = missing | (sign * (null - best.value) >= -slack)
    defined = torch.where(missing, 0.0, null)
    count = (~missing).sum(dim=0).to(torch.float64)
    chance = defined.sum(dim=0) / count
    around = torch.where(missing, 0.0, null - chance)
    room = ideal_of(metric, best, own) - chance
    undefined = torch.isnan(best.value)
    p_value = (1 + as_good.sum(dim=0).to(torch.float64)) / (1 + permutations)
    return Calibration(
        raw=best.value,
        layer_1=best.layer_1,
        layer_2=best.layer_2,
        chance=chance,
        chance_std=torch.sqrt(around.square().sum(dim=0) / (count - 1)),
        p_value=torch.where(undefined, torch.nan, p_value),
        corrected=(best.value - chance) / torch.where(room.abs() > ROUNDING, room, torch.nan),
        permutations=permutations,
    )


def ideal_of(metric: Metric, best: BestPair, own: tuple[Tensor, ...] | None) -> Tensor:
    """What the best pair of layers would score if it were one representation, [m]."""
    if not metric.ideal_from_self:
        assert metric.ideal is not None
        return torch.full_like(best.value, metric.ideal)
    assert own is not None
    chosen = (best.layer_1, best.layer_2)
    sides = [
        scores.gather(1, layer.clamp(min=0)[:, None])[:, 0]
        for scores, layer in zip(own, chosen, strict=True)
    ]
    return (sides[0] + sides[1]) / 2
