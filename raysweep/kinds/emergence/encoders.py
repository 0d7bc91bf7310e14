"""Trains the encoders that a pack's trials need, each once, and measures each alone."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.special
import torch
from torch import Tensor

from raysweep.data.views import Views
from raysweep.kinds.emergence.families import EncoderTrial, Rates
from raysweep.kinds.emergence.study import EmergenceStudy
from raysweep.metrics import Preprocessing
from raysweep.metrics.undefined import settled
from raysweep.models.architecture import Architecture
from raysweep.models.named import built_in
from raysweep.models.trained import TrainedPack
from raysweep.study.cells import Cell
from raysweep.study.spec import Scalar
from raysweep.training.evaluate import alike_where_inputs_are, stacked
from raysweep.training.inputs import Members, PackData, TrainSettings
from raysweep.training.measured_rows import alignment_rows, on_equal_rows, row_groups
from raysweep.training.train import train_pack
from raysweep.trials.columns import MEASURED_SPLITS, named
from raysweep.trials.trial import Status

CHUNK_ROWS = 4096
CHUNK_BYTES = 2**28
"""Of the inputs of a chunk, each member's."""

Place = tuple[tuple[tuple[str, Scalar], ...], int]
"""Parameters of a cell, and a draw."""


@dataclass(frozen=True)
class Job:
    """One encoder to train; equal jobs are one encoder.

    Attributes:
        modality: 1 or 2.
        content: digest of its inputs, labels and splits: equal data, equal encoder.
        draw, seed: of the trial.
        depth, width: of the encoder.
        rates: learning rate and weight decay.
    """

    modality: int
    content: str
    draw: int
    seed: int
    depth: int
    width: int
    rates: Rates


@dataclass(frozen=True)
class Measured:
    """What one trained encoder gave.

    Attributes:
        parameters: how many it has, with its head.
        columns: performance and loss by column name, and how training went.
        layers: split -> the preprocessed layers [n, width] on the split's alignment rows, the
            representation last; empty for an encoder that diverged or is only tuned.
    """

    parameters: int
    status: Status
    diverged_step: int
    columns: dict[str, int | float | None]
    layers: dict[str, list[Tensor]]


class Encoders:
    """The encoders of a pack's trials.

    Args:
        study: the study.
        trials: of one family.
        views: the data of their cells.
        device: a torch device.
    """

    def __init__(
        self,
        study: EmergenceStudy,
        trials: Sequence[EncoderTrial],
        views: Mapping[Place, Views],
        device: str,
    ) -> None:
        self._study, self._device = study, device
        self._sides: dict[str, Views] = {}
        self._digests: dict[tuple[Place, int], str] = {}
        for place, view in views.items():
            for modality in (1, 2):
                side = view.alone(modality)
                digest = f"{modality}-{_digest(side)}"
                self._digests[place, modality] = digest
                self._sides.setdefault(digest, side)
        self.train_seconds = 0.0
        self._cell = trials[0].cell
        self._measured: dict[Job, Measured] = {}
        groups: dict[tuple[int, int, int], dict[Job, bool]] = {}
        for trial in trials:
            for modality in (1, 2) if trial.modality == 0 else (trial.modality,):
                job = self.job(trial, modality)
                group = groups.setdefault((modality, job.depth, job.width), {})
                group[job] = trial.modality == 0
        for group in groups.values():
            self._measured.update(self._trained(group))

    def job(self, trial: EncoderTrial, modality: int) -> Job:
        """The encoder of a trial's modality."""
        cell, i = trial.cell, modality - 1
        return Job(
            modality,
            self._digests[(cell.parameters, trial.draw), modality],
            trial.draw,
            trial.seed,
            (cell.depth_1, cell.depth_2)[i],
            (cell.width_1, cell.width_2)[i],
            trial.rates[i],
        )

    def __getitem__(self, job: Job) -> Measured:
        return self._measured[job]

    def groups(self, job: Job, split: str) -> np.ndarray | None:
        """The groups of the rows that an encoder's layers are of; None where each is alone."""
        side = self._sides[job.content]
        return row_groups(side, alignment_rows(side, split, self._study.evaluation.rows))

    def _trained(self, group: Mapping[Job, bool]) -> dict[Job, Measured]:
        """Train the encoders of one shape together; the values tell which are aligned later."""
        study, jobs = self._study, list(group)
        contents = list(dict.fromkeys(job.content for job in jobs))
        sides = [self._sides[content] for content in contents]
        modality = jobs[0].modality
        trained = train_pack(
            alone(self._cell, sides[0], modality, jobs[0].depth, jobs[0].width),
            Members.of_draws(
                study.seed,
                [(job.draw, job.seed) for job in jobs],
                learning_rate=[job.rates.learning_rate for job in jobs],
                weight_decay=[job.rates.weight_decay for job in jobs],
                clip_norm=study.training.clip_norm,
            ),
            PackData.of_views(sides, np.array([contents.index(job.content) for job in jobs])),
            encoder_settings(study, modality, self._device),
        )
        self.train_seconds += trained.train_seconds
        columns = _performance(trained, sides, any(group.values()))
        layers = _layers(trained, sides, study) if any(group.values()) else None
        found = {}
        for i, (job, aligned) in enumerate(group.items()):
            status = Status(str(trained.status[i]))
            usable = status is Status.OK
            own = {name: float(values[i]) if usable else None for name, values in columns.items()}
            found[job] = Measured(
                trained.shape.parameter_count,
                status,
                int(trained.diverged_step[i]),
                {**own, named("best_epoch", modality): int(trained.best_epoch[i]) + 1},
                {split: of[i] for split, of in layers.items()}
                if layers is not None and usable and aligned
                else {},
            )
        return found


def alone(cell: Cell, side: Views, modality: int, depth: int, width: int) -> Architecture:
    """An encoder of one modality.

    Args:
        cell: has the encoder and its options.
        side: the modality's data, alone.
        modality: 1 or 2.
        depth: hidden layers.
        width: of each.
    """
    sizes = (side.features, side.classes, (depth,), (width,))
    return built_in(cell.encoder, *sizes, dict(cell.options), first=modality)


def encoder_settings(study: EmergenceStudy, modality: int, device: str = "cpu") -> TrainSettings:
    """What the study says of training a modality's encoders, in the trainer's terms."""
    epochs = int(study.training.of(modality, "epochs"))
    return TrainSettings.of_study(study.training, device, epochs=epochs)


def _digest(view: Views) -> str:
    """Of inputs, labels, splits and groups."""
    found = hashlib.sha256()
    splits = view.splits
    for values in (*view.inputs, view.y, splits.train, splits.validation, splits.test):
        found.update(np.ascontiguousarray(values).data)
    if view.groups is not None:
        found.update(np.ascontiguousarray(view.groups).data)
    return found.hexdigest()


def _performance(
    trained: TrainedPack, sides: Sequence[Views], tested: bool
) -> dict[str, np.ndarray]:
    """Column -> [m]; encoders that are only tuned are not looked at on the test split."""
    modality = trained.shape.first
    found = {}
    for split in MEASURED_SPLITS if tested else MEASURED_SPLITS[:1]:
        rows = [getattr(side.splits, split) for side in sides]
        labels = np.stack([side.y[r] for side, r in zip(sides, rows, strict=True)])
        logits = _logits(trained, *stacked(sides, rows, slice(None)))
        y = labels[trained.dataset][:, :, None]
        log_p = scipy.special.log_softmax(logits, axis=2)
        right, likely = logits.argmax(2)[:, :, None] == y, np.take_along_axis(log_p, y, axis=2)
        found[named("performance", modality, split)] = right.mean((1, 2))
        found[named("loss", modality, split)] = -likely.mean((1, 2))
    populations = [side.population for side in sides]
    if not tested or None in populations:
        return found
    known = [p for p in populations if p is not None]
    x = torch.as_tensor(np.stack([p.inputs[0] for p in known]))
    joint = np.stack([p.margins[0] for p in known])
    logits, joint = _logits(trained, x), joint[trained.dataset]
    right = np.take_along_axis(joint, logits.argmax(axis=2)[:, :, None], axis=2)
    found[named("performance", modality, "population")] = right.sum((1, 2))
    log_p = scipy.special.log_softmax(logits, axis=2)
    found[named("loss", modality, "population")] = -(joint * log_p).sum((1, 2))
    return found


def _logits(trained: TrainedPack, x: Tensor) -> np.ndarray:
    """Float64 logits [m, n, classes] of inputs [k, n, d]."""
    of_row = len(trained.dataset) * x.shape[2] * trained.parameters.element_size()
    size = max(min(CHUNK_ROWS, CHUNK_BYTES // of_row), 1)
    parts: Iterable[Tensor] = (
        trained.forward(1, part)[1].mT.double().cpu() for part in x.split(size, dim=1)
    )
    return torch.cat(list(parts), dim=1).numpy()


def _layers(
    trained: TrainedPack, sides: Sequence[Views], study: EmergenceStudy
) -> dict[str, list[list[Tensor]]]:
    """Split -> of each member its preprocessed layers [n, width] on the alignment rows."""
    evaluation = study.evaluation
    preprocessing = Preprocessing(
        clip_quantile=evaluation.preprocessing.clip_quantile,
        normalize=evaluation.preprocessing.normalize,
    )
    found: dict[str, list[list[Tensor]]] = {}
    for split in MEASURED_SPLITS:
        rows = [alignment_rows(side, split, evaluation.rows) for side in sides]
        found[split] = []
        for own, of_sides, of_rows in on_equal_rows(trained, sides, rows):
            (x,) = stacked(of_sides, of_rows, slice(None))
            hidden = alike_where_inputs_are(own.forward(1, x)[0], x, own.dataset)
            chosen = hidden[-1:] if evaluation.layers == "last" else hidden
            layers = [preprocessing(settled(layer.mT)) for layer in chosen]
            found[split] += [[layer[i] for layer in layers] for i in range(len(own.dataset))]
    return found
