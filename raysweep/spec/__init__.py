"""What a study is: frozen parts that check themselves.

The fields here are the keys of a study file (``search_spaces/README.md`` documents them for users).
Names that depend on a registry (datasets, encoders, metrics, alignment losses) are checked one
layer up, in ``vocabulary``; everything that can be checked without one is checked here.
"""

from raysweep.spec.base import StudyBase as StudyBase
from raysweep.spec.emergence import EmergenceStudy as EmergenceStudy
from raysweep.spec.emergence import EmergentEvaluation as EmergentEvaluation
from raysweep.spec.emergence import EncoderTraining as EncoderTraining
from raysweep.spec.emergence import Tuning as Tuning
from raysweep.spec.forcing import ForcingStudy as ForcingStudy
from raysweep.spec.grids import MLP as MLP
from raysweep.spec.grids import DataGrid as DataGrid
from raysweep.spec.grids import ModelGrid as ModelGrid
from raysweep.spec.parts import Alignment as Alignment
from raysweep.spec.parts import Confirm as Confirm
from raysweep.spec.parts import Evaluation as Evaluation
from raysweep.spec.parts import LogRange as LogRange
from raysweep.spec.parts import MeasuredPerformance as MeasuredPerformance
from raysweep.spec.parts import Objective as Objective
from raysweep.spec.parts import OptionRange as OptionRange
from raysweep.spec.parts import Preprocessing as Preprocessing
from raysweep.spec.parts import Resources as Resources
from raysweep.spec.parts import Search as Search
from raysweep.spec.parts import StrengthRange as StrengthRange
from raysweep.spec.parts import Training as Training
from raysweep.spec.parts import Verdict as Verdict
from raysweep.spec.parts import metric_names as metric_names
from raysweep.spec.values import CONFIRM_SEEDS_FROM as CONFIRM_SEEDS_FROM
from raysweep.spec.values import FIELDS_ONLY as FIELDS_ONLY
from raysweep.spec.values import LARGEST_SEED as LARGEST_SEED
from raysweep.spec.values import Clash as Clash
from raysweep.spec.values import ItemFaults as ItemFaults
from raysweep.spec.values import Part as Part
from raysweep.spec.values import Scalar as Scalar
from raysweep.spec.values import Seed as Seed
