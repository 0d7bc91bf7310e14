"""A study of models that are trained already: their features are there, all pairs are measured."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from raysweep.study.spec.base import Block, StudyBase
from raysweep.study.spec.fields import (
    Clash,
    Names,
    Number,
    OptionValue,
    Part,
    Scalar,
    Truth,
    Whole,
    listed,
)
from raysweep.study.spec.grids import ModelGrid
from raysweep.study.spec.parts import Evaluation, Preprocessing, Resources
from raysweep.trials.columns import Role, column_of, named

_AXIS = re.compile(r"[A-Za-z]\w{0,99}")


class ModelRow(BaseModel):
    """One model's features, at some values of the axes: every further key is an axis of the study.

    A row without a value of an axis goes with all of them. ``weights`` (as `raysweep features`
    takes a model) and the ``column`` that it is given make features that are not there yet.
    ``layers`` is filled in when the study is resolved.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, OptionValue]

    side: str
    model: str
    features: str
    weights: str | None = None
    column: str | None = None
    family: str = ""
    size: Number | None = Field(None, gt=0)
    performance: Number | None = None
    layers: Whole | None = Field(None, ge=1)

    @property
    def axes(self) -> dict[str, Scalar]:
        """Axis -> its value in this row, of those that have one."""
        return {name: v for name, v in (self.__pydantic_extra__ or {}).items() if v is not None}

    @property
    def place(self) -> str:
        """What it is called in messages."""
        at = ", ".join(f"{name}={value}" for name, value in self.axes.items())
        return f"{self.side}: {self.model}{f' ({at})' if at else ''}"


ROW_KEYS = tuple(ModelRow.model_fields)


@dataclass(frozen=True)
class Pair:
    """Two models of different sides that go together: they agree on all axes that both have."""

    left: ModelRow
    right: ModelRow

    @property
    def axes(self) -> dict[str, Scalar]:
        """Axis -> its value."""
        return {**self.left.axes, **self.right.axes}

    @property
    def point(self) -> dict[str, Scalar]:
        """What makes the pair a cell of its own."""
        found: dict[str, Scalar] = {}
        for number, row in enumerate((self.left, self.right), start=1):
            found[named("side", number)] = row.side
            found[named("model", number)] = row.model
            found[features_of(number)] = row.features
        return {**found, **self.axes}


def features_of(side: int) -> str:
    """The parameter of a cell that has the path of the features of side 1 or 2."""
    return f"features_{side}"


class Samples(Part):
    """The table that features are made of: its path, its columns of texts and those of images."""

    table: str
    text: Names | None = None
    image: Names | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that models may be given."""
        return (*(self.text or ()), *(self.image or ()))


class ModelsPreprocessing(Preprocessing):
    """What is done to layers first; ``clip`` says where the threshold comes from."""

    clip: Literal["layer", "model", "table"] = "layer"


class ModelsEvaluation(Evaluation):
    """What is measured of every pair of models, on all rows of their features.

    ``layers``: the ``best`` pair of layers, ``each`` of them in a row of its own, or the best where
    all layers side by side, ``concatenated``, are one more. ``calibrate`` counts the permutations.
    """

    rows: ClassVar[int] = 0  # type: ignore[misc]

    layers: Literal["best", "each", "concatenated"] = "best"  # type: ignore[assignment]
    calibrate: Whole = Field(199, ge=0, le=10_000)
    preprocessing: ModelsPreprocessing = ModelsPreprocessing()


class ModelsResources(Resources):
    """What a pack needs: the pairs of one model with at most ``members_per_pack`` others.

    ``store``: keep what was found of each model beside its features, and use what is there.
    """

    store: Truth = True


Rows = Annotated[tuple[ModelRow, ...], Field(min_length=2)]


class ModelsStudy(StudyBase):
    """A study of the alignment between models, whatever trained them.

    Its models are given as a list of rows, or as a ``table`` with these as columns; the latter is
    read when the study is resolved. Every model of a side is paired with all of the others.
    """

    cells_at: ClassVar[tuple[tuple[str, ...], ...]] = (("models",), ("table",))
    data: ClassVar[tuple[()]] = ()  # type: ignore[misc]
    model: ClassVar[ModelGrid] = ModelGrid()  # type: ignore[misc]
    training: ClassVar[None] = None  # type: ignore[misc]
    code_folders: ClassVar[None] = None  # type: ignore[misc]

    kind: Literal["models"] = "models"
    models: Rows | None = None
    table: str | None = None
    axes: Names | None = None
    samples: Samples | None = None
    evaluation: ModelsEvaluation = ModelsEvaluation()
    resources: ModelsResources = ModelsResources()
    files: dict[str, str] = Field(default_factory=dict)

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides, in the order in which models name them."""
        return tuple(dict.fromkeys(row.side for row in self.models or ()))

    @cached_property
    def pairs_of_models(self) -> tuple[Pair, ...]:
        """All pairs of models of different sides that agree on the axes, side after side."""
        return tuple(joined(self.models or ()))

    def free_points(self) -> Sequence[Mapping[str, Scalar]]:
        """See `StudyBase.free_points`."""
        return [pair.point for pair in self.pairs_of_models]

    def blocks(self) -> list[Block]:
        """See `StudyBase.blocks`."""
        return [Block(("models",), len(self.pairs_of_models), (0,))]

    def trials_at_least(self) -> int:
        """A trial for each pair; where each pair of layers is measured, one for each of those."""
        return sum(self.trials_of(pair) for pair in self.pairs_of_models)

    def trials_of(self, pair: Pair) -> int:
        """Trials of one pair of models."""
        if self.evaluation.layers != "each":
            return 1
        return (pair.left.layers or 1) * (pair.right.layers or 1)

    def clashes(self) -> Iterator[Clash]:
        """Models that are there twice, axes that are none, and sides that go with no other."""
        yield from super().clashes()
        given = [name for name in ("models", "table") if getattr(self, name) is not None]
        if len(given) != 1:
            wanted = "give the models as a list, or the path of a table of them"
            yield Clash(wanted, *((name,) for name in given), ())
            return
        columns = self.samples.columns if self.samples is not None else ()
        for message, key in (
            *_odd_axes(self.axes or ()),
            *row_faults(self.models, self.axes),
            *_not_made(self.models or (), columns),
        ):
            yield Clash(message, key)

    def science(self) -> dict[str, Any]:
        """What a pair's numbers depend on besides the features."""
        evaluation = self.evaluation.model_dump(mode="json")
        return {"kind": self.kind, "seed": self.seed, "evaluation": evaluation}


Fault = tuple[str, tuple[str | int, ...]]
"""A message, and the place in the study that it is about."""


def joined(rows: Sequence[ModelRow]) -> Iterator[Pair]:
    """All pairs of rows of different sides that agree on the axes that both have."""
    of_sides: dict[str, list[ModelRow]] = {}
    for row in rows:
        of_sides.setdefault(row.side, []).append(row)
    for left_side, right_side in itertools.combinations(of_sides.values(), 2):
        for right, left in itertools.product(right_side, left_side):
            if _agree(left, right):
                yield Pair(left, right)


def row_faults(rows: Sequence[ModelRow] | None, axes: Sequence[str] | None) -> Iterator[Fault]:
    """What is wrong with rows that are valid each by itself.

    Args:
        rows: of the study; None where it has none yet.
        axes: those that the study names.
    """
    if rows is None:
        return
    known = tuple(axes or ())
    for at, row in enumerate(rows):
        for name in row.__pydantic_extra__ or {}:
            if name not in known:
                keys = listed([key for key in ROW_KEYS if key != "layers"])
                yield (
                    f"unknown key {name!r}; a model has {keys}, and the axes that `axes` names "
                    f"({listed(known) or 'none'})",
                    ("models", at, name),
                )
    for name in known:
        if not any(name in row.axes for row in rows):
            yield f"{name} is no key of any model", ("axes",)
    sides = dict.fromkeys(row.side for row in rows)
    if len(sides) < 2:
        yield (
            f"models of one side alone ({listed(sides)}); models are paired with those of another",
            ("models",),
        )
    elif not any(True for _ in joined(rows)):
        yield f"no two models of different sides have the same {listed(known)}", ("models",)
    seen: dict[tuple[str, str], list[ModelRow]] = {}
    for at, row in enumerate(rows):
        others = seen.setdefault((row.side, row.model), [])
        if any(_agree(row, other) for other in others):
            yield f"{row.place} is there twice", ("models", at)
        others.append(row)


def _not_made(rows: Sequence[ModelRow], columns: Sequence[str]) -> Iterator[Fault]:
    """What keeps features from being made of weights."""
    for at, row in enumerate(rows):
        if (row.weights is None) != (row.column is None):
            there, missing = ("weights", "column") if row.column is None else ("column", "weights")
            yield (
                f"{row.place}: {there} without {missing}; features are made of both",
                ("models", at, there),
            )
        elif row.column is not None and row.column not in columns:
            yield (
                f"{row.column} is none of the columns of samples ({listed(columns) or 'none'})",
                ("models", at, "column"),
            )


def _agree(one: ModelRow, other: ModelRow) -> bool:
    mine, others = one.axes, other.axes
    return all(mine[name] == others[name] for name in mine.keys() & others.keys())


def _odd_axes(names: Sequence[str]) -> Iterator[Fault]:
    for name in names:
        column = column_of(name)
        taken = column.meaning and column.role is not Role.CHARACTERISTIC
        if not _AXIS.fullmatch(name):
            yield (
                f"{name!r} is no name of an axis; expected a letter, then letters, digits or '_'",
                ("axes",),
            )
        elif taken or name in ROW_KEYS or column.family in ("side", "model", "family"):
            yield (
                f"{name} is a column of the trial table already; call the axis otherwise",
                ("axes",),
            )
