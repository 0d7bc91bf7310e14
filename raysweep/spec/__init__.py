"""What a study is: frozen parts that check themselves.

The fields here are the keys of a study file (``search_spaces/README.md`` documents them for users).
Names that depend on a registry (datasets, encoders, metrics, alignment losses) are checked one
layer up, in ``vocabulary``; everything that can be checked without one is checked here.
"""

from raysweep.spec.base import GridStudy, StudyBase
from raysweep.spec.emergence import (
    EmergenceStudy,
    EmergentEvaluation,
    EncoderTraining,
    LogRange,
    Tuning,
)
from raysweep.spec.forcing import ForcingStudy
from raysweep.spec.grids import MLP, DataGrid, ModelGrid
from raysweep.spec.parts import (
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
from raysweep.spec.searched import SearchedStudy
from raysweep.spec.trial import TrialStudy
from raysweep.spec.values import (
    CONFIRM_SEEDS_FROM,
    FIELDS_ONLY,
    LARGEST_SEED,
    Clash,
    ItemFaults,
    Part,
    Scalar,
    Seed,
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
    "EmergenceStudy",
    "EmergentEvaluation",
    "EncoderTraining",
    "Evaluation",
    "ForcingStudy",
    "GridStudy",
    "ItemFaults",
    "LogRange",
    "MeasuredPerformance",
    "ModelGrid",
    "Objective",
    "OptionRange",
    "Part",
    "Preprocessing",
    "Resources",
    "Scalar",
    "Search",
    "SearchedStudy",
    "Seed",
    "StrengthRange",
    "StudyBase",
    "Training",
    "TrialStudy",
    "Tuning",
    "Verdict",
    "metric_names",
]
