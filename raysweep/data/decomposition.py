"""The BROJA decomposition of I(X1, X2; Y) into redundancy, two uniquenesses and synergy.

Bertschinger, Rauh, Olbrich, Jost, Ay (2014), Quantifying unique information, equations 5-8:
I(X1, X2; Y) is minimised over all joint distributions Q that keep p(x1, y) and p(x2, y); what the
minimum leaves is redundancy I1 + I2 - I_Q, uniqueness I_Q - I2 of modality 1 and I_Q - I1 of
modality 2, and synergy I12 - I_Q.

The minimum is found by alternating scaling. I_Q is the smallest KL(Q || r(x1, x2) p(y)) over r, so
Q and r take turns: given r, every class's Q is r scaled to its two margins (a Sinkhorn step); given
Q, r is Q's margin. Both steps lower the same convex function.
"""

from dataclasses import dataclass

import numpy as np

from raysweep.data.views import Floats

# What falls towards 0 becomes subnormal long before the end, and those numbers are multiplied a
# hundred times slower. Nothing so small reaches a sum of probabilities.
_NOTHING = 1e-200
_CLEARED_EVERY = 16


@dataclass(frozen=True)
class Decomposition:
    """The four parts of I(X1, X2; Y), in nats."""

    redundancy: float
    unique_1: float
    unique_2: float
    synergy: float


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


def _least_information(joint_1: Floats, joint_2: Floats, iterations: int) -> tuple[float, float]:
    """The least I_Q found after a half and after all of the iterations."""
    prior = joint_1.sum(axis=0)
    margin_1, margin_2 = joint_1 / prior, joint_2 / prior
    r = np.outer(joint_1.sum(axis=1), joint_2.sum(axis=1))
    # Where a margin is 0, so is the scale: there what is reached may be 0, too.
    occurs_1, occurs_2 = margin_1 > 0, margin_2 > 0
    scale_1, scale_2 = np.zeros_like(margin_1), occurs_2.astype(np.float64)
    # Arrays made anew in every step would take longer than what is computed into them.
    reached_1, reached_2 = np.empty_like(margin_1), np.empty_like(margin_2)
    weighted, growth = np.empty_like(margin_1), np.empty_like(r)
    seen = []
    for step in range(1, iterations + 1):
        np.matmul(r, scale_2, out=reached_1)
        np.divide(margin_1, reached_1, out=scale_1, where=occurs_1)
        np.matmul(r.T, scale_1, out=reached_2)
        np.divide(margin_2, reached_2, out=scale_2, where=occurs_2)
        if step in (iterations // 2, iterations):
            seen.append(_log_scale(joint_1, scale_1) + _log_scale(joint_2, scale_2))
        np.multiply(scale_1, prior, out=weighted)
        np.matmul(weighted, scale_2.T, out=growth)
        np.multiply(r, growth, out=r)
        if step % _CLEARED_EVERY == 0:
            r[r < _NOTHING] = 0.0
    return seen[0], seen[1]


def _log_scale(joint: Floats, scale: Floats) -> float:
    positive = joint > 0
    return float(np.sum(joint[positive] * np.log(scale[positive])))


def decompose(
    joint_1: Floats,
    joint_2: Floats,
    information_12: float,
    *,
    nested: bool = False,
    iterations: int = 4000,
) -> Decomposition:
    """The BROJA decomposition from what each modality knows of the label; right to 2e-5 nats.

    Args:
        joint_1: [p1, c] float64, p(x1, y).
        joint_2: [p2, c] float64, p(x2, y), with the same p(y).
        information_12: I(X1, X2; Y) in nats.
        nested: one modality is a function of the other, as far as Y goes. Then the lesser one has
            nothing unique and I_Q is the larger of I1 and I2, without iterations.
        iterations: of the alternating scaling; its error falls like 1 / iterations, most of which
            one extrapolation takes out.
    """
    information_1, information_2 = mutual_information(joint_1), mutual_information(joint_2)
    if nested:
        least = max(information_1, information_2)
    else:
        classes = joint_1.sum(axis=0) > 0
        half, full = _least_information(
            merge_equivalent(joint_1[:, classes]), merge_equivalent(joint_2[:, classes]), iterations
        )
        least = 2 * full - half
    # It lies between these bounds; the error of the iteration need not.
    least = min(max(least, information_1, information_2), information_1 + information_2)
    least = min(least, information_12)
    return Decomposition(
        redundancy=information_1 + information_2 - least,
        unique_1=least - information_2,
        unique_2=least - information_1,
        synergy=information_12 - least,
    )
