"""The BROJA decomposition of I(X1, X2; Y) into redundancy, two uniquenesses and synergy.

Bertschinger, Rauh, Olbrich, Jost, Ay (2014), Quantifying unique information, equations 5-8:
I(X1, X2; Y) is minimised over all joint distributions Q that keep p(x1, y) and p(x2, y); what the
minimum leaves is redundancy I1 + I2 - I_Q, uniqueness I_Q - I2 of modality 1 and I_Q - I1 of
modality 2, and synergy I12 - I_Q.

The minimum is found by alternating scaling. I_Q is the smallest KL(Q || r(x1, x2) p(y)) over r, so
Q and r take turns: given r, every class's Q is r scaled to its two margins (a Sinkhorn step); given
Q, r is Q's margin. Both steps lower the same convex function.

How near the minimum is, is not guessed. Any Q with these margins bounds it from above; the scales
bound it from below, by the dual problem (Makkeh, Theis, Vicente 2018, BROJA-2PID). The iteration
ends where the two bounds are near enough.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from raysweep.data.views import Floats

# r never falls below this share of the product of its margins: from 0 nothing comes back, and what
# came too near to it takes thousands of steps to grow again where it has to.
_LEAST_SHARE = 1e-5
_BOUNDED_FIRST, _BOUNDED_EVERY = 32, 512  # steps; bounds take as long as many of them


@dataclass(frozen=True)
class Decomposition:
    """The four parts of I(X1, X2; Y), in nats.

    Attributes:
        redundancy: what either modality tells.
        unique_1: what modality 1 alone tells.
        unique_2: what modality 2 alone tells.
        synergy: what only both together tell.
        error: each part is at most so far from the right one, 0 or more.
    """

    redundancy: float
    unique_1: float
    unique_2: float
    synergy: float
    error: float


def mutual_information(joint: Floats) -> float:
    """I(X; Y) in nats of a [p, c] table of joint probabilities (sum 1)."""
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    positive = joint > 0
    value = np.sum(joint[positive] * np.log(joint[positive] / independent[positive]))
    return max(0.0, float(value))


def merge_equivalent(joint: Floats) -> Floats:
    """Merge the rows of a [p, c] joint table that have the same posterior p(y | x).

    Nothing that is said about Y is lost, so no information changes; the decomposition depends on
    the two posteriors alone and becomes small. Rows that never occur are dropped.
    """
    occurring = joint[joint.sum(axis=1) > 0]
    posterior = occurring / occurring.sum(axis=1, keepdims=True)
    _, group = np.unique(np.round(posterior, 11), axis=0, return_inverse=True)
    merged = np.zeros((int(group.max()) + 1, joint.shape[1]))
    np.add.at(merged, group.reshape(-1), occurring)
    return merged


@dataclass(frozen=True)
class _Bounds:
    """What the least I_Q lies between, in nats."""

    lower: float
    upper: float

    def within(self, other: "_Bounds") -> "_Bounds":
        return _Bounds(max(self.lower, other.lower), min(self.upper, other.upper))


def _least_information(
    joint_1: Floats, joint_2: Floats, known: _Bounds, tolerance: float, iterations: int
) -> tuple[_Bounds, float]:
    """Bounds of the least I_Q, and its value, within ``tolerance`` if the iterations suffice."""
    prior = joint_1.sum(axis=0)
    margin_1, margin_2 = joint_1 / prior, joint_2 / prior
    r = np.outer(joint_1.sum(axis=1), joint_2.sum(axis=1))
    # Where a margin is 0, so is the scale: there what is reached may be 0, too.
    occurs_1, occurs_2 = margin_1 > 0, margin_2 > 0
    scale_1, scale_2 = np.zeros_like(margin_1), occurs_2.astype(np.float64)
    # Arrays made anew in every step would take longer than what is computed into them.
    reached_1, reached_2 = np.empty_like(margin_1), np.empty_like(margin_2)
    weighted, growth = np.empty_like(margin_1), np.empty_like(r)
    least_r = _LEAST_SHARE * r
    checked = {_BOUNDED_FIRST << k for k in range(_BOUNDED_EVERY // _BOUNDED_FIRST)}
    checked |= {iterations, *range(_BOUNDED_EVERY, iterations, _BOUNDED_EVERY)}
    bounds = half = known
    for step in range(1, iterations + 1):
        np.matmul(r, scale_2, out=reached_1)
        np.divide(margin_1, reached_1, out=scale_1, where=occurs_1)
        np.matmul(r.T, scale_1, out=reached_2)
        np.divide(margin_2, reached_2, out=scale_2, where=occurs_2)
        np.multiply(scale_1, prior, out=weighted)
        np.matmul(weighted, scale_2.T, out=growth)
        if step in checked:
            lower = (
                _log_scale(joint_1, scale_1)
                + _log_scale(joint_2, scale_2)
                - _least_excess(growth, joint_1.sum(axis=1), joint_2.sum(axis=1))
            )
            classes = (
                _with_margins(
                    r * np.outer(weighted[:, y], scale_2[:, y]), joint_1[:, y], joint_2[:, y]
                )
                for y in range(len(prior))
            )
            bounds = bounds.within(_Bounds(lower, _information(classes, prior)))
            if bounds.upper - bounds.lower <= 2 * tolerance:
                return bounds, (bounds.lower + bounds.upper) / 2
        if step == iterations // 2:
            half = bounds
        np.multiply(r, growth, out=r)
        np.maximum(r, least_r, out=r)
    # What the upper bound exceeds the minimum by falls like 1 / iterations.
    extrapolated = 2 * bounds.upper - half.upper
    return bounds, min(max(extrapolated, bounds.lower), bounds.upper)


def _log_scale(joint: Floats, scale: Floats) -> float:
    positive = joint > 0
    return float(np.sum(joint[positive] * np.log(scale[positive])))


def _least_excess(growth: Floats, margin_1: Floats, margin_2: Floats) -> float:
    """The mean of a(x1) + b(x2), small and at least the logarithm of ``growth`` everywhere.

    Scales divided by exp(a) and exp(b) let nothing grow any more, which is what the dual asks.
    """
    with np.errstate(divide="ignore"):
        excess = np.log(growth)
    found = []
    for table, rows, columns in ((excess, margin_1, margin_2), (excess.T, margin_2, margin_1)):
        row = table.max(axis=1)
        column = (table - row[:, None]).max(axis=0)
        found.append(float(row @ rows + column @ columns))
    return min(found)


def _with_margins(joint: Floats, rows: Floats, columns: Floats) -> Floats:
    """A [p1, p2] table near ``joint`` that has exactly these margins.

    Altschuler, Weed, Rigollet (2017), Near-linear time approximation algorithms for optimal
    transport, algorithm 2: no entry of a margin is exceeded, and what is missing is spread.
    """
    for axis, margin in ((1, rows), (0, columns)):
        reached = joint.sum(axis=axis)
        share = np.divide(margin, reached, out=np.ones_like(margin), where=reached > margin)
        joint = joint * np.expand_dims(share, axis)
    missing_1, missing_2 = rows - joint.sum(axis=1), columns - joint.sum(axis=0)
    missing = missing_1.sum()
    return joint + np.outer(missing_1, missing_2) / missing if missing > 0 else joint


def _information(classes: Iterable[Floats], prior: Floats) -> float:
    """I(X1, X2; Y) in nats of a joint distribution, given as [p1, p2] tables of one class each."""
    total, of_classes = np.zeros(()), 0.0
    for table in classes:
        of_classes += _sum_of_logs(table)
        total = total + table
    return of_classes - _sum_of_logs(total) - _sum_of_logs(prior)


def _sum_of_logs(values: Floats) -> float:
    positive = values[values > 0]
    return float(np.sum(positive * np.log(positive)))


def decompose(
    joint_1: Floats,
    joint_2: Floats,
    information_12: float,
    *,
    nested: bool = False,
    tolerance: float = 2e-5,
    iterations: int = 8192,
) -> Decomposition:
    """The BROJA decomposition from what each modality knows of the label, to a proven error.

    Args:
        joint_1: [p1, c] float64, p(x1, y).
        joint_2: [p2, c] float64, p(x2, y), with the same p(y).
        information_12: I(X1, X2; Y) in nats.
        nested: one modality is a function of the other, as far as Y goes. Then the lesser one has
            nothing unique and I_Q is the larger of I1 and I2, without iterations.
        tolerance: in nats; the iteration ends where every part is proven to be as near.
        iterations: at most so many; ``error`` says what is proven after them.
    """
    information_1, information_2 = mutual_information(joint_1), mutual_information(joint_2)
    larger = max(information_1, information_2)
    bounds, least = _Bounds(larger, larger), larger
    if not nested:
        classes = joint_1.sum(axis=0) > 0
        bounds, least = _least_information(
            merge_equivalent(joint_1[:, classes]),
            merge_equivalent(joint_2[:, classes]),
            _Bounds(larger, min(information_1 + information_2, information_12)),
            tolerance,
            iterations,
        )
    return Decomposition(
        redundancy=information_1 + information_2 - least,
        unique_1=least - information_2,
        unique_2=least - information_1,
        synergy=information_12 - least,
        error=max(least - bounds.lower, bounds.upper - least, 0.0),
    )
