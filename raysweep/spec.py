"""What a study is: frozen parts that check themselves.

The fields here are the keys of a study file (``search_spaces/README.md`` documents them for users).
Names that depend on a registry (datasets, metrics, alignment losses) are checked one layer up, in
``vocabulary.py``; everything that can be checked without one is checked here.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

Scalar = int | float | str | bool
Objective = Literal["alignment", "performance", "both"]
CONFIRM_SEEDS_FROM = 1000
MOST_SEEDS = 100_000
MOST_CELLS = 100_000
# What a column of 64-bit integers and every seeded generator takes.
LARGEST_SEED = 2**31 - 1
MeasuredPerformance = Literal[
    "performance_1_validation",
    "performance_2_validation",
    "performance_fused_validation",
    "performance_1_test",
    "performance_2_test",
    "performance_fused_test",
    "performance_1_population",
    "performance_2_population",
    "performance_fused_population",
]


class Clash(ValueError):
    """Values that are valid each by itself but do not go together.

    Attributes:
        keys: the places that clash, relative to the part that is checked.
    """

    def __init__(self, message: str, *keys: tuple[str, ...]) -> None:
        super().__init__(message)
        self.keys = keys


def _as_list(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    repeated = [str(value) for value, count in Counter(values).items() if count > 1]
    if repeated:
        raise ValueError(f"values used twice: {', '.join(repeated)}; give each value once")
    return values


def _option(value: Any) -> Any:
    if value is not None and not isinstance(value, Scalar):
        raise ValueError("expected a number, text, true or false")
    if isinstance(value, int | float) and not abs(value) < 2**63:
        raise ValueError("expected a finite number below 2**63")
    return value


# Strict, as a quoted number or a truth value in place of a number is a slip.
Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True)]
Truth = Annotated[bool, Field(strict=True)]
Seed = Annotated[int, Field(strict=True, ge=0, le=LARGEST_SEED)]
OptionValue = Annotated[Any, AfterValidator(_option)]
Depths = Annotated[
    tuple[Annotated[Whole, Field(ge=1, le=64)], ...],
    BeforeValidator(_as_list),
    Field(min_length=1),
]
Widths = Annotated[
    tuple[Annotated[Whole, Field(ge=1, le=65_536)], ...],
    BeforeValidator(_as_list),
    Field(min_length=1),
]


class Part(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataGrid(BaseModel):
    """One dataset and the grid over its characteristics.

    Every key besides ``dataset`` and ``draws`` is a characteristic of the dataset: one value, or a
    list of values that becomes an axis of the grid.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Annotated[Any, BeforeValidator(_as_tuple)]]

    dataset: str
    draws: tuple[Seed, ...] = (0,)

    @field_validator("draws", mode="before")
    @classmethod
    def _count_or_list(cls, value: object) -> object:
        return _count_to_seeds(value, first=0)

    @field_validator("draws")
    @classmethod
    def _draws_distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return _checked_seeds(value)

    @property
    def axes(self) -> dict[str, tuple[Scalar, ...]]:
        """Characteristic -> its values, in the order of the study file."""
        given = self.model_extra or {}
        return {name: v if isinstance(v, tuple) else (v,) for name, v in given.items()}


class ModelGrid(Part):
    """Encoders: depth counts hidden layers, width the units of each.

    ``depth`` and ``width`` set both modalities alike; ``depth_1``/``depth_2`` and
    ``width_1``/``width_2`` make separate axes.
    """

    encoder: Literal["mlp"] = "mlp"
    depth: Depths | None = None
    depth_1: Depths | None = None
    depth_2: Depths | None = None
    width: Widths | None = None
    width_1: Widths | None = None
    width_2: Widths | None = None

    @field_validator("depth", "depth_1", "depth_2", "width", "width_1", "width_2")
    @classmethod
    def _values_distinct(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        return value if value is None else _distinct(value)

    @model_validator(mode="after")
    def _both_or_each(self) -> Self:
        for name in ("depth", "width"):
            both, one, two = (getattr(self, f"{name}{end}") for end in ("", "_1", "_2"))
            if both is not None and (one is not None or two is not None):
                keys = [(f"{name}{end}",) for end in ("_1", "_2", "")]
                raise Clash(f"give either {name} or {name}_1 and {name}_2, not both", *keys)
            if both is None and (one is None) != (two is None):
                raise Clash(
                    f"{name}_1 and {name}_2 go together; or give {name} for both",
                    (f"{name}_1",),
                    (f"{name}_2",),
                )
        return self

    def pairs(self, name: Literal["depth", "width"], default: int) -> list[tuple[int, int]]:
        """The (modality 1, modality 2) values of ``depth`` or ``width`` in the grid."""
        one, two = getattr(self, f"{name}_1"), getattr(self, f"{name}_2")
        if one is not None and two is not None:
            return [(a, b) for a in one for b in two]
        both = getattr(self, name)
        return [(v, v) for v in (both if both is not None else (default,))]


class Training(Part):
    """How every pair of encoders is trained (AdamW; values are the same for all arms)."""

    epochs: Whole = Field(100, ge=1)
    batch_size: Whole = Field(128, ge=4)
    learning_rate: Number = Field(1e-3, gt=0)
    weight_decay: Number = Field(1e-2, ge=0)
    clip_norm: Number = Field(8.0, gt=0)
    fusion: Literal["probe", "joint"] = "probe"
    checkpoint: Literal["best", "last"] = "best"
    evaluate_every: Whole = Field(1, ge=1)
    dtype: Literal["float32", "float64"] = "float32"


class Alignment(Part):
    """The alignment loss that is forced; its weight, the strength, is what the search varies."""

    loss: str = "infonce"
    options: dict[str, OptionValue] = Field(default_factory=dict)


class Preprocessing(Part):
    """What is done to representations before a metric sees them (the paper's choice by default)."""

    clip_quantile: Number = Field(0.95, gt=0, le=1)
    normalize: Truth = True


class Evaluation(Part):
    """Alignment metrics that are measured, on which layers, after which preprocessing."""

    metrics: dict[str, dict[str, OptionValue]] = Field(
        default={"unbiased_cka": {}, "mutual_knn": {"topk": 10}}, min_length=1
    )
    layers: Literal["last", "best"] = "last"
    rows: Whole = Field(1024, ge=16)
    preprocessing: Preprocessing = Preprocessing()

    @field_validator("metrics", mode="before")
    @classmethod
    def _names_or_options(cls, value: object) -> object:
        if isinstance(value, list) and all(isinstance(v, str) for v in value):
            return {name: {} for name in _distinct(tuple(value))}
        if isinstance(value, dict):
            return {k: {} if v is None else v for k, v in value.items()}
        return value


class StrengthRange(Part):
    """The range in which the search looks; strength 0 is always run beside it."""

    low: Number = Field(0.01, gt=0)
    high: Number = Field(10.0, gt=0)
    scale: Literal["log", "linear"] = "log"

    @model_validator(mode="after")
    def _low_below_high(self) -> Self:
        if self.low >= self.high:
            raise Clash(
                f"the range is upside down: low = {self.low:g} must be below high = {self.high:g}",
                ("low",),
                ("high",),
            )
        return self


def _count_to_seeds(value: object, first: int) -> object:
    if isinstance(value, list | tuple):
        return tuple(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_SEEDS:
        raise ValueError(f"give a count of 1 to {MOST_SEEDS}, or a list of whole numbers")
    return tuple(range(first, first + value))


def _checked_seeds(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if not seeds:
        raise ValueError("the list is empty; give a count of at least 1, or a list")
    return _distinct(seeds)


class Search(Part):
    """The search of the strength in every cell; ``seeds`` is a count (0, 1, ...) or a list."""

    strength: StrengthRange = StrengthRange()
    trials: Whole = Field(12, ge=1)
    generation: Whole = Field(4, ge=1)
    sampler: Literal["tpe", "gp", "qmc", "random", "grid"] = "tpe"
    objective: Objective = "alignment"
    metric: str | None = None
    performance: Literal["performance_1", "performance_2", "performance_fused"] = (
        "performance_fused"
    )
    seeds: tuple[Seed, ...] = (0, 1)

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_or_list(cls, value: object) -> object:
        return _count_to_seeds(value, first=0)

    @field_validator("seeds")
    @classmethod
    def _valid_seeds(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return _checked_seeds(value)


class Confirm(Part):
    """Fresh seeds for the arms none, forced and placebo; a count n means 1000 .. 1000 + n - 1."""

    seeds: tuple[Seed, ...] = tuple(range(CONFIRM_SEEDS_FROM, CONFIRM_SEEDS_FROM + 12))

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_or_list(cls, value: object) -> object:
        return _count_to_seeds(value, first=CONFIRM_SEEDS_FROM)

    @field_validator("seeds")
    @classmethod
    def _valid_seeds(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return _checked_seeds(value)


class Verdict(Part):
    """What is tested: the performance, the level of the test and the margin of equivalence."""

    performance: MeasuredPerformance = "performance_fused_test"
    alpha: Number = Field(0.05, gt=0, lt=1)
    margin: Number = Field(0.005, gt=0, lt=1)
    hypotheses: tuple[str, ...] = ()


class Resources(Part):
    """What one pack needs; to Ray these are numbers to place it by."""

    cpus_per_pack: Number = Field(1.0, gt=0)
    gpus_per_pack: Number = Field(0.0, ge=0)
    members_per_pack: Whole = Field(36, ge=3)


class Study(Part):
    """A whole study: one YAML file.

    ``files`` is filled in when the study is resolved: file, or dotted path of a user's own loss, ->
    digest of its content.
    """

    name: str
    description: str = ""
    kind: Literal["forcing"] = "forcing"
    seed: Seed = 0
    data: Annotated[tuple[DataGrid, ...], BeforeValidator(_as_list), Field(min_length=1)]
    model: ModelGrid = ModelGrid()
    training: Training = Training()
    alignment: Alignment = Alignment()
    evaluation: Evaluation = Evaluation()
    search: Search = Search()
    confirm: Confirm = Confirm()
    verdict: Verdict = Verdict()
    resources: Resources = Resources()
    files: dict[str, str] = Field(default_factory=dict)

    @property
    def metric(self) -> str:
        """The alignment metric that the search maximizes."""
        return self.search.metric or next(iter(self.evaluation.metrics))

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", value):
            raise ValueError(
                "expected 1 to 100 letters, digits, '_', '.' or '-', a letter or digit first"
            )
        return value

    @model_validator(mode="after")
    def _seeds_apart(self) -> Self:
        shared = sorted(set(self.search.seeds) & set(self.confirm.seeds))
        if shared:
            raise Clash(
                f"seeds used twice: {_listed(shared)} in both search.seeds and confirm.seeds; "
                "the confirm stage needs seeds that the search never saw",
                ("confirm", "seeds"),
                ("search", "seeds"),
            )
        return self

    @model_validator(mode="after")
    def _metric_measured(self) -> Self:
        if self.search.metric is not None and self.search.metric not in self.evaluation.metrics:
            raise Clash(
                f"{self.search.metric!r} is not measured; choose one of evaluation.metrics: "
                f"{_listed(self.evaluation.metrics)}",
                ("search", "metric"),
                ("evaluation", "metrics"),
            )
        return self

    @model_validator(mode="after")
    def _cells_countable(self) -> Self:
        points = sum(math.prod(len(v) for v in block.axes.values()) for block in self.data)
        cells = points * len(self.model.pairs("depth", 1)) * len(self.model.pairs("width", 1))
        if cells > MOST_CELLS:
            raise Clash(f"{cells} cells; a study has at most {MOST_CELLS}", ("data",), ("model",))
        return self

    def science(self) -> dict[str, Any]:
        """What a trial's numbers depend on besides its cell, draw, seed, strength, arm and stage.

        Grids, trial counts, seeds and resources are left out: a study that was extended keeps every
        result it has.
        """
        return {
            "seed": self.seed,
            "training": self.training.model_dump(mode="json"),
            "alignment": self.alignment.model_dump(mode="json"),
            "evaluation": self.evaluation.model_dump(mode="json"),
            "code": self.files.get(self.alignment.loss, ""),
        }


def _listed(values: Iterable[object], most: int = 20) -> str:
    words = [str(v) for v in values]
    rest = len(words) - most
    return ", ".join(words[:most]) + (f" and {rest} more" if rest > 0 else "")
