"""What an epoch costs, from short runs."""

import time
from collections.abc import Callable
from dataclasses import dataclass

_ENOUGH_SECONDS = 0.2
_MOST_EPOCHS = 768


@dataclass(frozen=True)
class Cost:
    """Time that is linear in epochs.

    Attributes:
        fixed: what is spent whatever the number of epochs, s.
        per_epoch: what each epoch adds, s.
    """

    fixed: float
    per_epoch: float

    def seconds(self, epochs: int) -> float:
        """Time of a run of so many epochs, s."""
        return self.fixed + self.per_epoch * epochs


def clock(device: str) -> Callable[[], float]:
    """What to time work on a device by: CPU time on the CPU, which other load does not inflate.

    It is the time that passes on an idle machine where torch uses one thread, as estimates do.
    """
    return time.process_time if device == "cpu" else time.perf_counter


def epoch_cost(seconds_of: Callable[[int], float]) -> Cost:
    """Tell what an epoch costs from what the rest costs.

    One epoch is run, then more and more, until those beside the first take 0.2 s or there are 768
    of them: where an epoch takes less than what a busy machine adds at random, two short runs do
    not tell.

    Args:
        seconds_of: runs so many epochs and returns how long that took, s.
    """
    first = seconds_of(1)
    epochs = 3
    while (beside := seconds_of(epochs) - first) < _ENOUGH_SECONDS and epochs < _MOST_EPOCHS:
        epochs *= 4
    per_epoch = max(beside, 0.0) / (epochs - 1)
    return Cost(max(first - per_epoch, 0.0), per_epoch)
