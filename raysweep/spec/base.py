"""What studies of both kinds have in common."""

import math
import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from raysweep.spec.grids import DataGrid, ModelGrid
from raysweep.spec.parts import Evaluation, Resources
from raysweep.spec.values import Clash, Part, Seed, as_list

MOST_CELLS = 100_000


class StudyBase(Part):
    """The parts that every study has.

    ``files`` is filled in when the study is resolved: file, or dotted path of a user's own loss, ->
    digest of its content.
    """

    name: str
    description: str = ""
    kind: str = ""
    seed: Seed = 0
    data: Annotated[tuple[DataGrid, ...], BeforeValidator(as_list), Field(min_length=1)]
    model: ModelGrid = ModelGrid()
    if TYPE_CHECKING:
        # Each kind has these among its own, in the order in which a study is written.
        training: Any = None
        evaluation: Evaluation = Evaluation()
        resources: Resources = Resources()
        files: dict[str, str] = Field(default_factory=dict)

    # Whether depths and widths given for both modalities stand for all pairs of them.
    every_pair: ClassVar[bool] = False

    def pairs(self, name: Literal["depth", "width"], default: int) -> list[tuple[int, int]]:
        """The (modality 1, modality 2) values of ``depth`` or ``width`` in the model grid."""
        return self.model.pairs(name, default, self.every_pair)

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", value):
            raise ValueError(
                "expected 1 to 100 letters, digits, '_', '.' or '-', a letter or digit first"
            )
        return value

    @model_validator(mode="after")
    def _cells_countable(self) -> Self:
        points = sum(math.prod(len(v) for v in block.axes.values()) for block in self.data)
        cells = points * len(self.pairs("depth", 1)) * len(self.pairs("width", 1))
        if cells > MOST_CELLS:
            raise Clash(f"{cells} cells; a study has at most {MOST_CELLS}", ("data",), ("model",))
        return self

    @model_validator(mode="after")
    def _engine_on_its_device(self) -> Self:
        if self.training.engine == "kernel" and self.resources.gpus_per_pack > 0:
            raise Clash(
                "engine kernel runs on CPUs, and resources.gpus_per_pack asks for GPUs; take auto",
                ("training", "engine"),
                ("resources", "gpus_per_pack"),
            )
        return self

    def science(self) -> dict[str, Any]:
        """What a trial's numbers depend on besides the trial itself.

        Grids, trial counts, seeds and resources are left out: a study that was extended keeps every
        result it has.
        """
        raise NotImplementedError
