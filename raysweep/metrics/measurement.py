"""Measures alignment: one pair of representations, or all pairs of layers of a pack."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from raysweep.errors import InputError
from raysweep.metrics.features import (
    MINIMUM_ROWS,
    as_features,
    check_layers,
    is_constant,
    is_finite,
)
from raysweep.metrics.groups import as_tensor, group_numbers
from raysweep.metrics.metric import Metric
from raysweep.metrics.preprocessing import NONE, Preprocessing
from raysweep.metrics.registry import find_metric


def measure(
    name: str,
    x: object,
    y: object,
    *,
    groups: object = None,
    preprocessing: Preprocessing = NONE,
    **options: object,
) -> float:
    """Alignment of two representations of the same n samples.

    Args:
        name: a metric of `REGISTRY`.
        x: first representation [n, d1], torch tensor or numpy array of any real dtype; row i is
            sample i.
        y: second representation [n, d2].
        groups: [n] whole numbers or texts, equal for rows that belong together, such as captions of
            one image: they are no neighbours of each other, and in one fold. Metrics without
            neighbours or folds take no notice.
        preprocessing: done to both sides first; nothing by default.
        **options: of that metric.

    Returns:
        The value of exactly these numbers, computed in float64 whatever their dtype; its range and
        direction are in the registry.

    Raises:
        InputError: an unknown metric or option; different n, n < 4, topk >= n, NaN or infinite
            numbers, constant features, or whatever else leaves the metric undefined.

    Example:
        >>> from raysweep import measure
        >>> measure("cka", [[0.0], [1.0], [2.0], [4.0]], [[0.0], [2.0], [4.0], [8.0]])
        1.0

        Five near-copies of each row are each other's neighbours in both sides:

        >>> import numpy as np
        >>> draw = np.random.default_rng(0)
        >>> x, y = (np.repeat(draw.normal(size=(60, 8)), 5, axis=0) for _ in range(2))
        >>> x, y = (side + 0.01 * draw.normal(size=side.shape) for side in (x, y))
        >>> image = np.repeat(np.arange(60), 5)
        >>> measure("mutual_knn", x, y, topk=4) > 0.99
        True
        >>> measure("mutual_knn", x, y, topk=4, groups=image) < 0.05
        True
    """
    left, right = check_pair(name, x, y, preprocessing)
    of = None if groups is None else group_numbers(groups, len(left[0]))
    layers = [left], [right]
    score = float(measure_layers(name, *layers, options, groups=of, preprocessing=preprocessing))
    if math.isnan(score):
        reason = find_metric(name).undefined
        raise InputError(f"metric {name} is not defined for these features: {reason}")
    return score


def check_pair(
    name: str, x: object, y: object, preprocessing: Preprocessing
) -> tuple[Tensor, Tensor]:
    """Both representations as layers [1, n, d], or InputError with what is wrong with them."""
    find_metric(name)
    left, right = as_features(x, "x"), as_features(y, "y")
    right = right.to(left.device)
    if len(left) != len(right):
        raise InputError(
            f"x has {len(left)} rows and y has {len(right)}: row i of both must be the same sample"
        )
    if len(left) < MINIMUM_ROWS:
        raise InputError(f"expected at least {MINIMUM_ROWS} rows (samples), got {len(left)}")
    for side, features in (("x", left[None]), ("y", right[None])):
        if not is_finite(features)[0]:
            raise InputError(f"{side}: expected finite numbers, got NaN or infinity")
        if is_constant(preprocessing(features))[0]:
            raise InputError(
                f"{side}: all rows are the same (constant features) up to the rounding of float64, "
                f"so metric {name} is not defined"
            )
    return left[None], right[None]


def measure_layers(
    name: str,
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    options: Mapping[str, object] | None = None,
    *,
    groups: np.ndarray | None = None,
    preprocessing: Preprocessing = NONE,
) -> Tensor:
    """Alignment of all pairs of layers of every member of a pack.

    Args:
        name: a metric of `REGISTRY`.
        xs: layers of encoder 1, L1 tensors [m, n, d]; the widths may differ.
        ys: layers of encoder 2, L2 tensors [m, n, d], the same samples in the same order.
        options: of that metric.
        groups: int64 [n], rows that belong together, numbered from 0; as for `measure`.
        preprocessing: done to every layer of every member first; nothing by default.

    Returns:
        [m, L1, L2] float64, on the device of the layers. NaN where a layer of that member is
        constant or not finite, or where the metric says it is undefined; other members and
        layers are not touched by it.

    Raises:
        InputError: an unknown metric or option, shapes that do not fit, n < 4 or topk >= n.

    Example:
        >>> import torch
        >>> from raysweep import metrics
        >>> draw = torch.Generator().manual_seed(0)
        >>> layers = [torch.randn(5, 40, d, generator=draw) for d in (2, 3)]
        >>> tuple(metrics.measure_layers("cka", layers, layers).shape)
        (5, 2, 2)
    """
    rows = check_layers(xs, ys)[1]
    identity = torch.arange(rows, device=xs[0].device)[None]
    return score_orders(name, xs, ys, identity, options or {}, preprocessing, groups)[0]


def score_orders(
    name: str,
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    orders: Tensor,
    options: Mapping[str, object],
    preprocessing: Preprocessing,
    groups: np.ndarray | None = None,
) -> Tensor:
    """`measure_layers` for several orders [p, n] of the rows of ys: [p, m, L1, L2]."""
    metric = find_metric(name)
    resolved = metric.resolve(options)
    rows = check_layers(xs, ys)[1]
    _check_fit(metric, resolved, xs, ys, rows)
    known: dict[str, Tensor | None] = {}
    if groups is not None and metric.keeps_groups:
        why = why_apart(name, options, groups)
        if why:
            raise InputError(f"metric {why}")
        known["groups"] = as_tensor(groups, xs[0].device)
    usable_xs, defined_x = _usable(xs, preprocessing)
    usable_ys, defined_y = _usable(ys, preprocessing)
    # Rounding alone would take a copy's score past the end of the range.
    scores = metric.score(usable_xs, usable_ys, orders, **resolved, **known).clamp(*metric.range)
    return torch.where(defined_x[:, :, None] & defined_y[:, None, :], scores, torch.nan)


def why_apart(name: str, options: Mapping[str, object], groups: np.ndarray | None) -> str:
    """Why groups leave a metric undefined: too few rows are outside of one; empty where not.

    Args:
        name: a metric of `REGISTRY`.
        options: of that metric.
        groups: int64 [n], numbered from 0, or none.
    """
    metric = find_metric(name)
    if groups is None or not metric.keeps_groups:
        return ""
    resolved, sizes = metric.resolve(options), np.bincount(groups)
    topk, largest = resolved.get("topk"), int(sizes.max())
    if isinstance(topk, int) and topk > len(groups) - largest:
        return (
            f"{name} looks for topk {topk} neighbours in other groups, and the largest group has "
            f"{largest} of {len(groups)} rows"
        )
    if "folds" in resolved and len(sizes) < 2:
        return f"{name} holds out whole groups, and all rows are one"
    return ""


def _check_fit(
    metric: Metric,
    options: Mapping[str, object],
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    rows: int,
) -> None:
    topk = options.get("topk")
    if isinstance(topk, int) and topk >= rows:
        raise InputError(
            f"metric {metric.name}: topk must be below the number of rows, "
            f"got topk {topk} with {rows} rows"
        )
    if metric.equal_widths:
        widths = sorted({layer.shape[2] for layer in (*xs, *ys)})
        if len(widths) > 1:
            raise InputError(
                f"metric {metric.name} compares rows of equal width, got widths "
                + ", ".join(map(str, widths))
            )


def _usable(layers: Sequence[Tensor], preprocessing: Preprocessing) -> tuple[list[Tensor], Tensor]:
    """Preprocessed layers in float64 that metrics can take, and which are defined: bool [m, L].

    An undefined layer of one member is replaced by made-up features, so that nothing of it can
    reach another layer through a shared product, or stop a decomposition.
    """
    usable, defined = [], []
    threshold = _shared_threshold(layers, preprocessing)
    for layer in layers:
        finite = is_finite(layer)
        if not bool(finite.all()):
            layer = torch.where(finite[:, None, None], layer, 0.0)
        clean = preprocessing(layer, threshold)
        varies = finite & ~is_constant(clean)
        if not bool(varies.all()):
            clean = torch.where(varies[:, None, None], clean, _made_up(clean))
        usable.append(clean)
        defined.append(varies)
    return usable, torch.stack(defined, dim=1)


def _shared_threshold(layers: Sequence[Tensor], preprocessing: Preprocessing) -> Tensor | None:
    """What is clipped in all layers [m, n, d] of a member, [m, 1, 1]; None where it is not one."""
    if not preprocessing.shares_threshold:
        return None
    finite = torch.stack([is_finite(layer) for layer in layers])
    found = torch.zeros((len(layers[0]), 1, 1), dtype=torch.float64, device=layers[0].device)
    for member in torch.nonzero(finite.any(dim=0))[:, 0].tolist():
        known = [layers[index][member] for index in torch.nonzero(finite[:, member])[:, 0].tolist()]
        shared = preprocessing.shared_threshold([known])
        assert shared is not None
        found[member] = shared
    return found


def _made_up(layer: Tensor) -> Tensor:
    """Features [n, d] without constant columns, ties or symmetries."""
    rows, width = layer.shape[1:]
    steps = torch.arange(1, 1 + rows * width, dtype=torch.float64, device=layer.device)
    return steps.square().sin().reshape(rows, width).to(layer.dtype)
