"""A whole study: its parts together, and what they must agree on."""

import math
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from raysweep.spec.grids import DataGrid, ModelGrid
from raysweep.spec.parts import (
    Alignment,
    Confirm,
    Evaluation,
    Resources,
    Search,
    Training,
    Verdict,
)
from raysweep.spec.values import Clash, Part, Seed, as_list, listed

MOST_CELLS = 100_000


class Study(Part):
    """A whole study: one YAML file.

    ``files`` is filled in when the study is resolved: file, or dotted path of a user's own loss, ->
    digest of its content.
    """

    name: str
    description: str = ""
    kind: Literal["forcing"] = "forcing"
    seed: Seed = 0
    data: Annotated[tuple[DataGrid, ...], BeforeValidator(as_list), Field(min_length=1)]
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
                f"seeds used twice: {listed(shared)} in both search.seeds and confirm.seeds; "
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
                f"{listed(self.evaluation.metrics)}",
                ("search", "metric"),
                ("evaluation", "metrics"),
            )
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

    @model_validator(mode="after")
    def _options_fixed_or_searched(self) -> Self:
        twice = [name for name in self.search.options if name in self.alignment.options]
        if twice:
            raise Clash(
                f"options given twice: {listed(twice)} in both alignment.options and "
                "search.options; an option is either fixed or searched",
                *(("search", "options", name) for name in twice),
                *(("alignment", "options", name) for name in twice),
            )
        return self

    @model_validator(mode="after")
    def _layer_in_every_encoder(self) -> Self:
        shallowest = min(min(pair) for pair in self.model.pairs("depth", 1))
        layer = self.alignment.layer
        if layer != "last" and layer > shallowest:
            raise Clash(
                f"there is no hidden layer {layer} in the shallowest encoder, of depth "
                f"{shallowest}; give last, or a layer from 1 to {shallowest}",
                ("alignment", "layer"),
                ("model",),
            )
        if layer != "last" and self.training.engine == "kernel":
            raise Clash(
                f"engine kernel aligns last layers only, and alignment.layer is {layer}; take auto",
                ("training", "engine"),
                ("alignment", "layer"),
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
        alignment = self.alignment.model_dump(mode="json")
        evaluation = self.evaluation.model_dump(mode="json")
        # Results from before there was a choice keep their keys.
        if alignment["layer"] == "last":
            del alignment["layer"]
        if not evaluation["calibrate"]:
            del evaluation["calibrate"]
        return {
            "seed": self.seed,
            "training": self.training.model_dump(mode="json"),
            "alignment": alignment,
            "evaluation": evaluation,
            "code": self.files.get(self.alignment.loss, ""),
        }
