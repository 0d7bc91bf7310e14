"""What studies of all kinds have in common."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import BeforeValidator, Field, field_validator

from raysweep.study.spec.fields import MOST_CELLS, Clash, Part, Scalar, Seed, as_list, listed
from raysweep.study.spec.grids import MLP, DataGrid, ModelGrid
from raysweep.study.spec.parts import Evaluation, Resources, Verdict
from raysweep.trials.columns import PERFORMANCE_2

MOST_TRIALS = 10_000_000
_BLOCK = {"dataset": "x"}


class Block(NamedTuple):
    """Cells of a study that have the same draws.

    Attributes:
        at: where the study says the draws.
        cells: how many there are.
        draws: of each.
    """

    at: tuple[str | int, ...]
    cells: int
    draws: tuple[int, ...]


class StudyBase(Part):
    """The parts that every study has.

    ``files`` is filled in when the study is resolved: file, dotted path of a user's own function,
    or module that one of these imports -> digest of its content. So is ``code_folders``: what must
    be on the import path for the modules of these functions. ``training`` is None where the user's
    own code trains.
    """

    name: str
    description: str = ""
    kind: str = ""
    seed: Seed = 0
    if TYPE_CHECKING:
        # Each kind has these among its own, in the order in which a study is written.
        data: Any = ()
        model: Any = ModelGrid()
        training: Any = None
        evaluation: Evaluation = Evaluation()
        resources: Resources = Resources()
        files: dict[str, str] = Field(default_factory=dict)
        code_folders: tuple[str, ...] | None = None

    # Where a study file may name functions of the user's own.
    own_code_at: ClassVar[tuple[tuple[str, ...], ...]] = ()

    # Where a study says what its cells are.
    cells_at: ClassVar[tuple[tuple[str, ...], ...]] = ()

    # What stands in for a required value that is wrong, while the rest is checked.
    stand_ins: ClassVar[Mapping[tuple[str | int, ...], Any]] = {("name",): "x"}

    # Whether depths and widths given for both modalities stand for all pairs of them.
    every_pair: ClassVar[bool] = False

    def pairs(self, name: Literal["depth", "width"], default: int) -> list[tuple[int, int]]:
        """The (modality 1, modality 2) values of ``depth`` or ``width`` in the model grid."""
        return self.model.pairs(name, default, self.every_pair)

    @property
    def fused_heads(self) -> tuple[str, ...]:
        """The kinds of fused head that are an axis of the grid; one empty word where none is."""
        return ("",)

    @property
    def metric(self) -> str:
        """The alignment metric that stands first: what is said of alignment is said by it."""
        return next(iter(self.evaluation.metrics))

    @property
    def criteria(self) -> tuple[str, ...]:
        """What a strength is chosen by; empty where none is."""
        return ()

    @property
    def loss(self) -> str:
        """The alignment loss that encoders are trained with; empty where there is none."""
        return ""

    @property
    def tested(self) -> Verdict:
        """What an analysis is about."""
        return Verdict(performance=PERFORMANCE_2)

    @property
    def confirmed_columns(self) -> tuple[str, ...]:
        """The columns of confirm rows that a plan goes by; empty where it goes by none."""
        return ()

    def forced_with(self) -> dict[str, Any]:
        """The alignment loss and its fixed options, by the names of their columns."""
        return {}

    @property
    def own_code(self) -> tuple[str, ...]:
        """The dotted paths of the user's own functions that the study names."""
        return tuple(name for name in self.model.encoder if ":" in name)

    @property
    def own_files(self) -> tuple[str, ...]:
        """What else of ``files`` is the user's own code: modules by name, files by their paths."""
        return ()

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", value):
            raise ValueError(
                "expected 1 to 100 letters, digits, '_', '.' or '-', a letter or digit first"
            )
        return value

    def free_points(self) -> Sequence[Mapping[str, Scalar]] | None:
        """The cells where they are no points of data grid x model grid; None where they are.

        Each by the values of its axes; one that is a file of ``files`` is known by what it holds.
        """
        return None

    def every_resources(self) -> Sequence[Resources]:
        """All that packs need, each once."""
        return [self.resources]

    def blocks(self) -> list[Block]:
        """All cells, by the draws that they have."""
        raise NotImplementedError

    def trials_at_least(self) -> int:
        """A lower bound of the study's trials, by arithmetic alone."""
        raise NotImplementedError

    def as_stored(self) -> Self:
        """The study that a folder was made with, where what it left out has another default now."""
        return self

    def clashes(self) -> Iterator[Clash]:
        """More cells or trials than can be handled."""
        cells, trials = sum(block.cells for block in self.blocks()), self.trials_at_least()
        if cells > MOST_CELLS:
            yield Clash(f"{cells} cells; a study has at most {MOST_CELLS}", *self.cells_at)
        elif trials > MOST_TRIALS:
            counts = (("search", "trials"), ("tuning", "trials"), ("search", "seeds"))
            yield Clash(
                f"{trials} trials; a study has at most {MOST_TRIALS}",
                *counts,
                *(("tuning", "seeds"), ("confirm", "seeds"), ("seeds",), *self.cells_at),
            )

    def science(self) -> dict[str, Any]:
        """What a trial's numbers depend on besides the trial itself.

        Grids, trial counts, seeds and resources are left out: a study that was extended keeps every
        result it has.
        """
        raise NotImplementedError


class GridStudy(StudyBase):
    """A study whose cells are data grid x model grid."""

    cells_at: ClassVar[tuple[tuple[str, ...], ...]] = (("data",), ("model",))
    stand_ins: ClassVar[Mapping[tuple[str | int, ...], Any]] = {
        **StudyBase.stand_ins,
        ("data",): [_BLOCK],
        ("data", 0): _BLOCK,
        ("data", 0, "dataset"): "x",
    }

    data: Annotated[tuple[DataGrid, ...], BeforeValidator(as_list), Field(min_length=1)]
    model: ModelGrid = ModelGrid()

    # Only of kinds that may name code; where it lies is no part of what a study says.
    code_folders: tuple[str, ...] | None = None

    def cells_of(self, block: DataGrid) -> int:
        """Cells of one data block."""
        points = math.prod(len(values) for values in block.axes.values())
        scales = len(self.pairs("depth", 1)) * len(self.pairs("width", 1))
        return points * scales * len(self.model.encoder) * len(self.fused_heads)

    def blocks(self) -> list[Block]:
        """See `StudyBase.blocks`."""
        blocks = enumerate(self.data)
        return [Block(("data", i, "draws"), self.cells_of(b), b.draws) for i, b in blocks]

    def clashes(self) -> Iterator[Clash]:
        """What all kinds mind, and an engine that has no such device or encoder."""
        yield from super().clashes()
        if self.training.engine == "kernel" and self.resources.gpus_per_pack > 0:
            yield Clash(
                "engine kernel runs on CPUs, and resources.gpus_per_pack asks for GPUs; take auto",
                ("training", "engine"),
                ("resources", "gpus_per_pack"),
            )
        if self.training.engine == "kernel" and self.model.encoder != (MLP,):
            yield Clash(
                f"engine kernel trains {MLP} encoders only, and model.encoder is "
                f"{listed(self.model.encoder)}; take auto",
                ("training", "engine"),
                ("model", "encoder"),
            )
