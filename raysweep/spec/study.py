"""A forcing study: its parts together, and what they must agree on."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from raysweep.spec.base import StudyBase
from raysweep.spec.parts import (
    Alignment,
    Confirm,
    Evaluation,
    Resources,
    Search,
    Training,
    Verdict,
)
from raysweep.spec.values import Clash, listed


class Study(StudyBase):
    """A forcing study: pairs trained together, with and without an alignment loss."""

    kind: Literal["forcing"] = "forcing"
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
    def _draws_apart(self) -> Self:
        confirmed = {draw for block in self.data for draw in block.draws}
        shared = sorted(confirmed & set(self.search.draws or ()))
        if shared:
            raise Clash(
                f"draws used twice: {listed(shared)} in both search.draws and the draws of the "
                "data; give the search draws of its own, or leave search.draws out to search on "
                "those that are confirmed",
                ("search", "draws"),
                ("data",),
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
