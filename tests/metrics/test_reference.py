"""Every metric against an independent implementation, to 1e-6 in float64."""

import numpy as np
import pytest
from reference import (
    aligned,
    canonical_correlations,
    cknna,
    clip_outliers,
    cmd,
    cycle_knn,
    edit_distance_knn,
    hsic_biased,
    hsic_by_quadruples,
    hsic_unbiased,
    lcs_knn,
    linear_kernel,
    median_distance,
    mutual_knn,
    normalize_rows,
    principal_components,
    pwcca,
    rbf_kernel,
    uniformity,
)
from scipy.spatial import procrustes
from scipy.spatial.distance import pdist
from scipy.stats import entropy, pearsonr, spearmanr
from sklearn.cross_decomposition import CCA
from sklearn.linear_model import Ridge
from statsmodels.multivariate.cancorr import CanCorr

from raysweep.metrics import Preprocessing, measure

SHAPES = [(40, 5, 5), (40, 7, 3), (24, 4, 30), (30, 45, 33)]


def correlated(n, d1, d2, seed=0, offset=1.0):
    """Two Gaussian representations that share some directions, not centred."""
    draw = np.random.default_rng(seed)
    shared = draw.normal(size=(n, 3))
    x = shared @ draw.normal(size=(3, d1)) + draw.normal(size=(n, d1)) + offset
    y = shared @ draw.normal(size=(3, d2)) + draw.normal(size=(n, d2)) - offset
    return x, y


def close(value):
    return pytest.approx(value, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("n", "d1", "d2"), SHAPES)
def test_linear_cka_is_the_gram_matrix_form(n, d1, d2):
    x, y = correlated(n, d1, d2)
    k, l = linear_kernel(x), linear_kernel(y)  # noqa: E741
    assert measure("cka", x, y) == close(aligned(hsic_biased, k, l))
    assert measure("unbiased_cka", x, y) == close(aligned(hsic_unbiased, k, l))
    assert measure("cmd", x, y) == close(cmd(x, y))
    assert measure("centered_cmd", x, y) == close(cmd(x - x.mean(0), y - y.mean(0)))


def test_unbiased_cka_is_the_u_statistic():
    x, y = correlated(9, 3, 4)
    expected = aligned(hsic_by_quadruples, linear_kernel(x), linear_kernel(y))
    assert measure("unbiased_cka", x, y) == close(expected)


@pytest.mark.parametrize("sigma", [0.5, 3.0])
@pytest.mark.parametrize("unit", ["absolute", "median"])
def test_rbf_cka_is_the_gram_matrix_form(sigma, unit):
    x, y = correlated(25, 4, 6)
    sigma_x = sigma * (median_distance(x) if unit == "median" else 1.0)
    sigma_y = sigma * (median_distance(y) if unit == "median" else 1.0)
    k, l = rbf_kernel(x, sigma_x), rbf_kernel(y, sigma_y)  # noqa: E741
    options = {"kernel": "rbf", "sigma": sigma, "sigma_unit": unit}
    assert measure("cka", x, y, **options) == close(aligned(hsic_biased, k, l))
    assert measure("unbiased_cka", x, y, **options) == close(aligned(hsic_unbiased, k, l))


@pytest.mark.parametrize(("n", "d1", "d2"), SHAPES)
@pytest.mark.parametrize("topk", [1, 2, 5, 20])
def test_neighbour_metrics(n, d1, d2, topk):
    x, y = correlated(n, d1, d2)
    assert measure("mutual_knn", x, y, topk=topk) == close(mutual_knn(x, y, topk))
    assert measure("cycle_knn", x, y, topk=topk) == close(cycle_knn(x, y, topk))
    assert measure("lcs_knn", x, y, topk=topk) == close(lcs_knn(x, y, topk))
    assert measure("edit_distance_knn", x, y, topk=topk) == close(edit_distance_knn(x, y, topk))
    if topk >= 5:
        assert measure("cknna", x, y, topk=topk) == close(cknna(x, y, topk))


@pytest.mark.parametrize(("n", "d1", "d2"), SHAPES[:3])
def test_cknna_with_all_neighbours_is_unbiased_cka(n, d1, d2):
    x, y = correlated(n, d1, d2)
    expected = measure("unbiased_cka", x, y, preprocessing=Preprocessing(normalize=True))
    assert measure("cknna", x, y, topk=n - 1) == close(expected)


def test_mutual_knn_by_other_similarities():
    x, y = correlated(40, 5, 4)

    def overlap(similarity):
        a, b = (similarity(z) - np.diag([np.inf] * 40) for z in (x, y))
        near_a, near_b = (np.argsort(-s, axis=1)[:, :6] for s in (a, b))
        return np.mean([len(set(p) & set(q)) / 6 for p, q in zip(near_a, near_b, strict=True)])

    euclidean = overlap(lambda z: -np.linalg.norm(z[:, None] - z[None], axis=2))
    assert measure("mutual_knn", x, y, topk=6, similarity="euclidean") == close(euclidean)
    inner = overlap(lambda z: z @ z.T)
    assert measure("mutual_knn", x, y, topk=6, similarity="inner") == close(inner)


@pytest.mark.parametrize(("n", "d1", "d2"), [(40, 5, 5), (60, 12, 7), (50, 3, 20)])
def test_canonical_correlations(n, d1, d2):
    x, y = correlated(n, d1, d2)
    by_statsmodels = CanCorr(y, x).cancorr[: min(d1, d2)]
    assert canonical_correlations(x, y) == close(by_statsmodels)
    assert measure("mean_cca", x, y) == close(by_statsmodels.mean())
    assert measure("pwcca", x, y) == close(pwcca(x, y))


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("dimensions", [1, 4])
def test_svcca(standardize, dimensions):
    x, y = correlated(60, 8, 6)
    parts = [principal_components(z, dimensions, standardize) for z in (x, y)]
    expected = canonical_correlations(*parts).mean()
    value = measure("svcca", x, y, dimensions=dimensions, standardize=standardize)
    assert value == close(expected)


def test_svcca_by_scikit_learn():
    """The published recipe: iterative CCA of the left singular vectors of standardised features."""
    x, y = correlated(200, 8, 6)
    columns = [
        np.linalg.svd((z - z.mean(0)) / z.std(0), full_matrices=False)[0][:, :4] for z in (x, y)
    ]
    model = CCA(n_components=4, max_iter=100_000, tol=1e-14)
    a, b = model.fit_transform(*columns)
    expected = np.mean([np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(4)])
    assert measure("svcca", x, y, dimensions=4) == close(expected)


def test_svcca_by_share_of_variance():
    x, y = correlated(60, 8, 6)
    kept = []
    for z in (x, y):
        values = np.sort(np.linalg.eigvalsh(np.cov(z.T)))[::-1]
        held = np.cumsum(values) / values.sum()
        kept.append(int(np.argmax(held >= 0.9)) + 1)
    parts = [
        principal_components(z, count, standardize=False)
        for z, count in zip((x, y), kept, strict=True)
    ]
    expected = canonical_correlations(*parts).mean()
    value = measure("svcca", x, y, dimensions=None, variance=0.9, standardize=False)
    assert value == close(expected)


def test_svcca_keeps_no_more_components_than_there_are():
    x, y = correlated(60, 3, 6)
    low_rank = np.hstack([y, y @ np.ones((6, 4))])
    assert measure("svcca", x, low_rank, dimensions=10) <= 1
    expected = measure("mean_cca", x, y)
    assert measure("svcca", x, low_rank, dimensions=10) == close(expected)


@pytest.mark.parametrize(("n", "d1", "d2"), SHAPES)
def test_procrustes(n, d1, d2):
    x, y = correlated(n, d1, d2)
    # scipy compares equal widths; columns of zeros change nothing.
    padded = [np.pad(z, ((0, 0), (0, max(d1, d2) - z.shape[1]))) for z in (x, y)]
    cosine = np.sqrt(1 - procrustes(*padded)[2])
    assert measure("procrustes", x, y) == close(1 - np.arccos(cosine) * 2 / np.pi)
    assert measure("procrustes_distance", x, y) == close(np.sqrt(2 - 2 * cosine))


@pytest.mark.parametrize("dissimilarity", ["correlation", "cosine", "euclidean"])
def test_rsa(dissimilarity):
    x, y = correlated(40, 6, 9)
    a, b = pdist(x, dissimilarity), pdist(y, dissimilarity)
    spearman = measure("rsa", x, y, dissimilarity=dissimilarity)
    assert spearman == close(spearmanr(a, b).statistic)
    pearson = measure("rsa", x, y, dissimilarity=dissimilarity, correlation="pearson")
    assert pearson == close(pearsonr(a, b).statistic)


def test_rsa_averages_the_ranks_of_ties():
    draw = np.random.default_rng(0)
    x, y = draw.integers(0, 2, (30, 4)).astype(float), draw.integers(0, 3, (30, 5)).astype(float)
    # City-block distances of bits are squared Euclidean ones, without rounding.
    a = pdist(x, "cityblock")
    b = np.round(pdist(y, "sqeuclidean"))
    assert measure("rsa", x, y, dissimilarity="euclidean") == close(spearmanr(a, b).statistic)


@pytest.mark.parametrize("ridge", [1e-3, 0.5])
@pytest.mark.parametrize("folds", [2, 5])
def test_linear_stitching_is_ridge_regression(ridge, folds):
    x, y = correlated(47, 5, 3)
    parts = np.array_split(np.random.default_rng(3).permutation(47), folds)
    residual = total = 0.0
    for part in parts:
        fitted = np.setdiff1d(np.arange(47), part)
        around = x[fitted] - x[fitted].mean(0)
        model = Ridge(alpha=ridge * np.mean(np.sum(around**2, axis=0)), solver="cholesky")
        model.fit(x[fitted], y[fitted])
        residual += np.sum((y[part] - model.predict(x[part])) ** 2)
        total += np.sum((y[part] - y[fitted].mean(0)) ** 2)
    value = measure("linear_stitching", x, y, ridge=ridge, folds=folds, fold_seed=3)
    assert value == close(1 - residual / total)


def test_linear_stitching_of_more_features_than_rows():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(30, 50))
    y = x @ draw.normal(size=(50, 4))
    value = measure("linear_stitching", x, y, ridge=0.0)
    parts = np.array_split(np.random.default_rng(0).permutation(30), 5)
    residual = total = 0.0
    for part in parts:
        fitted = np.setdiff1d(np.arange(30), part)
        mean_x, mean_y = x[fitted].mean(0), y[fitted].mean(0)
        slope = np.linalg.pinv(x[fitted] - mean_x, rcond=1e-10) @ (y[fitted] - mean_y)
        residual += np.sum((y[part] - mean_y - (x[part] - mean_x) @ slope) ** 2)
        total += np.sum((y[part] - mean_y) ** 2)
    assert value == close(1 - residual / total)


def test_contrastive_views():
    x, y = correlated(30, 5, 5)
    a, b = normalize_rows(x), normalize_rows(y)
    expected = np.mean([np.linalg.norm(p - q) ** 2 for p, q in zip(a, b, strict=True)])
    assert measure("alignment", x, y) == close(expected)
    cubed = np.mean([np.linalg.norm(p - q) ** 3 for p, q in zip(a, b, strict=True)])
    assert measure("alignment", x, y, exponent=3) == close(cubed)
    assert measure("modality_gap", x, y) == close(np.linalg.norm(a.mean(0) - b.mean(0)))
    one, two = uniformity(x, 2.0), uniformity(y, 2.0)
    assert measure("uniformity_1", x, y) == close(one)
    assert measure("uniformity_2", x, y) == close(two)
    assert measure("uniformity", x, y) == close((one + two) / 2)
    assert measure("uniformity_1", x, y, temperature=0.5) == close(uniformity(x, 0.5))


def test_effective_rank():
    x, y = correlated(30, 5, 8)
    for name, z in (("effective_rank_1", x), ("effective_rank_2", y)):
        centred = np.linalg.svd(z - z.mean(0), compute_uv=False)
        assert measure(name, x, y) == close(np.exp(entropy(centred)))
        raw = np.linalg.svd(z, compute_uv=False)
        assert measure(name, x, y, centered=False) == close(np.exp(entropy(raw)))


@pytest.mark.parametrize("quantile", [0.5, 0.95, 0.99])
def test_preprocessing(quantile):
    x, y = correlated(30, 7, 5)
    x[3, 2] = 50.0
    both = Preprocessing(clip_quantile=quantile, normalize=True)
    a, b = (normalize_rows(clip_outliers(z, quantile)) for z in (x, y))
    assert measure("cmd", x, y, preprocessing=both) == close(cmd(a, b))
    clipped = Preprocessing(clip_quantile=quantile)
    a, b = (clip_outliers(z, quantile) for z in (x, y))
    assert measure("cmd", x, y, preprocessing=clipped) == close(cmd(a, b))
