"""Slow and obvious information theory, and the paper's label rule written out again.

Probabilities are dictionaries from outcomes to floats; nothing here is shared with the package.
"""

import itertools
import math

import numpy as np
from scipy.optimize import minimize


def entropy(distribution):
    return -sum(p * math.log(p) for p in distribution.values() if p > 0)


def marginal(joint, *keep):
    """The distribution of these coordinates of the outcomes."""
    result = {}
    for outcome, p in joint.items():
        key = tuple(outcome[k] for k in keep)
        result[key] = result.get(key, 0.0) + p
    return result


def information(joint, left, right):
    """I(left coordinates; right coordinates) = H(left) + H(right) - H(both)."""
    return (
        entropy(marginal(joint, *left))
        + entropy(marginal(joint, *right))
        - entropy(marginal(joint, *left, *right))
    )


def best_accuracy(joint, seen, label):
    best = {}
    for outcome, p in marginal(joint, *seen, label).items():
        best[outcome[:-1]] = max(best.get(outcome[:-1], 0.0), p)
    return sum(best.values())


def paper_joint(U, temperature=0.05, tolerance=0.01):
    """p((shared bits), (unique 1), (unique 2), y) of the task bits, by loops over the 256 patterns.

    The legacy global generator, seeded as the paper's; its state is put back afterwards.
    """
    state = np.random.get_state()
    np.random.seed(2)
    weights = np.random.uniform(0, 1.0, size=(8, 4))
    np.random.set_state(state)
    for row in weights:
        row /= math.sqrt(sum(w * w for w in row))
    patterns = list(itertools.product([0, 1], repeat=8))
    conditional = {}
    for pattern in patterns:
        logits = [
            sum(bit * weights[k][label] for k, bit in enumerate(pattern)) for label in range(4)
        ]
        odds = [math.exp(logit / temperature) for logit in logits]
        conditional[pattern] = [o / sum(odds) for o in odds]
    while True:
        prior = [sum(conditional[x][label] for x in patterns) / 256 for label in range(4)]
        if all(abs(p - 0.25) <= tolerance for p in prior):
            break
        for x in patterns:
            scaled = [c * 0.25 / p for c, p in zip(conditional[x], prior, strict=True)]
            conditional[x] = [s / sum(scaled) for s in scaled]
    shared, first = 8 - U, 8 - U + U // 2
    return {
        (x[:shared], x[shared:first], x[first:], label): conditional[x][label] / 256
        for x in patterns
        for label in range(4)
    }


def least_information(joint_1, joint_2):
    """min I_Q(X1, X2; Y) given p(x1, y) and p(x2, y), by a general-purpose solver (small tables).

    Sequential quadratic programming on q[x1, x2, y] itself, from the point where X1 and X2 are
    independent given Y: another method, on other variables, than the package's.
    """
    (p1, c), p2 = joint_1.shape, len(joint_2)
    prior = joint_1.sum(axis=0)
    start = np.einsum("iy,jy->ijy", joint_1, joint_2) / prior
    rows = []
    for i, y in itertools.product(range(p1), range(c)):
        one = np.zeros((p1, p2, c))
        one[i, :, y] = 1
        rows.append(one.ravel())
    for j, y in itertools.product(range(p2 - 1), range(c)):
        one = np.zeros((p1, p2, c))
        one[:, j, y] = 1
        rows.append(one.ravel())
    constraints = np.array(rows)
    target = np.concatenate([joint_1.ravel(), joint_2[:-1].ravel()])

    def objective(flat):
        q = np.maximum(flat.reshape(p1, p2, c), 1e-15)
        ratio = np.log(q / q.sum(axis=2, keepdims=True) / prior)
        return float((q * ratio).sum()), ratio.ravel()

    result = minimize(
        objective,
        start.ravel(),
        jac=True,
        method="SLSQP",
        bounds=[(1e-12, 1.0)] * start.size,
        constraints={
            "type": "eq",
            "fun": lambda flat: constraints @ flat - target,
            "jac": lambda flat: constraints,
        },
        options={"maxiter": 500, "ftol": 1e-13},
    )
    return float(result.fun)


def lower_bound_of_least_information(joint_1, joint_2, iterations=300):
    """A number that min I_Q cannot fall below, whatever the solver did.

    Lagrange dual: sum p(x1, y) a(x1, y) + sum p(x2, y) b(x2, y) bounds it from below for all a, b
    with sum_y p(y) exp(a(x1, y) + b(x2, y)) <= 1 in every (x1, x2). Sequential quadratic
    programming finds a good pair; what it leaves of a violation is then taken off.
    """
    (p1, c), p2 = joint_1.shape, len(joint_2)
    prior = joint_1.sum(axis=0)
    margins = np.concatenate([joint_1.ravel(), joint_2.ravel()])

    def terms(flat):
        a, b = flat[: p1 * c].reshape(p1, c), flat[p1 * c :].reshape(p2, c)
        return np.einsum("y,iy,jy->ijy", prior, np.exp(a), np.exp(b))

    def slack(flat):
        return (1 - terms(flat).sum(axis=2)).ravel()

    def slack_gradient(flat):
        term = terms(flat)
        gradient = np.zeros((p1, p2, len(flat)))
        for i in range(p1):
            gradient[i, :, i * c : (i + 1) * c] = -term[i]
        for j in range(p2):
            gradient[:, j, (p1 + j) * c : (p1 + j + 1) * c] = -term[:, j]
        return gradient.reshape(p1 * p2, -1)

    result = minimize(
        lambda flat: (-float(margins @ flat), -margins),
        np.zeros((p1 + p2) * c),
        jac=True,
        method="SLSQP",
        constraints={"type": "ineq", "fun": slack, "jac": slack_gradient},
        options={"maxiter": iterations, "ftol": 1e-10},
    )
    worst = float((1 - slack(result.x)).max())
    return -float(result.fun) - max(0.0, math.log(worst))


def table_of(joint, seen, label):
    """The dictionary as a [p, c] array, rows in the order of their outcomes."""
    both = marginal(joint, *seen, label)
    outcomes = sorted({key[:-1] for key in both})
    labels = sorted({key[-1] for key in both})
    return np.array([[both.get((*x, y), 0.0) for y in labels] for x in outcomes])
