"""Every alignment metric by name."""

from raysweep.errors import InputError
from raysweep.metrics.cka import cka, unbiased_cka
from raysweep.metrics.metric import Metric, Option
from raysweep.metrics.mutual_knn import mutual_knn
from raysweep.metrics.neighbours import SIMILARITIES

_TOPK = Option(10, "number of neighbours k, below n", low=1, integer=True)
_SIMILARITY = Option("cosine", "of which neighbours have most", choices=SIMILARITIES)

_METRICS = (
    Metric(
        name="cka",
        score=cka,
        summary="Centred kernel alignment; above 0 by chance, by about d / n.",
        source="Kornblith et al. 2019, arXiv 1905.00414",
        cost="n d1 d2",
        invariances=frozenset({"rotation", "scale", "translation"}),
    ),
    Metric(
        name="unbiased_cka",
        score=unbiased_cka,
        summary="Centred kernel alignment from the unbiased HSIC; 0 by chance.",
        source="Song et al. 2012, JMLR 13, equation 5; arXiv 2405.01012",
        cost="n d1 d2",
        range=(-1.0, 1.0),
        invariances=frozenset({"rotation", "scale", "translation"}),
    ),
    Metric(
        name="mutual_knn",
        score=mutual_knn,
        summary="Share of k nearest neighbours in common; k / (n - 1) by chance.",
        source="Huh et al. 2024, arXiv 2405.07987",
        cost="n^2 (d1 + d2)",
        invariances=frozenset({"rotation", "scale"}),
        options={"topk": _TOPK, "similarity": _SIMILARITY},
    ),
)

REGISTRY: dict[str, Metric] = {metric.name: metric for metric in _METRICS}


def find_metric(name: str) -> Metric:
    """The metric called `name`; InputError with the known names otherwise."""
    try:
        return REGISTRY[name]
    except KeyError:
        known = ", ".join(REGISTRY)
        raise InputError(f"unknown metric {name!r}; expected one of: {known}") from None
