"""A run of MLflow as it is to be: what is stored of it, and how a change of it is noticed."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from raysweep.seeds import content_key
from raysweep.trials.columns import TIMING_COLUMNS
from raysweep.trials.criteria import CHOSEN_BY

# Raised when runs are to be written anew though their rows have not changed.
FORMAT = 4
# What MLflow's databases hold of a run's name, and what it refuses in a parameter's.
_LONGEST_NAME = 250
_NO_KEY = re.compile(r"[^\w.\- :]")
# Metrics that are infinite or undefined: of an infinity MLflow makes the largest number it has.
NOT_FINITE_TAG = "not_finite"


def verdict_tag(criterion: str) -> str:
    """The tag of a cell with the verdict at the strength that a criterion chose; "" is any."""
    return f"verdict_by_{criterion or 'strength'}"


ANSWERED_TAG = "answered"
"""What a verdict is from, and when it was said."""
PASSING_TAGS = (
    *(NOT_FINITE_TAG, "chosen_by", "cause", ANSWERED_TAG),
    *(verdict_tag(criterion) for criterion in (*CHOSEN_BY, "")),
)
"""Tags that a run may have for a while."""


@dataclass(frozen=True)
class RunRecord:
    """One MLflow run, made from rows of the trial table.

    Attributes:
        identity: what the run is about; the same for as long as the run grows.
        parent: identity of the parent run, or None.
        status: a status of MLflow: RUNNING while planned rows are missing (see `standing`).
        seconds: training time, shown as the run's duration.
        curves: metric -> (epoch from 1, value) points, of a run that is complete.
        not_finite: metric -> its value, of those that are infinite or undefined: they are no
            metrics of the run, and a tag says what they are.
        step: of its metrics; of one that MLflow has at a later step, that one.
        digest: changes when anything that is shown changes.
    """

    identity: str
    parent: str | None
    name: str
    status: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    keys: Sequence[str] = ()
    seconds: float = 0.0
    curves: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    not_finite: Mapping[str, float] = field(default_factory=dict)
    step: int = 0
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        name = (
            self.name if len(self.name) <= _LONGEST_NAME else f"{self.name[: _LONGEST_NAME - 1]}…"
        )
        object.__setattr__(self, "name", _stored(name))
        params = {_NO_KEY.sub("_", key): _stored(value) for key, value in self.params.items()}
        object.__setattr__(self, "params", params)
        odd = {k: v for k, v in self.metrics.items() if not math.isfinite(v)}
        if odd:
            odd = {**self.not_finite, **odd}
            said = ", ".join(f"{name} = {value:g}" for name, value in odd.items())
            finite = {name: value for name, value in self.metrics.items() if name not in odd}
            object.__setattr__(self, "not_finite", odd)
            object.__setattr__(self, "metrics", finite)
            object.__setattr__(self, "tags", {**self.tags, NOT_FINITE_TAG: said})
        object.__setattr__(self, "tags", {k: _stored(v) for k, v in self.tags.items()})
        shown = {k: v for k, v in self.metrics.items() if not k.startswith(TIMING_COLUMNS)}
        content = [
            FORMAT,
            self.name,
            self.status,
            dict(self.params),
            shown,
            dict(self.tags),
            sorted(self.keys),
        ]
        object.__setattr__(self, "digest", content_key(content))


def _stored(text: str) -> str:
    """A text that every database stores: PostgreSQL has no NUL."""
    return text.replace("\0", r"\x00")
