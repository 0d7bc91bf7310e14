"""Statistical primitives: arrays in, arrays or small dataclasses out; no tables, no files."""

from raysweep_analysis.inference.dose import (
    TwoLines,
    isotonic,
    single_peaked,
    two_lines,
)
from raysweep_analysis.inference.fieller import (
    CrossingSet,
    crossing,
)
from raysweep_analysis.inference.max_t import (
    MaxT,
    max_t,
)
from raysweep_analysis.inference.meta import (
    MetaRegression,
    Units,
    meta_regression,
    meta_regressions,
)
from raysweep_analysis.inference.paired import (
    PairedT,
    detectable_effect,
    hedges_dz,
    holm,
    moments,
    paired_t,
    power_paired_t,
    sign_flip,
    tost,
)
from raysweep_analysis.inference.trends import (
    Trend,
    correlation,
    correlation_interval,
    correlation_p,
    jonckheere_terpstra,
    partial_residuals,
    spearman_trend,
)

__all__ = [
    "CrossingSet",
    "MaxT",
    "MetaRegression",
    "PairedT",
    "Trend",
    "TwoLines",
    "Units",
    "correlation",
    "correlation_interval",
    "correlation_p",
    "crossing",
    "detectable_effect",
    "hedges_dz",
    "holm",
    "isotonic",
    "jonckheere_terpstra",
    "max_t",
    "meta_regression",
    "meta_regressions",
    "moments",
    "paired_t",
    "partial_residuals",
    "power_paired_t",
    "sign_flip",
    "single_peaked",
    "spearman_trend",
    "tost",
    "two_lines",
]
