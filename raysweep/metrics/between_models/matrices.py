"""The matrices over pairs of rows that metrics of kernels and dissimilarities compare.

Each is symmetric, [n, n], and of Frobenius norm 1, so that a metric is their inner product; NaN
where the metric is undefined.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from raysweep.metrics.cka import LOSES_DIGITS, u_centred_products, unit_rbf_kernel
from raysweep.metrics.features import centered, unit_scaled
from raysweep.metrics.gram import products_of_rows, symmetric, u_centred_kernel
from raysweep.metrics.rsa import standardized_dissimilarities


def matrix_of(name: str, options: Mapping[str, object]) -> Callable[[Tensor], Tensor] | None:
    """What makes the matrix of features [n, d] for a metric; None if it compares none.

    Args:
        name: of the metric.
        options: of it, all of them.
    """
    settings: dict[str, Any] = dict(options)
    if name == "rsa":
        return partial(_dissimilarities, **settings)
    if settings.pop("kernel", "linear") == "rbf":
        return partial(unit_rbf_kernel, unbiased=name == "unbiased_cka", **settings)
    return {
        "cka": _centred_products,
        "centered_cmd": _centred_products,
        "cmd": _plain_products,
        "unbiased_cka": _u_centred,
    }.get(name)


def _centred_products(features: Tensor) -> Tensor:
    return _unit(products_of_rows(centered(features)))


def _plain_products(features: Tensor) -> Tensor:
    return _unit(products_of_rows(unit_scaled(features)[0]))


def _u_centred(features: Tensor) -> Tensor:
    products = products_of_rows(centered(features))
    matrix = u_centred_kernel(products)
    biased, unbiased = (torch.linalg.vector_norm(one).square() for one in (products, matrix))
    if bool(unbiased > LOSES_DIGITS * biased):
        return matrix.div_(unbiased.sqrt())
    return u_centred_products(features)


def _dissimilarities(features: Tensor, correlation: str, dissimilarity: str) -> Tensor:
    values = standardized_dissimilarities(features, correlation, dissimilarity)
    # Each pair is there twice.
    return symmetric(values, len(features)).div_(math.sqrt(2))


def _unit(matrix: Tensor) -> Tensor:
    norm = torch.linalg.vector_norm(matrix)
    return matrix.div_(torch.where(norm > 0, norm, torch.nan))
