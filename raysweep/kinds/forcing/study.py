"""A forcing study: its parts together, and what they must agree on."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from raysweep.study.spec.base import StudyBase
from raysweep.study.spec.fields import Clash, listed, mapping_in
from raysweep.study.spec.grids import MLP
from raysweep.study.spec.parts import (
    Alignment,
    CellResources,
    Confirm,
    Evaluation,
    Search,
    Training,
    Verdict,
    metric_names,
)
from raysweep.trials.columns import named


class ForcingStudy(StudyBase):
    """A forcing study: pairs trained together, with and without an alignment loss."""

    own_code_at: ClassVar[tuple[tuple[str, str], ...]] = (
        ("model", "encoder"),
        ("alignment", "loss"),
    )

    kind: Literal["forcing"] = "forcing"
    training: Training = Training()
    alignment: Alignment = Alignment()
    evaluation: Evaluation = Evaluation()
    search: Search = Search()
    confirm: Confirm = Confirm()
    verdict: Verdict = Verdict()
    resources: CellResources = CellResources()
    files: dict[str, str] = Field(default_factory=dict)

    @property
    def metric(self) -> str:
        """The alignment metric that the search maximizes."""
        return self.search.metric or next(iter(self.evaluation.metrics))

    @property
    def criteria(self) -> tuple[str, ...]:
        """See `StudyBase.criteria`."""
        return self.search.criteria

    @property
    def loss(self) -> str:
        """See `StudyBase.loss`."""
        return self.alignment.loss

    @property
    def aligned_layer(self) -> int | None:
        """The hidden layer that the loss compares, counted from 1; None: the representation."""
        return None if self.alignment.layer == "last" else self.alignment.layer

    @property
    def tested(self) -> Verdict:
        """See `StudyBase.tested`."""
        return self.verdict

    def forced_with(self) -> dict[str, Any]:
        """See `StudyBase.forced_with`."""
        options = {named("option", name): value for name, value in self.alignment.options.items()}
        return {"loss": self.alignment.loss, **options}

    @property
    def own_code(self) -> tuple[str, ...]:
        """See `StudyBase.own_code`."""
        loss = self.alignment.loss
        return (*super().own_code, *([loss] if ":" in loss else []))

    def trials_at_least(self) -> int:
        """Trials of the search with its baseline, and of the three arms that confirm it."""
        trials = 0
        for block in self.data:
            searched = len(self.search.draws or block.draws) * len(self.search.seeds)
            confirmed = len(block.draws) * len(self.confirm.seeds)
            per_cell = searched * (self.search.trials + 1) + confirmed * 3
            trials += self.cells_of(block) * per_cell
        return trials

    @classmethod
    def named_clashes(cls, given: Mapping[str, Any]) -> Iterator[Clash]:
        """A metric that is searched and not measured; options that are fixed and searched."""
        search, measured = mapping_in(given, "search"), metric_names(given.get("evaluation"))
        metric = search.get("metric")
        if isinstance(metric, str) and measured and metric not in measured:
            yield Clash(
                f"{metric!r} is not measured; choose one of evaluation.metrics: {listed(measured)}",
                ("search", "metric"),
                ("evaluation", "metrics"),
            )
        fixed = mapping_in(mapping_in(given, "alignment"), "options")
        twice = [name for name in mapping_in(search, "options") if name in fixed]
        if twice:
            yield Clash(
                f"options given twice: {listed(twice)} in both alignment.options and "
                "search.options; an option is either fixed or searched",
                *(("search", "options", name) for name in twice),
                *(("alignment", "options", name) for name in twice),
            )

    def clashes(self) -> Iterator[Clash]:
        """Seeds and draws that are used twice, and layers that cannot be aligned."""
        yield from super().clashes()
        shared = sorted(set(self.search.seeds) & set(self.confirm.seeds))
        if shared:
            yield Clash(
                f"seeds used twice: {listed(shared)} in both search.seeds and confirm.seeds; "
                "the confirm stage needs seeds that the search never saw",
                ("confirm", "seeds"),
                ("search", "seeds"),
            )
        for index, block in enumerate(self.data):
            shared = sorted(set(self.search.draws or ()) & set(block.draws))
            if shared:
                yield Clash(
                    f"draws used twice: {listed(shared)} in both search.draws and the draws of the "
                    "data; give the search draws of its own, or leave search.draws out to search "
                    "on those that are confirmed",
                    ("search", "draws"),
                    ("data", index, "draws"),
                )
        layer, depths = self.alignment.layer, self.model.pairs("depth", 1)
        shallowest = min(min(pair) for pair in depths)
        if layer != "last" and layer > shallowest:
            yield Clash(
                f"there is no hidden layer {layer} in the shallowest encoder, of depth "
                f"{shallowest}; give last, or a layer from 1 to {shallowest}",
                ("alignment", "layer"),
                *(("model", name) for name in ("depth", "depth_1", "depth_2")),
            )
        if layer != "last" and self.training.engine == "kernel":
            yield Clash(
                f"engine kernel aligns last layers only, and alignment.layer is {layer}; take auto",
                ("training", "engine"),
                ("alignment", "layer"),
            )

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
        science: dict[str, Any] = {
            "seed": self.seed,
            "training": self.training.model_dump(mode="json"),
            "alignment": alignment,
            "evaluation": evaluation,
            "code": self.files.get(self.alignment.loss, ""),
        }
        if self.model.encoder != MLP:
            code = self.files.get(self.model.encoder, "")
            science["encoder"] = {"code": code, "options": self.model.options}
        return science
