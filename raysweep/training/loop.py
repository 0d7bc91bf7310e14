"""The loop over epochs that every engine shares: checkpoints, early stopping, divergence."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from raysweep.models.trained import History
from raysweep.training.checkpoints import Checkpoints
from raysweep.training.engine import PackEngine
from raysweep.training.inputs import TrainSettings
from raysweep.training.order import BatchOrder


@dataclass(frozen=True)
class Outcome:
    """What `run_epochs` leaves; the fields are those of `TrainedPack`."""

    parameters: torch.Tensor
    own_parameters: torch.Tensor
    diverged_step: np.ndarray
    best_epoch: np.ndarray
    own_best_epoch: np.ndarray
    steps: np.ndarray
    unforced_steps: np.ndarray
    history: History
    gradient_ratio: np.ndarray


Observe = Callable[[int, np.ndarray, torch.Tensor], None]

COMPACT_BELOW = 0.75
"""Share of running members below which a pack is compacted (see `_compaction_pays`)."""


def run_epochs(
    engine: PackEngine,
    order: BatchOrder,
    settings: TrainSettings,
    towers: Sequence[slice],
    observe: Observe | None = None,
) -> Outcome:
    """Train to the end, each member by itself: its checkpoints, its stop, its divergence.

    Args:
        engine: holds the members at their initial parameters.
        order: the members' batch orders.
        settings: epochs, checkpoint, evaluate_every, patience and batch_size count here.
        towers: the parameters of each encoder with its head.
        observe: called after a look at the validation split with the epoch (from 0), the indices
            of the members still training and their parameters, which it leaves as they are.
    """
    m = engine.parameters.shape[0]
    steps_per_epoch = -(-order.rows // settings.batch_size)
    paired = len(engine.heads) > 1
    losses = ("task_loss", "fused_loss", "alignment_loss") if paired else ("task_loss",)
    nothing = np.full((m, settings.epochs), np.nan)
    seen = {name: nothing.copy() for name in ("task_loss", "fused_loss", "alignment_loss")}
    performance = {head: nothing.copy() for head in engine.heads}
    kept = Checkpoints(engine.parameters, len(engine.heads), towers, settings.checkpoint == "best")
    diverged_step = np.full(m, -1)
    steps, forced = np.zeros(m, dtype=np.int64), np.zeros(m, dtype=np.int64)
    squares = np.zeros((2, m))
    # `packed` are the members that the engine still holds, `running` those of them not yet done.
    packed = np.arange(m)
    running = np.ones(m, dtype=bool)
    for epoch in range(settings.epochs):
        log = engine.train_epoch(order.next_epoch(), order.stream)
        failed = log.failed_step.numpy()
        alive = running[packed]
        members = packed[alive]
        steps[members] += steps_per_epoch
        forced[members] += log.forced_steps.numpy()[alive]
        for name in losses:
            seen[name][members, epoch] = getattr(log, name).numpy()[alive]
        squares[:, members] += np.stack((log.alignment_gradient, log.task_gradient))[:, alive]
        broken = alive & (failed >= 0)
        diverged_step[packed[broken]] = epoch * steps_per_epoch + failed[broken]
        steps[packed[broken]] = diverged_step[packed[broken]] + 1
        running[packed[broken]] = False
        last = epoch == settings.epochs - 1
        if last or (epoch + 1) % settings.evaluate_every == 0:
            accuracies = engine.validate().numpy()
            alive = running[packed]
            members = packed[alive]
            for head, values in zip(engine.heads, accuracies, strict=True):
                performance[head][members, epoch] = values[alive]
            now = engine.parameters[torch.from_numpy(alive)]
            if observe is not None and len(members):
                observe(epoch, members, now)
            kept.look(epoch, members, accuracies[:, alive], now)
            if settings.patience is not None:
                running[members[epoch - kept.risen[members] >= settings.patience]] = False
        held = running[packed]
        if not held.any():
            break
        if _compaction_pays(held, diverged_step[packed] >= 0, engine, settings) and not last:
            going_on = torch.from_numpy(np.flatnonzero(held))
            engine.keep(going_on)
            order.keep(going_on)
            packed = packed[held]
    diverged = diverged_step >= 0
    kept.lose(diverged)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.sqrt(squares[0] / squares[1])
    ratio[(squares[0] == 0) & (squares[1] == 0)] = 0.0
    history = History(**seen, performance=performance)
    # A member that diverged may have been taken on to the end of the epoch.
    unforced = steps - np.minimum(forced, steps)
    return Outcome(
        kept.parameters,
        kept.own,
        diverged_step,
        kept.epoch[-1],
        kept.epoch[:-1],
        steps,
        unforced,
        history,
        ratio,
    )


def _compaction_pays(
    held: np.ndarray, diverged: np.ndarray, engine: PackEngine, settings: TrainSettings
) -> bool:
    """Whether to drop the finished members from the pack now.

    Where members are stacked, the size of the pack decides how the products round. There a
    member that diverges stays, so that the others keep the very bits that they would have had
    beside a healthy one; only early stopping, which finishes members by design, shrinks the pack,
    in a few steps, as buffers are rebuilt each time. When it shrinks is decided by the members
    that did not diverge. It then drops the diverged ones too, so that with early stopping a
    divergence can still change how the others round, from that epoch on.

    Args:
        held: [held members], whether each still trains; at least one does.
        diverged: [held members], whether each has diverged.
        engine: the engine that holds them.
        settings: of the pack.
    """
    if engine.members_are_separate:
        return not held.all()
    return settings.patience is not None and held[~diverged].mean() <= COMPACT_BELOW
