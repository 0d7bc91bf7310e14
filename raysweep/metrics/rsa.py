"""Representational similarity analysis: the correlation of two sets of dissimilarities."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from raysweep.metrics.features import RESOLUTION, unit_scaled
from raysweep.metrics.gram import angular_distances, squared_distances
from raysweep.metrics.pairs import score_pairs, square_bytes

DISSIMILARITIES = ("correlation", "cosine", "euclidean")
CORRELATIONS = ("pearson", "spearman")

_AT_ONCE = 2**17
"""Dissimilarities that are worked on at once."""


def rsa(
    xs: Sequence[Tensor],
    ys: Sequence[Tensor],
    orders: Tensor,
    *,
    correlation: str,
    dissimilarity: str,
) -> Tensor:
    """Correlation between the dissimilarities of all pairs of rows, [p, m, L1, L2] in -1..1.

    Kriegeskorte et al. 2008 (doi 10.3389/neuro.06.004.2008): dissimilarity 1 - Pearson of two
    rows, compared by rank. Ranks of ties (up to rounding) are averaged.
    NaN where all dissimilarities of a side are equal.
    """

    def standardized(features: Tensor) -> Tensor:
        return standardized_dissimilarities(features, correlation, dissimilarity)

    return score_pairs(
        xs,
        ys,
        orders,
        left=standardized,
        right=standardized,
        reorder=_reorder,
        compare=_product,
        state_bytes=square_bytes(xs) // 2,
    )


def standardized_dissimilarities(features: Tensor, correlation: str, dissimilarity: str) -> Tensor:
    """Dissimilarities (or their ranks) of all pairs i < j, row after row, mean 0 and norm 1."""
    if dissimilarity == "euclidean":
        values = squared_distances(unit_scaled(features)[0]).sqrt_()
        least = 0.0
    else:
        values = angular_distances(features, centred=dissimilarity == "correlation")
        # Of unit rows: their rounding turns them by an angle, and ties are about the angle.
        least = 1.0
    if correlation == "spearman":
        if dissimilarity != "euclidean":
            values.sqrt_()
        _rank(values, least)
    scale = torch.linalg.vector_norm(values)
    values.sub_(values.mean())
    norm = torch.linalg.vector_norm(values)
    return values.div_(torch.where(norm > RESOLUTION * scale, norm, torch.nan))


def _product(a: Tensor, b: Tensor) -> Tensor:
    """The inner product, summed in parts, which keeps the digits of millions of terms."""
    parts = zip(a.split(_AT_ONCE), b.split(_AT_ONCE), strict=True)
    return torch.stack([torch.dot(one, other) for one, other in parts]).sum()


def _reorder(values: Tensor, order: Tensor) -> Tensor:
    """Values of all pairs i < j after the rows were put in `order`."""
    n = len(order)
    found = torch.empty_like(values)
    size = max(1, _AT_ONCE // n)
    done = 0
    for start in range(0, n - 1, size):
        rows = range(start, min(start + size, n - 1))
        others = torch.cat([order[row + 1 :] for row in rows])
        lengths = torch.tensor([n - 1 - row for row in rows], device=order.device)
        own = order[rows.start : rows.stop].repeat_interleave(lengths)
        low, high = torch.minimum(own, others), torch.maximum(own, others)
        place = low * (2 * n - 3 - low) // 2 + high - 1
        found[done : done + len(place)] = values[place]
        done += len(place)
    return found


def _rank(values: Tensor, least: float) -> None:
    """Puts ranks from 1 in place of values of 0 and above; ties share their mean rank.

    Values are tied that differ by at most `RESOLUTION` of themselves, or of `least` if that is
    more. Among millions many are that near to the next without being equal: a chain of such steps
    is cut into windows, lest it count as one tie from end to end.

    Values and their places are sorted as single integers, the value's leading digits above the
    place, and ranks are sorted back by place. Numbers alone sort ten times faster than an order of
    places does, and millions of random reads cost more than a sort. The values themselves are
    looked at where leading digits do not tell them apart.
    """
    count = len(values)
    bits = count.bit_length()
    largest = float(values.max())
    scale = (2.0 ** (62 - bits) - 1) / (largest if largest > 0 else 1.0)
    reach = min(1 + math.ceil(RESOLUTION * max(largest, least) * scale), 2**62)
    keys = torch.empty(count, dtype=torch.int64, device=values.device)
    for part in _parts(count):
        keys[part] = (values[part] * scale).to(torch.int64) << bits
        keys[part] += torch.arange(part.start, part.stop, device=keys.device)
    _sort(keys)
    start = 0
    while start < count:
        stop = _end_of_run(keys, start, bits, reach)
        place = keys[start:stop] & ((1 << bits) - 1)
        twice = torch.arange(2 + 2 * start, 2 + 2 * stop, 2, device=keys.device)
        far = torch.ones(stop - start + 1, dtype=torch.bool, device=keys.device)
        far[1:-1] = (keys[start:stop] >> bits).diff() > reach
        near = torch.nonzero(~(far[1:] & far[:-1]))[:, 0]
        if len(near) > 0:
            run = far[:-1].cumsum(dim=0)[near]
            place[near], twice[near] = _twice_ranks(place[near], values, run, twice[near], least)
        keys[start:stop] = (place << (bits + 1)) | twice
        start = stop
    _sort(keys)
    for part in _parts(count):
        values[part] = (keys[part] & ((2 << bits) - 1)) * 0.5


def _parts(count: int) -> list[slice]:
    return [slice(at, min(at + _AT_ONCE, count)) for at in range(0, count, _AT_ONCE)]


def _sort(keys: Tensor) -> None:
    if keys.device.type == "cpu":
        # numpy sorts ten times faster than torch.
        keys.numpy().sort()
    else:
        keys.copy_(keys.sort().values)


def _end_of_run(keys: Tensor, start: int, bits: int, reach: int) -> int:
    """Where a part of sorted keys may end: before one whose leading digits are out of reach."""
    size = _AT_ONCE
    while start + size < len(keys):
        last = keys[start + size // 2 : start + size + 1] >> bits
        gaps = torch.nonzero(last.diff() > reach)[:, 0]
        if len(gaps) > 0:
            return start + size // 2 + int(gaps[-1]) + 1
        size *= 2
    return len(keys)


def _twice_ranks(
    place: Tensor, values: Tensor, run: Tensor, twice: Tensor, least: float
) -> tuple[Tensor, Tensor]:
    """The places of a few values in the order of these, and twice their ranks.

    Args:
        place: of the values, run after run.
        values: all of them.
        run: which run of leading digits in reach of each other each belongs to.
        twice: twice the ranks that the runs have.
        least: as in `_rank`.
    """
    ordered = values[place]
    if bool(((ordered[1:] < ordered[:-1]) & (run[1:] == run[:-1])).any()):
        by_value = ordered.argsort(stable=True)
        source = by_value[run[by_value].argsort(stable=True)]
        place, ordered = place[source], ordered[source]
    tolerance = RESOLUTION * ordered.clamp(min=least)
    starts = torch.ones_like(ordered, dtype=torch.bool)
    starts[1:] = (ordered.diff() > tolerance[1:]) | (run.diff() > 0)
    first = torch.nonzero(starts)[:, 0]
    last = torch.cat([first[1:] - 1, first.new_tensor([len(ordered) - 1])])
    if bool((ordered[last] - ordered[first] > tolerance[first]).any()):
        chain = starts.cumsum(dim=0) - 1
        window = torch.floor((ordered - ordered[first][chain]) / tolerance[first][chain])
        starts[1:] |= torch.nan_to_num(window).diff() > 0
        first = torch.nonzero(starts)[:, 0]
    sizes = torch.cat([first[1:], first.new_tensor([len(ordered)])]) - first
    return place, (twice[first] + sizes - 1).repeat_interleave(sizes)
