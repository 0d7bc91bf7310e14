"""Every alignment metric by name."""

import math
from functools import partial

from raysweep.errors import InputError
from raysweep.metrics.cka import centered_cmd, cka, cmd, unbiased_cka
from raysweep.metrics.contrastive import alignment, effective_rank, modality_gap, uniformity
from raysweep.metrics.metric import Metric
from raysweep.metrics.mutual_knn import mutual_knn
from raysweep.metrics.neighbours import SIMILARITIES
from raysweep.metrics.ranked_knn import cknna, cycle_knn, edit_distance_knn, lcs_knn
from raysweep.metrics.rsa import CORRELATIONS, DISSIMILARITIES, rsa
from raysweep.metrics.stitching import linear_stitching
from raysweep.metrics.subspace import mean_cca, procrustes, procrustes_distance, pwcca, svcca
from raysweep.plugins.options import Option

_KERNEL = (
    Option("kernel", "linear", "kernel of both sides", choices=("linear", "rbf")),
    Option("sigma", 1.0, "bandwidth of the rbf kernel, in sigma_unit", low=1e-6, high=1e6),
    Option(
        "sigma_unit",
        "absolute",
        "absolute, or a multiple of the median distance between rows",
        choices=("absolute", "median"),
    ),
)
_TOPK = Option("topk", 10, "number of neighbours k, below n", low=1)
_SIMILARITY = Option("similarity", "cosine", "what makes neighbours near", choices=SIMILARITIES)
_TIES = Option("tie_seed", 0, "seed of the order of ties", low=0)
_NEIGHBOURS = (_TOPK, _SIMILARITY)
_RANKED = (*_NEIGHBOURS, _TIES)
_CENTERED = Option("centered", True, "centre the features first")
_TEMPERATURE = Option("temperature", 2.0, "t in exp(-t |u - v|^2)", low=1e-6, high=1e6)

_ROTATION_SCALE = frozenset({"rotation", "scale"})
_ROTATION_SCALE_TRANSLATION = _ROTATION_SCALE | {"translation"}
_ANY_LINEAR = _ROTATION_SCALE_TRANSLATION | {"linear"}
_COSINE = _ROTATION_SCALE | {"row_scale"}

_KERNELS = (
    Metric(
        name="cka",
        score=cka,
        summary="Centred kernel alignment; about d / n by chance.",
        source="Kornblith et al. 2019, arXiv 1905.00414",
        cost="n d1 d2; rbf: n^2 (d1 + d2)",
        invariances=_ROTATION_SCALE_TRANSLATION,
        options=_KERNEL,
    ),
    Metric(
        name="unbiased_cka",
        score=unbiased_cka,
        summary="Centred kernel alignment from the unbiased HSIC; 0 by chance.",
        source="Song et al. 2012, JMLR 13, equation 5",
        cost="n d1 d2; rbf: n^2 (d1 + d2)",
        range=(-1.0, 1.0),
        invariances=_ROTATION_SCALE_TRANSLATION,
        undefined="all rows of a side are equally far from each other",
        options=_KERNEL,
    ),
    Metric(
        name="cmd",
        score=cmd,
        summary="Similarity of uncentred sample correlation matrices; high by chance.",
        source="Herdin et al. 2005, doi 10.1109/VETECS.2005.1543265 (one minus their distance)",
        cost="n d1 d2",
        invariances=_ROTATION_SCALE,
    ),
    Metric(
        name="centered_cmd",
        score=centered_cmd,
        summary="cmd of centred features: the same number as linear cka.",
        source="code of arXiv 2502.16282",
        cost="n d1 d2",
        invariances=_ROTATION_SCALE_TRANSLATION,
    ),
    Metric(
        name="rsa",
        score=rsa,
        summary="Correlation between the dissimilarities of all pairs of rows.",
        source="Kriegeskorte et al. 2008, doi 10.3389/neuro.06.004.2008",
        cost="n^2 (d1 + d2 + log n)",
        range=(-1.0, 1.0),
        invariances=frozenset({"scale", "row_scale"}),
        undefined="all dissimilarities of a side are equal",
        options=(
            Option("correlation", "spearman", "of the dissimilarities", choices=CORRELATIONS),
            Option("dissimilarity", "correlation", "of two rows", choices=DISSIMILARITIES),
        ),
    ),
)

_NEIGHBOUR_METRICS = (
    Metric(
        name="mutual_knn",
        score=mutual_knn,
        summary="Share of the k nearest neighbours in common; k / (n - 1) by chance.",
        source="Huh et al. 2024, arXiv 2405.07987; ties: exact expectation",
        cost="n^2 (d1 + d2)",
        invariances=_COSINE,
        options=_NEIGHBOURS,
    ),
    Metric(
        name="cycle_knn",
        score=cycle_knn,
        summary="Share of rows that come back from their y-neighbours' x-neighbours.",
        ideal_from_self=True,
        source="code of Huh et al. 2024, arXiv 2405.07987; ties: seeded",
        cost="n^2 (d1 + d2)",
        symmetric=False,
        invariances=_COSINE,
        options=_RANKED,
    ),
    Metric(
        name="lcs_knn",
        score=lcs_knn,
        summary="Longest common subsequence of the two lists of neighbours, over k, in 0..1; "
        "times k it is the length that the published code gives.",
        source="code of Huh et al. 2024, arXiv 2405.07987; ties: seeded",
        cost="n^2 (d1 + d2) + n k^2",
        invariances=_COSINE,
        options=_RANKED,
    ),
    Metric(
        name="edit_distance_knn",
        score=edit_distance_knn,
        summary="One minus the edit distance of the two lists of neighbours, over k.",
        source="code of Huh et al. 2024, arXiv 2405.07987; ties: seeded",
        cost="n^2 (d1 + d2) + n k^2",
        invariances=_COSINE,
        options=_RANKED,
    ),
    Metric(
        name="cknna",
        score=cknna,
        summary="CKA of kernels restricted to common nearest neighbours; above 0 by chance.",
        source="Huh et al. 2024, arXiv 2405.07987; ties: seeded",
        cost="n^2 (d1 + d2)",
        range=(-math.inf, math.inf),
        symmetric=False,
        invariances=_COSINE,
        undefined="the estimated self-similarity of a side is not positive; use a larger topk",
        options=(
            Option("topk", 10, "number of neighbours k, below n", low=2),
            Option(
                "similarity",
                "cosine",
                "kernel, and what makes neighbours near",
                choices=("cosine", "inner"),
            ),
            _TIES,
        ),
    ),
)

_SUBSPACES = (
    Metric(
        name="mean_cca",
        score=mean_cca,
        summary="Mean canonical correlation; 1 by chance once d reaches n - 1.",
        source="Kornblith et al. 2019, arXiv 1905.00414",
        cost="n d^2",
        invariances=_ANY_LINEAR,
    ),
    Metric(
        name="svcca",
        score=svcca,
        summary="Mean canonical correlation of the leading principal components.",
        source="Raghu et al. 2017, arXiv 1706.05806",
        cost="n d^2",
        invariances=frozenset({"scale", "translation"}),
        options=(
            Option("dimensions", 10, "most components kept", low=1, high=2**31, optional=True),
            Option("variance", 1.0, "share of the variance kept", low=1e-6, high=1.0),
            Option("standardize", True, "unit variance of every feature first"),
        ),
    ),
    Metric(
        name="pwcca",
        score=pwcca,
        summary="Canonical correlations weighted by what they carry of x.",
        source="Morcos et al. 2018, arXiv 1806.05759",
        cost="n d^2",
        symmetric=False,
        invariances=frozenset({"scale", "translation"}),
    ),
    Metric(
        name="procrustes",
        score=procrustes,
        summary="Angular similarity after the best rotation.",
        source="Williams et al. 2021, arXiv 2110.14739",
        cost="n d1 d2 + d^3",
        invariances=_ROTATION_SCALE_TRANSLATION,
    ),
    Metric(
        name="procrustes_distance",
        score=procrustes_distance,
        summary="Distance after the best rotation, features of unit norm; lower is better.",
        source="Williams et al. 2021, arXiv 2110.14739; Ding et al. 2021 report its square",
        cost="n d1 d2 + d^3",
        range=(0.0, math.sqrt(2)),
        higher_is_better=False,
        invariances=_ROTATION_SCALE_TRANSLATION,
        ideal=0.0,
    ),
    Metric(
        name="linear_stitching",
        score=linear_stitching,
        summary="Held-out R2 of a linear map from x to y.",
        ideal_from_self=True,
        source="Bansal et al. 2021, arXiv 2106.07682; Kornblith et al. 2019, arXiv 1905.00414",
        cost="folds n d1^2 + folds n^2 d2",
        range=(-math.inf, 1.0),
        symmetric=False,
        invariances=_ROTATION_SCALE_TRANSLATION,
        options=(
            Option("folds", 5, "parts of the rows, each held out once", low=2, high=1000),
            Option("ridge", 1e-6, "penalty over the mean variance of x", low=0.0, high=1e6),
            Option("fold_seed", 0, "seed of the folds", low=0),
        ),
    ),
)

_CONTRASTIVE = (
    Metric(
        name="alignment",
        score=alignment,
        summary="Mean distance of paired rows on the sphere, to a power; lower is better.",
        source="Wang and Isola 2020, arXiv 2005.10242",
        cost="n d",
        range=(0.0, math.inf),
        higher_is_better=False,
        invariances=frozenset({"scale", "row_scale"}),
        ideal=0.0,
        equal_widths=True,
        options=(Option("exponent", 2.0, "power of the distance", low=1e-6, high=100.0),),
    ),
    Metric(
        name="modality_gap",
        score=modality_gap,
        summary="Distance between the mean directions of the two sides; lower is better.",
        source="Liang et al. 2022, arXiv 2203.02053",
        cost="n d",
        range=(0.0, 2.0),
        higher_is_better=False,
        invariances=frozenset({"scale", "row_scale"}),
        ideal=0.0,
        paired=False,
        equal_widths=True,
    ),
    *(
        Metric(
            name=name,
            score=partial(uniformity, side=side),
            summary=f"How evenly the rows of {of} cover the sphere; lower is more even.",
            source="Wang and Isola 2020, arXiv 2005.10242",
            cost="n^2 d",
            range=(-math.inf, 0.0),
            higher_is_better=False,
            symmetric=side == "both",
            invariances=_COSINE,
            ideal=None,
            paired=False,
            options=(_TEMPERATURE,),
        )
        for name, side, of in (
            ("uniformity", "both", "both sides (mean)"),
            ("uniformity_1", "x", "x"),
            ("uniformity_2", "y", "y"),
        )
    ),
    *(
        Metric(
            name=f"effective_rank_{number}",
            score=partial(effective_rank, side=side),
            summary=f"Effective number of dimensions of {side}.",
            source="Roy and Vetterli 2007, EUSIPCO",
            cost="n d^2",
            range=(1.0, math.inf),
            symmetric=False,
            invariances=_ROTATION_SCALE_TRANSLATION,
            ideal=None,
            paired=False,
            options=(_CENTERED,),
        )
        for number, side in ((1, "x"), (2, "y"))
    ),
)

REGISTRY: dict[str, Metric] = {
    metric.name: metric for metric in (*_KERNELS, *_NEIGHBOUR_METRICS, *_SUBSPACES, *_CONTRASTIVE)
}


def find_metric(name: str) -> Metric:
    """The metric called `name`; InputError with the known names otherwise.

    Example:
        >>> from raysweep import metrics
        >>> metrics.find_metric("mutual_knn").higher_is_better
        True
    """
    try:
        return REGISTRY[name]
    except KeyError:
        known = ", ".join(REGISTRY)
        raise InputError(f"unknown metric {name!r}; expected one of: {known}") from None
