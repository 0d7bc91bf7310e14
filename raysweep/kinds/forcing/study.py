"""A forcing study: its parts together, and what they must agree on."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from raysweep.data.registry import find_dataset
from raysweep.data.resplits import CROSSED
from raysweep.study.encoders import own_options
from raysweep.study.spec.base import GridStudy
from raysweep.study.spec.fields import Clash, as_list, distinct, listed
from raysweep.study.spec.parts import (
    Alignment,
    CellResources,
    Confirm,
    Evaluation,
    Multiverse,
    Search,
    Training,
    Verdict,
)
from raysweep.study.spec.searched import SearchedStudy
from raysweep.trials.columns import column_of
from raysweep.trials.outcome_families import ALL_FAMILIES
from raysweep.trials.tasks import Task, task_of

if TYPE_CHECKING:
    Outcome = str
else:
    Outcome = Literal[tuple(ALL_FAMILIES)]


class ForcingEvaluation(Evaluation):
    """What is measured of a pair; ``outcomes`` beside the accuracy and the loss of every head."""

    outcomes: Annotated[
        tuple[Outcome, ...], BeforeValidator(as_list), AfterValidator(distinct)
    ] = ()


class ForcingStudy(SearchedStudy, GridStudy):
    """A forcing study: pairs trained together, with and without an alignment loss."""

    own_code_at: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("model", "encoder"),
        ("alignment", "loss"),
    )

    kind: Literal["forcing"] = "forcing"
    training: Training = Training()
    alignment: Alignment = Alignment()
    evaluation: ForcingEvaluation = ForcingEvaluation()
    search: Search = Search()
    confirm: Confirm = Confirm()
    verdict: Verdict = Verdict()
    multiverse: Multiverse = Multiverse()
    resources: CellResources = CellResources()
    files: dict[str, str] = Field(default_factory=dict)

    @property
    def fused_heads(self) -> tuple[str, ...]:
        """See `StudyBase.fused_heads`."""
        return self.training.fusion if len(self.training.fusion) > 1 else ("",)

    @property
    def aligned_layer(self) -> int | None:
        """The hidden layer that the loss compares, counted from 1; None: the representation."""
        return None if self.alignment.layer == "last" else self.alignment.layer

    @property
    def outcomes(self) -> tuple[str, ...]:
        """What is measured beside what always is: what is asked for, tested or searched by."""
        named = (self.verdict.performance, self.search.performance)
        wanted = {*self.evaluation.outcomes, *(column_of(name).family for name in named)}
        return tuple(family for family in self.task.asked if family in wanted)

    @property
    def task(self) -> Task:
        """What the label is, as the outcome that is tested tells."""
        return task_of(self.verdict.performance)

    @property
    def own_code(self) -> tuple[str, ...]:
        """See `StudyBase.own_code`."""
        loss = self.alignment.loss
        return (*super().own_code, *([loss] if ":" in loss else []))

    def clashes(self) -> Iterator[Clash]:
        """What all searches mind, and layers and fused heads that cannot be."""
        yield from super().clashes()
        searched = self.search.training
        left_out = set(self.training.fusion) - set(searched.fusion if searched is not None else ())
        if len(self.training.fusion) > 1 and searched is not None and left_out:
            yield Clash(
                f"search.training.fusion lacks {listed(sorted(left_out))} of training.fusion: as "
                "that is an axis each cell searches with its own; leave it out of search.training",
                ("search", "training", "fusion"),
                ("training", "fusion"),
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

        if self.training.class_weight != "none" and self.training.engine == "kernel":
            yield Clash(
                "engine kernel counts all rows alike, and training.class_weight is "
                f"{self.training.class_weight}; take auto",
                ("training", "engine"),
                ("training", "class_weight"),
            )

    def science(self) -> dict[str, Any]:
        """What a trial's numbers depend on besides its cell, draw, seed, strength, arm and stage.

        Grids, trial counts, seeds and resources are left out: a study that was extended keeps every
        result it has.
        """
        alignment = self.alignment.model_dump(mode="json")
        evaluation = self.evaluation.model_dump(mode="json")
        training = self.training.model_dump(mode="json")
        if len(self.training.fusion) > 1:
            del training["fusion"]  # it is in the cell
        # Results from before there was a choice keep their keys.
        if training["class_weight"] == "none":
            del training["class_weight"]
        if alignment["layer"] == "last":
            del alignment["layer"]
        if alignment["negatives"] == "other_groups":
            del alignment["negatives"]
        if not evaluation["calibrate"]:
            del evaluation["calibrate"]
        evaluation["outcomes"] = list(self.outcomes)
        if not self.outcomes:
            del evaluation["outcomes"]
        science: dict[str, Any] = {
            "seed": self.seed,
            "training": training,
            "alignment": alignment,
            "evaluation": evaluation,
            "code": self.files.get(self.alignment.loss, ""),
        }
        if any(find_dataset(block.dataset).own for block in self.data):
            # Results from before there were these splits are of other rows.
            science["splits"] = CROSSED
        own = super().own_code
        if own:
            codes = [self.files.get(path, "") for path in own]
            code = codes[0] if len(own) == 1 else codes
            science["encoder"] = {"code": code, "options": own_options(self.model)}
        return science
