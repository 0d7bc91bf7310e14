"""The alignment loss where rows lack a modality: of every pair on the rows that have both."""

from collections.abc import Sequence

import torch

from raysweep.losses import LossOutput, OverPairs, PairsOutput
from raysweep.losses.over_pairs import mean_over_pairs, modality_pairs
from raysweep.training.engine import AlignedMembers

_LEAST_ROWS = 2
"""Of one row no arm has a loss: it would be the true pair of a placebo, too."""


def on_complete_pairs(
    aligned: AlignedMembers,
    loss: OverPairs,
    hs: Sequence[torch.Tensor],
    own: torch.Tensor,
    present: torch.Tensor,
    groups: torch.Tensor | None = None,
    all_negatives: bool = False,
) -> PairsOutput:
    """As `AlignedMembers.evaluate`, each pair of modalities on the rows that have both.

    A placebo shifts the second modality of each pair by one of these rows. A pair of which a batch
    has fewer than two rows is undefined there, in every arm.

    Args:
        aligned: the members that have an alignment term.
        loss: the alignment loss.
        hs: for each modality [a, d, b].
        own: the loss's parameters [a, Pa].
        present: [modalities, a, b], 1 where a row has a modality, else 0.
        groups: as there.
        all_negatives: as there.
    """
    pairs = modality_pairs(len(hs))
    parts = own.split(loss.parameter_counts([h.shape[1] for h in hs]), dim=1)
    of_pair = OverPairs(loss.loss)
    outputs = []
    for (a, b), part in zip(pairs, parts, strict=True):
        sides, both = (hs[a - 1], hs[b - 1]), (present[a - 1] * present[b - 1]) > 0
        outputs.append(_on_pair(aligned, of_pair, sides, part, both, groups, all_negatives))
    return mean_over_pairs(pairs, outputs, hs)


def _on_pair(
    aligned: AlignedMembers,
    loss: OverPairs,
    sides: tuple[torch.Tensor, torch.Tensor],
    own: torch.Tensor,
    both: torch.Tensor,
    groups: torch.Tensor | None,
    all_negatives: bool,
) -> LossOutput:
    """The loss of one pair of modalities on the rows that have both, [a, b] bool."""
    value = own.new_full((len(own),), torch.nan)
    gradients, at_own = [torch.zeros_like(h) for h in sides], torch.zeros_like(own)
    counts = both.sum(dim=1)
    placebo = torch.zeros_like(counts, dtype=torch.bool)
    placebo[aligned.placebo] = True
    # Members with as many such rows are stacked, as a loss takes them.
    for count in counts.unique().tolist():
        if count < _LEAST_ROWS:
            continue
        some = (counts == count).nonzero()[:, 0]
        rows = both[some].nonzero()[:, 1].view(len(some), count)
        members = AlignedMembers(some, aligned.strength[some], placebo[some].nonzero()[:, 0])
        places = [rows[:, None].expand(-1, h.shape[1], -1) for h in sides]
        seen = [h[some].gather(2, place) for h, place in zip(sides, places, strict=True)]
        of_rows = None if groups is None else groups[some].gather(1, rows)
        found = members.evaluate(loss, seen, own[some], of_rows, all_negatives)
        value[some], at_own[some] = found.value, found.grad_parameters
        for whole, place, part in zip(gradients, places, found.gradients, strict=True):
            whole[some] = torch.zeros_like(whole[some]).scatter(2, place, part)
    return LossOutput(value, gradients[0], gradients[1], at_own)
