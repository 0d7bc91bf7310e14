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
from raysweep.models.shape import EncoderShape
from raysweep.models.trained import TrainedEncoders
from raysweep.seeds import derive_seed
from raysweep.study.spec import Scalar
from raysweep.training.evaluate import alignment_rows, alike_where_inputs_are
from raysweep.training.inputs import EncoderData, Members, TrainSettings
from raysweep.training.train import train_encoders
from raysweep.trials.columns import MEASURED_SPLITS, named
from raysweep.trials.trial import Status

CHUNK_ROWS = 4096

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
        columns: performance and loss by column name, and how training went.
        layers: split -> the preprocessed layers [n, width] on the split's alignment rows, the
            representation last; empty for an encoder that diverged or is only tuned.
    """

    status: Status
    diverged_step: int
    columns: dict[str, int | float | None]
    layers: dict[str, list[Tensor]]


@dataclass(frozen=True)
class _Side:
    """One modality of a dataset."""

    x: np.ndarray
    views: Views

    @property
    def digest(self) -> str:
        found = hashlib.sha256()
        splits = self.views.splits
        for values in (self.x, self.views.y, splits.train, splits.validation, splits.test):
            found.update(np.ascontiguousarray(values).data)
        return found.hexdigest()


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
        self._sides: dict[str, _Side] = {}
        self._digests: dict[tuple[Place, int], str] = {}
        for place, view in views.items():
            for modality, x in ((1, view.x1), (2, view.x2)):
                side = _Side(x, view)
                digest = f"{modality}-{side.digest}"
                self._digests[place, modality] = digest
                self._sides.setdefault(digest, side)
        self.train_seconds = 0.0
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

    def _trained(self, group: Mapping[Job, bool]) -> dict[Job, Measured]:
        """Train the encoders of one shape together; the values tell which are aligned later."""
        study, jobs = self._study, list(group)
        contents = list(dict.fromkeys(job.content for job in jobs))
        sides = [self._sides[content] for content in contents]
        modality = jobs[0].modality
        trained = train_encoders(
            EncoderShape(
                sides[0].x.shape[1],
                sides[0].views.classes,
                jobs[0].depth,
                jobs[0].width,
                modality,
            ),
            _members(study, jobs),
            _data(sides, np.array([contents.index(job.content) for job in jobs])),
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
                status,
                int(trained.diverged_step[i]),
                {**own, named("best_epoch", modality): int(trained.best_epoch[i]) + 1},
                {split: [layer[i] for layer in of] for split, of in layers.items()}
                if layers is not None and usable and aligned
                else {},
            )
        return found


def encoder_settings(study: EmergenceStudy, modality: int, device: str = "cpu") -> TrainSettings:
    """What the study says of training a modality's encoders, in the trainer's terms."""
    training = study.training
    return TrainSettings(
        epochs=int(training.of(modality, "epochs")),
        batch_size=training.batch_size,
        dtype=training.dtype,
        device=device,
        engine=training.engine,
        checkpoint=training.checkpoint,
        evaluate_every=training.evaluate_every,
        patience=training.patience,
        tf32=training.tf32,
    )


def _members(study: EmergenceStudy, jobs: Sequence[Job]) -> Members:
    # The seeds are those of a forcing study: common random numbers over cells and modalities.
    m = len(jobs)
    return Members(
        init_seed=np.array([derive_seed(study.seed, "init", j.draw, j.seed) for j in jobs]),
        order_seed=np.array([derive_seed(study.seed, "order", j.draw, j.seed) for j in jobs]),
        learning_rate=np.array([job.rates.learning_rate for job in jobs]),
        weight_decay=np.array([job.rates.weight_decay for job in jobs]),
        strength=np.zeros(m),
        clip_norm=np.full(m, study.training.clip_norm),
        placebo=np.zeros(m, dtype=bool),
    )


def _data(sides: Sequence[_Side], dataset: np.ndarray) -> EncoderData:
    def stack(split: str) -> tuple[np.ndarray, np.ndarray]:
        rows = [getattr(side.views.splits, split) for side in sides]
        x = np.stack([side.x[r] for side, r in zip(sides, rows, strict=True)])
        return x, np.stack([side.views.y[r] for side, r in zip(sides, rows, strict=True)])

    return EncoderData(*stack("train"), *stack("validation"), dataset=dataset)


def _performance(
    trained: TrainedEncoders, sides: Sequence[_Side], tested: bool
) -> dict[str, np.ndarray]:
    """Column -> [m]; encoders that are only tuned are not looked at on the test split."""
    modality = trained.shape.modality
    found = {}
    for split in MEASURED_SPLITS if tested else MEASURED_SPLITS[:1]:
        rows = [getattr(side.views.splits, split) for side in sides]
        labels = np.stack([side.views.y[r] for side, r in zip(sides, rows, strict=True)])
        x = np.stack([side.x[r] for side, r in zip(sides, rows, strict=True)])
        logits = _logits(trained, x)
        y = labels[trained.dataset][:, :, None]
        log_p = scipy.special.log_softmax(logits, axis=2)
        right, likely = logits.argmax(2)[:, :, None] == y, np.take_along_axis(log_p, y, axis=2)
        found[named("performance", modality, split)] = right.mean((1, 2))
        found[named("loss", modality, split)] = -likely.mean((1, 2))
    populations = [side.views.population for side in sides]
    if not tested or None in populations:
        return found
    known = [p for p in populations if p is not None]
    x = np.stack([p.inputs[modality - 1] for p in known])
    joint = np.stack([p.margins[modality - 1] for p in known])
    logits, joint = _logits(trained, x), joint[trained.dataset]
    right = np.take_along_axis(joint, logits.argmax(axis=2)[:, :, None], axis=2)
    found[named("performance", modality, "population")] = right.sum((1, 2))
    log_p = scipy.special.log_softmax(logits, axis=2)
    found[named("loss", modality, "population")] = -(joint * log_p).sum((1, 2))
    return found


def _logits(trained: TrainedEncoders, x: np.ndarray) -> np.ndarray:
    """Float64 logits [m, n, classes] of inputs [k, n, d]."""
    parts: Iterable[Tensor] = (
        trained.forward(x[:, start : start + CHUNK_ROWS])[1].mT.double().cpu()
        for start in range(0, x.shape[1], CHUNK_ROWS)
    )
    return torch.cat(list(parts), dim=1).numpy()


def _layers(
    trained: TrainedEncoders, sides: Sequence[_Side], study: EmergenceStudy
) -> dict[str, list[Tensor]]:
    """Split -> preprocessed layers [m, n, width] on the alignment rows."""
    evaluation = study.evaluation
    preprocessing = Preprocessing(
        clip_quantile=evaluation.preprocessing.clip_quantile,
        normalize=evaluation.preprocessing.normalize,
    )
    found = {}
    for split in MEASURED_SPLITS:
        rows = [alignment_rows(side.views, split, evaluation.rows) for side in sides]
        x = np.stack([side.x[r] for side, r in zip(sides, rows, strict=True)])
        hidden = alike_where_inputs_are(trained.forward(x)[0], torch.from_numpy(x), trained.dataset)
        chosen = hidden[-1:] if evaluation.layers == "last" else hidden
        found[split] = [preprocessing(layer.mT) for layer in chosen]
    return found
