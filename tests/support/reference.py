"""Slow and obvious alignment metrics, written from their definitions.

All take numpy arrays x [n, d1] and y [n, d2] in float64 and return a float, but for the two at the
end, which are the usual implementations of this field in torch, for the benchmark.
"""

import itertools

import numpy as np
import torch

# Kernels


def linear_kernel(x):
    return x @ x.T


def rbf_kernel(x, sigma):
    n = len(x)
    kernel = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            kernel[i, j] = np.exp(-np.sum((x[i] - x[j]) ** 2) / (2 * sigma**2))
    return kernel


def median_distance(x):
    return np.median([np.linalg.norm(a - b) for a, b in itertools.combinations(x, 2)])


def hsic_biased(k, l):  # noqa: E741
    """Gretton et al. 2005: trace(K H L H), H = I - 1/n."""
    h = np.eye(len(k)) - 1 / len(k)
    return np.trace(k @ h @ l @ h)


def hsic_unbiased(k, l):  # noqa: E741
    """Song et al. 2012, equation 5, without its factor 1 / (n (n - 3))."""
    n = len(k)
    k = k - np.diag(np.diag(k))
    l = l - np.diag(np.diag(l))  # noqa: E741
    one = np.ones(n)
    return (
        np.trace(k @ l)
        + (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2))
        - 2 / (n - 2) * (one @ k @ l @ one)
    )


def aligned(hsic, k, l):  # noqa: E741
    return hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l))


def hsic_by_quadruples(k, l):  # noqa: E741
    """The unbiased HSIC as a U-statistic over all ordered quadruples of different rows.

    h(i, j, q, r) = k_ij (l_ij + l_qr - 2 l_iq), averaged (Song et al. 2012).
    """
    total, count = 0.0, 0
    for i, j, q, r in itertools.permutations(range(len(k)), 4):
        total += k[i, j] * (l[i, j] + l[q, r] - 2 * l[i, q])
        count += 1
    return total / count


def cmd(x, y):
    k, l = linear_kernel(x), linear_kernel(y)  # noqa: E741
    return np.trace(k @ l) / (np.linalg.norm(k) * np.linalg.norm(l))


# Neighbours


def cosines(x):
    rows = [row / np.linalg.norm(row) if np.linalg.norm(row) > 0 else row * 0 for row in x]
    table = np.array([[a @ b for b in rows] for a in rows])
    np.fill_diagonal(table, -np.inf)
    return table


def neighbour_lists(similarity, k):
    """The k nearest of each row, nearest first; only for similarities without ties."""
    return np.argsort(-similarity, axis=1)[:, :k]


def mutual_knn(x, y, k):
    a, b = neighbour_lists(cosines(x), k), neighbour_lists(cosines(y), k)
    return np.mean([len(set(p) & set(q)) / k for p, q in zip(a, b, strict=True)])


def mutual_knn_over_all_tie_breaks(x, y, k, digits=9):
    """Mean overlap over every way of completing the neighbours from tied rows, in both spaces."""
    shares = []
    for row_x, row_y in zip(
        np.round(cosines(x), digits), np.round(cosines(y), digits), strict=True
    ):
        overlaps = [
            len(set(p) & set(q)) / k for p in _completions(row_x, k) for q in _completions(row_y, k)
        ]
        shares.append(np.mean(overlaps))
    return np.mean(shares)


def _completions(similarity, k):
    threshold = np.sort(similarity)[-k]
    above = [j for j, value in enumerate(similarity) if value > threshold]
    tied = [j for j, value in enumerate(similarity) if value == threshold]
    return [above + list(rest) for rest in itertools.combinations(tied, k - len(above))]


def cycle_knn(x, y, k):
    a, b = neighbour_lists(cosines(x), k), neighbour_lists(cosines(y), k)
    return np.mean([any(i in a[j] for j in b[i]) for i in range(len(x))])


def lcs(p, q):
    """Recursion on the last elements, as a table."""
    table = np.zeros((len(p) + 1, len(q) + 1), dtype=int)
    for i, j in itertools.product(range(len(p)), range(len(q))):
        if p[i] == q[j]:
            table[i + 1, j + 1] = table[i, j] + 1
        else:
            table[i + 1, j + 1] = max(table[i, j + 1], table[i + 1, j])
    return int(table[-1, -1])


def levenshtein(p, q):
    table = np.zeros((len(p) + 1, len(q) + 1), dtype=int)
    table[:, 0] = np.arange(len(p) + 1)
    table[0, :] = np.arange(len(q) + 1)
    for i, j in itertools.product(range(len(p)), range(len(q))):
        table[i + 1, j + 1] = min(
            table[i, j] + (p[i] != q[j]), table[i, j + 1] + 1, table[i + 1, j] + 1
        )
    return int(table[-1, -1])


def lcs_knn(x, y, k):
    a, b = neighbour_lists(cosines(x), k), neighbour_lists(cosines(y), k)
    return np.mean([lcs(p, q) / k for p, q in zip(a, b, strict=True)])


def edit_distance_knn(x, y, k):
    a, b = neighbour_lists(cosines(x), k), neighbour_lists(cosines(y), k)
    return 1 - np.mean([levenshtein(p, q) / k for p, q in zip(a, b, strict=True)])


def cknna(x, y, k):
    def mask(similarity):
        table = np.zeros(similarity.shape)
        for i, near in enumerate(neighbour_lists(similarity, k)):
            table[i, near] = 1
        return table

    a, b = cosines(x), cosines(y)
    mask_a, mask_b = mask(a), mask(b)
    np.fill_diagonal(a, 1.0)
    np.fill_diagonal(b, 1.0)
    both = mask_a * mask_b
    return hsic_unbiased(both * a, both * b) / np.sqrt(
        hsic_unbiased(mask_a * a, mask_a * a) * hsic_unbiased(mask_b * b, mask_b * b)
    )


# Canonical correlations


def canonical_correlations(x, y):
    """Roots of the eigenvalues of Sxx^-1 Sxy Syy^-1 Syx, largest first; full-rank features."""
    x, y = x - x.mean(0), y - y.mean(0)
    map_xy = np.linalg.solve(x.T @ x, x.T @ y)
    map_yx = np.linalg.solve(y.T @ y, y.T @ x)
    values = np.sort(np.linalg.eigvals(map_xy @ map_yx).real)[::-1]
    return np.sqrt(np.clip(values, 0, 1))[: min(x.shape[1], y.shape[1])]


def pwcca(x, y):
    """Morcos et al. 2018: canonical variates of x weigh sum_j |<h_i, x_j>|."""
    x, y = x - x.mean(0), y - y.mean(0)
    values, vectors = np.linalg.eig(
        np.linalg.solve(x.T @ x, x.T @ y) @ np.linalg.solve(y.T @ y, y.T @ x)
    )
    best = np.argsort(-values.real)[: min(x.shape[1], y.shape[1])]
    correlations = np.sqrt(np.clip(values.real[best], 0, 1))
    variates = x @ vectors.real[:, best]
    variates /= np.linalg.norm(variates, axis=0)
    weights = np.array([sum(abs(h @ feature) for feature in x.T) for h in variates.T])
    return np.sum(weights * correlations) / np.sum(weights)


def principal_components(x, dimensions, standardize):
    """Leading principal components from the covariance matrix."""
    x = x - x.mean(0)
    if standardize:
        x = x / x.std(0)
    values, vectors = np.linalg.eigh(x.T @ x)
    return x @ vectors[:, np.argsort(-values)[:dimensions]]


# Rows


def uniformity(x, temperature):
    """Wang and Isola 2020, over pairs of rows."""
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    terms = [np.exp(-temperature * np.sum((a - b) ** 2)) for a, b in itertools.combinations(x, 2)]
    return np.log(np.mean(terms))


def clip_outliers(x, quantile):
    threshold = np.mean([np.quantile(np.abs(row), quantile) for row in x])
    return np.clip(x, -threshold, threshold)


def normalize_rows(x):
    return np.array([row / np.linalg.norm(row) for row in x])


# What is in use: n x n matrices for every pair of layers, torch tensors of any floating dtype


def unbiased_cka_by_gram_matrices(x, y):
    def hsic(k, l):  # noqa: E741
        n = len(k)
        k, l = k.clone().fill_diagonal_(0), l.clone().fill_diagonal_(0)  # noqa: E741
        trace = (k * l.T).sum()
        return trace + k.sum() * l.sum() / ((n - 1) * (n - 2)) - 2 * (k @ l).sum() / (n - 2)

    k, l = x @ x.T, y @ y.T  # noqa: E741
    return (hsic(k, l) / torch.sqrt(hsic(k, k) * hsic(l, l))).item()


def mutual_knn_by_argsort(x, y, k):
    """Features with normalised rows; ties by whatever order argsort has."""
    masks = []
    for z in (x, y):
        similarity = (z @ z.T).fill_diagonal_(-torch.inf)
        nearest = similarity.argsort(dim=1, descending=True)[:, :k]
        masks.append(torch.zeros(similarity.shape).scatter_(1, nearest, 1.0))
    return ((masks[0] * masks[1]).sum(dim=1) / k).mean().item()
