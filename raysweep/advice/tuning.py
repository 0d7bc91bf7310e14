"""The baseline at its best: rates and fused head searched for `none`, before anything is forced.

A verdict is worth what its baseline is worth: a loss that helps a badly trained model helps nobody.
So the rates of the model without forcing are tried whole, on draws that only search, and both arms
are then trained at the best.
"""

import itertools
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from raysweep.data.registry import load_together
from raysweep.kinds.forcing.groups import train_settings
from raysweep.kinds.forcing.study import ForcingStudy
from raysweep.models.named import named_architecture
from raysweep.study.cells import Cell
from raysweep.training.inputs import Members, PackData
from raysweep.training.train import train_pack

LEARNING_RATES = (3e-4, 1e-3, 3e-3, 1e-2)
WEIGHT_DECAYS = (1e-3, 1e-2, 1e-1)
FUSIONS = ("joint", "probe")
STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0)


@dataclass(frozen=True)
class Tried:
    """One way to train, and what it led to.

    Attributes:
        learning_rate, weight_decay: of AdamW.
        fusion: of the fused head, as `Training` says.
        loss: the alignment loss; empty where nothing is forced.
        strength: its weight; 0 where nothing is forced.
        performance: fused accuracy, or R2, on the validation split at the checkpoint, mean over
            draws; NaN if a model diverged.
    """

    learning_rate: float
    weight_decay: float
    fusion: str
    loss: str
    strength: float
    performance: float


@dataclass(frozen=True)
class Search:
    """What was tried, and what it cost.

    Attributes:
        tried: everything, in the order in which it was tried.
        member_seconds: to train one model, mean.
    """

    tried: tuple[Tried, ...]
    member_seconds: float

    @property
    def best(self) -> Tried:
        """The best performance; the earliest of equals."""
        usable = [one for one in self.tried if np.isfinite(one.performance)]
        return max(usable or self.tried, key=lambda one: one.performance)


def tune_baseline(study: ForcingStudy, cell: Cell, draws: Sequence[int]) -> Search:
    """Try all rates and both fused heads without forcing.

    Args:
        study: says everything else of training.
        cell: whose data and encoders are trained.
        draws: that only search.
    """
    rates = list(itertools.product(LEARNING_RATES, WEIGHT_DECAYS))
    wanted = [
        Tried(rate, decay, fusion, "", 0.0, np.nan) for fusion in FUSIONS for rate, decay in rates
    ]
    return _try(study, cell, draws, wanted)


def try_losses(
    study: ForcingStudy, cell: Cell, draws: Sequence[int], losses: Sequence[str]
) -> Search:
    """Try alignment losses at a few strengths, with the rates that the study says.

    Args:
        study: at the best rates of the baseline.
        cell: whose data and encoders are trained.
        draws: that only search.
        losses: names of `raysweep.losses.LOSSES`.
    """
    training = study.training
    [fusion] = training.fusion
    wanted = [
        Tried(training.learning_rate, training.weight_decay, fusion, loss, strength, np.nan)
        for loss in losses
        for strength in STRENGTHS
    ]
    return _try(study, cell, draws, wanted)


def _try(study: ForcingStudy, cell: Cell, draws: Sequence[int], wanted: Sequence[Tried]) -> Search:
    began = time.perf_counter()
    tried: list[Tried] = []
    for (fusion, loss), group in itertools.groupby(wanted, lambda one: (one.fusion, one.loss)):
        training = study.training.model_copy(update={"fusion": (fusion,)})
        aligned = study.alignment.model_copy(update={"loss": loss, "options": {}})
        given: dict[str, object] = {"training": training}
        of_study = study.model_copy(update={**given, **({"alignment": aligned} if loss else {})})
        tried += _try_together(of_study, cell, draws, list(group))
    return Search(tuple(tried), (time.perf_counter() - began) / (len(wanted) * len(draws)))


def _try_together(
    study: ForcingStudy, cell: Cell, draws: Sequence[int], wanted: Sequence[Tried]
) -> Iterable[Tried]:
    views = load_together((cell.dataset, dict(cell.parameters), draw) for draw in draws)
    seed = study.search.seeds[0]
    pairs = [(one, draw) for one in wanted for draw in draws]
    members = Members.of_draws(
        study.seed,
        [(draw, seed) for _, draw in pairs],
        learning_rate=[one.learning_rate for one, _ in pairs],
        weight_decay=[one.weight_decay for one, _ in pairs],
        strength=[one.strength for one, _ in pairs],
        clip_norm=study.training.clip_norm,
    )
    shape = named_architecture(study.model, cell, views[0].features, views[0].outputs)
    dataset = np.array([draws.index(draw) for _, draw in pairs])
    trained = train_pack(shape, members, PackData.of_views(views, dataset), train_settings(study))
    seen = np.where(trained.status == "ok", _checkpointed(trained.history.performance), np.nan)
    means = seen.reshape(len(wanted), len(draws)).mean(axis=1)
    for one, mean in zip(wanted, means.tolist(), strict=True):
        yield Tried(one.learning_rate, one.weight_decay, one.fusion, one.loss, one.strength, mean)


def _checkpointed(performance: object) -> np.ndarray:
    """Validation accuracy, or R2, of the fused head at its best epoch, [m]."""
    fused = performance["fused"]  # type: ignore[index]
    return np.nanmax(fused, axis=1)
