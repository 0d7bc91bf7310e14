"""Statistical primitives: arrays in, arrays or small dataclasses out; no tables, no files."""

from analysis.inference.paired import (
    PairedT,
    detectable_effect,
    hedges_dz,
    holm,
    paired_t,
    power_paired_t,
    sign_flip,
    tost,
)

__all__ = [
    "PairedT",
    "detectable_effect",
    "hedges_dz",
    "holm",
    "paired_t",
    "power_paired_t",
    "sign_flip",
    "tost",
]
