"""Alignment losses for packed training: what a study adds to the task loss, times its strength.

Example:
    >>> from raysweep import losses
    >>> "infonce" in losses.LOSSES
    True
    >>> losses.build_loss("infonce", {"temperature": 0.1}).parameter_count(8, 8)
    0
"""

from raysweep.losses.base import AlignmentLoss as AlignmentLoss
from raysweep.losses.base import LossEntry as LossEntry
from raysweep.losses.base import LossOutput as LossOutput
from raysweep.losses.never_defined import never_defined as never_defined
from raysweep.losses.over_pairs import OverPairs as OverPairs
from raysweep.losses.over_pairs import PairsOutput as PairsOutput
from raysweep.losses.registry import COMMON_OPTIONS as COMMON_OPTIONS
from raysweep.losses.registry import CUSTOM_OPTIONS as CUSTOM_OPTIONS
from raysweep.losses.registry import LOSSES as LOSSES
from raysweep.losses.registry import build_loss as build_loss
from raysweep.losses.registry import pairwise_elements as pairwise_elements
from raysweep.losses.usable import check_usable as check_usable
