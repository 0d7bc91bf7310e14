"""Learning curves: what was seen over the epochs of a trial, thinned to a few points."""

from collections.abc import Sequence

import numpy as np
import torch

from raysweep.data.views import Views
from raysweep.kinds.forcing.study import ForcingStudy
from raysweep.models.architecture import Architecture
from raysweep.models.trained import MultimodalForward, TrainedPack
from raysweep.training import evaluate
from raysweep.trials.columns import CURVE_EPOCHS, named

CURVE_POINTS = 25
# Alignment is followed, not measured: with all points and rows it cost as much as training.
ALIGNMENT_EVERY = 3
ALIGNMENT_ROWS = 128


class AlignmentCurve:
    """Measures the study's metric on some validation rows at some epochs while a pack trains.

    Args:
        study: names the metric and the preprocessing.
        shape: of the members.
        views: the draws that they learn from.
        dataset: int64 [m], each member's draw among them.
    """

    def __init__(
        self,
        study: ForcingStudy,
        shape: Architecture,
        views: Sequence[Views],
        dataset: np.ndarray,
    ) -> None:
        self._metric, self._shape, self._views, self._dataset = study.metric, shape, views, dataset
        given = study.evaluation
        self._aligned = study.aligned_layer
        self._evaluation = given.model_copy(
            update={
                "metrics": {self._metric: given.metrics[self._metric]},
                "layers": "aligned" if given.layers == "aligned" else "last",
                "rows": min(given.rows, ALIGNMENT_ROWS),
                "calibrate": 0,
            }
        )
        epochs = curve_epochs(study)
        self.values = np.full((len(dataset), len(epochs)), np.nan)
        # From the back, so that the last epoch is among them.
        self._column = dict(list(zip(epochs, range(len(epochs)), strict=True))[::-ALIGNMENT_EVERY])

    def observe(self, epoch: int, members: np.ndarray, parameters: torch.Tensor) -> None:
        """Look at members after an epoch (from 0); parameters are [members, P + alignment]."""
        if epoch not in self._column:
            return
        now = MultimodalForward(self._shape, self._dataset[members], parameters)
        scores = evaluate.alignment(now, self._views, "validation", self._evaluation, self._aligned)
        self.values[members, self._column[epoch]] = scores[self._metric].value


def curve_epochs(study: ForcingStudy) -> list[int]:
    """The epochs (from 0) that curves keep: of many a selection, evenly spread, with the last."""
    every = study.training.evaluate_every
    epochs = np.arange(study.training.epochs)
    if len(epochs) > CURVE_POINTS:
        validated = epochs[(epochs + 1) % every == 0]
        epochs = np.union1d(validated if len(validated) else epochs, epochs[-1:])
        chosen = np.linspace(0, len(epochs) - 1, min(CURVE_POINTS, len(epochs)))
        epochs = epochs[np.unique(chosen.round().astype(int))]
    return [int(epoch) for epoch in epochs]


def learning_curves(
    study: ForcingStudy, trained: TrainedPack, alignment: AlignmentCurve, member: int
) -> dict[str, list[float | None]]:
    """A member's curves as columns of its row; null where nothing was seen."""
    epochs = curve_epochs(study)
    history = trained.history
    losses = {"task_loss": history.task_loss, "fused_loss": history.fused_loss}
    seen = {name: values[member, epochs] for name, values in losses.items()}
    seen["alignment_loss"] = history.alignment_loss[member, epochs]
    for head, scores in history.performance.items():
        seen[named(study.task.main, head)] = scores[member, epochs]
    seen["alignment"] = alignment.values[member]
    curves: dict[str, list[float | None]] = {CURVE_EPOCHS: [epoch + 1 for epoch in epochs]}
    for name, values in seen.items():
        curves[named("curve", name)] = [float(v) if np.isfinite(v) else None for v in values]
    return curves
