"""What a trial of the user's own has told: its metrics, and what is wrong with them."""

import contextlib
import math
import operator
from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
import torch

from raysweep.kinds.trial.study import TrialStudy
from raysweep.study.spec.fields import listed
from raysweep.trials.columns import MEASURED_SPLITS, column_of, is_own_metric, named
from raysweep.trials.trial import Stage, Trial

if TYPE_CHECKING:
    from raysweep.kinds.trial.context import TrialContext

METRIC_NAMES = (
    "name it with the split it is of, such as f1_validation or f1_test, and not as raysweep's own "
    "columns are (alignment_..., chance_..., n_test and so on)"
)

_MOST_EPOCHS = int(np.iinfo(np.int64).max)


def is_metric(name: str) -> bool:
    """Whether a trial may give a metric of that name."""
    column = column_of(name)
    as_built_in = column.family in ("performance", "loss") and column.split in MEASURED_SPLITS
    return as_built_in or is_own_metric(name)


class TrialError(RuntimeError):
    """A trial of the user's own did not give what the study needs of it."""


class Told:
    """What a trial has told, as its row needs it.

    Args:
        context: the trial's.
        returned: what its function returned; None where it has logged its metrics last.
        source: what it is called in messages.
    """

    def __init__(self, context: "TrialContext", returned: object, source: str) -> None:
        self._context, self._source = context, source
        self.logged = dict(sorted(context._logged.items()))
        self.measured = dict(context._measured)
        self.began_after = context._began_after
        self.penalty = context._penalty
        self.metrics = self._metrics(returned)

    def _metrics(self, returned: object) -> dict[str, float]:
        if returned is None:
            last = self.logged[max(self.logged)] if self.logged else {}
            return {name: value for name, value in last.items() if is_metric(name)}
        if not isinstance(returned, Mapping):
            raise TrialError(
                f"{self._source} returned {type(returned).__name__}; return a mapping of metrics, "
                "such as {'f1_validation': 0.8, 'f1_test': 0.8}"
            )
        for name in returned:
            if not isinstance(name, str) or not is_metric(name):
                raise TrialError(f"{self._source} returned a metric {name!r}; {METRIC_NAMES}")
        place = f"{self._source}: metric "
        return {name: number(value, place + name) for name, value in returned.items()}

    def missing(self, study: TrialStudy, trial: Trial) -> str:
        """What the study needs of the trial and it has not told; empty where all is there."""
        wanted = []
        if not trial.epochs:
            wanted.append((study.verdict.performance, "verdict.performance"))
        searching = trial.stage is not Stage.CONFIRM
        # How to train is searched by performance, whatever strengths are.
        if trial.stage is Stage.TUNE or ("performance" in study.criteria and searching):
            wanted.append((study.searched_performance, "the search"))
        for name, by in dict(wanted).items():
            if name not in self.metrics:
                there = listed(self.metrics) or "none"
                return f"{self._source} returned no {name}, which {by} asks for (metrics: {there})"
        splits = []
        if "alignment" in study.criteria and searching:
            splits.append(("validation", "search.objective"))
        if study.verdict.alignment is not None and not trial.epochs:
            splits.append(("test", "verdict.alignment"))
        for split, by in splits:
            if named("alignment", study.metric, split) not in self.measured:
                return (
                    f"{self._source} measured no alignment on the {split} split, which {by} asks "
                    f"for; call trial.measure({split!r}, h1, h2)"
                )
        return ""

    def out_of_step(self, trial: Trial) -> str:
        """Whether a trial did not stop where a search that halves looks; empty where it did."""
        if not trial.epochs:
            return ""
        if not self.logged:
            return (
                f"{self._source} logged no epochs, and search.halving looks after some of them; "
                "call trial.log(epoch, ...) after each"
            )
        if sum(epoch >= trial.epochs for epoch in self.logged) > 1:
            return (
                f"{self._source} was to stop after epoch {trial.epochs} (search.halving) and went "
                f"on to {max(self.logged)}; stop where trial.log says so, or after trial.epochs"
            )
        return ""

    def diverged(self, study: TrialStudy, trial: Trial) -> str:
        """Which metric that the study needs is no finite number; empty where all are."""
        names = [study.verdict.performance, study.searched_performance]
        for name in dict.fromkeys(names):
            value = self.metrics.get(name, 0.0)
            if not math.isfinite(value):
                return f"{name} is {value:g}"
        return ""


def epochs_trained(given: object) -> int:
    """A whole number of Python, NumPy or torch, 0 or more, as the trial table can hold it."""
    with contextlib.suppress(TypeError):
        epoch = operator.index(given)  # type: ignore[arg-type]
        if not isinstance(given, bool | np.bool_) and 0 <= epoch <= _MOST_EPOCHS:
            return epoch
    raise TrialError(f"trial.log: epoch is {given!r}; expected a whole number, 0 or more")


def number(value: object, place: str) -> float:
    """A number of Python, NumPy or torch as a float; NaN and infinities, too."""
    plain = value
    if isinstance(value, torch.Tensor | np.ndarray | np.generic) and math.prod(value.shape) == 1:
        plain = value.item()
    if isinstance(plain, bool) or not isinstance(plain, Real):
        shown = str(value)
        shown = shown if len(shown) <= 60 else f"{shown[:60]}..."
        raise TrialError(f"{place} is {shown} ({type(value).__name__}); expected a number")
    try:
        return float(plain)
    except OverflowError:
        raise TrialError(f"{place} is beyond 1e308; expected a number of float64") from None
