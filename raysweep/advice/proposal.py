"""A study that fits somebody's data: numbers, each with the reason for it."""

import math
from dataclasses import dataclass

from raysweep.advice.look import Seen
from raysweep.data.images import Images
from raysweep.data.tokens import Tokens
from raysweep.metrics import REGISTRY
from raysweep.study.encoders import CNN, TRANSFORMER
from raysweep.trials.columns import named
from raysweep.trials.outcomes import default_margin
from raysweep.trials.tasks import Task

_STEPS = 1000
"""Steps of training that a study aims at: fewer leave encoders unfinished."""
_FEW_ROWS = 1000
_UNEVEN = 0.5
"""Share of a class, beside twice an equal one, from which accuracy says little of the others."""
_OUTCOMES = {
    Task.REGRESSION: "R2 of all modalities fused; mae_fused_test is in the label's unit",
    Task.MULTILABEL: "of all modalities fused; or mean_average_precision_fused_test",
    Task.ORDINAL: "quadratic weights, all modalities fused; rank_mae_fused_test is in ranks",
}
_MARGINS = (0.005, 0.01, 0.02, 0.05, 0.1)


@dataclass(frozen=True)
class Choice:
    """A value of a study file.

    Attributes:
        value: what is written.
        reason: why, for the comment beside it.
    """

    value: int | float | str
    reason: str


@dataclass(frozen=True)
class Proposal:
    """What a study of the data says where it differs from the defaults of a study file.

    Attributes:
        encoder: None for the default.
        patches: of a modality beside sequences that is none.
        neighbours: of mutual kNN; None for the usual number.
    """

    depth: Choice
    width: Choice
    batch_size: Choice
    epochs: Choice
    fusion: Choice
    confirm_seeds: Choice
    outcome: Choice
    margin: Choice
    neighbours: Choice | None
    encoder: Choice | None = None
    patches: Choice | None = None


def propose(seen: Seen) -> Proposal:
    """A study that fits the data.

    Args:
        seen: as `raysweep.advice.look.look` says.
    """
    train, _, test = seen.splits
    batch = min(128, max(16, 2 ** int(math.log2(max(train / 8, 1)))))
    per_epoch = math.ceil(train / batch)
    epochs = min(400, max(20, 10 * math.ceil(_STEPS / per_epoch / 10)))
    few = train < _FEW_ROWS
    outcome = _outcome(seen)
    margin = Choice(default_margin(outcome.value), "points are hundredths of it: 1 point")
    if seen.task is Task.CLASSIFICATION:
        size = next((m for m in _MARGINS if m >= 0.5 / test), _MARGINS[-1])
        reason = f"{100 * size:g} points; one row of a test split is {100 / test:.2g}"
        margin = Choice(size, reason)
    seeds = 4 if seen.resplit else 12
    unit = "splits count, seeds only steady them" if seen.resplit else "seeds are what is counted"
    encoder, patches = _encoder(seen)
    width = 32 if encoder else 64
    return Proposal(
        depth=Choice(1 if few else 2, f"hidden layers; {train} training rows"),
        width=Choice(width, "units a hidden layer; a list is an axis: [32, 128]"),
        batch_size=Choice(batch, f"{per_epoch} steps an epoch"),
        epochs=Choice(epochs, f"{epochs * per_epoch:,} steps"),
        fusion=Choice("joint", "the fused head trains the encoders, as you would; or probe"),
        confirm_seeds=Choice(seeds, unit),
        outcome=outcome,
        margin=margin,
        neighbours=_neighbours(seen),
        encoder=encoder,
        patches=patches,
    )


def _encoder(seen: Seen) -> tuple[Choice | None, Choice | None]:
    """The encoder of sequences, and how it sees what is none; else that of images."""
    sequences = [m for m in seen.modalities if isinstance(m.layout, Tokens)]
    if not sequences:
        images = any(isinstance(m.layout, Images) for m in seen.modalities)
        words = "of images, and mlp of rows beside them; hidden layers are its blocks"
        return (Choice(CNN, words) if images else None), None
    encoder = Choice(TRANSFORMER, "of sequences; hidden layers are its blocks")
    if len(sequences) == len(seen.modalities):
        return encoder, None
    return encoder, Choice(1, "a row that is no sequence is one token")


def _outcome(seen: Seen) -> Choice:
    if seen.task is not Task.CLASSIFICATION:
        return Choice(seen.task.tested, _OUTCOMES[seen.task])
    share = seen.majority
    if share >= _UNEVEN and share >= 1.5 / len(seen.counts):
        reason = f"one class has {100 * share:.0f} % of the rows: each class counts alike"
        return Choice(named("balanced_accuracy", "fused", "test"), reason)
    return Choice(named("performance", "fused", "test"), "accuracy of all modalities fused")


def _neighbours(seen: Seen) -> Choice | None:
    """Of mutual kNN, where its usual number is too many for the rows that it is measured on."""
    # Where groups stay together other draws may have fewer rows.
    fewest = min(seen.splits[1:]) // 2
    usual = REGISTRY["mutual_knn"].resolve({})["topk"]
    if not isinstance(usual, int) or fewest > usual:
        return None
    return Choice(max(1, fewest // 2), f"neighbours among {min(seen.splits[1:])} rows")
