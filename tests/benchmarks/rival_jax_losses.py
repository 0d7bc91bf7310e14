"""The JAX rival on pairs with an alignment loss, as `rival_jax.py` is on single encoders.

Reads lines "LOSS DEPTH WIDTH PAIRS BATCH ROWS", answers each with CPU seconds per pair and step. A
pair's towers are trained as the single encoders are, and by the loss between their representations
at strength 1; it has no fused head. Losses are written as a JAX user would, on whole matrices.
"""

import itertools
import os
import sys

import jax
import jax.numpy as jnp
import numpy as np
import rival_jax
from rival_jax import CLASSES, INPUTS, Rival


def unit(h):
    """Samples (columns) of length 1."""
    return h * jax.lax.rsqrt((h * h).sum(0) + 1e-12)


def infonce(x, y):
    """Symmetric InfoNCE at temperature 0.07."""
    logits = unit(x).T @ unit(y) / 0.07
    rows, columns = (jax.nn.logsumexp(logits, axis=axis) for axis in (1, 0))
    return (0.5 * (rows + columns) - jnp.diagonal(logits)).mean()


def siglip(x, y):
    """SigLIP at scale 10 and bias -10."""
    logits = 10.0 * unit(x).T @ unit(y) - 10.0
    return (jax.nn.softplus(logits).sum() - jnp.trace(logits)) / x.shape[1]


def centred(h):
    """Features of mean 0."""
    return h - h.mean(1, keepdims=True)


def cka(x, y):
    """Linear CKA in feature space."""
    x, y = centred(x), centred(y)
    square = [((a @ b.T) ** 2).sum() for a, b in ((x, y), (x, x), (y, y))]
    return 1 - square[0] / jnp.sqrt(square[1] * square[2])


def unbiased_cka(x, y):
    """Unbiased linear CKA in feature space (Song et al. 2012, equation 5)."""
    x, y = centred(x), centred(y)
    n = x.shape[1]

    def hsic(a, b):
        p, q = (a * a).sum(0), (b * b).sum(0)
        trace = ((a @ b.T) ** 2).sum() - p @ q
        return trace + p.sum() * q.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * p @ q

    return 1 - hsic(x, y) / jnp.sqrt(hsic(x, x) * hsic(y, y))


def soft_knn(x, y):
    """Soft kNN at temperature 0.1."""

    def logs(h):
        cosines = unit(h).T @ unit(h) / 0.1
        return jax.nn.log_softmax(jnp.where(jnp.eye(h.shape[1], dtype=bool), -1e9, cosines), axis=1)

    p, q = logs(x), logs(y)
    return 0.5 * ((jnp.exp(p) - jnp.exp(q)) * (p - q)).sum() / x.shape[1]


def uniformity(x, y):
    """Mean of both sides' uniformity at sharpness 2."""

    def one(h):
        n, h = h.shape[1], unit(h)
        kernel = jnp.exp(4.0 * (h.T @ h - 1.0))
        return jnp.log((kernel.sum() - n) / (n * (n - 1)))

    return 0.5 * (one(x) + one(y))


def vicreg(x, y):
    """VICReg with weights 25, 25 and 1."""

    def own(h):
        covariance = centred(h) @ centred(h).T / (h.shape[1] - 1)
        variances = jnp.diagonal(covariance)
        spread = jax.nn.relu(1 - jnp.sqrt(variances + 1e-4)).mean()
        return 25.0 * spread + ((covariance**2).sum() - (variances**2).sum()) / h.shape[0]

    return 25.0 * ((x - y) ** 2).sum(0).mean() + own(x) + own(y)


def barlow_twins(x, y):
    """Barlow Twins with weight 0.005."""

    def standard(h):
        return centred(h) * jax.lax.rsqrt(h.var(1, keepdims=True) + 1e-5)

    c = standard(x) @ standard(y).T / x.shape[1]
    own = jnp.diagonal(c)
    return ((1 - own) ** 2).sum() + 0.005 * ((c**2).sum() - (own**2).sum())


def deep_cca(x, y):
    """1 - mean canonical correlation, ridge 0.001."""
    x, y = centred(x), centred(y)
    n = x.shape[1] - 1

    def factor(h):
        c = h @ h.T / n
        return jnp.linalg.cholesky(c + 1e-3 * jnp.trace(c) / len(c) * jnp.eye(len(c)))

    solve = jax.scipy.linalg.solve_triangular
    half = solve(factor(x), x @ y.T / n, lower=True)
    whitened = solve(factor(y), half.T, lower=True)
    return 1 - jnp.linalg.svd(whitened, compute_uv=False).mean()


LOSSES = {
    "none": lambda x, y: 0.0,
    **{
        f.__name__: f
        for f in (infonce, siglip, cka, unbiased_cka, soft_knn, uniformity, vicreg, barlow_twins)
    },
    "deep_cca": deep_cca,
}


def pair_loss(name):
    """Both towers' cross-entropies and the loss between their last hidden layers."""
    align = LOSSES[name]

    def tower(parameters, x, y):
        h = x
        for weight, bias in parameters[:-1]:
            h = jax.nn.leaky_relu(weight @ h + bias, 0.1)
        weight, bias = parameters[-1]
        log_p = jax.nn.log_softmax(weight @ h + bias, axis=0)
        return h, -jnp.take_along_axis(log_p, y[None], axis=0).mean()

    def loss(parameters, x, y):
        half = len(parameters) // 2
        h1, task_1 = tower(parameters[:half], x[:INPUTS], y)
        h2, task_2 = tower(parameters[half:], x[INPUTS:], y)
        return task_1 + task_2 + align(h1, h2)

    return loss


class PairRival(Rival):
    """Stacked pairs: a flat list of both towers' layers."""

    def __init__(self, form, depth, width, models, batch, rows):
        draw = np.random.default_rng(0)
        sizes = [INPUTS] + [width] * depth + [CLASSES]
        parameters = [
            (
                jnp.asarray(draw.uniform(-1, 1, (models, b, a)) / a**0.5, jnp.float32),
                jnp.asarray(draw.uniform(-1, 1, (models, b, 1)) / a**0.5, jnp.float32),
            )
            for _ in range(2)
            for a, b in itertools.pairwise(sizes)
        ]
        moments = [jax.tree.map(jnp.zeros_like, parameters) for _ in range(2)]
        self.state = (parameters, *moments, jnp.zeros(models))
        self.x = jnp.asarray(draw.normal(size=(rows, 2 * INPUTS)), jnp.float32)
        self.y = jnp.asarray(draw.integers(0, CLASSES, rows), jnp.int32)
        self.models, self.batch, self.steps, self.rows = models, batch, rows // batch, rows
        self.draw = draw
        # JAX keeps what it compiled by function and shapes, whatever loss the function has seen.
        self.run_epoch = jax.jit(lambda *given: form(*given), donate_argnums=0)
        self.seconds()


def main():
    """Answer requests until the input ends."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rivals = {}
    for line in sys.stdin:
        name, *sizes = line.split()
        key = (name, *map(int, sizes))
        if key not in rivals:
            rival_jax.loss = pair_loss(name)
            forms = [PairRival(form, *key[1:]) for form in rival_jax.FORMS]
            rivals[key] = min(forms, key=lambda rival: min(rival.seconds() for _ in range(2)))
        sys.stdout.write(f"{rivals[key].seconds()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
