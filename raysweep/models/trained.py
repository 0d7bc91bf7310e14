"""A trained pack: its parameters, how training went, and its forward pass."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from raysweep.errors import InputError
from raysweep.models.architecture import Architecture


@dataclass(frozen=True)
class History:
    """What was seen while training, one column an epoch; every array is float64 [m, epochs].

    NaN where nothing was seen: an epoch without validation, after a member stopped or diverged,
    an alignment loss at strength 0, a fused head that an encoder alone does not have.

    Attributes:
        task_loss: mean over the epoch's rows of the modalities' heads' summed cross-entropy, nats;
            of regression of their squared errors, of labels with mean 0 and sd 1 in training.
        fused_loss: the same for the fused head.
        alignment_loss: mean of the alignment loss (without the strength) over the epoch's rows,
            batches on which it is undefined left out.
        performance: head -> validation accuracies, 0..1, or R2 of regression.
    """

    task_loss: np.ndarray
    fused_loss: np.ndarray
    alignment_loss: np.ndarray
    performance: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class MultimodalForward:
    """Members at some point of their training, for their forward pass.

    Attributes:
        shape: the members' shape.
        dataset: [m], int64 index of each member's dataset.
        parameters: [m, P + alignment parameters].
    """

    shape: Architecture
    dataset: np.ndarray
    parameters: torch.Tensor

    def forward(
        self, modality: int, x: torch.Tensor | np.ndarray
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Run one encoder of every member.

        Args:
            modality: 1, 2, ..., in the order of the encoders.
            x: its inputs, [n, d] for all members or [k, n, d], one block a dataset of the pack;
                a member takes the block of its own dataset.

        Returns:
            The hidden layers, each [m, width, n], the last one the representation; and the
            head's logits [m, classes, n].

        Raises:
            InputError: another modality, or inputs of another shape.
        """
        modalities = len(self.shape.inputs)
        if modality not in range(1, modalities + 1):
            raise InputError(f"modality is {modality}; it must be in 1..{modalities}")
        d = self.shape.inputs[modality - 1]
        inputs = torch.as_tensor(x).to(self.parameters)
        datasets = int(self.dataset.max()) + 1
        fits = inputs.ndim == 2 or (inputs.ndim == 3 and inputs.shape[0] >= datasets)
        if not fits or inputs.shape[-1] != d:
            raise InputError(
                f"x has shape {tuple(inputs.shape)}; it must be [n, {d}] or [{datasets}, n, {d}]"
            )
        if inputs.ndim == 3:
            inputs = inputs[torch.from_numpy(self.dataset).to(inputs.device)]
        else:
            inputs = inputs.expand(len(self.dataset), -1, -1)
        return self.shape.forward(modality, self.parameters, inputs)

    def fused(self, *representations: torch.Tensor) -> torch.Tensor:
        """Logits [m, classes, n] of the fused head on all representations [m, width, n]."""
        return self.shape.fused(self.parameters, *representations)


@dataclass(frozen=True)
class TrainedPack(MultimodalForward):
    """The members of a pack after training.

    Attributes:
        shape: the members' shape.
        dataset: [m], int64 index of each member's dataset.
        parameters: [m, P + alignment parameters], the checkpoint of each member by its last head;
            NaN for one that diverged.
        own_parameters: the same at which each encoder's own head was best, by which that head is
            judged; NaN besides.
        status: [m], "ok" or "diverged".
        diverged_step: [m], the first step (from 0) at which a loss, a gradient norm or a
            parameter was not finite; -1 if none.
        best_epoch: [m], the epoch (from 0) that the parameters come from; -1 if diverged.
        own_best_epoch: [heads - 1, m], the same of the other heads.
        steps: [m], steps taken, of a diverged member up to and with the one that broke.
        unforced_steps: [m], those of them in which nothing was forced: the strength was 0, or the
            alignment loss was undefined or without a gradient on the batch.
        history: what was seen in each epoch.
        train_seconds: wall-clock time of the whole pack, s.
        gradient_ratio: [m], strength times the alignment loss's gradient at the layers that
            it compares over the task's gradient there: the ratio of root mean squares over the
            first batch of every epoch (Euclidean norms over all layers and the batch's rows);
            0 at strength 0.
    """

    own_parameters: torch.Tensor
    status: np.ndarray
    diverged_step: np.ndarray
    best_epoch: np.ndarray
    own_best_epoch: np.ndarray
    steps: np.ndarray
    unforced_steps: np.ndarray
    history: History
    train_seconds: float
    gradient_ratio: np.ndarray

    @property
    def own(self) -> MultimodalForward:
        """The members as the heads of single modalities are judged."""
        return MultimodalForward(self.shape, self.dataset, self.own_parameters)

    @property
    def alignment_parameters(self) -> torch.Tensor:
        """The alignment loss's own parameters, [m, Pa]."""
        return self.parameters[:, self.shape.parameter_count :]
