"""The trials of a pack with their data, in groups that train as one stacked computation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raysweep.data.registry import load_together
from raysweep.data.views import Views
from raysweep.kinds.forcing.study import ForcingStudy
from raysweep.models.architecture import Architecture
from raysweep.models.named import named_architecture
from raysweep.study.files import check_files
from raysweep.study.spec import SETTINGS
from raysweep.training.inputs import Members, TrainSettings
from raysweep.trials.trial import Arm, Options, Trial

_OWN = ("learning_rate", "weight_decay")
"""What members that train together have each for itself."""


@dataclass(frozen=True)
class Group:
    """Trials of a pack that train as one stacked computation: of equal sizes, epochs and fusion.

    Attributes:
        study: with the training of these trials.
        places: where the m trials are in the pack.
        trials: the trials.
        views: the k draws of cells that they learn from.
        dataset: int64 [m], each trial's among the views.
        shape: of every member.
    """

    study: ForcingStudy
    places: Sequence[int]
    trials: Sequence[Trial]
    views: Sequence[Views]
    dataset: np.ndarray
    shape: Architecture

    def members(self) -> Members:
        """The trials in the trainer's terms."""
        study = self.study
        return Members.of_draws(
            study.seed,
            [(trial.draw, trial.seed) for trial in self.trials],
            **{name: [trained(study, t)[name] for t in self.trials] for name in _OWN},
            clip_norm=study.training.clip_norm,
            strength=[trial.strength for trial in self.trials],
            placebo=[trial.arm is Arm.PLACEBO for trial in self.trials],
        )


def loaded(study: ForcingStudy, trials: Sequence[Trial]) -> list[Group]:
    """The trials with their data, which are loaded once each, in groups of equal sizes."""
    draws = {(trial.cell.id, trial.draw): trial.cell for trial in trials}
    for cell in {cell.id: cell for cell in draws.values()}.values():
        check_files(study, cell)
    wanted = ((cell.dataset, dict(cell.parameters), draw) for (_, draw), cell in draws.items())
    views = dict(zip(draws, load_together(wanted), strict=True))
    places: dict[tuple[object, ...], list[int]] = {}
    for place, trial in enumerate(trials):
        shared = _shared(study, trial)
        sizes = _sizes(views[trial.cell.id, trial.draw])
        places.setdefault((*sizes, *shared.items()), []).append(place)
    return [_group(study, of_group, trials, views) for of_group in places.values()]


def _sizes(view: Views) -> tuple[object, ...]:
    splits = (view.splits.train, view.splits.validation, view.splits.test)
    # Placebo pairs are shuffled otherwise where rows are in groups, whatever a pack has beside.
    lacking = view.present is not None
    return (view.outputs, *map(len, splits), view.in_groups, lacking, *view.features)


def _group(
    study: ForcingStudy,
    places: Sequence[int],
    of_pack: Sequence[Trial],
    views_of: Mapping[tuple[str, int], Views],
) -> Group:
    trials = [of_pack[place] for place in places]
    number: dict[tuple[str, int], int] = {}
    dataset = [number.setdefault((t.cell.id, t.draw), len(number)) for t in trials]
    views, cell = [views_of[draw] for draw in number], trials[0].cell
    shape = named_architecture(study.model, cell, views[0].features, views[0].outputs)
    shared = _shared(study, trials[0])
    training = study.training.model_copy(update={**shared, "fusion": (shared["fusion"],)})
    together = study.model_copy(update={"training": training})
    return Group(together, places, trials, views, np.array(dataset), shape)


def trained(study: ForcingStudy, trial: Trial) -> dict[str, Any]:
    """How a trial is trained, as far as that may be searched: setting -> value."""
    given = {name: getattr(study.training, name) for name in SETTINGS}
    given["fusion"] = trial.cell.fusion or study.training.fusion[0]
    return {**given, **dict(trial.training)}


def _shared(study: ForcingStudy, trial: Trial) -> dict[str, Any]:
    """What trials have in common that train together."""
    return {name: value for name, value in trained(study, trial).items() if name not in _OWN}


def train_settings(
    study: ForcingStudy, device: str = "cpu", options: Options = ()
) -> TrainSettings:
    """What the study says of training, in the trainer's terms.

    Args:
        study: the study, of one fused head.
        device: a torch device.
        options: searched options of the loss, beside those that the study fixes.
    """
    return TrainSettings.of_study(
        study.training,
        device,
        epochs=study.training.epochs,
        fusion=study.training.fusion[0],
        class_weight=study.training.class_weight,
        loss=study.alignment.loss,
        loss_options={**study.alignment.options, **dict(options)},
        layer=study.aligned_layer,
        negatives=study.alignment.negatives,
    )
