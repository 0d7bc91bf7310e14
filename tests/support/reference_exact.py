"""Every metric from its definition in 60 decimal digits: what the stored numbers themselves give.

All take two lists of rows of mpmath numbers; no cancellation, no overflow and no tie by rounding is
left at this precision, so that a float64 result can be judged whatever the features are like.
"""

from itertools import combinations

import mpmath
import numpy as np
from mpmath import matrix, mp, mpf
from reference import lcs, levenshtein

NOTHING = mpf(10) ** -45


def exact(features):
    """The numbers of a float64 array [n, d] themselves, as rows of mpmath numbers."""
    return [[mpf(float(value)) for value in row] for row in np.asarray(features)]


def dot(a, b):
    return mpmath.fdot(a, b)


def centred(x):
    mean = [mpmath.fsum(column) / len(x) for column in zip(*x, strict=True)]
    return [[value - m for value, m in zip(row, mean, strict=True)] for row in x]


def normalized(x):
    lengths = [mpmath.sqrt(dot(row, row)) for row in x]
    return [[v / s if s else v for v in row] for row, s in zip(x, lengths, strict=True)]


def gram(x):
    return matrix([[dot(a, b) for b in x] for a in x])


def total(k):
    return mpmath.fsum(k)


def product(k, l):  # noqa: E741
    return mpmath.fsum(a * b for a, b in zip(k, l, strict=True))


def hsic_unbiased(k, l):  # noqa: E741
    """Song et al. 2012, equation 5, times n (n - 3)."""
    n = k.rows
    k, l = k.copy(), l.copy()  # noqa: E741
    for i in range(n):
        k[i, i] = l[i, i] = mpf(0)
    ones = matrix([1] * n)
    last = (ones.T * k * (l * ones))[0]
    return product(k, l.T) + total(k) * total(l) / ((n - 1) * (n - 2)) - 2 * last / (n - 2)


def aligned(hsic, k, l):  # noqa: E741
    return hsic(k, l) / mpmath.sqrt(hsic(k, k) * hsic(l, l))


def distances(x):
    return [
        mpmath.fsum((p - q) ** 2 for p, q in zip(a, b, strict=True)) for a, b in combinations(x, 2)
    ]


def pearson(a, b):
    (a,), (b,) = (
        zip(*centred([[v] for v in a]), strict=True),
        zip(*centred([[v] for v in b]), strict=True),
    )
    return dot(a, b) / mpmath.sqrt(dot(a, a) * dot(b, b))


def ranks(values):
    ordered = sorted(range(len(values)), key=lambda i: values[i])
    found, start = [mpf(0)] * len(values), 0
    for stop in range(1, len(values) + 1):
        end = stop == len(values)
        if end or values[ordered[stop]] - values[ordered[start]] > NOTHING * values[ordered[stop]]:
            for place in ordered[start:stop]:
                found[place] = mpf(start + stop + 1) / 2
            start = stop
    return found


def neighbours(x, k):
    """Nearest first, by cosine; for features without ties."""
    rows = normalized(x)
    return [
        sorted((j for j in range(len(x)) if j != i), key=lambda j: -dot(rows[i], rows[j]))[:k]
        for i in range(len(x))
    ]


def basis(x):
    """Orthonormal columns that span the centred features, by Gram and Schmidt, twice each."""
    found = []
    for column in zip(*centred(x), strict=True):
        rest = column
        for _ in range(2):
            for known in found:
                share = dot(known, rest)
                rest = [r - share * q for r, q in zip(rest, known, strict=True)]
        length = mpmath.sqrt(dot(rest, rest))
        if length > NOTHING * (mpmath.sqrt(dot(column, column)) + NOTHING**8):
            found.append([r / length for r in rest])
    return found


def canonical(x, y):
    cross = matrix([[dot(p, q) for q in basis(y)] for p in basis(x)])
    return mpmath.svd_r(cross)


def mean_cca(x, y):
    return mpmath.fsum(canonical(x, y)[1]) / len(canonical(x, y)[1])


def pwcca(x, y):
    turn, correlations, _ = canonical(x, y)
    columns, features = basis(x), list(zip(*centred(x), strict=True))
    weights = []
    for i in range(len(correlations)):
        variate = [dot([turn[j, i] for j in range(turn.rows)], row) for row in zip(*columns)]  # noqa: B905
        weights.append(mpmath.fsum(abs(dot(variate, feature)) for feature in features))
    return dot(weights, correlations) / mpmath.fsum(weights)


def best_cosine(x, y):
    a, b = matrix(centred(x)), matrix(centred(y))
    size = mpmath.sqrt(product(a, a) * product(b, b))
    return mpmath.fsum(mpmath.svd_r(a.T * b, compute_uv=False)) / size


def linear_stitching(x, y, folds=5, ridge=1e-6):
    n = len(x)
    residual = around = mpf(0)
    for part in np.array_split(np.random.default_rng(0).permutation(n), folds):
        fitted = np.setdiff1d(np.arange(n), part)
        a, b = [x[i] for i in fitted], [y[i] for i in fitted]
        mean_a, mean_b = ([mpmath.fsum(c) / len(a) for c in zip(*z, strict=True)] for z in (a, b))
        base, goal = matrix(centred(a)), matrix(centred(b))
        normal = base.T * base
        penalty = mpf(ridge) * mpmath.fsum(normal[i, i] for i in range(normal.rows)) / base.cols
        slope = mp.inverse(normal + penalty * mpmath.eye(base.cols)) * (base.T * goal)
        for i in part:
            point = matrix([[v - m for v, m in zip(x[i], mean_a, strict=True)]]) * slope
            target = matrix([[v - m for v, m in zip(y[i], mean_b, strict=True)]])
            residual += product(target - point, target - point)
            around += product(target, target)
    return 1 - residual / around


def effective_rank(x):
    strengths = mpmath.svd_r(matrix(centred(x)), compute_uv=False)
    shares = [s / mpmath.fsum(strengths) for s in strengths]
    return mpmath.exp(-mpmath.fsum(p * mpmath.log(p) for p in shares if p > 0))


def uniformity(x, temperature=2):
    terms = [mpmath.expm1(-temperature * d) for d in distances(normalized(x))]
    return mpmath.log1p(mpmath.fsum(terms) / len(terms))


def cknna(x, y, k):
    lists = [neighbours(z, k) for z in (x, y)]
    masks = [matrix([[int(j in row) for j in range(len(x))] for row in near]) for near in lists]
    kernels = [gram(normalized(z)) for z in (x, y)]

    def masked(kernel, *by):
        found = kernel.copy()
        for mask in by:
            found = matrix(
                [[found[i, j] * mask[i, j] for j in range(len(x))] for i in range(len(x))]
            )
        return found

    both = [masked(kernel, *masks) for kernel in kernels]
    own = [masked(kernel, mask) for kernel, mask in zip(kernels, masks, strict=True)]
    scale = hsic_unbiased(own[0], own[0]) * hsic_unbiased(own[1], own[1])
    return hsic_unbiased(*both) / mpmath.sqrt(scale)


def shared(x, y, k, count):
    pairs = zip(neighbours(x, k), neighbours(y, k), strict=True)
    return mpf(sum(count(p, q) for p, q in pairs)) / (k * len(x))


def cycle_knn(x, y, k):
    near_x, near_y = neighbours(x, k), neighbours(y, k)
    return mpf(sum(any(i in near_x[j] for j in near_y[i]) for i in range(len(x)))) / len(x)


def row_distances(x, y):
    pairs = zip(normalized(x), normalized(y), strict=True)
    return [mpmath.fsum((p - q) ** 2 for p, q in zip(a, b, strict=True)) for a, b in pairs]


def mean_gap(x, y):
    means = [[mpmath.fsum(c) / len(z) for c in zip(*normalized(z), strict=True)] for z in (x, y)]
    return mpmath.sqrt(mpmath.fsum((p - q) ** 2 for p, q in zip(*means, strict=True)))


def transposed(x):
    return [list(column) for column in zip(*x, strict=True)]


def correlation_distances(x):
    return distances(normalized(transposed(centred(transposed(x)))))


def linear_cka(x, y):
    return aligned(product, gram(centred(x)), gram(centred(y)))


EXACT = {
    "cka": linear_cka,
    "unbiased_cka": lambda x, y: aligned(hsic_unbiased, gram(centred(x)), gram(centred(y))),
    "cmd": lambda x, y: aligned(product, gram(x), gram(y)),
    "centered_cmd": linear_cka,
    "rsa": lambda x, y: pearson(*(ranks(correlation_distances(z)) for z in (x, y))),
    "mutual_knn": lambda x, y, k: shared(x, y, k, lambda p, q: len(set(p) & set(q))),
    "cycle_knn": cycle_knn,
    "lcs_knn": lambda x, y, k: shared(x, y, k, lcs),
    "edit_distance_knn": lambda x, y, k: 1 - shared(x, y, k, levenshtein),
    "cknna": cknna,
    "mean_cca": mean_cca,
    "svcca": mean_cca,
    "pwcca": pwcca,
    "procrustes": lambda x, y: 1 - mpmath.acos(best_cosine(x, y)) * 2 / mpmath.pi,
    "procrustes_distance": lambda x, y: mpmath.sqrt(2 - 2 * best_cosine(x, y)),
    "linear_stitching": linear_stitching,
    "alignment": lambda x, y: mpmath.fsum(row_distances(x, y)) / len(x),
    "modality_gap": mean_gap,
    "uniformity": lambda x, y: (uniformity(x) + uniformity(y)) / 2,
    "uniformity_1": lambda x, y: uniformity(x),
    "uniformity_2": lambda x, y: uniformity(y),
    "effective_rank_1": lambda x, y: effective_rank(x),
    "effective_rank_2": lambda x, y: effective_rank(y),
}


def exactly(name, x, y, topk=None):
    """The value of the stored numbers of x and y, arrays of any dtype that float64 holds."""
    with mp.workdps(60):
        sides = [exact(z) for z in (x, y)]
        if topk is not None:
            return float(EXACT[name](*sides, topk))
        return float(EXACT[name](*sides))
