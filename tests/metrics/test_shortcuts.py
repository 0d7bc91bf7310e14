"""What metrics do to be fast gives what the long way gives."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from scipy.stats import rankdata, spearmanr

from raysweep.metrics import measure, measure_layers
from raysweep.metrics import rsa as rsa_module
from raysweep.metrics.neighbours import ordered_neighbours


@pytest.mark.parametrize("at_once", [8, 64, 2**17])
@pytest.mark.parametrize("kind", ["different", "few", "equal", "near", "wide"])
def test_ranks_are_those_of_scipy(monkeypatch, at_once, kind):
    monkeypatch.setattr(rsa_module, "_AT_ONCE", at_once)
    draw = np.random.default_rng(0)
    values = {
        "different": draw.random(1000),
        "few": draw.integers(0, 7, 1000) / 7,
        "equal": np.full(1000, 0.3),
        # Leading digits alone do not order them, and they are no ties.
        "near": 0.5 + 1e-13 * draw.permutation(1000),
        "wide": 10.0 ** draw.uniform(-30, 0, 1000),
    }[kind]
    expected = rankdata(values)
    rounded = values * (1 + 1e-16 * draw.normal(size=1000))
    for given in (values, rounded):
        ranks = torch.tensor(given)
        rsa_module._rank(ranks, least=0.0 if kind == "wide" else 1e-3)
        np.testing.assert_array_equal(ranks.numpy(), expected)


def test_rsa_of_reordered_rows_is_that_of_scipy(monkeypatch):
    draw = np.random.default_rng(1)
    x, y = draw.normal(size=(60, 5)), draw.normal(size=(60, 4))
    order = draw.permutation(60)
    monkeypatch.setattr(rsa_module, "_AT_ONCE", 100)
    expected = spearmanr(pdist(x), pdist(y[order])).statistic
    assert measure("rsa", x, y[order], dissimilarity="euclidean") == pytest.approx(expected)
    orders = torch.tensor(order)[None]
    found = rsa_module.rsa(
        [torch.tensor(x)[None]],
        [torch.tensor(y)[None]],
        orders,
        correlation="spearman",
        dissimilarity="euclidean",
    )
    assert float(found) == pytest.approx(expected)


@pytest.mark.parametrize("topk", [2, 5, 30, 59])
def test_cknna_is_that_of_dense_kernels(topk):
    draw = np.random.default_rng(2)
    x = draw.normal(size=(60, 5))
    y = x[:, :4] + 0.5 * draw.normal(size=(60, 4))

    def restricted(features, seed):
        rows = features / np.linalg.norm(features, axis=1, keepdims=True)
        mask = np.zeros((60, 60), dtype=bool)
        near = ordered_neighbours(torch.tensor(features), topk, "cosine", seed).numpy()
        np.put_along_axis(mask, near, True, axis=1)
        return rows @ rows.T, mask

    def hsic(a, b):
        n, one = len(a), np.ones(len(a))
        cross = one @ a @ b @ one
        total = (one @ a @ one) * (one @ b @ one)
        return np.trace(a @ b) + total / (n - 1) / (n - 2) - 2 * cross / (n - 2)

    (k, in_x), (l, in_y) = restricted(x, 0), restricted(y, 1)  # noqa: E741
    both = in_x & in_y
    expected = hsic(k * both, l * both) / np.sqrt(
        hsic(k * in_x, k * in_x) * hsic(l * in_y, l * in_y)
    )
    assert measure("cknna", x, y, topk=topk) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["mean_cca", "svcca", "pwcca"])
@pytest.mark.parametrize("condition", [1, 30, 3000, 1e6])
def test_products_of_columns_give_what_singular_values_give(monkeypatch, name, condition):
    draw = np.random.default_rng(3)
    turned = draw.normal(size=(300, 20)) * np.geomspace(1, 1 / condition, 20)
    x = torch.tensor(turned @ np.linalg.qr(draw.normal(size=(20, 20)))[0] + 100)[None]
    y = torch.tensor(turned[:, :9] @ draw.normal(size=(9, 12)) + draw.normal(size=(300, 12)))[None]
    y[..., 3] = 2.5
    quick = float(measure_layers(name, [x], [y]))
    monkeypatch.setattr("raysweep.metrics.subspace._by_products", lambda features: None)
    assert quick == pytest.approx(float(measure_layers(name, [x], [y])), abs=2e-12)
