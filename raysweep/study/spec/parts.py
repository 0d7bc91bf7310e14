"""The parts of a study besides its grids: training, evaluation, search, test, machines."""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from raysweep.study.spec.fields import (
    CONFIRM_SEEDS_FROM,
    MOST_BATCH,
    MOST_CELLS,
    MOST_EPOCHS,
    MOST_MEMBERS,
    MOST_PROPOSALS,
    Clash,
    FreshSeeds,
    ItemFaults,
    Layer,
    Number,
    OptionValue,
    Part,
    SearchDraws,
    Seeds,
    Truth,
    Whole,
    distinct,
)
from raysweep.study.spec.ranges import OptionRange, SearchedOption, StrengthRange
from raysweep.study.spec.training_search import Heads, TrainingSearch
from raysweep.trials.columns import MEASURED_SPLITS, PERFORMANCE, SPLITS, named
from raysweep.trials.criteria import criteria_of
from raysweep.trials.outcome_families import ALL_FAMILIES, FAMILIES
from raysweep.trials.outcomes import default_margin, in_label_units

FEWEST_UNITS = 3
"""At the first look of a sequential confirm stage: of two, no t is beyond chance."""
MOST_UNITS = 200
Objective = Literal["alignment", "performance", "both"]
_HEADS = (1, 2, "fused")
if TYPE_CHECKING:
    MeasuredPerformance = str
    SearchedPerformance = str
else:
    MeasuredPerformance = Literal[
        (
            *(named("performance", head, split) for split in SPLITS for head in _HEADS),
            *(
                named(family, head, split)
                for family in ("loss", *ALL_FAMILIES)
                for split in (SPLITS if family == "loss" else MEASURED_SPLITS)
                for head in _HEADS
            ),
        )
    ]
    SearchedPerformance = Literal[
        tuple(
            named(family, head)
            for family in ("performance", *ALL_FAMILIES)
            if family not in FAMILIES["classification"]
            for head in _HEADS
        )
    ]


class Training(Part):
    """How every pair of encoders is trained (AdamW; values are the same for all arms).

    Several fused heads are an axis of the grid.
    """

    epochs: Whole = Field(100, ge=1, le=MOST_EPOCHS)
    batch_size: Whole = Field(128, ge=4, le=MOST_BATCH)
    learning_rate: Number = Field(1e-3, gt=0)
    weight_decay: Number = Field(1e-2, ge=0)
    clip_norm: Number = Field(8.0, gt=0)
    fusion: Heads = ("probe",)
    class_weight: Literal["none", "balanced"] = "none"
    checkpoint: Literal["best", "last"] = "best"
    evaluate_every: Whole = Field(1, ge=1, le=MOST_EPOCHS)
    patience: Whole | None = Field(None, ge=1, le=MOST_EPOCHS)
    dtype: Literal["float32", "float64"] = "float32"
    engine: Literal["auto", "kernel", "torch"] = "auto"
    tf32: Truth = False


class Alignment(Part):
    """The alignment loss that is forced; its weight, the strength, is what the search varies.

    ``negatives``: which rows a loss with negatives tells a sample from.
    """

    loss: str = "infonce"
    options: dict[str, OptionValue] = Field(default_factory=dict)
    layer: Layer = "last"
    negatives: Literal["other_groups", "all"] = "other_groups"


class Preprocessing(Part):
    """What is done to representations before a metric sees them (the paper's choice by default)."""

    clip_quantile: Number = Field(0.95, gt=0, le=1)
    normalize: Truth = True


class Evaluation(Part):
    """Alignment metrics that are measured, on which layers, after which preprocessing.

    ``calibrate`` counts the permutations that tell the level of chance.
    """

    metrics: dict[str, dict[str, OptionValue]] = Field(
        default={"unbiased_cka": {}, "mutual_knn": {"topk": 10}}, min_length=1
    )
    layers: Literal["last", "best", "aligned"] = "last"
    rows: Whole = Field(1024, ge=16)
    calibrate: Whole = Field(0, ge=0, le=10_000)
    preprocessing: Preprocessing = Preprocessing()

    @field_validator("calibrate")
    @classmethod
    def _enough_permutations(cls, value: int) -> int:
        if value == 1:
            raise ValueError("give 0 for no calibration, or at least 2 permutations")
        return value

    @field_validator("metrics", mode="before")
    @classmethod
    def _names_or_options(cls, value: object) -> object:
        if isinstance(value, list):
            wrong = {
                i: ("expected the name of a metric", v)
                for i, v in enumerate(value)
                if not isinstance(v, str)
            }
            if wrong:
                raise ItemFaults(wrong)
            return {name: {} for name in distinct(tuple(value))}
        if isinstance(value, dict):
            return {k: {} if v is None else v for k, v in value.items()}
        raise ValueError("expected a list of names, or a mapping of names to options")


def metric_names(evaluation: object) -> list[str]:
    """The metrics that a raw ``evaluation`` names; none where it is malformed."""
    if evaluation is None or (isinstance(evaluation, Mapping) and "metrics" not in evaluation):
        return list(Evaluation().metrics)
    given = evaluation["metrics"] if isinstance(evaluation, Mapping) else None
    if not isinstance(given, Mapping | list | tuple):
        return []
    return list(dict.fromkeys(name for name in given if isinstance(name, str)))


_MOST_OWN_DRAWS = 4
"""More say little of how to force: a search is for what is best on the whole."""


class Search(Part):
    """The search in every cell: of the strength and, if wanted, of options of the loss.

    ``seeds`` is a count (0, 1, ...) or a list. ``draws`` are dataset draws that only search: a
    count n means 1000 .. 1000 + n - 1; see `draws_for`. ``training`` searches how to train, too;
    None trains all arms as `Training` says.
    """

    strength: StrengthRange = StrengthRange()
    options: dict[str, SearchedOption] = Field(default_factory=dict)
    trials: Whole = Field(12, ge=1, le=MOST_PROPOSALS)
    generation: Whole = Field(4, ge=1, le=MOST_PROPOSALS)
    sampler: Literal["tpe", "gp", "qmc", "random", "grid"] = "tpe"
    objective: Objective = "alignment"
    metric: str | None = None
    performance: SearchedPerformance = named("performance", "fused")
    seeds: Seeds = (0, 1)
    draws: SearchDraws = "own"
    training: TrainingSearch | None = None

    def clashes(self) -> Iterator[Clash]:
        """Values of an option that are there twice, and grids that do not come out even."""
        for name, searched in self.options.items():
            if not isinstance(searched, OptionRange):
                try:
                    distinct(searched)
                except ValueError as error:
                    yield Clash(str(error), ("options", name))
        if self.sampler != "grid":
            return
        for name, searched in self.options.items():
            if isinstance(searched, OptionRange):
                yield Clash(
                    f"a grid takes a list of values, {name} has a range; list its values, or take "
                    "another sampler",
                    ("options", name),
                    ("sampler",),
                )
        if self.trials % self.combinations:
            yield Clash(
                f"a grid tries every strength with all {self.combinations} combinations of the "
                f"options, so trials must be a multiple of {self.combinations}, not {self.trials}",
                ("trials",),
                ("options",),
            )

    @property
    def listed_draws(self) -> tuple[int, ...]:
        """The draws that the study lists for the search; none where it gives a word."""
        return self.draws if isinstance(self.draws, tuple) else ()

    def draws_for(self, confirmed: tuple[int, ...]) -> tuple[int, ...]:
        """The dataset draws that a cell's search runs on.

        Args:
            confirmed: the draws of the cell, which are tested.

        Returns:
            Those of ``draws``, where they are listed. ``own``: of several draws as many others, at
            most 4, as a strength that was chosen on the draws that are tested is a little too good
            for them; one draw is the dataset itself. ``confirmed``: those that are tested.
        """
        if self.listed_draws:
            return self.listed_draws
        if self.draws == "confirmed" or len(confirmed) == 1:
            return confirmed
        first = max(CONFIRM_SEEDS_FROM, max(confirmed) + 1)
        return tuple(range(first, first + min(len(confirmed), _MOST_OWN_DRAWS)))

    @property
    def criteria(self) -> tuple[str, ...]:
        """What is maximized: alignment, performance, or both in this order."""
        return criteria_of(self.objective)

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs after which the worse half of a generation is stopped, then 0: the whole."""
        return (0,)

    @property
    def combinations(self) -> int:
        """How many combinations of listed option values there are; 1 without any."""
        listed = (v for v in self.options.values() if isinstance(v, tuple))
        return math.prod(len(values) for values in listed)

    def __hash__(self) -> int:
        # A dict has no hash, and searches key a cache of what they proposed.
        return hash(self.model_dump_json())


class Budget(Part):
    """What a sequential confirm stage may take in all: trials, or minutes of training."""

    trials: Whole | None = Field(None, ge=1)
    minutes: Number | None = Field(None, gt=0)

    def clashes(self) -> Iterator[Clash]:
        """Both or neither."""
        given = [name for name in ("trials", "minutes") if getattr(self, name) is not None]
        if len(given) != 1:
            yield Clash("give trials or minutes", *((name,) for name in given), ())


class Confirm(Part):
    """Fresh seeds for the arms none, forced and placebo; a count n means 1000 .. 1000 + n - 1.

    ``sequential`` says after how many units (draws, or seeds of one draw) a cell is looked at; it
    goes on only while it is open, and while the ``budget`` of all cells lasts.
    """

    seeds: FreshSeeds = tuple(range(CONFIRM_SEEDS_FROM, CONFIRM_SEEDS_FROM + 12))
    sequential: tuple[Annotated[Whole, Field(ge=FEWEST_UNITS, le=MOST_UNITS)], ...] = ()
    budget: Budget | None = None

    @field_validator("sequential")
    @classmethod
    def _rising(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted(set(value)):
            raise ValueError("expected rising numbers of units, such as [4, 6, 9, 12]")
        return value

    def clashes(self) -> Iterator[Clash]:
        """A budget that nothing can keep."""
        if self.budget is not None and not self.sequential:
            yield Clash(
                "a budget is kept by cells that stop early; give confirm.sequential, such as "
                "[4, 6, 9, 12]",
                ("budget",),
            )


class Verdict(Part):
    """What is tested: the performance, the level of the test and the margin of equivalence."""

    performance: MeasuredPerformance = PERFORMANCE
    alpha: Number = Field(0.05, gt=0, lt=1)
    margin: Number = Field(default_margin(PERFORMANCE), gt=0)
    hypotheses: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _margin_of_the_outcome(cls, given: object) -> object:
        """Another outcome has another margin, where none is given."""
        if not isinstance(given, Mapping) or "margin" in given or "performance" not in given:
            return given
        if isinstance(given["performance"], str) and in_label_units(given["performance"]):
            return given  # which hangs on the labels
        return {**given, "margin": default_margin(given["performance"])}

    @field_validator("margin")
    @classmethod
    def _below_a_whole(cls, value: float, info: ValidationInfo) -> float:
        if value >= 1 and not in_label_units(str(info.data.get("performance"))):
            raise PydanticCustomError("less_than", "Input should be less than 1")
        return value


class Multiverse(Part):
    """What a multiverse analysis goes through beside the choices that the rows allow.

    ``alpha``: further levels. ``margin``: further margins, as multiples of the usual one.
    """

    alpha: tuple[Annotated[Number, Field(gt=0, lt=1)], ...] = ()
    margin: tuple[Annotated[Number, Field(gt=0)], ...] = ()


class Resources(Part):
    """What one pack needs; to Ray these are numbers to place it by."""

    cpus_per_pack: Number = Field(1.0, gt=0)
    gpus_per_pack: Number = Field(0.0, ge=0)
    members_per_pack: Whole = Field(36, ge=3, le=MOST_MEMBERS)
    memory_per_pack: Number = Field(2.0, gt=0)

    def needs(self) -> dict[str, float]:
        """What Ray places a pack by, in Ray's names; memory in bytes."""
        return {"CPU": self.cpus_per_pack, "GPU": self.gpus_per_pack}

    def of(self, axes: Mapping[str, Any]) -> "Resources":
        """What a pack of a cell with these axes needs."""
        return self

    @property
    def placed_by(self) -> tuple[str, ...]:
        """The keys that `needs` comes from."""
        return ("cpus_per_pack", "gpus_per_pack")


class CellResources(Resources):
    """What one pack needs, and how many cells of equal scale may share it."""

    cells_per_pack: Whole = Field(1, ge=1, le=MOST_CELLS)
