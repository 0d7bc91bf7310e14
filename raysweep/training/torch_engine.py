"""The packed trainer's steps in torch: every device, any architecture, any alignment loss."""

import numpy as np
import torch

from raysweep.losses import AlignmentLoss, OverPairs
from raysweep.models.architecture import Architecture
from raysweep.models.dropout import derived, keys_of
from raysweep.models.memory import EPOCH_BYTES, VALIDATION_ROWS
from raysweep.models.mlp import with_ones
from raysweep.training.captured import CapturedSteps, graphs_on
from raysweep.training.complete_pairs import on_complete_pairs
from raysweep.training.denormals import denormals
from raysweep.training.engine import AlignedMembers, EpochLog
from raysweep.training.epoch_sums import EpochSums
from raysweep.training.inputs import Members, PackData, TrainSettings
from raysweep.training.optimizer import RowAdamW, clip_rows
from raysweep.training.passes import Passes, Pull, squared_norm
from raysweep.training.task_loss import SCORES, TASK_LOSSES, balanced, row_shares
from raysweep.trials.tasks import Task


class _Split:
    """One split of the pack's datasets on the device, inputs with a column of ones."""

    def __init__(
        self,
        sides: tuple[np.ndarray, ...],
        y: np.ndarray,
        like: torch.Tensor,
        labels: torch.dtype,
        groups: np.ndarray | None = None,
        present: np.ndarray | None = None,
    ) -> None:
        self.sides = [with_ones(torch.as_tensor(x).to(like)) for x in sides]
        self.y = torch.as_tensor(y).to(like.device, labels)
        self.rows = self.y.shape[1]
        self._groups = None
        if groups is not None:
            self._groups = torch.as_tensor(groups).to(like.device, torch.int64)
        self._present = None if present is None else torch.as_tensor(present).to(like)

    def gather(self, where: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Inputs [m, b, d + 1] of each modality and labels [m, 1 or outputs, b] of rows [m, b].

        Args:
            where: indices into the rows of all datasets, one dataset after another.
        """
        m, rows = where.shape
        flat = where.reshape(-1)
        inputs = [x.view(-1, x.shape[2])[flat].view(m, rows, -1) for x in self.sides]
        if self.y.ndim == 3:
            labels = self.y.view(-1, self.y.shape[2])[flat].view(m, rows, -1)
            return inputs, labels.transpose(1, 2)
        return inputs, self.y.view(-1)[flat].view(m, 1, rows)

    def groups(self, where: torch.Tensor) -> torch.Tensor | None:
        """The groups [m, b] of rows as for `gather`; None where every row stands alone."""
        return None if self._groups is None else self._groups.view(-1)[where]

    def present(self, where: torch.Tensor) -> torch.Tensor | None:
        """Whether rows as for `gather` have a modality, [modalities, m, b] of 1 and 0; or None."""
        if self._present is None:
            return None
        return self._present.view(-1, len(self.sides))[where].movedim(2, 0)

    def bytes_a_row(self) -> int:
        """Bytes that a gathered row takes, its label included."""
        labels = self.y[0, 0].numel() * self.y.itemsize
        return sum(x.shape[2] * x.itemsize for x in self.sides) + labels


class TorchEngine:
    """Trains all members of a pack together, one stacked product a layer.

    Args:
        passes: forward and backward pass of the members.
        shape: the members' shape.
        members: their seeds and hyperparameters.
        data: the datasets.
        settings: how to train.
        loss: the alignment loss; encoders that are trained alone, at strength 0, never ask it.
        parameters: initial parameters [m, P + alignment parameters] of the settings' dtype and
            device; changed in place.
    """

    members_are_separate = False

    def __init__(
        self,
        passes: Passes,
        shape: Architecture,
        members: Members,
        data: PackData,
        settings: TrainSettings,
        loss: AlignmentLoss,
        parameters: torch.Tensor,
    ) -> None:
        self._passes = passes
        self._shape = shape
        self._settings = settings
        self._loss = loss
        self._task = data.task
        like = parameters
        self.heads = shape.heads
        labels = torch.int64 if data.task is Task.CLASSIFICATION else like.dtype
        self._lacking = data.lacking
        self._train, self._validation = (
            _Split(
                data.sides(split),
                getattr(data, f"y_{split}"),
                like,
                labels,
                data.groups_train if split == "train" else None,
                getattr(data, f"present_{split}"),
            )
            for split in ("train", "validation")
        )
        self._dataset = torch.as_tensor(data.dataset).to(like.device, torch.int64)
        self._weights = None
        if settings.class_weight == "balanced":
            of_datasets = balanced(self._train.y, shape.classes).to(like)
            self._weights = of_datasets[self._dataset]
        self._clip = torch.as_tensor(members.clip_norm).to(like)
        self._strength = torch.as_tensor(members.strength).to(like)
        self._placebo = torch.as_tensor(members.placebo).to(like.device)
        self._keys = keys_of(members.init_seed.tolist()).to(like.device) if shape.drops else None
        self._steps = 0
        self._optimizer = RowAdamW(
            parameters,
            torch.as_tensor(members.learning_rate).to(like),
            torch.as_tensor(members.weight_decay).to(like),
            shape.parameter_count,
            shape.frozen_columns,
        )
        self._spans = shape.spans(parameters.shape[1] - shape.parameter_count)
        self._bind()

    @property
    def parameters(self) -> torch.Tensor:
        """The members' current parameters, [m, P + alignment parameters]."""
        return self._optimizer.parameters

    @property
    def gradients(self) -> torch.Tensor:
        """The last step's gradients after clipping, [m, P + alignment parameters]."""
        return self._gradients

    def keep(self, members: torch.Tensor) -> None:
        """Go on with these members (int64 indices) only."""
        members = members.to(self._dataset.device)
        self._optimizer.keep(members)
        self._dataset = self._dataset[members]
        self._weights = None if self._weights is None else self._weights[members]
        self._clip = self._clip[members]
        self._strength = self._strength[members]
        self._placebo = self._placebo[members]
        self._keys = None if self._keys is None else self._keys[members]
        self._bind()

    def _bind(self) -> None:
        """Everything that hangs on the number of members: gradients, who is aligned, captures."""
        self._gradients = torch.zeros_like(self.parameters)
        self._passes.bind(self.parameters, self._gradients)
        self._aligned = AlignedMembers.of(self._strength, self._placebo)
        self._sums = EpochSums(len(self.parameters), self.parameters)
        # Which rows are complete decides on shapes, which a graph does not know.
        wanted = self._settings.captured and not self._lacking
        graphs = graphs_on(self.parameters.device) if wanted else None
        loss = self._loss if len(self._aligned.rows) else None
        self._captured = None
        if graphs is not None and self._passes.capturable and (loss is None or loss.capturable):
            self._captured = CapturedSteps(graphs)

    @denormals(flushed=True)
    def train_epoch(self, permutations: torch.Tensor, stream: torch.Tensor) -> EpochLog:
        """See `PackEngine.train_epoch`."""
        rows, size = permutations.shape[1], self._settings.batch_size
        # Onto the device before they are spread over the members, of whom several share one.
        orders = permutations.to(self._dataset.device)[stream.to(self._dataset.device)]
        where = orders.to(torch.int64).add_(self._dataset[:, None] * rows)
        self._sums.reset()
        at_once = where.numel() * self._train.bytes_a_row() <= EPOCH_BYTES
        epoch = self._train.gather(where) if at_once and self._captured is None else None
        for start in range(0, rows, size):
            part, first = slice(start, start + size), start == 0
            if self._captured is not None:
                self._captured.run(self._gather_and_step, where[:, part], first)
            elif epoch is None:
                self._gather_and_step(where[:, part], first)
            else:
                inputs = [x[:, part] for x in epoch[0]]
                self._step(inputs, epoch[1][:, :, part], where[:, part], first)
        return self._sums.log(self.parameters)

    def _gather_and_step(self, where: torch.Tensor, first: bool) -> None:
        """One step on the rows [m, b] of all datasets; `first` of the epoch or not."""
        self._step(*self._train.gather(where), where, first)

    def _step(
        self,
        inputs: list[torch.Tensor],
        labels: torch.Tensor,
        where: torch.Tensor,
        first: bool,
    ) -> None:
        """One step on a batch (`_Split.gather`); `first` of the epoch or not."""
        squares = self._sums.squares if first else None
        present = self._train.present(where)
        outputs = self._passes.forward(*inputs, keys=self._step_keys(), present=present)
        shares = row_shares(labels, self._weights, self._told(present))
        fitted, slopes = TASK_LOSSES[self._task](outputs, labels, shares)
        losses = _together(fitted, len(inputs))
        pull = self._pull(losses[2], where, present, squares) if len(self._aligned.rows) else None
        self._passes.backward(slopes, pull, None if squares is None else squares[0])
        norms = clip_rows(self._gradients, self._spans, self._clip)
        self._optimizer.step(self._gradients)
        self._sums.add(losses, norms, labels.shape[2] / self._train.rows)

    def _told(self, present: torch.Tensor | None) -> torch.Tensor | None:
        """Which rows every head is told of, [heads, m, b]; the fused one of all."""
        if present is None or len(self.heads) == len(present):
            return present
        return torch.cat((present, torch.ones_like(present[:1])))

    def _step_keys(self) -> torch.Tensor | None:
        """The keys [m] of the next step's dropout; None without."""
        if self._keys is None:
            return None
        self._steps += 1
        return derived(self._keys, self._steps)

    def _pull(
        self,
        values: torch.Tensor,
        where: torch.Tensor,
        present: torch.Tensor | None,
        squares: torch.Tensor | None,
    ) -> Pull:
        """Ask the alignment loss; its values go to `values` [m], its parameters' gradients too."""
        hs, groups = self._passes.compared(), self._train.groups(where)
        rows, everyone = self._aligned.rows, len(self._aligned.rows) == hs[0].shape[0]
        own = self.parameters[:, self._shape.parameter_count :]
        if not everyone:
            hs, own = tuple(h[rows] for h in hs), own[rows]
            groups = None if groups is None else groups[rows]
            present = None if present is None else present[:, rows]
        loss, all_negatives = OverPairs(self._loss), self._settings.negatives == "all"
        if present is None:
            output = self._aligned.evaluate(loss, hs, own, groups, all_negatives)
        else:
            output = on_complete_pairs(self._aligned, loss, hs, own, present, groups, all_negatives)
        values[rows] = output.value
        if own.shape[1]:
            at_own = self._gradients[:, self._shape.parameter_count :]
            at_own[rows] = output.grad_parameters
        square = squared_norm(*output.gradients)
        self._sums.forced[rows] += ~output.value.isnan() & (square > 0)
        if squares is not None:
            squares[1, rows] = square
        return Pull(rows, output.gradients)

    @denormals(flushed=True)
    def validate(self) -> torch.Tensor:
        """See `PackEngine.validate`."""
        split = self._validation
        m = self.parameters.shape[0]
        seen = SCORES[self._task](len(self.heads), m, self._dataset.device)
        for start in range(0, split.rows, VALIDATION_ROWS):
            part = slice(start, start + VALIDATION_ROWS)
            inputs = (x[self._dataset, part] for x in split.sides)
            labels = split.y[self._dataset, part]
            where = torch.arange(split.rows, device=labels.device)[part] + (
                self._dataset[:, None] * split.rows
            )
            present = split.present(where)
            logits = self._passes.logits(*inputs, present=present)
            seen.add(logits, labels, self._told(present))
        return seen.score()


def _together(fitted: torch.Tensor, modalities: int) -> torch.Tensor:
    """Task, fused (0 without a fused head) and alignment loss [3, m], the last still NaN.

    Args:
        fitted: losses [heads, m] of heads that are one a modality and, of two or more, the fused.
        modalities: how many.
    """
    task = fitted[0]
    for of_further in range(1, modalities):
        task = task + fitted[of_further]
    fused = fitted[-1] if len(fitted) > modalities else torch.zeros_like(task)
    return torch.stack((task, fused, torch.full_like(task, torch.nan)))
