"""A study of trials of the user's own: a function or a command that trains, on axes of its own."""

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator

from raysweep.kinds.trial.resources import TrialResources
from raysweep.study.spec.base import Block
from raysweep.study.spec.fields import (
    MOST_EPOCHS,
    MOST_PROPOSALS,
    Clash,
    Names,
    OptionValue,
    Part,
    Scalar,
    SearchDraws,
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
from raysweep.study.spec.ranges import OptionRange, SearchedOption
from raysweep.study.spec.searched import SearchedStudy
from raysweep.trials.columns import column_of

_OUTCOME = re.compile(r"[A-Za-z]\w*_test")
_AXIS = re.compile(r"[A-Za-z]\w{0,99}")


def _as_function(value: object) -> object:
    if not isinstance(value, str | dict | TrialCode):
        raise ValueError("expected package.module:function, or command: with a list of words")
    return {"function": value} if isinstance(value, str) else value


class TrialCode(Part):
    """What trains: the dotted path of a function, or a command, a word an item.

    ``folder`` is where a command runs: by default beside the study file. ``code`` are files, or
    folders of files, that are code as well: a change of one makes a new study.
    """

    function: str | None = None
    command: tuple[str, ...] | None = Field(None, min_length=1)
    folder: str | None = None
    code: Names | None = None

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

    def plain_name(self, name: str) -> str:
        """A file without the folders in which the study lies, which it may be moved from."""
        path = PurePath(name)
        for folder in (*(PurePath(place).parent for place in self.code or ()), self.folder):
            if path.is_absolute() and folder is not None and path.is_relative_to(folder):
                return str(path.relative_to(folder))
        return path.name if path.is_absolute() else name


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


class OwnTraining(Part):
    """The search of how to train: for arm none by itself, and for forced with its strength.

    ``options`` are settings of the user's own code, as lists or ranges; ``trials`` as in
    `raysweep.study.spec.training_search.TrainingSearch`.
    """

    options: dict[str, SearchedOption] = Field(min_length=1)
    trials: Whole = Field(12, ge=1, le=MOST_PROPOSALS)

    @field_validator("options")
    @classmethod
    def _named(cls, value: dict[str, Any]) -> dict[str, Any]:
        odd = [name for name in value if not _AXIS.fullmatch(name)]
        if odd:
            raise ValueError(f"{listed(odd)}: expected names of a letter, then letters, digits, _")
        for name, searched in value.items():
            if not isinstance(searched, OptionRange):
                try:
                    distinct(searched)
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from error
        return value

    @property
    def space(self) -> Mapping[str, OptionRange | tuple[Any, ...]]:
        """Setting -> its range or choices, by name."""
        return dict(sorted(self.options.items()))

    @property
    def combinations(self) -> int | None:
        """How many there are; None where there is a range."""
        listed_ones = [v for v in self.options.values() if isinstance(v, tuple)]
        every = len(listed_ones) == len(self.options)
        return math.prod(map(len, listed_ones)) if every else None


class TrialSearch(Search):
    """The search of the strength; ``performance`` is by default the verdict's, on validation.

    What a draw is only the user's code knows, which may know of no others than those it is told.
    """

    objective: Objective = "performance"
    draws: SearchDraws = "confirmed"
    performance: str | None = None  # type: ignore[assignment]
    halving: Halving | None = None
    training: OwnTraining | None = None  # type: ignore[assignment]

    @property
    def rungs(self) -> tuple[int, ...]:
        """See `Search.rungs`."""
        return (0,) if self.halving is None else (*self.halving.epochs[:-1], 0)

    def clashes(self) -> Iterator[Clash]:
        """Halving by two criteria, or of a generation of one."""
        yield from super().clashes()
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

    @property
    def own_files(self) -> tuple[str, ...]:
        """See `StudyBase.own_files`."""
        return tuple(name for name in self.files if name not in self.own_code)

    def free_points(self) -> Sequence[Mapping[str, Scalar]]:
        """See `StudyBase.free_points`."""
        points = itertools.product(*self.grid.values())
        return [dict(zip(self.grid, values, strict=True)) for values in points]

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
        training = self.search.training
        for name in () if training is None else self.grid.keys() & training.options.keys():
            yield Clash(
                f"{name} is an axis of grid, of which each value is a cell, and searched in every "
                "cell; it is one of the two",
                ("search", "training", "options", name),
                ("grid", name),
            )
        for clash in self.resources.grid_clashes(self.grid):
            yield Clash(str(clash), *(("resources", *key) for key in clash.keys))

    def every_resources(self) -> list[TrialResources]:  # type: ignore[override]
        """See `StudyBase.every_resources`."""
        return [found.needs for found in self.resources.over(self.grid)]

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
        words = [self.trial.file(word) for word in self.trial.command or ()]
        further = [name for name in self.own_files if name not in words]
        evaluation = self.evaluation.model_dump(mode="json", exclude={"layers"})
        alignment = self.alignment.model_dump(mode="json", exclude={"layer"})
        # Results from before there was a choice keep their keys.
        if alignment["negatives"] == "other_groups":
            del alignment["negatives"]
        return {
            "seed": self.seed,
            "trial": self.trial.model_dump(mode="json", exclude={"folder", "code"}),
            "code": [
                self.files.get(self.trial.function or "", ""),
                self.files.get(self.alignment.loss, ""),
                *(self.files.get(word, "") for word in words),
            ],
            **({"further": sorted(self._plain(further))} if further else {}),
            "alignment": alignment,
            "evaluation": evaluation,
        }

    def _plain(self, names: Sequence[str]) -> Iterator[list[str]]:
        for name in names:
            yield [self.trial.plain_name(name), self.files[name]]
