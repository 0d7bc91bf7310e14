"""What studies of all kinds are made of: frozen parts that check themselves.

The fields here are the keys of a study file (``search_spaces/README.md`` documents them for users).
Names that depend on a registry (datasets, encoders, metrics, alignment losses) are checked one
layer up, in ``study.checks``; everything that can be checked without one is checked here.
"""

from raysweep.study.spec.base import StudyBase
from raysweep.study.spec.fields import (
    CONFIRM_SEEDS_FROM,
    FIELDS_ONLY,
    LARGEST_SEED,
    Clash,
    ItemFaults,
    Part,
    Scalar,
    Seed,
)
from raysweep.study.spec.grids import MLP, DataGrid, ModelGrid
from raysweep.study.spec.parts import (
    Alignment,
    Confirm,
    Evaluation,
    MeasuredPerformance,
    Objective,
    OptionRange,
    Preprocessing,
    Resources,
    Search,
    StrengthRange,
    Training,
    Verdict,
    metric_names,
)

__all__ = [
    "CONFIRM_SEEDS_FROM",
    "FIELDS_ONLY",
    "LARGEST_SEED",
    "MLP",
    "Alignment",
    "Clash",
    "Confirm",
    "DataGrid",
    "Evaluation",
    "ItemFaults",
    "MeasuredPerformance",
    "ModelGrid",
    "Objective",
    "OptionRange",
    "Part",
    "Preprocessing",
    "Resources",
    "Scalar",
    "Search",
    "Seed",
    "StrengthRange",
    "StudyBase",
    "Training",
    "Verdict",
    "metric_names",
]
