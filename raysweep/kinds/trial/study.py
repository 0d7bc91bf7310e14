"""A study of trials of the user's own: a function or a command that trains, on axes of its own."""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator

from raysweep.study.spec.base import Block
from raysweep.study.spec.fields import (
    MOST_EPOCHS,
    Clash,
    Number,
    OptionValue,
    Part,
    Scalar,
    Seeds,
    Whole,
    as_list,
    distinct,
    listed,
    mapping_in,
)
from raysweep.study.spec.grids import ModelGrid
from raysweep.study.spec.parts import (
    Alignment,
    Confirm,
    Evaluation,
    Multiverse,
    Objective,
    Search,
    Verdict,
    metric_names,
)
from raysweep.study.spec.searched import SearchedStudy
from raysweep.trials.columns import column_of

GIGABYTE = 10**9
_OUTCOME = re.compile(r"[A-Za-z]\w*_test")
_AXIS = re.compile(r"[A-Za-z]\w{0,99}")


def _as_function(value: object) -> object:
    if not isinstance(value, str | dict | TrialCode):
        raise ValueError("expected package.module:function, or command: with a list of words")
    return {"function": value} if isinstance(value, str) else value


class TrialCode(Part):
    """What trains: the dotted path of a function, or a command, a word an item.

    ``folder`` is where a command runs: by default beside the study file.
    """

    function: str | None = None
    command: tuple[str, ...] | None = Field(None, min_length=1)
    folder: str | None = None

    def clashes(self) -> Iterator[Clash]:
        """Neither a function nor a command, or both; a folder without a command."""
        there = [name for name in ("function", "command") if getattr(self, name) is not None]
        if len(there) != 1:
            wanted = "give either a function as package.module:function, or a command"
            yield Clash(wanted, *((name,) for name in there), ())
        elif self.command is None and self.folder is not None:
            yield Clash("a folder goes with a command", ("folder",))

    def file(self, word: str) -> str:
        """Where a word of the command would be as a file."""
        return str(PurePath(self.folder or ".") / word)


class TrialEvaluation(Evaluation):
    """What ``trial.measure`` measures."""

    layers: Literal["last"] = "last"


class TrialAlignment(Alignment):
    """The alignment loss of ``trial.penalty``; on what it is put the user's code says."""

    layer: Literal["last"] = "last"


class Halving(Part):
    """Epochs after which the worse half of a generation is stopped, the last of them the whole."""

    epochs: tuple[Annotated[Whole, Field(ge=1, le=MOST_EPOCHS)], ...] = Field(min_length=2)

    @field_validator("epochs")
    @classmethod
    def _rising(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted(set(value)):
            raise ValueError("expected rising numbers of epochs, the last that of a whole trial")
        return value


class TrialSearch(Search):
    """The search of the strength; ``performance`` is by default the verdict's, on validation."""

    objective: Objective = "performance"
    performance: str | None = None  # type: ignore[assignment]
    halving: Halving | None = None

    @property
    def rungs(self) -> tuple[int, ...]:
        """See `Search.rungs`."""
        return (0,) if self.halving is None else (*self.halving.epochs[:-1], 0)

    def clashes(self) -> Iterator[Clash]:
        """Halving by two criteria, or of a generation of one; training that is not ours."""
        yield from super().clashes()
        if self.training is not None:
            yield Clash(
                "how your own code trains is its own affair; give what of it is to be compared as "
                "an axis of grid",
                ("training",),
            )
        if self.halving is None:
            return
        if self.objective == "both":
            yield Clash(
                "halving ranks by one number, and the objective is both; take alignment or "
                "performance",
                ("halving",),
                ("objective",),
            )
        if self.generation < 2:
            yield Clash(
                "halving compares the proposals of a generation, which has one; give 2 or more",
                ("generation",),
                ("halving",),
            )

    __hash__ = Search.__hash__


class TrialVerdict(Verdict):
    """What is tested: a metric that the trial returns, and the alignment to report beside it."""

    performance: str
    alignment: str | None = None

    @field_validator("performance", "alignment")
    @classmethod
    def _of_the_test_split(cls, value: str | None) -> str | None:
        if value is not None and not _OUTCOME.fullmatch(value):
            raise ValueError("expected the name of a metric on the test split, such as f1_test")
        return value


class TrialResources(Part):
    """What one trial needs; memory in GB."""

    cpus_per_trial: Number = Field(1.0, gt=0)
    gpus_per_trial: Number = Field(0.0, ge=0)
    custom: dict[str, Annotated[Number, Field(gt=0)]] = Field(default_factory=dict)
    memory: Number | None = Field(None, gt=0)

    members_per_pack: ClassVar[int] = 1
    cells_per_pack: ClassVar[int] = 1
    memory_per_pack: ClassVar[float] = math.inf

    @field_validator("custom")
    @classmethod
    def _not_built_in(cls, value: dict[str, float]) -> dict[str, float]:
        known = [name for name in value if name.lower() in ("cpu", "gpu", "memory")]
        if known:
            raise ValueError(
                f"{listed(known)} is no custom resource; give cpus_per_trial, gpus_per_trial or "
                "memory"
            )
        return value

    @field_validator("gpus_per_trial")
    @classmethod
    def _share_or_whole(cls, value: float) -> float:
        if value > 1 and value != int(value):
            raise ValueError("expected a share of one GPU, or a whole number of GPUs")
        return value

    @property
    def cpus_per_pack(self) -> float:
        """A pack is one trial."""
        return self.cpus_per_trial

    @property
    def gpus_per_pack(self) -> float:
        """A pack is one trial."""
        return self.gpus_per_trial

    def needs(self) -> dict[str, float]:
        """See `Resources.needs`."""
        memory = {} if self.memory is None else {"memory": self.memory * GIGABYTE}
        return {"CPU": self.cpus_per_trial, "GPU": self.gpus_per_trial, **self.custom, **memory}

    @property
    def placed_by(self) -> tuple[str, ...]:
        """See `Resources.placed_by`."""
        beside = (*(["custom"] if self.custom else []), *(["memory"] if self.memory else []))
        return ("cpus_per_trial", "gpus_per_trial", *beside)


Axis = Annotated[tuple[OptionValue, ...], BeforeValidator(as_list), Field(min_length=1)]


class TrialStudy(SearchedStudy):
    """A study whose trials are trained by the user's own code.

    The axes of its cells are the user's, and mean what that code makes of them.
    """

    own_code_at: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("trial",),
        ("trial", "function"),
        ("alignment", "loss"),
    )
    cells_at: ClassVar[tuple[tuple[str, ...], ...]] = (("grid",),)
    stand_ins: ClassVar[Mapping[tuple[str | int, ...], Any]] = {
        **SearchedStudy.stand_ins,
        ("trial",): "x:x",
        ("verdict",): {"performance": "x_test"},
        ("verdict", "performance"): "x_test",
    }
    data: ClassVar[tuple[()]] = ()  # type: ignore[misc]
    model: ClassVar[ModelGrid] = ModelGrid()  # type: ignore[misc]
    training: ClassVar[None] = None  # type: ignore[misc]

    kind: Literal["trial"] = "trial"
    trial: Annotated[TrialCode, BeforeValidator(_as_function)]
    grid: dict[str, Axis] = Field(default_factory=dict)
    draws: Seeds = (0,)
    alignment: TrialAlignment = TrialAlignment()
    evaluation: TrialEvaluation = TrialEvaluation()
    search: TrialSearch = TrialSearch()
    confirm: Confirm = Confirm()
    verdict: TrialVerdict
    multiverse: Multiverse = Multiverse()
    resources: TrialResources = TrialResources()  # type: ignore[assignment]
    files: dict[str, str] = Field(default_factory=dict)
    code_folders: tuple[str, ...] | None = None

    @property
    def metric(self) -> str:
        """The alignment metric that the search maximizes and the verdict reports."""
        named = self.verdict.alignment
        reported = None if named is None else column_of(named).stem
        return self.search.metric or reported or next(iter(self.evaluation.metrics))

    @property
    def searched_performance(self) -> str:
        """See `SearchedStudy.searched_performance`."""
        return column_of(self.search.performance or self.verdict.performance).on("validation")

    @property
    def better_is_less(self) -> bool:
        """A metric whose name begins with ``loss_`` is better when smaller."""
        return column_of(self.searched_performance).better_is_less

    @property
    def own_code(self) -> tuple[str, ...]:
        """See `StudyBase.own_code`."""
        named = (self.trial.function, self.alignment.loss)
        return tuple(path for path in named if path is not None and ":" in path)

    def free_axes(self) -> Mapping[str, tuple[Scalar, ...]]:
        """See `StudyBase.free_axes`."""
        return self.grid

    def clashes(self) -> Iterator[Clash]:
        """What all searches mind, and axes that are none."""
        yield from super().clashes()
        for name, values in self.grid.items():
            if not _AXIS.fullmatch(name):
                message = f"{name!r} is no name of an axis; expected a letter, then letters, digits"
                yield Clash(f"{message} or '_'", ("grid", name))
            if None in values:
                message = f"axis {name} has a value that is none; give text or numbers"
                yield Clash(message, ("grid", name))
            try:
                distinct(values)
            except ValueError as error:
                yield Clash(str(error), ("grid", name))

    def blocks(self) -> list[Block]:
        """See `StudyBase.blocks`."""
        cells = math.prod(len(values) for values in self.grid.values())
        return [Block(("draws",), cells, self.draws)]

    @classmethod
    def named_clashes(cls, given: Mapping[str, Any]) -> Iterator[Clash]:
        """What all searches mind, and an alignment to report that is not measured or searched."""
        yield from super().named_clashes(given)
        reported = mapping_in(given, "verdict").get("alignment")
        if not isinstance(reported, str) or column_of(reported).split != "test":
            return
        metric, measured = column_of(reported).stem, metric_names(given.get("evaluation"))
        searched = mapping_in(given, "search").get("metric")
        if measured and metric not in measured:
            yield Clash(
                f"{metric!r} is not measured; choose one of evaluation.metrics: {listed(measured)}",
                ("verdict", "alignment"),
                ("evaluation", "metrics"),
            )
        elif isinstance(searched, str) and searched != metric:
            yield Clash(
                f"the search goes by {searched}, and the verdict reports {metric}; a study has one "
                "metric of alignment for both",
                ("verdict", "alignment"),
                ("search", "metric"),
            )

    def science(self) -> dict[str, Any]:
        """See `StudyBase.science`: the code, the loss, and what is measured."""
        words = self.trial.command or ()
        evaluation = self.evaluation.model_dump(mode="json", exclude={"layers"})
        alignment = self.alignment.model_dump(mode="json", exclude={"layer"})
        # Results from before there was a choice keep their keys.
        if alignment["negatives"] == "other_groups":
            del alignment["negatives"]
        return {
            "seed": self.seed,
            "trial": self.trial.model_dump(mode="json", exclude={"folder"}),
            "code": [
                self.files.get(self.trial.function or "", ""),
                self.files.get(self.alignment.loss, ""),
                *(self.files.get(self.trial.file(word), "") for word in words),
            ],
            "alignment": alignment,
            "evaluation": evaluation,
        }
