"""Alignment losses as their definitions read, one member at a time, samples first, slowly.

Each takes x [b, d1] and y [b, d2] and returns a scalar that autograd can differentiate.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def infonce(x: Tensor, y: Tensor, temperature: float | Tensor = 0.07) -> Tensor:
    logits = F.normalize(x) @ F.normalize(y).T / temperature
    target = torch.arange(len(x))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def siglip(
    x: Tensor, y: Tensor, scale: float | Tensor = 10.0, bias: float | Tensor = -10.0
) -> Tensor:
    u, v = F.normalize(x), F.normalize(y)
    sign = 2 * torch.eye(len(x), dtype=x.dtype) - 1
    return -F.logsigmoid(sign * (scale * (u @ v.T) + bias)).sum() / len(x)


def cka(x: Tensor, y: Tensor) -> Tensor:
    n = len(x)
    centring = torch.eye(n, dtype=x.dtype) - 1.0 / n

    def hsic(k: Tensor, l_: Tensor) -> Tensor:
        return torch.trace(k @ centring @ l_ @ centring)

    k, l_ = x @ x.T, y @ y.T
    return 1 - hsic(k, l_) / torch.sqrt(hsic(k, k) * hsic(l_, l_))


def unbiased_cka(x: Tensor, y: Tensor) -> Tensor:
    n = len(x)
    ones = torch.ones(n, dtype=x.dtype)
    hollow = 1 - torch.eye(n, dtype=x.dtype)

    def hsic(k: Tensor, l_: Tensor) -> Tensor:
        k, l_ = k * hollow, l_ * hollow
        return (
            torch.trace(k @ l_)
            + (ones @ k @ ones) * (ones @ l_ @ ones) / ((n - 1) * (n - 2))
            - 2 / (n - 2) * (ones @ k @ l_ @ ones)
        )

    k, l_ = x @ x.T, y @ y.T
    return 1 - hsic(k, l_) / torch.sqrt(hsic(k, k) * hsic(l_, l_))


def mse(x: Tensor, y: Tensor) -> Tensor:
    return F.mse_loss(x, y)


def cosine(x: Tensor, y: Tensor) -> Tensor:
    return F.cosine_embedding_loss(x, y, torch.ones(len(x), dtype=x.dtype))


def vicreg(
    x: Tensor,
    y: Tensor,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
) -> Tensor:
    def hinge(z: Tensor) -> Tensor:
        return F.relu(1 - torch.sqrt(z.var(dim=0) + 1e-4)).mean()

    def redundancy(z: Tensor) -> Tensor:
        c = torch.cov(z.T)
        return (c - torch.diag(torch.diag(c))).square().sum() / z.shape[1]

    near = torch.stack([(a - b).square().sum() for a, b in zip(x, y, strict=True)]).mean()
    return (
        invariance * near
        + variance * (hinge(x) + hinge(y))
        + covariance * (redundancy(x) + redundancy(y))
    )


def barlow_twins(x: Tensor, y: Tensor, redundancy: float = 0.005) -> Tensor:
    def normalised(z: Tensor) -> Tensor:
        return F.batch_norm(z, None, None, training=True, eps=1e-5)

    c = normalised(x).T @ normalised(y) / len(x)
    on = (torch.diag(c) - 1).square().sum()
    off = (c - torch.diag(torch.diag(c))).square().sum()
    return on + redundancy * off


def deep_cca(x: Tensor, y: Tensor, ridge: float = 1e-3, components: int = 0) -> Tensor:
    def root_inverse(c: Tensor) -> Tensor:
        regularised = c + ridge * torch.diag(c).mean() * torch.eye(len(c), dtype=c.dtype)
        values, vectors = torch.linalg.eigh(regularised)
        return vectors @ torch.diag(values.rsqrt()) @ vectors.T

    d1 = x.shape[1]
    c = torch.cov(torch.cat([x, y], dim=1).T)
    t = root_inverse(c[:d1, :d1]) @ c[:d1, d1:] @ root_inverse(c[d1:, d1:])
    correlations = torch.linalg.svdvals(t)
    return 1 - correlations[: components or None].mean()


def soft_knn(x: Tensor, y: Tensor, temperature: float = 0.1) -> Tensor:
    def log_neighbours(z: Tensor, i: int) -> Tensor:
        others = torch.cat([z[:i], z[i + 1 :]])
        return F.log_softmax(F.cosine_similarity(z[i : i + 1], others) / temperature, dim=0)

    total = torch.zeros((), dtype=x.dtype)
    for i in range(len(x)):
        p, q = log_neighbours(x, i), log_neighbours(y, i)
        both = F.kl_div(q, p, reduction="sum", log_target=True)
        total = total + both + F.kl_div(p, q, reduction="sum", log_target=True)
    return total / (2 * len(x))


def gram(x: Tensor, y: Tensor) -> Tensor:
    total, n = torch.zeros((), dtype=x.dtype), len(x)
    for i in range(n):
        for j in range(n):
            if i != j:
                one = F.cosine_similarity(x[i], x[j], dim=0)
                other = F.cosine_similarity(y[i], y[j], dim=0)
                total = total + (one - other).square()
    return total / (n * (n - 1))


def uniformity(x: Tensor, y: Tensor, sharpness: float = 2.0) -> Tensor:
    def one(z: Tensor) -> Tensor:
        squared = torch.pdist(F.normalize(z)).square()
        return torch.exp(-sharpness * squared).mean().log()

    return (one(x) + one(y)) / 2


LOSSES: dict[str, Callable[..., Tensor]] = {
    "infonce": infonce,
    "siglip": siglip,
    "cka": cka,
    "unbiased_cka": unbiased_cka,
    "mse": mse,
    "cosine": cosine,
    "vicreg": vicreg,
    "barlow_twins": barlow_twins,
    "deep_cca": deep_cca,
    "soft_knn": soft_knn,
    "gram": gram,
    "uniformity": uniformity,
}


def head(z: Tensor, parameters: Tensor, d_out: int, mlp: bool) -> Tensor:
    """A projection head built from torch modules: z [b, d] -> [b, d_out]."""
    d = z.shape[1]
    layers = [torch.nn.Linear(d, d), torch.nn.LeakyReLU(0.1)] if mlp else []
    module = torch.nn.Sequential(*layers, torch.nn.Linear(d, d_out, bias=False))
    state, start = {}, 0
    for name, weight in module.named_parameters():
        count = math.prod(weight.shape)
        state[name] = parameters[start : start + count].view(weight.shape)
        start += count
    if start != len(parameters):
        raise ValueError(f"{len(parameters)} parameters for a head of {start}")
    result: Tensor = torch.func.functional_call(module, state, (z,))
    return result
