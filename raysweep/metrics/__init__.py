"""Alignment metrics: how alike two representations of the same samples are.

Example:
    >>> import numpy as np
    >>> from raysweep import metrics
    >>> x = np.random.default_rng(0).normal(size=(50, 8))
    >>> round(metrics.measure("mutual_knn", x, -x, topk=5), 6)
    1.0
    >>> metrics.REGISTRY["cka"].range
    (0.0, 1.0)
"""

from raysweep.metrics.best_pair import BestPair as BestPair
from raysweep.metrics.best_pair import best_over_layers as best_over_layers
from raysweep.metrics.between_models.measured import measure_models as measure_models
from raysweep.metrics.calibration import Calibration as Calibration
from raysweep.metrics.calibration import calibrate as calibrate
from raysweep.metrics.calibration import calibrate_layers as calibrate_layers
from raysweep.metrics.calibration import calibration_of as calibration_of
from raysweep.metrics.calibration import self_scores as self_scores
from raysweep.metrics.distinguishable import distinguishable_rows as distinguishable_rows
from raysweep.metrics.distinguishable import distinguishable_rows_of as distinguishable_rows_of
from raysweep.metrics.features import distinct_rows as distinct_rows
from raysweep.metrics.measurement import measure as measure
from raysweep.metrics.measurement import measure_layers as measure_layers
from raysweep.metrics.measurement import score_orders as score_orders
from raysweep.metrics.metric import Metric as Metric
from raysweep.metrics.modalities import calibrate_modalities as calibrate_modalities
from raysweep.metrics.modalities import measure_modalities as measure_modalities
from raysweep.metrics.preprocessing import NONE as NONE
from raysweep.metrics.preprocessing import PAPER as PAPER
from raysweep.metrics.preprocessing import Preprocessing as Preprocessing
from raysweep.metrics.preprocessing import clip_outliers as clip_outliers
from raysweep.metrics.registry import REGISTRY as REGISTRY
from raysweep.metrics.registry import find_metric as find_metric
