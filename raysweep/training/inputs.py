"""What the packed trainer is given: members, data and settings, checked once at the door."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from raysweep.data.views import Views
from raysweep.errors import InputError
from raysweep.models.architecture import Architecture
from raysweep.seeds import derive_seed
from raysweep.trials.tasks import Task

CHOICES: Mapping[str, tuple[str, ...]] = {
    "fusion": ("probe", "joint"),
    "class_weight": ("none", "balanced"),
    "negatives": ("other_groups", "all"),
    "dtype": ("float32", "float64"),
    "checkpoint": ("best", "last"),
    "engine": ("auto", "kernel", "torch"),
}
"""The valid values of the settings that are words."""


@dataclass(frozen=True)
class Members:
    """The members of a pack, one entry an array; every array is [m].

    Attributes:
        init_seed: seed of the initial weights, >= 0.
        order_seed: seed of the batch order, >= 0. Paired arms share both seeds.
        learning_rate: > 0.
        weight_decay: >= 0, decoupled (AdamW).
        strength: weight of the alignment loss, >= 0; at 0 the loss is not computed.
        clip_norm: > 0, largest gradient norm of each tower; infinity for no clipping.
        placebo: the alignment loss sees modality k shifted by k - 1 rows within the batch, so that
            no two modalities are paired; where rows are in groups, so that no row meets one of its
            group either, as far as that can be.
    """

    init_seed: np.ndarray
    order_seed: np.ndarray
    learning_rate: np.ndarray
    weight_decay: np.ndarray
    strength: np.ndarray
    clip_norm: np.ndarray
    placebo: np.ndarray

    def __post_init__(self) -> None:
        for entry in fields(self):
            kind = {"init_seed": np.int64, "order_seed": np.int64, "placebo": np.bool_}
            values = np.atleast_1d(np.asarray(getattr(self, entry.name)))
            object.__setattr__(self, entry.name, values.astype(kind.get(entry.name, np.float64)))
        count = len(self)
        for entry in fields(self):
            values = getattr(self, entry.name)
            if values.shape != (count,) or not count:
                raise InputError(
                    f"members: {entry.name} has shape {values.shape}; "
                    f"every array needs one entry a member, like init_seed {self.init_seed.shape}"
                )
        for name, good, rule in (
            ("init_seed", self.init_seed >= 0, "at least 0"),
            ("order_seed", self.order_seed >= 0, "at least 0"),
            ("learning_rate", _finite(self.learning_rate) & (self.learning_rate > 0), "above 0"),
            ("weight_decay", _finite(self.weight_decay) & (self.weight_decay >= 0), "at least 0"),
            ("strength", _finite(self.strength) & (self.strength >= 0), "finite and at least 0"),
            ("clip_norm", self.clip_norm > 0, "above 0"),
        ):
            if not good.all():
                at = int(np.flatnonzero(~good)[0])
                raise InputError(f"members: {name}[{at}] is {getattr(self, name)[at]}, not {rule}")

    def __len__(self) -> int:
        return self.init_seed.shape[0]

    @classmethod
    def of_draws(
        cls, study_seed: int, draws: Sequence[tuple[int, int]], **given: ArrayLike
    ) -> "Members":
        """Members with common random numbers over cells, strengths, arms, modalities and kinds.

        Their seeds leave all of that out: the arms of a seed start from the same weights and see
        the same batches.

        Args:
            study_seed: of the study.
            draws: draw and seed of each member's trial.
            **given: the other attributes, one value or [m]; without a strength nothing is aligned.
        """
        init, order = (
            [derive_seed(study_seed, purpose, *of) for of in draws] for purpose in ("init", "order")
        )
        others = {"strength": 0.0, "placebo": False, **given}
        spread = {name: np.broadcast_to(v, (len(draws),)) for name, v in others.items()}
        return cls(init_seed=np.array(init), order_seed=np.array(order), **spread)


@dataclass(frozen=True)
class PackData:
    """The datasets of a pack and which member learns from which.

    Attributes:
        x_train: inputs of each modality, one or more, [k, n, d] each.
        y_train: labels [k, n], 0 <= y < classes; of regression float64, in the unit in which a
            head predicts them; else 0 and 1, [k, n, outputs] (`raysweep.data.views.Views.targets`).
        x_validation, y_validation: the same for v validation rows.
        dataset: [m] index of each member's dataset, 0 <= dataset < k.
        groups_train: int64 [k, n], equal for training rows that belong together; None where every
            row of every dataset stands alone.
        task: what the labels are.
        present_train, present_validation: bool [k, n, modalities], which of them a row has; None
            where every row of every dataset has all.
    """

    x_train: tuple[np.ndarray, ...]
    y_train: np.ndarray
    x_validation: tuple[np.ndarray, ...]
    y_validation: np.ndarray
    dataset: np.ndarray
    groups_train: np.ndarray | None = None
    task: Task = Task.CLASSIFICATION
    present_train: np.ndarray | None = None
    present_validation: np.ndarray | None = None

    @classmethod
    def of_views(cls, views: Sequence[Views], dataset: np.ndarray) -> "PackData":
        """The training and validation rows of k draws of data, equally long, of one task.

        A label that is a number gets mean 0 and sd 1 on the training rows.
        """
        labels = {id(view): _labels(view) for view in views}

        def rows(split: str) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
            chosen = [(view, getattr(view.splits, split)) for view in views]
            inputs = tuple(
                np.stack([view.inputs[index][own] for view, own in chosen])
                for index in range(len(views[0].inputs))
            )
            return inputs, np.stack([labels[id(view)][own] for view, own in chosen])

        groups = None
        if any(view.in_groups for view in views):
            alone = np.arange(len(views[0].splits.train))
            groups = np.stack(
                [alone if v.groups is None else v.groups[v.splits.train] for v in views]
            )
        return cls(
            *rows("train"),
            *rows("validation"),
            dataset=dataset,
            groups_train=groups,
            task=views[0].task,
            present_train=stacked_presence(views, "train"),
            present_validation=stacked_presence(views, "validation"),
        )

    @property
    def lacking(self) -> bool:
        """Whether rows lack a modality."""
        return self.present_train is not None or self.present_validation is not None

    def sides(self, split: str) -> tuple[np.ndarray, ...]:
        """The inputs of all modalities in a split (train or validation)."""
        inputs: tuple[np.ndarray, ...] = getattr(self, f"x_{split}")
        return inputs

    def check(self, shape: Architecture, m: int) -> None:
        """Check all sizes against the members' shape.

        Raises:
            InputError: a size or an index that does not fit.
        """
        for split in ("train", "validation"):
            y = np.asarray(getattr(self, f"y_{split}"))
            of_parts = self.task in (Task.MULTILABEL, Task.ORDINAL)
            if of_parts and (y.shape[2:] != (shape.classes,) or not np.isin(y, (0, 1)).all()):
                raise InputError(
                    f"data: y_{split} must be 0 and 1, [k, rows, {shape.classes}]; it has shape "
                    f"{y.shape}"
                )
            y = y[:, :, 0] if of_parts else y
            if y.ndim != 2 or not y.size:
                raise InputError(f"data: y_{split} has shape {y.shape}; it must be [k, rows >= 1]")
            if self.task is Task.REGRESSION:
                if shape.classes != 1 or not np.isfinite(y).all():
                    raise InputError(
                        f"data: y_{split} must be finite numbers, and heads have one output; they "
                        f"have {shape.classes}"
                    )
            elif not of_parts and (y.min() < 0 or y.max() >= shape.classes):
                raise InputError(
                    f"data: y_{split} runs from {y.min()} to {y.max()}; labels must be "
                    f"0..{shape.classes - 1}"
                )
            present, modalities = getattr(self, f"present_{split}"), len(shape.inputs)
            if present is not None and np.shape(present) != (*y.shape, modalities):
                raise InputError(
                    f"data: present_{split} has shape {np.shape(present)}; it must be "
                    f"{(*y.shape, modalities)}"
                )
            sides = self.sides(split)
            if len(sides) != len(shape.inputs):
                raise InputError(
                    f"data: x_{split} has {len(sides)} modalities; it must have {len(shape.inputs)}"
                )
            for number, d, x in zip(shape.numbers, shape.inputs, sides, strict=True):
                given = np.shape(x)
                if given != (*y.shape, d):
                    raise InputError(
                        f"data: x{number}_{split} has shape {given}; it must be {(*y.shape, d)}"
                    )
        datasets = self.y_train.shape[0]
        if self.groups_train is not None and self.groups_train.shape != self.y_train.shape[:2]:
            raise InputError(
                f"data: groups_train has shape {self.groups_train.shape}; it must be "
                f"{self.y_train.shape[:2]}, like y_train"
            )
        chosen = np.asarray(self.dataset)
        if self.y_validation.shape[0] != datasets:
            raise InputError(
                f"data: {datasets} training but {self.y_validation.shape[0]} validation datasets"
            )
        if chosen.shape != (m,) or chosen.min() < 0 or chosen.max() >= datasets:
            raise InputError(
                f"data: dataset must hold {m} indices in 0..{datasets - 1}; it is {chosen}"
            )


@dataclass(frozen=True)
class TrainSettings:
    """How a pack is trained; the same for all of its members.

    Attributes:
        epochs: passes over the training rows, >= 1.
        batch_size: rows a step, >= 1; the last batch of an epoch may be shorter.
        loss: name of the alignment loss (`raysweep.losses.LOSSES`).
        loss_options: the loss's options.
        layer: hidden layer of all encoders, from 1, whose activations the alignment loss compares;
            None for the last, the representation.
        negatives: "other_groups" leaves rows of a sample's own group out of its negatives in losses
            that have them, "all" does not; the same where every row stands alone.
        fusion: "probe" trains the fused head on detached representations, "joint" lets its
            gradient into the encoders.
        class_weight: "balanced" weights the rows of a class in the cross-entropy by n / (c n_c) of
            the n training rows of c classes, as scikit-learn's; "none" counts all alike.
        dtype: "float32" or "float64".
        device: a torch device; "cpu" or e.g. "cuda".
        checkpoint: "best" keeps each member's parameters at its highest validation accuracy, or R2
            of regression, of the fused head (the earliest epoch wins ties), "last" those after the
            last epoch.
        evaluate_every: epochs between two looks at the validation split, >= 1; the last epoch is
            always looked at.
        patience: a member stops once that has not risen for this many epochs; None trains every
            member to the end.
        engine: "kernel" (one MLP or two that tell classes, on the CPU, compiled by Numba), "torch"
            (any device, any architecture, any task), or "auto": the kernel where it applies, else
            torch.
        tf32: let a GPU round float32 products to TF32.
        captured: capture the steps on a GPU as CUDA graphs, wherever passes and loss allow it.
    """

    epochs: int
    batch_size: int = 512
    loss: str = "infonce"
    loss_options: Mapping[str, object] = field(default_factory=dict)
    layer: int | None = None
    negatives: str = "other_groups"
    fusion: str = "probe"
    class_weight: str = "none"
    dtype: str = "float32"
    device: str = "cpu"
    checkpoint: str = "best"
    evaluate_every: int = 1
    patience: int | None = None
    engine: str = "auto"
    tf32: bool = False
    captured: bool = True

    @classmethod
    def of_study(cls, training: object, device: str, **given: Any) -> "TrainSettings":
        """What ``training`` of a study of any kind says; `given` are the other settings."""
        names = ("batch_size", "checkpoint", "dtype", "engine", "evaluate_every", "patience")
        shared = {name: getattr(training, name) for name in (*names, "tf32")}
        return cls(device=device, **shared, **given)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "evaluate_every", "patience", "layer"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}; it must be at least 1")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(
                    f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(choices)}"
                )


def stacked_presence(views: Sequence[Views], split: str) -> np.ndarray | None:
    """Which modalities the rows of a split have, bool [k, n, modalities]; None where all."""
    if all(view.present is None for view in views):
        return None
    return np.stack(
        [
            np.ones((len(rows), len(view.inputs)), dtype=bool)
            if view.present is None
            else view.present[rows]
            for view, rows in ((view, getattr(view.splits, split)) for view in views)
        ]
    )


def _labels(view: Views) -> np.ndarray:
    """[n] or [n, outputs] what a head is to tell of each row."""
    if view.values is None:
        return view.told
    return view.value_scaling(view.values[:, None])[:, 0]


def _finite(values: np.ndarray) -> np.ndarray:
    return np.isfinite(values)
