"""What studies of all kinds are made of: frozen parts that check themselves.

The fields here are the keys of a study file (``search_spaces/README.md`` documents them for users).
Names that depend on a registry (datasets, encoders, metrics, alignment losses) are checked one
layer up, in ``study.checks``; everything that can be checked without one is checked here.
"""

from raysweep.study.spec.base import GridStudy as GridStudy
from raysweep.study.spec.base import StudyBase as StudyBase
from raysweep.study.spec.fields import CONFIRM_SEEDS_FROM as CONFIRM_SEEDS_FROM
from raysweep.study.spec.fields import FIELDS_ONLY as FIELDS_ONLY
from raysweep.study.spec.fields import LARGEST_SEED as LARGEST_SEED
from raysweep.study.spec.fields import Clash as Clash
from raysweep.study.spec.fields import ItemFaults as ItemFaults
from raysweep.study.spec.fields import Part as Part
from raysweep.study.spec.fields import Scalar as Scalar
from raysweep.study.spec.fields import Seed as Seed
from raysweep.study.spec.grids import MLP as MLP
from raysweep.study.spec.grids import DataGrid as DataGrid
from raysweep.study.spec.grids import ModelGrid as ModelGrid
from raysweep.study.spec.parts import Alignment as Alignment
from raysweep.study.spec.parts import Confirm as Confirm
from raysweep.study.spec.parts import Evaluation as Evaluation
from raysweep.study.spec.parts import MeasuredPerformance as MeasuredPerformance
from raysweep.study.spec.parts import Objective as Objective
from raysweep.study.spec.parts import Preprocessing as Preprocessing
from raysweep.study.spec.parts import Resources as Resources
from raysweep.study.spec.parts import Search as Search
from raysweep.study.spec.parts import Training as Training
from raysweep.study.spec.parts import Verdict as Verdict
from raysweep.study.spec.parts import metric_names as metric_names
from raysweep.study.spec.ranges import LogRange as LogRange
from raysweep.study.spec.ranges import OptionRange as OptionRange
from raysweep.study.spec.ranges import StrengthRange as StrengthRange
from raysweep.study.spec.searched import SearchedStudy as SearchedStudy
from raysweep.study.spec.training_search import SETTINGS as SETTINGS
from raysweep.study.spec.training_search import TrainingSearch as TrainingSearch
