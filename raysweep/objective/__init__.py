"""Alignment losses for packed training: what a study adds to the task loss, times its strength.

Example:
    >>> from raysweep import losses
    >>> "infonce" in losses.LOSSES
    True
    >>> losses.build_loss("infonce", {"temperature": 0.1}).parameter_count(8, 8)
    0
"""

from raysweep.objective.base import AlignmentLoss as AlignmentLoss
from raysweep.objective.base import LossOutput as LossOutput
from raysweep.objective.over_pairs import OverPairs as OverPairs
from raysweep.objective.over_pairs import PairsOutput as PairsOutput
from raysweep.objective.registry import COMMON_OPTIONS as COMMON_OPTIONS
from raysweep.objective.registry import CUSTOM_OPTIONS as CUSTOM_OPTIONS
from raysweep.objective.registry import LOSSES as LOSSES
from raysweep.objective.registry import LossEntry as LossEntry
from raysweep.objective.registry import build_loss as build_loss
from raysweep.objective.registry import pairwise_elements as pairwise_elements
from raysweep.objective.usable import check_usable as check_usable
