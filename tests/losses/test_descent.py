"""Descending a loss raises the alignment it is meant to raise, seen by metrics of other origin.

Two linear encoders see inputs of which half is shared: what they have to find is there to find.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.cross_decomposition import CCA
from sklearn.linear_model import LinearRegression
from sklearn.metrics.pairwise import cosine_similarity, rbf_kernel
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from raysweep.losses import build_loss

M, SHARED, PRIVATE, TRAIN, TEST = 2, 3, 3, 128, 200
Features = NDArray[np.float64]
Metric = Callable[[Features, Features], float]


def mutual_knn(x: Features, y: Features, k: int = 10) -> float:
    def neighbours(z: Features) -> NDArray[np.int64]:
        found: NDArray[np.int64] = (
            NearestNeighbors(n_neighbors=k, metric="cosine")
            .fit(z)
            .kneighbors(return_distance=False)
        )
        return found

    pairs = zip(neighbours(x), neighbours(y), strict=True)
    return float(np.mean([len(set(a) & set(b)) / k for a, b in pairs]))


def cka(x: Features, y: Features) -> float:
    a, b = x - x.mean(0), y - y.mean(0)
    own = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
    return float(np.linalg.norm(a.T @ b) ** 2 / own)


def mean_cosine(x: Features, y: Features) -> float:
    return float(np.diag(cosine_similarity(x, y)).mean())


def mean_cca(x: Features, y: Features) -> float:
    k = min(x.shape[1], y.shape[1])
    u, v = CCA(n_components=k, max_iter=5000).fit(x, y).transform(x, y)
    return float(np.mean([np.corrcoef(u[:, i], v[:, i])[0, 1] for i in range(k)]))


def rsa(x: Features, y: Features) -> float:
    upper = np.triu_indices(len(x), 1)
    return float(np.corrcoef(cosine_similarity(x)[upper], cosine_similarity(y)[upper])[0, 1])


def regression(x: Features, y: Features) -> float:
    """How well one side is a linear function of the other, R2 on the second half of the rows."""
    half = len(x) // 2
    fit = LinearRegression().fit(x[:half], y[:half])
    return float(fit.score(x[half:], y[half:]))


def crowding(x: Features, y: Features) -> float:
    """Mean Gaussian potential of the two sides: the exponential of the uniformity."""
    return float(np.mean([rbf_kernel(z / np.linalg.norm(z, axis=1)[:, None], gamma=2).mean()
                          for z in (x, y)]))  # fmt: skip


def inputs(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """[M, SHARED + PRIVATE, n] of each modality, each member with a mixing of its own."""
    mixings = torch.Generator().manual_seed(1)
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(M, SHARED, n, generator=generator, dtype=torch.float64)
    sides = []
    for _ in range(2):
        d = SHARED + PRIVATE
        mixing = torch.linalg.qr(torch.randn(M, d, d, generator=mixings, dtype=torch.float64)).Q
        private = torch.randn(M, PRIVATE, n, generator=generator, dtype=torch.float64)
        sides.append(mixing @ torch.cat([shared, private], dim=1))
    return sides[0], sides[1]


def descend(
    name: str, options: dict[str, object], k1: int = 3, k2: int = 3, steps: int = 200
) -> tuple[list[tuple[Features, Features]], list[tuple[Features, Features]], list[Tensor]]:
    """Adam on the loss alone; held-out features of each member before and after, and the change.

    Returns:
        Features before and after, one (x [n, k1], y [n, k2]) per member, and how far the two
        encoders moved.
    """
    loss = build_loss(name, options)
    generator = torch.Generator().manual_seed(7)
    x1, x2 = inputs(TRAIN, 2)
    encoders = [
        torch.randn(M, k, SHARED + PRIVATE, generator=generator, dtype=torch.float64) / 2.5
        for k in (k1, k2)
    ]
    start = [encoder.clone() for encoder in encoders]
    parameters = torch.stack([loss.initial_parameters(k1, k2, generator) for _ in range(M)])
    weights = [*encoders, parameters]
    optimiser = torch.optim.Adam(weights, lr=0.03)
    for _ in range(steps):
        output = loss.value_and_gradients(encoders[0] @ x1, encoders[1] @ x2, parameters)
        encoders[0].grad = output.grad_1 @ x1.mT
        encoders[1].grad = output.grad_2 @ x2.mT
        parameters.grad = output.grad_parameters
        optimiser.step()
    t1, t2 = inputs(TEST, 3)

    def features(pair: list[Tensor]) -> list[tuple[Features, Features]]:
        h1, h2 = pair[0] @ t1, pair[1] @ t2
        return [(h1[i].T.numpy(), h2[i].T.numpy()) for i in range(M)]

    moved = [after - before for after, before in zip(encoders, start, strict=True)]
    return features(start), features(encoders), moved


# loss, options, the metric it is meant to raise, how far it must get
CASES: list[tuple[str, dict[str, object], Metric, float]] = [
    ("infonce", {}, mutual_knn, 0.4),
    ("infonce", {"learned": True}, mutual_knn, 0.4),
    ("siglip", {}, mutual_knn, 0.4),
    ("cka", {}, cka, 0.8),
    ("unbiased_cka", {}, cka, 0.8),
    ("mse", {}, mean_cosine, 0.8),
    ("cosine", {}, mean_cosine, 0.8),
    ("vicreg", {}, mean_cca, 0.8),
    ("barlow_twins", {}, mean_cca, 0.8),
    ("deep_cca", {}, mean_cca, 0.8),
    ("soft_knn", {}, mutual_knn, 0.4),
    ("gram", {}, rsa, 0.8),
]


@pytest.mark.parametrize(
    ("name", "options", "metric", "reached"),
    CASES,
    ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)],
)
def test_descent_raises_its_own_metric_and_one_it_does_not_optimise(
    name: str, options: dict[str, object], metric: Metric, reached: float
) -> None:
    before, after, _ = descend(name, options)
    for start, end in zip(before, after, strict=True):
        assert metric(*end) > max(reached, metric(*start) + 0.15)
        assert regression(*end) > max(0.7, regression(*start) + 0.15)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("infonce", {}),
        ("mse", {}),
        ("cosine", {"projection": "linear"}),
        ("cka", {}),
        ("soft_knn", {}),
        ("vicreg", {"projection": "mlp"}),
    ],
)
def test_descent_works_across_unequal_widths(name: str, options: dict[str, object]) -> None:
    before, after, _ = descend(name, options, k1=2, k2=4)
    for start, end in zip(before, after, strict=True):
        x, y = end
        assert regression(y, x) > max(0.6, regression(start[1], start[0]) + 0.15)


@pytest.mark.parametrize("stopped", ["1", "2"])
def test_one_way_descent_moves_one_encoder_and_aligns(stopped: str) -> None:
    before, after, moved = descend("cka", {"stop_gradient": stopped})
    held, pulled = (0, 1) if stopped == "1" else (1, 0)
    assert not moved[held].any()
    assert moved[pulled].any()
    for start, end in zip(before, after, strict=True):
        assert cka(*end) > cka(*start) + 0.15


def test_uniformity_spreads_and_aligns_nothing() -> None:
    before, after, _ = descend("uniformity", {})
    for start, end in zip(before, after, strict=True):
        assert crowding(*end) < crowding(*start)
        assert abs(mutual_knn(*end) - mutual_knn(*start)) < 0.1
